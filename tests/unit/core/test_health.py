"""What two looks at the brokers' metrics show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker_operator.core.health import Look, Reading, compare, lost_replicas
from broker_operator.core.model import (
    Ensemble,
    KafkaView,
    Leadership,
    PartitionState,
    RegisteredBroker,
    TopicPartition,
    Unknown,
)

FIRST = Reading(
    produce_p99=0.004,
    produce_mean=0.002,
    produce_count=1000,
    handlers_idle=0.5,
    handlers_idle_seconds=100.0,
    isr_shrinks=7,
    moved_in=1000,
    moved_out=5000,
)
SECOND = Reading(
    produce_p99=0.009,
    produce_mean=0.003,
    produce_count=2000,
    handlers_idle=0.6,
    handlers_idle_seconds=104.5,
    isr_shrinks=7,
    moved_in=3000,
    moved_out=6000,
)
LOST = frozenset({(TopicPartition("t", 0), 2)})


def test_sums_and_counters_tell_what_happened_in_between() -> None:
    found = compare(Look(10.0, {0: FIRST}), Look(15.0, {0: SECOND}))
    assert found.seconds == 15.0
    assert found.p99 == 0.009
    assert found.mean == pytest.approx((0.003 * 2000 - 0.002 * 1000) / 1000)
    assert found.handlers_idle == pytest.approx(0.9), "of these five seconds, not of a minute"
    assert found.shrinks == 0
    assert found.used == pytest.approx(400)
    assert found.unknown == ""


def test_the_worst_broker_counts_and_the_mean_is_that_of_all() -> None:
    slow = replace(SECOND, produce_p99=0.02, handlers_idle_seconds=101.0, isr_shrinks=9)
    quick = replace(SECOND, moved_out=15000, produce_mean=0.002)
    found = compare(Look(0.0, {0: FIRST, 1: FIRST}), Look(5.0, {0: slow, 1: quick}))
    assert found.p99 == 0.02
    assert found.handlers_idle == pytest.approx(0.2)
    assert found.shrinks == 2
    assert found.used == pytest.approx(2000)
    assert found.mean == pytest.approx(0.003)


def test_what_kafka_counts_is_added_up_for_each_broker_and_side() -> None:
    kept = {("to", 0): 100.0, ("from", 0): 1000.0, ("from", 1): 1500.0, ("to", 9): 9000.0}
    looks = Look(10.0, {0: FIRST, 1: FIRST}), Look(15.0, {0: SECOND, 1: SECOND})
    found = compare(*looks, kept)
    assert found.used == pytest.approx(400), "what moves take, of the busiest"
    assert found.counted == pytest.approx(200 + 1500), "of what broker 1 sends"
    assert compare(*looks).counted == found.used


def test_who_has_hardly_any_producer_says_nothing_of_latency() -> None:
    found = compare(
        Look(0.0, {0: FIRST}), Look(5.0, {0: replace(SECOND, produce_count=1019, produce_p99=9.0)})
    )
    assert found.p99 is None
    assert found.mean is None


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({0: FIRST}, {0: Unknown("h:9404: refused")}, "broker 0 (h:9404: refused)"),
        ({0: Unknown("x")}, {0: SECOND}, "broker 0 (told only once yet)"),
        ({}, {0: SECOND}, "broker 0 (told only once yet)"),
        (
            {0: FIRST},
            {0: replace(SECOND, handlers_idle_seconds=1.0)},
            "broker 0 (told only once yet)",
        ),
    ],
    ids=["silent", "was silent", "new", "restarted"],
)
def test_a_broker_of_which_there_are_no_two_readings_is_named(
    before: dict[int, Reading | Unknown], now: dict[int, Reading | Unknown], said: str
) -> None:
    found = compare(Look(0.0, before, LOST), Look(5.0, now, LOST))
    assert found.unknown == said
    assert (found.p99, found.mean, found.handlers_idle, found.used) == (None, None, None, None)
    assert found.lost == LOST, "that is not told by metrics"


def test_an_older_image_without_the_new_metrics_is_good_for_something() -> None:
    old = {"produce_mean": None, "handlers_idle_seconds": None, "moved_in": None}
    found = compare(
        Look(0.0, {0: replace(FIRST, **old, moved_out=None)}),
        Look(5.0, {0: replace(SECOND, **old, moved_out=None)}),
    )
    assert found.p99 == 0.009
    assert found.mean is None
    assert found.handlers_idle == 0.6, "of the last minute"
    assert found.used is None


def test_the_idle_share_is_never_above_one() -> None:
    now = replace(SECOND, handlers_idle_seconds=106.0)
    assert compare(Look(0.0, {0: FIRST}), Look(5.0, {0: now})).handlers_idle == 1.0


def test_a_replica_counts_as_lost_once_it_is_out_of_sync_in_both_looks() -> None:
    other = frozenset({(TopicPartition("t", 1), 2)})
    stays = compare(Look(0.0, {}, LOST | other), Look(5.0, {}, LOST))
    assert (stays.lost, stays.doubtful) == (LOST, frozenset())
    comes = compare(Look(0.0, {}, other), Look(5.0, {}, LOST | other))
    assert (comes.lost, comes.doubtful) == (other, LOST)


def test_lost_is_what_should_be_in_sync_on_a_live_broker() -> None:
    states = {
        0: PartitionState((0, 1, 2)),
        1: PartitionState((3, 0, 1), adding=(3,), removing=(0,)),
        2: PartitionState((0, 9)),
        3: PartitionState((1, 2)),
        4: PartitionState((0, 1)),
    }
    seen = {
        0: Leadership(0, frozenset({0, 1})),
        1: Leadership(0, frozenset({0})),
        2: Leadership(0, frozenset({0})),
        3: Leadership(None, frozenset({1})),
    }
    ensemble = Ensemble(
        cluster_id="c",
        brokers={b: RegisteredBroker(b, None, ()) for b in range(4)},
        controller=0,
        migrating=False,
        topics={"t": states},
        requested=None,
    )
    found = lost_replicas(ensemble, KafkaView({"t": seen}, {}))
    assert found == {(TopicPartition("t", 0), 2), (TopicPartition("t", 1), 1)}


def test_moves_that_began_or_ended_between_two_looks_are_told() -> None:
    first, second = (frozenset({TopicPartition("orders", n)}) for n in (1, 2))
    before = Look(0.0, {}, flying=first)
    assert compare(before, Look(5.0, {}, flying=second)).turned
    assert not compare(before, Look(5.0, {}, flying=first)).turned
