"""Which broker ids a cluster shall have, and which StatefulSet holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker_operator.core import naming

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from broker_operator.api.spec import BrokerClusterSpec
    from broker_operator.core.model import BrokerId, BrokerSet


@dataclass(frozen=True, slots=True)
class Slot:
    """One StatefulSet as it shall be: `desired` brokers from id `start` on."""

    name: str
    rack: str | None
    start: int
    desired: int

    @property
    def ids(self) -> range:
        """The desired broker ids."""
        return range(self.start, self.start + self.desired)

    def owns(self, broker: BrokerId) -> bool:
        """Whether an id can only belong to this StatefulSet."""
        if self.rack is None and self.start == 0:
            return 0 <= broker < naming.RACK_ID_STEP
        return self.start <= broker < self.start + naming.RACK_ID_STEP


def lay_out(
    cluster: str,
    spec: BrokerClusterSpec,
    existing: Sequence[BrokerSet],
    claims: Collection[str] = (),
) -> tuple[Slot, ...]:
    """Deal the brokers out over the racks, in the order of the spec.

    A StatefulSet that exists keeps its first id for ever. One that is gone gets it back from the
    names of its volumes (`claims`): another id would start on an empty disk. A new one gets the
    next free multiple of 100. One whose rack left the spec stays with no desired brokers, so that
    they are drained like any other leaving broker.
    """
    found = {s.name: s for s in existing}
    before = _starts_of_claims(claims)
    starts = {s.start for s in existing} | set(before.values())
    racks: list[str | None] = [rack.name for rack in spec.racks] or [None]
    share, extra = divmod(spec.replicas, len(racks))
    slots = []
    for index, rack in enumerate(racks):
        name = naming.stateful_set(cluster, rack)
        known = found.pop(name, None)
        start = known.start if known else before.get(name)
        if start is None:
            start = _next_start(starts)
        starts.add(start)
        slots.append(Slot(name, rack, start, share + (1 if index < extra else 0)))
    slots.extend(Slot(s.name, s.rack, s.start, 0) for s in found.values())
    return tuple(slots)


def claimed_ids(claims: Collection[str]) -> dict[str, list[BrokerId]]:
    """Return the broker ids that have a volume, by the name of their StatefulSet."""
    ids: dict[str, list[BrokerId]] = {}
    for claim in claims:
        owner, _, number = claim.removeprefix("data-").rpartition("-")
        if number.isdecimal() and claim == naming.claim(owner, int(number)):
            ids.setdefault(owner, []).append(int(number))
    return ids


def _starts_of_claims(claims: Collection[str]) -> dict[str, int]:
    return {
        owner: min(ids) // naming.RACK_ID_STEP * naming.RACK_ID_STEP
        for owner, ids in claimed_ids(claims).items()
    }


def _next_start(taken: set[int]) -> int:
    if not taken:
        return 0
    return (max(taken) // naming.RACK_ID_STEP + 1) * naming.RACK_ID_STEP
