from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_operator.core.diagnose import largest_sizes
from broker_operator.core.facts import StoredPlan
from broker_operator.core.model import Broker, BrokerLogs, KafkaView, Unknown
from broker_operator.core.planner import (
    Disk,
    Overfull,
    Plan,
    PlanRequest,
    disks,
    make_plan,
    overfull,
    too_full,
    untold,
)

GIB = 1024**3
SIZES = {"t": dict.fromkeys(range(8), 10)}


def scale_up() -> Plan:
    """Five of eight partitions of 10 bytes come to broker 2, and nothing to anybody else."""
    rows = {n: (0, 1) if n % 2 else (1, 0) for n in range(8)}
    every = tuple(Broker(b) for b in range(3))
    plan = make_plan(PlanRequest({"t": rows}, every, frozenset({0, 1, 2})))
    assert plan.moves == 5
    return plan


def drain() -> Plan:
    """Partitions of 10 bytes come to brokers 0, 1 and 2 from broker 3."""
    rows = {n: (0, 3) if n % 2 else (1, 3) for n in range(8)}
    every = tuple(Broker(b) for b in range(4))
    return make_plan(PlanRequest({"t": rows}, every, frozenset({0, 1, 2})))


@pytest.mark.parametrize(
    ("disk", "fills"),
    [
        pytest.param(Disk(35, 100), None, id="85 % exactly is not over"),
        pytest.param(Disk(36, 100), (36, 100, 86, False, 0), id="the volume by its own logs"),
        pytest.param(Disk(0, 100, 95, 66), None, id="a file system of its own, with room"),
        pytest.param(
            Disk(20, 100, 95, 64),
            (31, 95, 86, False, 11),
            id="a file system of its own: others and reserved blocks count",
        ),
        pytest.param(Disk(20, 100, 1_000, 500), None, id="a shared file system with room"),
        pytest.param(
            Disk(40, 100, 1_000, 500),
            (40, 100, 90, False, 0),
            id="more than its part of a shared one",
        ),
        pytest.param(
            Disk(0, 100, 1_000, 199), (801, 1_000, 86, True, 801), id="shared, and others fill it"
        ),
        pytest.param(
            Disk(40, 100, 1_000, 100),
            (900, 1_000, 95, True, 860),
            id="of two, the fuller is told",
        ),
        pytest.param(Disk(36, 100, None, 10), (36, 100, 86, False, 0), id="no total: no opinion"),
        pytest.param(Disk(0, 0), (0, 0, 5_000, False, 0), id="no room at all"),
    ],
)
def test_a_disk_is_filled_up_to_85_percent_and_no_further(
    disk: Disk, fills: tuple[int, int, int, bool, int] | None
) -> None:
    expected = []
    if fills is not None:
        holds, capacity, percent, shared, others = fills
        expected = [Overfull(2, holds, 50, capacity, percent, shared, others)]
    assert overfull(scale_up(), SIZES, {2: disk}) == expected


def test_only_who_gets_something_is_judged_and_only_if_its_disk_is_known() -> None:
    full = Disk(100, 100, 100, 0)
    assert overfull(scale_up(), SIZES, {0: full, 1: full}) == []
    assert overfull(scale_up(), {}, {2: full}) == [], "sizes that are not known do not count"
    assert overfull(scale_up(), {"t": dict.fromkeys(range(8), 0)}, {2: full}) == []


SILENT = Unknown("broker 2 does not answer")
TOLD: dict[int, BrokerLogs | Unknown] = {0: BrokerLogs(SIZES), 1: BrokerLogs(SIZES)}


@pytest.mark.parametrize(
    ("logs", "waits"),
    [
        pytest.param(TOLD | {2: BrokerLogs({})}, "", id="everybody tells"),
        pytest.param(TOLD | {2: SILENT}, "broker 2 does not answer", id="who gets something"),
        pytest.param(TOLD, "", id="who is away is waited for by others, or not at all"),
        pytest.param(
            {0: Unknown("0"), 1: BrokerLogs(SIZES), 2: BrokerLogs({})},
            "",
            id="who gets nothing, and holds what another one tells of",
        ),
        pytest.param(
            {0: Unknown("0"), 1: Unknown("1"), 2: BrokerLogs({})}, "0, 1", id="all that hold it"
        ),
        pytest.param(
            {0: Unknown("0"), 1: BrokerLogs({}), 2: SILENT},
            "0, broker 2 does not answer",
            id="of what one holder has lost, the other tells",
        ),
        pytest.param(
            {0: BrokerLogs({}), 1: BrokerLogs({}), 2: SILENT},
            "",
            id="what no holder has on its disk is empty",
        ),
        pytest.param(
            {0: BrokerLogs({"t": dict.fromkeys(range(8), 0)}), 1: BrokerLogs({}), 2: SILENT},
            "",
            id="what is empty fits anywhere",
        ),
    ],
)
def test_whoever_has_a_part_in_it_and_does_not_tell_is_waited_for(
    logs: dict[int, BrokerLogs | Unknown], waits: str
) -> None:
    view = KafkaView({}, logs)
    assert untold(scale_up(), largest_sizes(view), view) == waits


