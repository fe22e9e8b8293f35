"""What the embedded cluster can be trusted with before it starts: its cache, names and waits."""

import os
import threading
from pathlib import Path

import pytest

from tests.cluster.cache import KEPT_KEYS, cache_root, cached, digest
from tests.cluster.errors import ClusterError
from tests.cluster.layout import MAX_NODES, Layout
from tests.cluster.shell import run
from tests.cluster.waiting import wait_for


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BROKER_OPERATOR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    assert cache_root() == root
    monkeypatch.delenv("BROKER_OPERATOR_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache")
    assert cache_root() == Path("/var/cache/broker-operator")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ann")
    assert cache_root() == Path("/home/ann/.cache/broker-operator")


def test_a_digest_depends_on_content_alone(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "file").write_text("same")
    assert digest(one) == digest(two)
    os.utime(two / "deep" / "file", (1, 1))
    assert digest(one) == digest(two)


@pytest.mark.parametrize("change", ["content", "name", "mode", "more"])
def test_a_digest_sees_every_change(tmp_path: Path, change: str) -> None:
    file = tmp_path / "folder" / "file"
    file.parent.mkdir()
    file.write_text("text")
    before = digest(file.parent)
    match change:
        case "content":
            file.write_text("Text")
        case "name":
            file.rename(file.with_name("other"))
        case "mode":
            file.chmod(0o755)
        case "more":
            file.with_name("other").write_text("")
    assert digest(file.parent) != before


def test_inputs_of_a_digest_do_not_run_into_each_other(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("ab")
    digests = [digest("ab", "c"), digest("a", "bc"), digest("abc"), digest(b"abc"), digest(file)]
    assert len(set(digests)) == len(digests)


def test_a_missing_input_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digest(tmp_path / "nowhere")


def test_an_artefact_is_built_once(root: Path) -> None:
    built: list[Path] = []

    def build(target: Path) -> None:
        built.append(target)
        target.write_text("done")

    first = cached("tools/thing", "k1", build)
    assert cached("tools/thing", "k1", build) == first == root / "tools" / "thing" / "k1"
    assert len(built) == 1
    assert first.read_text() == "done"
    assert built[0] != first


def test_a_failed_build_leaves_nothing(root: Path) -> None:
    def build(target: Path) -> None:
        target.mkdir()
        raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        cached("thing", "k1", build)
    assert [path.name for path in (root / "thing").iterdir()] == [".lock"]


def test_what_a_killed_build_left_is_removed(root: Path) -> None:
    leftover = root / "thing" / "k0.building"
    leftover.mkdir(parents=True)
    cached("thing", "k1", lambda target: target.mkdir())
    assert not leftover.exists()


def test_a_build_must_leave_something() -> None:
    with pytest.raises(RuntimeError, match="left nothing"):
        cached("thing", "k1", lambda _: None)


def test_only_the_newest_artefacts_stay(root: Path) -> None:
    below = cached("thing/part", "k1", lambda target: target.mkdir())
    for number in range(1, 5):
        cached("thing", f"k{number}", lambda target: target.mkdir())
        cached("thing", "k1", lambda target: target.mkdir())  # still in use: not old
    kept = {path.name for path in (root / "thing").iterdir()} - {".lock", "part"}
    assert kept == {"k1", "k4"}
    assert len(kept) == KEPT_KEYS
    assert below.exists()


def test_two_builders_do_not_work_at_the_same_time() -> None:
    started, release = threading.Event(), threading.Event()
    builds: list[str] = []

    def slow(target: Path) -> None:
        builds.append("slow")
        started.set()
        assert release.wait(10)
        target.write_text("slow")

    def fast(target: Path) -> None:
        builds.append("fast")
        target.write_text("fast")

    seen: list[str] = []
    first = threading.Thread(target=cached, args=("thing", "k1", slow))
    first.start()
    assert started.wait(10)
    second = threading.Thread(target=lambda: seen.append(cached("thing", "k1", fast).read_text()))
    second.start()
    second.join(0.2)
    assert second.is_alive(), "the second must wait for the first"
    release.set()
    first.join(10)
    second.join(10)
    assert (builds, seen) == (["slow"], ["slow"])


@pytest.mark.parametrize("name", ["", "Dev", "a-b", "9", "a" * 17, "../up"])
def test_names_that_would_not_fit_everywhere_are_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="lower case"):
        Layout(name)


def test_clusters_share_no_names() -> None:
    layouts = [Layout(name) for name in ("dev", "deva", "e2e")]
    nodes = [node for layout in layouts for node in layout.nodes(MAX_NODES)]
    for values in (
        [node.netns for node in nodes] + [layout.control_netns for layout in layouts],
        [node.cgroup for node in nodes],
        [node.folder for node in nodes],
        [node.socket for node in nodes],
    ):
        assert len(set(values)) == len(values)
    for layout in layouts:
        own = [node.netns for node in nodes if layout.netns_pattern.fullmatch(node.netns)]
        assert own == [node.netns for node in layout.nodes(MAX_NODES)]


def test_nodes_of_a_cluster_have_addresses_and_zones_of_their_own() -> None:
    nodes = Layout("dev").nodes(3)
    assert [node.name for node in nodes] == ["node-a", "node-b", "node-c"]
    assert [node.address for node in nodes] == ["100.64.0.11", "100.64.0.12", "100.64.0.13"]
    assert [node.pod_network for node in nodes] == [
        "100.65.1.0/24",
        "100.65.2.0/24",
        "100.65.3.0/24",
    ]


@pytest.mark.parametrize("count", [0, -1, MAX_NODES + 1])
def test_a_cluster_has_a_sensible_number_of_nodes(count: int) -> None:
    with pytest.raises(ClusterError, match="nodes"):
        Layout("dev").nodes(count)


def test_a_wait_ends_with_an_explanation() -> None:
    answers = iter([False, False, True])
    wait_for("it", lambda: next(answers), 5)
    with pytest.raises(ClusterError, match=r"waited 0 s in vain for rain. It is July"):
        wait_for("rain", lambda: False, 0, explain=lambda: "It is July")


def test_a_failing_program_is_quoted() -> None:
    assert run(["echo", "fine"]) == "fine\n"
    with pytest.raises(ClusterError, match=r"exit 3:\n    oh no"):
        run(["sh", "-c", "echo oh no >&2; exit 3"])
    with pytest.raises(ClusterError, match="not installed"):
        run(["no-such-program"])
    with pytest.raises(ClusterError, match=r"did not end within 0\.1 s"):
        run(["sleep", "5"], timeout=0.1)
