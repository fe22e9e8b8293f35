"""The machine's own settings come back when the last cluster goes."""

from pathlib import Path

import pytest

from tests.cluster import tunables


@pytest.fixture
def panic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One of the settings, on a machine that is a folder."""
    monkeypatch.setenv("BROKER_OPERATOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tunables, "_ROOT", tmp_path / "sys")
    for name in tunables._SETTINGS:
        file = tmp_path / "sys" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("0\n")
    return tmp_path / "sys" / "kernel" / "panic"


def test_the_last_cluster_puts_back_what_the_first_one_found(panic: Path, tmp_path: Path) -> None:
    clusters = tmp_path / "cache" / "clusters"
    tunables.save()
    panic.write_text("10")  # as a kubelet does
    tunables.save()
    (clusters / "other").mkdir()
    tunables.restore()
    assert panic.read_text() == "10"
    (clusters / "other").rmdir()
    tunables.restore()
    assert panic.read_text() == "0"
    tunables.restore()  # nothing is noted any more
    tunables.save()
    assert panic.read_text() == "0"