def test_another_order_of_the_same_brokers_needs_no_room() -> None:
    plan = StoredPlan({"t": {0: (0, 1)}}, {"t": {0: (1, 0)}})
    assert untold(plan, {}, KafkaView({}, {0: SILENT, 1: SILENT})) == ""


def test_the_limit_may_be_another() -> None:
    disk = {2: Disk(40, 100)}
    assert overfull(scale_up(), SIZES, disk, limit=90) == []
    assert [full.percent for full in overfull(scale_up(), SIZES, disk, limit=89)] == [90]


def test_the_way_back_counts_as_the_way_there() -> None:
    """Undoing a scale-up brings to brokers 0 and 1 what it took from them."""
    plan = scale_up()
    undo = replace(plan, origin=plan.target, target=plan.origin)
    found = overfull(undo, SIZES, dict.fromkeys(range(3), Disk(80, 100)))
    assert {full.broker for full in found} == {0, 1}
    assert sum(full.incoming for full in found) == 50


def test_the_fullest_comes_first() -> None:
    held = {0: 90, 1: 99, 2: 80, 3: 100}
    found = overfull(drain(), SIZES, {b: Disk(n, 100) for b, n in held.items()})
    percents = [full.percent for full in found]
    assert percents == sorted(percents, reverse=True)
    assert {full.broker for full in found} == {0, 1, 2}


@given(st.integers(0, 10**13), st.integers(1, 10**13), st.integers(0, 10**12))
def test_whatever_is_refused_would_be_over_the_limit_and_says_so(
    held: int, volume: int, size: int
) -> None:
    sizes = {"t": dict.fromkeys(range(8), size)}
    found = overfull(scale_up(), sizes, {2: Disk(held, volume)})
    over = size > 0 and (held + 5 * size) * 100 > 85 * volume
    assert bool(found) == over
    assert all(full.percent > 85 for full in found)


def test_disks_are_read_from_what_brokers_tell() -> None:
    logs: dict[int, BrokerLogs | Unknown] = {
        0: BrokerLogs({"t": {0: 3, 1: 4}}, usable=80, total=95),
        1: BrokerLogs({}),
        2: Unknown("away"),
    }
    view = KafkaView({}, logs)
    assert disks(view, 100, {}) == {0: Disk(7, 100, 95, 80), 1: Disk(0, 100)}
    assert disks(view, 100, {1: 200})[1] == Disk(0, 200), "enlarged by hand"
    assert disks(view, 100, {1: None})[1] == Disk(0, 100), "not made yet"


def test_the_message_has_the_numbers_and_the_way_out() -> None:
    full = Overfull(2, 40 * GIB, 51 * GIB, 100 * GIB, 91)
    way_out = "the limit is 85 %: add brokers, enlarge the volumes or delete data"
    assert too_full([full]) == (
        "broker 2 would be 91 % full (holds 40.0 GiB, receives 51.0 GiB, of 100.0 GiB); " + way_out
    )
    assert too_full([full._replace(others=30 * GIB)]) == (
        "broker 2 would be 91 % full (holds 40.0 GiB, 30.0 GiB of that not its own logs, receives "
        "51.0 GiB, of 100.0 GiB); " + way_out
    )
    assert too_full([full._replace(shared=True), full._replace(broker=0, percent=90)]) == (
        "the file system under broker 2 would be 91 % full (holds 40.0 GiB, receives 51.0 GiB, of "
        "100.0 GiB); so would broker 0 (90 %); " + way_out
    )
    assert "so would broker 1 (91 %), 2 (91 %), 3 (91 %) and 2 more;" in too_full(
        [full, *(full._replace(broker=b) for b in range(1, 6))]
    )
