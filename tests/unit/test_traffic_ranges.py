"""Ranges behave as a set of integers does."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.traffic.ranges import Ranges

numbers = st.lists(st.integers(min_value=0, max_value=40))


def members(ranges: Ranges) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


def built(values: list[int]) -> Ranges:
    ranges = Ranges()
    for value in values:
        ranges.add(value)
    return ranges


@given(numbers)
def test_adding_says_what_is_new_and_keeps_ranges_apart(values: list[int]) -> None:
    ranges, model = Ranges(), set[int]()
    for value in values:
        assert ranges.add(value) is (value not in model)
        model.add(value)
        assert members(ranges) == model
        pairs = list(ranges)
        assert all(b[0] > a[1] + 1 for a, b in pairwise(pairs))
    assert len(ranges) == len(model)
    assert ranges.highest == max(model, default=-1)
    assert ranges.lowest == min(model, default=0)
    assert all((number in ranges) is (number in model) for number in range(-1, 43))


@given(numbers, numbers)
def test_minus_is_set_difference(left: list[int], right: list[int]) -> None:
    assert members(built(left).minus(built(right))) == set(left) - set(right)


@given(numbers)
def test_the_pairs_rebuild_the_set(values: list[int]) -> None:
    ranges = built(values)
    assert Ranges(ranges) == ranges


def test_overlapping_pairs_are_joined() -> None:
    assert list(Ranges([(5, 9), (0, 3), (8, 12), (4, 4)])) == [(0, 12)]


def test_a_pair_upside_down_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ends before it starts: 3\.\.2"):
        Ranges([(3, 2)])
