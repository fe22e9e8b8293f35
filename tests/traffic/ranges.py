"""A set of natural numbers kept as ranges, so that a million acked sequences are one pair."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Ranges:
    """A growing set of integers, stored as disjoint inclusive ranges in ascending order."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted(ranges):
            self._append(start, end)

    def _append(self, start: int, end: int) -> None:
        if start > end:
            raise ValueError(f"a range ends before it starts: {start}..{end}")
        if self._ends and start <= self._ends[-1] + 1:
            self._ends[-1] = max(self._ends[-1], end)
        else:
            self._starts.append(start)
            self._ends.append(end)

    def add(self, number: int) -> bool:
        """Put the number in; say whether it is new."""
        if not self._ends or number > self._ends[-1]:
            self._append(number, number)
            return True
        after = bisect_right(self._starts, number)
        if after and number <= self._ends[after - 1]:
            return False
        joins_left = after > 0 and self._ends[after - 1] == number - 1
        joins_right = self._starts[after] == number + 1
        if joins_left and joins_right:
            self._ends[after - 1] = self._ends.pop(after)
            del self._starts[after]
        elif joins_left:
            self._ends[after - 1] = number
        elif joins_right:
            self._starts[after] = number
        else:
            self._starts.insert(after, number)
            self._ends.insert(after, number)
        return True

    def minus(self, other: Ranges) -> Ranges:
        """Return what is in this set and not in the other."""
        left: list[tuple[int, int]] = []
        for first, last in self:
            start = first
            for hole_start, hole_end in other.overlapping(first, last):
                if hole_start > start:
                    left.append((start, hole_start - 1))
                start = hole_end + 1
            if start <= last:
                left.append((start, last))
        return Ranges(left)

    def overlapping(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Yield, in ascending order, the ranges that share a number with first..last."""
        at = max(0, bisect_right(self._starts, first) - 1)
        while at < len(self._starts) and self._starts[at] <= last:
            if self._ends[at] >= first:
                yield self._starts[at], self._ends[at]
            at += 1

    @property
    def highest(self) -> int:
        """The highest number, -1 if there is none."""
        return self._ends[-1] if self._ends else -1

    @property
    def lowest(self) -> int:
        """The lowest number, 0 if there is none."""
        return self._starts[0] if self._starts else 0

    def __len__(self) -> int:
        return sum(self._ends) - sum(self._starts) + len(self._starts)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number <= self._ends[at]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it grows, so it may be no key

    def __repr__(self) -> str:
        return f"Ranges({list(self)})"
