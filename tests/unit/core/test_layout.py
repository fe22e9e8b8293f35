from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker_operator.core.layout import Slot, lay_out
from broker_operator.core.model import BrokerSet
from tests.unit.core.samples import cluster

NAMES = ("a", "b", "c", "d", "e")


def racks(count: int) -> list[dict[str, str]]:
    return [{"name": name, "zone": name} for name in NAMES[:count]]


def as_it_is(slots: tuple[Slot, ...]) -> list[BrokerSet]:
    return [BrokerSet(s.name, s.rack, s.start, s.desired) for s in slots]


def test_without_racks_ids_begin_at_zero() -> None:
    assert lay_out("demo", cluster(3).spec, []) == (Slot("demo-broker", None, 0, 3),)


def test_racks_get_a_hundred_ids_each_and_the_first_ones_the_rest() -> None:
    assert lay_out("demo", cluster(5, racks=racks(3)).spec, []) == (
        Slot("demo-broker-a", "a", 0, 2),
        Slot("demo-broker-b", "b", 100, 2),
        Slot("demo-broker-c", "c", 200, 1),
    )


def test_what_exists_keeps_its_ids_in_whatever_order_the_racks_are_named() -> None:
    existing = [BrokerSet("demo-broker-b", "b", 0, 1), BrokerSet("demo-broker-a", "a", 300, 1)]
    slots = lay_out("demo", cluster(3, racks=racks(3)).spec, existing)
    assert [(s.rack, s.start) for s in slots] == [("a", 300), ("b", 0), ("c", 400)]


def test_what_was_deleted_gets_its_ids_back_from_its_volumes() -> None:
    claims = ["data-demo-broker-a-1", "data-demo-broker-a-0", "data-demo-broker-b-200", "logs-x-7"]
    slots = lay_out("demo", cluster(3, racks=racks(3)).spec, [], claims)
    assert [(s.rack, s.start) for s in slots] == [("a", 0), ("b", 200), ("c", 300)]
    # In whatever order the racks are named now, and whichever of the sets are left.
    turned = [{"name": name, "zone": name} for name in "cba"]
    existing = [BrokerSet("demo-broker-c", "c", 100, 1)]
    slots = lay_out("demo", cluster(3, racks=turned).spec, existing, claims)
    assert [(s.rack, s.start) for s in slots] == [("c", 100), ("b", 200), ("a", 0)]


def test_a_rack_that_left_the_spec_wants_no_brokers() -> None:
    existing = as_it_is(lay_out("demo", cluster(4, racks=racks(2)).spec, []))
    slots = lay_out("demo", cluster(4, racks=racks(1)).spec, existing)
    assert slots[-1] == Slot("demo-broker-b", "b", 100, 0)


@given(st.integers(1, 5), st.integers(5, 60), st.integers(1, 5), st.integers(5, 60))
def test_the_layout_is_even_complete_stable_and_disjoint(
    first: int, before: int, second: int, after: int
) -> None:
    old = lay_out("demo", cluster(before, racks=racks(first)).spec, [])
    new = lay_out("demo", cluster(after, racks=racks(second)).spec, as_it_is(old))
    wanted = [s.desired for s in new if s.rack in NAMES[:second]]
    assert sum(s.desired for s in new) == sum(wanted) == after
    assert max(wanted) - min(wanted) <= 1
    starts = {s.name: s.start for s in new}
    assert all(starts[s.name] == s.start for s in old)
    assert len(set(starts.values())) == len(new)
    for slot in new:
        assert all(sum(other.owns(b) for other in new) == 1 for b in slot.ids)
    assert lay_out("demo", cluster(after, racks=racks(second)).spec, as_it_is(new)) == new


def test_a_slot_owns_its_hundred() -> None:
    slot = Slot("demo-broker-b", "b", 100, 2)
    assert [slot.owns(b) for b in (99, 100, 199, 200)] == [False, True, True, False]
    slot = Slot("demo-broker", None, 0, 2)
    assert [slot.owns(b) for b in (-1, 0, 99, 100)] == [False, True, True, False]
