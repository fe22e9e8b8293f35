"""`broker-operator plan`: the fewest moves to a balanced cluster, with nothing installed."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click

from broker_operator.cli import inputs
from broker_operator.cli.cluster import Cluster
from broker_operator.cli.errors import REFUSED, printable
from broker_operator.cli.output.files import PlanFolder, as_text, half_way
from broker_operator.cli.output.progress import progress, without_garbage_collection
from broker_operator.cli.output.screen import showing
from broker_operator.cli.output.tables import show
from broker_operator.cli.parameters import (
    Interruptible,
    broker_ids,
    byte_count,
    check_source,
    factors,
    format_option,
    live_options,
)
from broker_operator.core.planner import PlanRefusedError, PlanRequest, make_batches, make_plan
from broker_operator.core.planner.report import make_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from broker_operator.core.model import BrokerId
    from broker_operator.core.planner import Plan
    from broker_operator.core.planner.report import Report

_STEPS = ("reading", "planning", "splitting into batches", "counting", "writing")
_DEFAULT_MOVES = 5


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the options ask for, checked by themselves."""

    assignment: str | None = None
    brokers: str | None = None
    zookeeper: str | None = None
    bootstrap: str | None = None
    sizes: str | None = None
    weights: str | None = None
    remove: frozenset[BrokerId] = frozenset()
    exclude: frozenset[BrokerId] = frozenset()
    replication_factor: Mapping[str, int] = field(default_factory=dict)
    pin: tuple[str, ...] = ()
    throttle: int | None = None
    max_moves_per_broker: int = _DEFAULT_MOVES
    max_bytes_per_broker: int | None = None
    out: str | None = None

    def __post_init__(self) -> None:
        """Check what one option alone cannot know.

        Raises:
            click.UsageError: Options contradict each other, or one lacks another.
        """
        if self.out is not None and not self.out.strip():
            raise click.UsageError("--out needs the name of a folder")
        check_source(self.assignment, self.zookeeper, self.bootstrap)
        if (self.brokers is None) != (self.assignment is None):
            lacking = "--brokers" if self.brokers is None else "--assignment"
            given = "--assignment" if self.brokers is None else "--brokers"
            raise click.UsageError(f"{given} goes with {lacking}, and neither with a live cluster")
        if self._given.count(inputs.STDIN) > 1:
            raise click.UsageError("only one of the files can be standard input")
        if both := sorted(self.remove & self.exclude):
            raise click.UsageError(f"broker {both[0]} is both removed and excluded")
        if pinned := sorted(set(self.pin).intersection(self.replication_factor)):
            raise click.UsageError(
                f"topic {pinned[0]} is pinned and is to get another replication factor"
            )

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files to be read, standard input left out."""
        return tuple(file for file in self._given if file is not None and file != inputs.STDIN)

    @property
    def _given(self) -> tuple[str | None, ...]:
        return (self.assignment, self.brokers, self.sizes, self.weights)


@click.command(cls=Interruptible)
@click.option("--assignment", metavar="A.json", help="Kafka's reassignment JSON; - for stdin.")
@click.option("--brokers", metavar="B.json", help='[{"id": 1, "rack": "a", "live": true}, ...]')
@live_options
@click.option("--sizes", metavar="S.json", help='Bytes: {"topic": {"0": 1048576}}')
@click.option("--weights", metavar="W.json", help='Capacities, 1 where not given: {"1": 2.0}')
@click.option("--remove", metavar="IDS", callback=broker_ids, help="Brokers to be emptied: 3,4")
@click.option(
    "--exclude", metavar="IDS", callback=broker_ids, help="Brokers that receive nothing: 5"
)
@click.option(
    "--replication-factor",
    metavar="TOPIC=N",
    callback=factors,
    multiple=True,
    help="New factor of a topic; repeatable.",
)
@click.option("--pin", metavar="TOPIC", multiple=True, help="Never move this topic; repeatable.")
@click.option(
    "--throttle",
    metavar="BYTES",
    callback=byte_count,
    help="Bytes per second and broker: 50Mi. 0 = none.",
)
@click.option(
    "--max-moves-per-broker",
    type=click.IntRange(min=1),
    default=_DEFAULT_MOVES,
    show_default=True,
    help="Most replicas in flight into or out of one broker, for each batch.",
)
@click.option(
    "--max-bytes-per-broker",
    metavar="BYTES",
    callback=byte_count,
    help="Most bytes that one broker sends or receives in a batch: 100Gi. 0 = no limit.",
)
@click.option("--out", metavar="DIR", help="Folder for plan.json, undo.json, batches, report.json.")
@format_option("report.json")
def plan(form: str, **options: Any) -> None:
    """Plan the fewest replica moves that balance a cluster. Changes nothing.

    Exit code 0: there is a plan, perhaps an empty one. 2: wrong usage or unusable input. 3: no plan
    can end well, so it is refused.
    """
    wishes = Wishes(**options)
    try:
        with without_garbage_collection(), progress(_STEPS) as step:
            report, document, notes = _work(wishes, step)
    except PlanRefusedError as refused:
        click.echo(f"Refused: {printable(refused.message)} ({refused.reason})", err=True)
        with showing():
            if form == "json":
                click.echo(as_text(_refusal(refused)), nl=False)
        sys.exit(REFUSED)
    with showing():
        if form == "json":
            click.echo(as_text(document), nl=False)
        else:
            show(report, notes)
    if form == "json":
        for note in notes:
            click.echo(f"note: {printable(note)}", err=True)


def make_request(cluster: Cluster, wishes: Wishes) -> PlanRequest:
    """Ask for what is wished for: every live broker that is not removed is a target.

    Raises:
        PlanRefusedError: A broker to be removed does not exist.
    """
    known = {broker.id for broker in cluster.brokers}
    if unknown := sorted(wishes.remove - known):
        named = ", ".join(map(str, unknown))
        raise PlanRefusedError(
            "UnknownBroker",
            f"cannot remove broker {named}: there is none among the {len(known)} known",
        )
    live = frozenset(broker.id for broker in cluster.brokers if broker.live)
    if not live - wishes.remove:
        why = f"all {len(live)} live brokers are removed" if live else "no broker lives"
        raise PlanRefusedError(
            "NoTargetBrokers",
            f"{why} of the {len(known)} known, so no broker would remain to hold the replicas; "
            "keep at least one",
        )
    return PlanRequest(
        assignment=cluster.assignment,
        brokers=cluster.brokers,
        targets=live - wishes.remove,
        sizes=cluster.sizes,
        excluded=wishes.exclude,
        pinned=frozenset(wishes.pin),
        factors=wishes.replication_factor,
        held=cluster.held,
    )


def _work(
    wishes: Wishes, step: Callable[[], None]
) -> tuple[Report, dict[str, Any], tuple[str, ...]]:
    """Return the report, what is written of it, and notes."""
    step()
    cluster = _read(wishes)
    folder = PlanFolder(wishes.out, wishes.files) if wishes.out is not None else None
    try:
        return _plan(cluster, wishes, folder, step)
    except PlanRefusedError as refused:
        if folder and (kept := folder.refuse(_refusal(refused))):
            click.echo(f"The earlier plan is now in {printable(str(kept))}", err=True)
        raise


def _plan(
    cluster: Cluster, wishes: Wishes, folder: PlanFolder | None, step: Callable[[], None]
) -> tuple[Report, dict[str, Any], tuple[str, ...]]:
    """Make the plan and write it."""
    step()
    begin = time.perf_counter()
    request = make_request(cluster, wishes)
    found = make_plan(request)
    step()
    batches = make_batches(
        found.origin,
        found.target,
        sizes=request.sizes,
        max_moves_per_broker=wishes.max_moves_per_broker,
        max_bytes_per_broker=wishes.max_bytes_per_broker or None,
        live=[broker.id for broker in request.brokers if broker.live],
        held=request.held,
    )
    seconds = time.perf_counter() - begin
    step()
    report = make_report(request, found, batches, wishes.throttle, wishes.remove)
    document = {
        **report.to_dict(),
        "half_way": half_way(request.held, found, request.pinned),
        "seconds": round(seconds, 3),
    }
    step()
    if folder:
        folder.write(found, batches, document)
    return report, document, (*cluster.notes, *_notes(request, found, wishes))


def _notes(request: PlanRequest, plan: Plan, wishes: Wishes) -> Iterator[str]:
    """Yield what the numbers do not say."""
    changes = plan.changes
    moving = sum(map(len, request.held.values()))
    changed = sum(
        number in changes.get(topic, {}) for topic, its in request.held.items() for number in its
    )
    if moving and changes:
        yield (
            f"{moving} {'partition is' if moving == 1 else 'partitions are'} half-way through a "
            f"move now, {changed} of which this plan changes; undo.json takes those to where they "
            "were going. kafka-reassign-partitions --execute needs --additional while moves run"
        )
    if wishes.max_bytes_per_broker and not any(request.sizes.values()):
        yield "--max-bytes-per-broker has no effect: no size is known; give them with --sizes"


def _read(wishes: Wishes) -> Cluster:
    if wishes.assignment is not None and wishes.brokers is not None:
        cluster = _read_files(wishes.assignment, wishes.brokers)
    else:
        from broker_operator.cli import live  # noqa: PLC0415 - the clients are of no use for files

        if wishes.zookeeper is not None:
            cluster = live.read_zookeeper(wishes.zookeeper)
        else:
            cluster = live.read_kafka(str(wishes.bootstrap))
    if wishes.sizes is not None:
        cluster = replace(cluster, sizes=inputs.read_sizes(inputs.read(wishes.sizes)))
    if wishes.weights is not None:
        weights = inputs.read_weights(inputs.read(wishes.weights), cluster.brokers)
        brokers = (replace(b, weight=weights.get(b.id, b.weight)) for b in cluster.brokers)
        cluster = replace(cluster, brokers=tuple(brokers))
    return cluster


def _read_files(assignment: str, brokers: str) -> Cluster:
    listed = inputs.read(brokers)
    described = inputs.read_brokers(listed)
    document = inputs.current_of(inputs.read(assignment))
    found = inputs.read_assignment(document)
    inputs.check_listed(document, found, described, listed.name)
    return Cluster(assignment=found, brokers=described)


def _refusal(refused: PlanRefusedError) -> dict[str, Any]:
    return {"refused": refused.message, "reason": refused.reason}
