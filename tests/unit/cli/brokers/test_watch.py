"""`watch` looks until there is nothing more to wait for, and says how it ended."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from broker_operator.ports import RejectedError, TransientError
from tests.unit.cli.brokers.worlds import NAMESPACE, condition, conditions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fakes.kube import Call
    from tests.unit.cli.brokers.worlds import World

QUICK = ("--interval", "0.001")
STARTED = {"startedAt": "2026-01-01T00:00:00Z"}
MOVING = "demo-1 (ScaleUp) Moving: 33 %, 2 of 6 moves, 2.0 GiB of 6.0 GiB, 50.0 MiB/s, 1m22s left"


def then(world: World, *acts: Callable[[], object]) -> None:
    """Let something happen before each look after the first."""
    waiting = list(acts)
    looks = 0

    def look(call: Call) -> None:
        nonlocal looks
        if (call.verb, call.kind) == ("list", "Reassignment"):
            looks += 1
            if looks > 1 and waiting:
                waiting.pop(0)()

    world.api.before = look


def away() -> None:
    raise TransientError("no answer to GET it")


def test_a_cluster_at_rest_is_done_at_once(world: World) -> None:
    world.cluster()
    shown = world.says("watch").splitlines()
    assert shown[-1] == "demo: nothing moves, nothing waits."


def test_each_change_is_a_line_until_all_is_done(world: World) -> None:
    world.cluster()
    world.moving()
    then(
        world,
        lambda: None,
        away,
        lambda: world.reassignment(state="Succeeded", why="6 moves are done", **STARTED),
    )
    assert world.says("watch", "demo", *QUICK).splitlines() == [
        MOVING,
        "trying again: no answer to GET it",
        "demo (namespace team): 3 of 3 brokers ready, all 60 partitions have a leader",
        "demo: nothing moves, nothing waits.",
    ]
    assert len(world.asked) == 2, "over a new connection"


@pytest.mark.parametrize(
    ("state", "code"), [("Succeeded", 0), ("Undone", 1), ("Refused", 1), ("Superseded", 1)]
)
def test_a_reassignment_is_watched_to_its_end(world: World, state: str, code: int) -> None:
    world.cluster(observedGeneration=0)
    world.moving()
    then(world, lambda: world.reassignment(state=state, why="so it is", **STARTED))
    result = world.run("watch", "ra/demo-1", *QUICK)
    assert result.exit_code == code
    last = (result.stderr if code else result.stdout).splitlines()[-1]
    assert last == f"demo-1 has ended as {state}: so it is."


@pytest.mark.parametrize(
    "unsettled",
    [
        {"observedGeneration": 0},
        {"conditions": conditions(condition("Stalled", "True", "NotEnoughDisk", "full"))},
        {"conditions": conditions(condition("Reconciling", "True", "BrokersNotReady", "soon"))},
        {"reassignment": {"name": "demo-1"}},
    ],
)
def test_what_is_not_settled_is_waited_for(world: World, unsettled: dict[str, Any]) -> None:
    world.cluster(**unsettled)
    result = world.run("watch", "--timeout", "0.05", *QUICK)
    assert result.exit_code == 1
    assert result.stderr == "The timeout is over, and not all is done.\n"


def test_an_undo_that_the_operator_has_not_seen_is_waited_for(world: World) -> None:
    world.cluster()
    world.reassignment(state="Succeeded", spec={"undo": True}, **STARTED)
    then(world, lambda: world.reassignment(state="Undone", why="back", **STARTED))
    assert "nothing waits" in world.says("watch", *QUICK)
    assert len(world.api.calls) >= 4


def test_what_an_undo_leaves_is_settled(world: World) -> None:
    undone = condition("Reconciling", "True", "Undone", "demo-1 was undone, so nothing moves")
    world.cluster(conditions=conditions(undone))
    assert "Undone: demo-1 was undone, so nothing moves" in world.says("watch")


@pytest.mark.parametrize(("kind", "name"), [("Reassignment", "demo-1"), ("BrokerCluster", "demo")])
def test_what_is_deleted_meanwhile_is_gone(world: World, kind: str, name: str) -> None:
    world.cluster()
    world.moving()
    then(world, lambda: world.api.remove(kind, NAMESPACE, name))
    result = world.run("watch", "ra/demo-1", *QUICK)
    assert result.exit_code == 1
    assert result.stderr.startswith("Gone: ")


def test_a_server_that_stays_away_costs_the_timeout(world: World) -> None:
    world.cluster()
    world.moving()
    then(world, *[away] * 1000)
    result = world.run("watch", "--timeout", "0.1", *QUICK)
    assert result.exit_code == 1
    assert "the API server does not answer" in result.stderr


def test_a_refusal_ends_it(world: World) -> None:
    def forbid() -> None:
        raise RejectedError("forbidden (HTTP 403)")

    world.cluster()
    world.moving()
    then(world, forbid)
    result = world.run("watch", *QUICK)
    assert result.exit_code == 2
    assert result.stderr == "Error: forbidden (HTTP 403)\n"


def test_ctrl_c(world: World) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    world.cluster()
    world.moving()
    then(world, interrupt)
    result = world.run("watch", *QUICK)
    assert result.exit_code == 130
    assert result.stderr == "Interrupted.\n"


@pytest.mark.parametrize("option", ["--timeout", "--interval"])
@pytest.mark.parametrize("value", ["0", "-1", "soon", "1d", ""])
def test_a_time_that_is_none(world: World, option: str, value: str) -> None:
    world.cluster()
    said = world.fails(2, "watch", option, value)
    assert f"{value!r} is no time above 0 such as 90s, 10m or 1h" in said


def test_a_terminal_is_drawn_anew() -> None:
    program = (
        "from tests.unit.cli.brokers.worlds import *\n"
        "from tests.unit.cli.brokers.test_watch import *\n"
        "from broker_operator.cli.brokers.main import brokers\n"
        "world = World(); world.cluster(); world.moving()\n"
        "end = lambda: world.reassignment(state='Succeeded', why='6 moves are done')\n"
        "then(world, away, end)\n"
        "brokers(['watch', 'ra/demo-1', *QUICK], obj=world._connect)\n"
    )
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdout=theirs, env=environment) as process:
        os.close(theirs)
        drawn = b"".join(_read(ours)).decode()
    os.close(ours)
    assert process.returncode == 0
    assert "██████░░░░░░░░░░░░░░" in drawn
    assert "trying again: no answer to GET it" in drawn
    assert "\x1b[1A" in drawn, "it goes up to draw over what was there"
    assert "demo-1 has ended as Succeeded: 6 moves are done." in drawn


def _read(terminal: int) -> Iterator[bytes]:
    """Yield what comes until the other side is closed, which Linux calls an I/O error."""
    with suppress(OSError):
        while data := os.read(terminal, 4096):
            yield data
