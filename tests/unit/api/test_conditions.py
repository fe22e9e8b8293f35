from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker_operator.api.conditions import Condition, is_true, merge_conditions, was_set

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
kinds = st.sampled_from(["Available", "Stalled", "Paused"])
some = st.lists(
    st.builds(Condition, kinds, st.sampled_from([True, False, None]), st.just("R"), st.text()),
    unique_by=lambda c: c.type,
)


@given(some, some)
def test_only_a_flip_moves_the_time(old: list[Condition], new: list[Condition]) -> None:
    before = merge_conditions([], old, generation=1, now=NOW)
    after = merge_conditions(before, new, generation=2, now=LATER)
    assert [c["type"] for c in after] == [c.type for c in new]
    assert {c["observedGeneration"] for c in after} <= {2}
    held = {c["type"]: c["status"] for c in before}
    for condition in after:
        same = held.get(condition["type"]) == condition["status"]
        assert condition["lastTransitionTime"] == (NOW if same else LATER)


@given(some)
def test_merging_what_is_there_changes_nothing(conditions: list[Condition]) -> None:
    once = merge_conditions([], conditions, generation=1, now=NOW)
    assert merge_conditions(once, conditions, generation=1, now=LATER) == once


def test_true_false_and_unknown() -> None:
    values = ((True, "True"), (False, "False"), (None, "Unknown"))
    for status, text in values:
        (made,) = merge_conditions([], [Condition("A", status, "R", "")], generation=1, now=NOW)
        assert made["status"] == text
        assert is_true([made], "A") is (status is True)
        assert was_set([made], "A")
        assert not was_set([made], "B")
