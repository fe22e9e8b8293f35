from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_operator.core.model import (
    BrokerLogs,
    KafkaView,
    PartitionState,
    TopicPartition,
    Unknown,
)
from broker_operator.core.planner import remaining
from broker_operator.core.progress import Progress, measure, rate
from tests.unit.core.samples import ensemble, reassignment

counts = st.integers(0, 10**6)


@st.composite
def progresses(draw: st.DrawFn) -> Progress:
    moves, size = draw(counts), draw(counts)
    return Progress(
        moves=moves,
        moves_done=draw(st.integers(0, moves)),
        bytes=size,
        bytes_done=draw(st.integers(0, size)),
        bytes_per_second=draw(st.none() | counts),
        slowest=(),
    )


@given(progresses())
def test_a_hundred_percent_means_that_every_move_is_done(progress: Progress) -> None:
    assert 0 <= progress.percent <= 100
    assert (progress.percent == 100) is (progress.moves_done == progress.moves)


@given(progresses())
def test_an_eta_needs_a_rate_and_something_to_do(progress: Progress) -> None:
    told = bool(progress.bytes_per_second) and progress.percent < 100
    assert bool(progress.eta) is told
    assert ("eta" in progress.as_status()) is told


@pytest.mark.parametrize(
    ("moves", "done", "size", "arrived", "percent"),
    [(4, 1, 0, 0, 25), (4, 1, 1000, 620, 62), (4, 3, 1000, 1000, 99), (0, 0, 0, 0, 100)],
)
def test_bytes_tell_more_than_moves(
    moves: int, done: int, size: int, arrived: int, percent: int
) -> None:
    assert Progress(moves, done, size, arrived, None, ()).percent == percent


def test_the_status_names_what_there_is_to_name() -> None:
    progress = Progress(4, 1, 1000, 500, 100, ((TopicPartition("t", 3), "slow"),))
    assert progress.as_status() == {
        "movesDone": 1,
        "bytesDone": 500,
        "percent": 50,
        "bytesPerSecond": 100,
        "eta": "5s",
        "slowest": [{"topic": "t", "partition": 3, "reason": "slow"}],
    }
    bare = replace(progress, bytes_per_second=None, slowest=())
    assert bare.as_status() == {"movesDone": 1, "bytesDone": 500, "percent": 50}


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        ([], None),
        ([(0.0, 0)], None),
        ([(0.0, 0), (2.9, 100)], None),
        ([(0.0, 0), (3.0, 300)], 100),
        ([(0.0, 0), (5.0, 900), (10.0, 1000)], 100),
        ([(0.0, 500), (10.0, 400)], None),
        ([(0.0, 500), (10.0, 500)], 0),
    ],
)
def test_the_rate_is_the_mean_of_its_samples(
    samples: list[tuple[float, int]], told: int | None
) -> None:
    assert rate(samples) == told


TARGET = {"t": dict.fromkeys(range(6), (0, 3))}
SIZES = {"t": dict.fromkeys(range(6), 1000)}
AT_ORIGIN, AT_TARGET = PartitionState((0, 1)), PartitionState((0, 3))
FLYING = PartitionState((0, 3, 1), adding=(3,), removing=(1,))


def measured(*states: PartitionState, on_3: dict[int, int] | None, live: bool = True) -> Progress:
    world = ensemble(*((0, 1, 3) if live else (0, 1)), topics={"t": dict(enumerate(states))})
    logs = {3: Unknown("silent") if on_3 is None else BrokerLogs({"t": on_3})}
    plan = {"moves": 6, "bytes": 6000}
    return measure(
        reassignment(plan=plan),
        TARGET,
        world,
        KafkaView(leadership={}, logs=logs),
        left=remaining(world.topics, TARGET, SIZES),
        sizes=SIZES,
    )


def test_what_is_on_its_way_counts_as_far_as_it_has_come() -> None:
    progress = measured(AT_TARGET, FLYING, *[AT_ORIGIN] * 4, on_3={1: 250})
    assert (progress.moves_done, progress.bytes_done) == (1, 1250)
    assert progress.slowest == ((TopicPartition("t", 1), "25% has arrived at broker 3"),)


def test_no_replica_counts_for_more_than_its_size() -> None:
    assert measured(FLYING, *[AT_ORIGIN] * 5, on_3={0: 99_999}).bytes_done == 1000


def test_the_three_slowest_are_named() -> None:
    progress = measured(*[FLYING] * 6, on_3={0: 900, 1: 100, 2: 300, 3: 0, 4: 800, 5: 700})
    assert [tp.partition for tp, _ in progress.slowest] == [3, 1, 2]


def test_who_does_not_answer_has_nothing_yet() -> None:
    assert measured(FLYING, *[AT_ORIGIN] * 5, on_3=None).bytes_done == 0
    world = ensemble(0, 1, 3, topics={"t": {0: FLYING}})
    left = remaining(world.topics, TARGET, SIZES)
    blind = measure(
        reassignment(plan={"moves": 1}), TARGET, world, Unknown("down"), left=left, sizes={}
    )
    assert (blind.bytes_done, blind.moves_done, blind.percent) == (0, 0, 0)


def test_a_target_that_is_not_registered_is_the_reason() -> None:
    progress = measured(FLYING, *[AT_ORIGIN] * 5, on_3=None, live=False)
    assert progress.slowest == ((TopicPartition("t", 0), "broker 3 is not registered"),)


def test_more_left_than_planned_is_no_negative_progress() -> None:
    world = ensemble(0, 1, 3, topics={"t": dict.fromkeys(range(6), AT_ORIGIN)})
    grown = measure(
        reassignment(plan={"moves": 2, "bytes": 10}),
        TARGET,
        world,
        Unknown("down"),
        left=remaining(world.topics, TARGET, SIZES),
        sizes=SIZES,
    )
    assert (grown.moves_done, grown.bytes_done) == (0, 0)
