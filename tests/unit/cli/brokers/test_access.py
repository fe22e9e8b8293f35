"""Where the plugin looks for a Kubernetes, which cluster it takes, and what it says if it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from broker_operator.cli.brokers import access
from broker_operator.cli.brokers.access import Where, live
from broker_operator.ports import RejectedError, TransientError
from tests.unit.cli.brokers.worlds import NAMESPACE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.kube import Call
    from tests.unit.cli.brokers.worlds import World


def kubeconfig(path: Path) -> str:
    """Write a kubeconfig of two contexts, one of which names a namespace."""

    def context(name: str, **more: str) -> dict[str, Any]:
        return {"name": name, "context": {"cluster": "c", "user": "u", **more}}

    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "plain",
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {"token": "x"}}],
                "contexts": [context("plain"), context("kafka", namespace="kafka")],
            }
        )
    )
    return str(path)


@pytest.mark.parametrize(
    ("where", "namespace"),
    [
        (Where(), "default"),
        (Where(namespace="mine"), "mine"),
        (Where(context="kafka"), "kafka"),
        (Where(context="kafka", namespace="mine"), "mine"),
    ],
)
async def test_the_namespace_is_that_of_the_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Where, namespace: str
) -> None:
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path / "config"))
    async with live(where) as session:
        assert session.namespace == namespace


async def test_in_a_pod_it_is_the_pods_own_account_unless_a_kubeconfig_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBECONFIG", "")
    place = tmp_path / "namespace"
    place.write_text("ours")
    monkeypatch.setattr(access, "_POD_NAMESPACE", place)
    assert access._default_namespace(None, None) == "ours"
    async with live(Where(kubeconfig=kubeconfig(tmp_path / "config"))) as session:
        assert session.namespace == "default"


@pytest.mark.parametrize("content", [None, "", "- a\n", "{", "contexts: 7\n"])
async def test_what_is_no_kubeconfig_is_said(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RejectedError, match=r"kubeconfig|credentials"):
        async with live(Where(kubeconfig=str(path))):
            pass


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--context", "nowhere"), "nowhere"),
        (("--kubeconfig", "/no/such/file"), "(kubeconfig: /no/such/file)"),
        ((), "no answer to GET Reassignment default: "),
    ],
)
def test_a_kubernetes_that_is_not_to_be_had_is_said_in_one_line(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    program = "from broker_operator.cli.brokers.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "status", *options],
        env={"KUBECONFIG": kubeconfig(tmp_path / "config"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_options_may_stand_before_and_after_the_command(world: World) -> None:
    world.cluster()
    world.says("-n", NAMESPACE, "--context", "one", "status", "--context", "two")
    world.says("status", "demo", "--namespace", NAMESPACE, "--kubeconfig", "file")
    assert world.asked == [Where(None, "two", NAMESPACE), Where("file", None, NAMESPACE)]


@pytest.mark.parametrize("name", ["demo", "bc/demo", "brokercluster.broker-operator.dev/demo"])
def test_a_cluster_is_named_as_kubectl_names_it(world: World, name: str) -> None:
    world.cluster()
    world.cluster("other")
    assert world.says("status", name).startswith("demo (namespace team): 3 of 3 brokers ready")


@pytest.mark.parametrize("name", ["ra/demo-1", "reassignment.broker-operator.dev/demo-1"])
def test_a_reassignment_leads_to_its_cluster(world: World, name: str) -> None:
    world.cluster()
    world.cluster("other")
    world.reassignment(state="Succeeded", why="6 moves are done")
    shown = world.says("status", name)
    assert shown.startswith("demo (namespace team)")
    assert shown.count("demo-1 (ScaleUp) Succeeded: 6 moves are done") == 1


def test_without_a_name_it_is_the_only_one(world: World) -> None:
    assert "no BrokerCluster in namespace team" in world.fails(2, "status")
    world.cluster()
    assert world.says("status").startswith("demo ")
    world.cluster("other")
    assert "has 2 BrokerClusters, name one: demo, other" in world.fails(2, "status")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", "no BrokerCluster nothing in namespace team"),
        ("demo-1", "no BrokerCluster demo-1 in namespace team; Reassignment demo-1 is named ra/"),
        ("ra/nothing", "no Reassignment nothing in namespace team"),
        ("ra/orphan", "Reassignment orphan is for BrokerCluster gone, which does not exist"),
        ("pod/demo", "'pod/demo' names nothing: write CLUSTER, bc/CLUSTER or ra/REASSIGNMENT"),
        ("bc/", "names nothing"),
        ("Demo", "names nothing"),
        ("../secrets", "names nothing"),
    ],
)
def test_a_name_that_leads_nowhere(world: World, name: str, words: str) -> None:
    world.cluster()
    world.reassignment()
    world.reassignment("orphan", spec={"cluster": "gone"})
    for command in ("status", "plan", "approve", "pause", "resume", "undo", "explain", "watch"):
        assert words in world.fails(2, command, name)
    assert not world.api.changes


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TransientError("no answer to GET it"), "no answer to GET it"),
        (RejectedError("forbidden (HTTP 403)"), "forbidden (HTTP 403)"),
        (
            TransientError("cannot list BrokerCluster team: not found (HTTP 404)"),
            "is broker-operator installed in this Kubernetes?",
        ),
    ],
)
def test_what_the_server_says_is_passed_on(world: World, error: Exception, words: str) -> None:
    def fail(_call: Call) -> None:
        raise error

    world.api.before = fail
    for command in ("status", "plan", "approve", "pause", "resume", "undo", "explain", "watch"):
        assert words in world.fails(2, command)


def test_those_of_a_former_cluster_of_the_name_are_not_this_ones(world: World) -> None:
    world.cluster()
    body = world.waiting()
    body["metadata"]["ownerReferences"][0]["uid"] = "former"
    world.api.put(body)
    assert "Nothing moves, nothing waits." in world.says("status")


def test_help_names_every_command(world: World) -> None:
    shown = world.says("--help")
    assert shown.startswith("Usage: kubectl brokers ")
    for command in ("status", "plan", "approve", "pause", "resume", "undo", "explain", "watch"):
        assert f"\n  {command} " in shown
        assert world.run(command, "--help").exit_code == 0
