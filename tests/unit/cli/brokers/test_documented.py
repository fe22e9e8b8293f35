"""`docs/reference/kubectl-brokers.md` shows what is printed, and names every command and option."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from broker_operator.cli.brokers.main import COMMANDS, brokers
from tests.unit.cli.brokers.worlds import condition, conditions, row
from tests.unit.cli.test_documented import examples

if TYPE_CHECKING:
    from tests.unit.cli.brokers.worlds import World

DOCUMENT = Path(__file__).parents[4] / "docs" / "reference" / "kubectl-brokers.md"
GIB = 1024**3


def grown(world: World) -> None:
    """Have the cluster that was scaled from three brokers to the six of its plan."""
    rows = [
        row(b, rack=rack, pod=f"demo-broker-{rack}-{b}", replicas=held, leaders=led, bytes=size)
        for b, (rack, held, led, size) in enumerate(
            [("a", 4, 2, 4 * GIB), ("b", 4, 1, 4 * GIB), ("c", 4, 1, 4 * GIB)]
            + [(rack, 0, 0, 0) for rack in "abc"]
        )
    ]
    led = condition("Available", "True", "AllPartitionsLed", "all 4 partitions have a leader")
    world.cluster(brokers=rows, replicas=6, readyReplicas=6, conditions=conditions(led))
    world.waiting()


def test_the_examples_print_what_they_show(world: World) -> None:
    """Run them one after the other, on a cluster whose plan moves once it is approved."""
    grown(world)
    wrong: list[str] = []
    for command, shown in examples(DOCUMENT.read_text(encoding="utf-8")):
        program, plugin, *arguments = shlex.split(command)
        assert (program, plugin) == ("kubectl", "brokers")
        printed = "\n".join(s.rstrip() for s in world.says(*arguments).splitlines()).strip()
        if printed != shown:
            wrong.append(f"$ {command}\n{printed}")
        if arguments[0] == "approve":
            world.moving()
            world.reassignment("empty-2", "Queued", requested=True, spec={"evacuate": [2]})
    assert not wrong, "\n".join(wrong)
    assert world.api.changes, "what people decide is shown, too"


def test_every_command_and_option_is_documented() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for command in (brokers, *COMMANDS):
        if command is not brokers:
            assert f"| `{command.name}" in text, command.name
        for parameter in command.params:
            if isinstance(parameter, click.Option) and parameter.name != "version":
                assert f"`{parameter.opts[0]}" in text, (command.name, parameter.opts)
