"""Make batches shorter together by swapping partitions between them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from broker_operator.core.planner.schedule import weight_of

if TYPE_CHECKING:
    from broker_operator.core.planner.schedule import Candidate, Filling, Task

_ENOUGH = 1.05
"""Times what the busiest broker has to do in all: what is left to gain is not worth the search."""
_TRIES = 8_000
"""Swaps that are tried at most; each takes microseconds."""


def smooth(fillings: list[Filling]) -> None:
    """Swap candidates while that lowers the sum of the batches' bytes, until it is nearly ideal.

    The largest of what keeps a batch's busiest broker busy is offered to batches that last longer
    anyway, for something smaller.
    """
    enough = _ENOUGH * _ideal(fillings)
    swaps = _Swaps(fillings)
    gained = True
    while gained and swaps.tries_left and sum(filling.bytes for filling in fillings) > enough:
        gained = False
        for filling in sorted(fillings, key=lambda it: -it.bytes):
            gained = any(swaps.offer(large, filling) for large in filling.busiest) or gained


def _ideal(fillings: list[Filling]) -> int:
    work: Counter[Task] = Counter()
    for filling in fillings:
        for candidate in filling.chosen:
            for task in candidate.load:
                work[task] += weight_of(candidate, task)
    return max(work.values(), default=0)


class _Swaps:
    """All the batches, and how often a swap may still be tried."""

    def __init__(self, fillings: list[Filling]) -> None:
        self.tries_left = _TRIES
        self._fillings = fillings

    def offer(self, large: Candidate, here: Filling) -> bool:
        """Swap a candidate with something smaller elsewhere; False if that does not pay off."""
        for there in self._fillings:
            if there is not here and there.bytes >= large.size:
                for small in (None, *there.chosen):
                    if small is None or small.size < large.size:
                        if not self.tries_left:
                            return False
                        self.tries_left -= 1
                        if _swap(large, here, small, there):
                            return True
        return False


def _swap(large: Candidate, here: Filling, small: Candidate | None, there: Filling) -> bool:
    before = here.bytes + there.bytes
    here.remove(large)
    if small is not None:
        there.remove(small)
    if there.fits(large, None) and (small is None or here.fits(small, None)):
        there.add(large)
        if small is not None:
            here.add(small)
        if here.bytes + there.bytes < before:
            return True
        there.remove(large)
        if small is not None:
            here.remove(small)
    here.add(large)
    if small is not None:
        there.add(small)
    return False
