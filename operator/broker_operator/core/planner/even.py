"""Make topics more even without touching loads or moves: newcomers trade places."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker_operator.core.planner.layout import Layout


def even_out(layout: Layout) -> None:
    """Let replicas that move anyway swap destinations while that makes their topics more even.

    Each broker keeps its load, each partition its number of moves. One round over all topics:
    what was placed greedily is nearly even already.
    """
    trades = _Trades(layout)
    for topic, spread in enumerate(layout.spread):
        for giver in range(len(spread)):
            while trades.relieve(topic, giver):
                pass


class _Trades:
    """The newcomers of each broker by topic, and what they could gain by changing places."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._newcomers: list[dict[int, dict[int, None]]] = [{} for _ in layout.load]
        for partition, holders in enumerate(layout.holders):
            for broker in sorted(holders):
                if layout.price(partition, broker):
                    self._at(broker, partition)[partition] = None

    def relieve(self, topic: int, giver: int) -> bool:
        """Trade one newcomer of the topic away from a broker that has too much of it."""
        spread = self._layout.spread[topic]
        mine = self._newcomers[giver].get(topic)
        if not mine:
            return False
        emptier = [b for b, count in enumerate(spread) if count < spread[giver] - 1]
        for taker in sorted(emptier, key=spread.__getitem__):
            gain = spread[giver] - spread[taker] - 1
            for other, theirs in self._newcomers[taker].items():
                loss = self._layout.spread[other][giver] - self._layout.spread[other][taker] + 1
                if loss < gain and self._trade(list(mine), giver, list(theirs), taker):
                    return True
        return False

    def _trade(self, mine: list[int], giver: int, theirs: list[int], taker: int) -> bool:
        """Swap the first two that may be swapped."""
        mine = [partition for partition in mine if self._may_go(partition, giver, taker)]
        theirs = [partition for partition in theirs if self._may_go(partition, taker, giver)]
        if not mine or not theirs:
            return False
        self._go(mine[0], giver, taker)
        self._go(theirs[0], taker, giver)
        return True

    def _may_go(self, partition: int, giver: int, taker: int) -> bool:
        layout = self._layout
        return bool(layout.price(partition, taker)) and layout.may_exchange(partition, giver, taker)

    def _go(self, partition: int, giver: int, taker: int) -> None:
        self._layout.exchange(partition, giver, taker)
        del self._at(giver, partition)[partition]
        self._at(taker, partition)[partition] = None

    def _at(self, broker: int, partition: int) -> dict[int, None]:
        topic = self._layout.problem.topic[partition]
        return self._newcomers[broker].setdefault(topic, {})
