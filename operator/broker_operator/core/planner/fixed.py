"""Plans whose end is given.

What was is to be again, one broker takes another's place, or a plan goes on without a lost broker.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from broker_operator.core.model import TopicPartition
from broker_operator.core.planner.plan import make_plan
from broker_operator.core.planner.problem import mean_size, usable_racks
from broker_operator.core.planner.types import Plan, PlanRefusedError
from broker_operator.core.text import name_some

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker_operator.core.model import Assignment, BrokerId, Replicas
    from broker_operator.core.planner.types import PlanRequest


def plan_back(
    request: PlanRequest, former: Assignment, reached: Assignment, allowed: frozenset[BrokerId]
) -> Plan:
    """Return the plan that puts every partition where it was, in the order that it had there.

    Partitions that are new since, or in `other_factors`, stay where they are, unless that is on a
    broker that shall hold none: those are placed by the planner.

    Args:
        request: The present state; its `targets` are the brokers that are to hold replicas.
        former: Where everything was.
        reached: Where the plan that is taken back leads.
        allowed: Live brokers that may hold replicas afterwards, beside the targets.

    Raises:
        PlanRefusedError: BrokerGone, if something was on a broker that is not there any more; or
            what `make_plan` has to say of the rest.
    """
    back, lost = _restored(request.assignment, former, reached, request.targets | allowed)
    if lost:
        brokers = sorted({broker for _, broker in lost})
        raise PlanRefusedError(
            "BrokerGone",
            f"{len(lost)} replicas were on broker {name_some(brokers)}, which is "
            f"not there any more ({name_some(tp for tp, _ in lost)}); bring it back, or "
            "set spec.replicas so that it is",
        )
    kept = request.targets | allowed
    pinned = {
        topic
        for topic, its in back.items()
        if all(kept.issuperset(replicas) for replicas in its.values())
    }
    if len(pinned) < len(back):
        targets = request.targets | {
            b for topic in pinned for its in back[topic].values() for b in its
        }
        held = _held(request)
        rest = replace(
            request, assignment=back, targets=targets, pinned=frozenset(pinned), held=held
        )
        back = {t: dict(its) for t, its in make_plan(rest).target.items()}
    return plan_to(request, back)


def other_factors(now: Assignment, former: Assignment, reached: Assignment) -> list[TopicPartition]:
    """Return the partitions whose replication factor is neither the former nor the one reached.

    Somebody else has changed it since.
    """
    return [
        TopicPartition(topic, number)
        for topic, its in sorted(now.items())
        for number, replicas in sorted(its.items())
        if number in former.get(topic, {})
        and not _known_factor(TopicPartition(topic, number), replicas, former, reached)
    ]


def plan_replacement(request: PlanRequest, broker: BrokerId, by: BrokerId) -> Plan:
    """Return the plan in which one broker takes over all lists of another, at the same places.

    Raises:
        PlanRefusedError: BothHold, if partitions have replicas on both.
    """
    both = sorted(
        TopicPartition(topic, number)
        for topic, its in request.assignment.items()
        for number, replicas in its.items()
        if broker in replicas and by in replicas
    )
    if both:
        raise PlanRefusedError(
            "BothHold",
            f"broker {by} cannot take the place of broker {broker}: {len(both)} partitions have "
            f"replicas on both ({name_some(both)}); evacuate broker {broker} "
            "instead, or evacuate "
            f"broker {by} first",
        )
    target = {
        topic: {
            number: tuple(by if b == broker else b for b in replicas)
            for number, replicas in its.items()
        }
        for topic, its in request.assignment.items()
    }
    return plan_to(request, target)


def plan_around(request: PlanRequest, former: Assignment, emptied: frozenset[BrokerId]) -> Plan:
    """Return the plan that leads where a former one does, but empties brokers without lost ones.

    Each of the `stuck_around` partitions keeps its places on targets; on every other place comes
    the target that crowds the fewest racks, and of these the one with the fewest replicas. Not only
    what is on a broker to be emptied is replaced, but what is on a lost one beside it: Kafka ends
    no move before all of its target is in sync. Everything else still leads to where it did.

    Args:
        request: The present state; its targets are the brokers that are left.
        former: Where the former plan leads.
        emptied: Brokers that shall hold nothing afterwards.

    Raises:
        PlanRefusedError: ReplicationFactorTooHigh, if too few brokers are left.
    """
    usable = request.targets - emptied
    stuck = stuck_around(request.assignment, former, usable, emptied)
    target = {
        topic: {n: former.get(topic, {}).get(n, replicas) for n, replicas in its.items()}
        for topic, its in request.assignment.items()
    }
    for tp in stuck:
        target[tp.topic][tp.partition] = tuple(
            b for b in request.assignment[tp.topic][tp.partition] if b in usable
        )
    load = Counter(b for its in target.values() for replicas in its.values() for b in replicas)
    racks = usable_racks(request.brokers, usable)
    for tp in stuck:
        replicas = list(request.assignment[tp.topic][tp.partition])
        if len(replicas) > len(usable):
            raise PlanRefusedError(
                "ReplicationFactorTooHigh",
                f"{tp} has replication factor {len(replicas)}, but only {len(usable)} brokers are "
                "left to hold it",
            )
        for place, broker in enumerate(replicas):
            if broker not in usable:
                replicas[place] = _stand_in(replicas, usable, racks, load)
                load[replicas[place]] += 1
        target[tp.topic][tp.partition] = tuple(replicas)
    return plan_to(request, target)


def _stand_in(
    replicas: Sequence[BrokerId],
    usable: frozenset[BrokerId],
    racks: Mapping[BrokerId, str],
    load: Mapping[BrokerId, int],
) -> BrokerId:
    """Return the broker that crowds the fewest racks, and of these the one with least to hold."""
    crowd = Counter(racks[b] for b in replicas if b in usable)
    return min(usable.difference(replicas), key=lambda b: (crowd[racks[b]], load[b], b))


def stuck_around(
    now: Assignment, former: Assignment, usable: frozenset[BrokerId], emptied: frozenset[BrokerId]
) -> list[TopicPartition]:
    """Return the partitions that a former plan takes off brokers, but not onto usable ones alone.

    One that the former plan does not know is so, too, if it is on a broker to be emptied.
    """
    found = []
    for topic, its in sorted(now.items()):
        for number, replicas in sorted(its.items()):
            if emptied.isdisjoint(replicas):
                continue
            planned = former.get(topic, {}).get(number)
            if planned is None or (emptied.isdisjoint(planned) and not usable.issuperset(planned)):
                found.append(TopicPartition(topic, number))
    return found


def plan_to(request: PlanRequest, target: Assignment) -> Plan:
    """Return the plan to a given target: to that very end, no other copies less."""
    mean = mean_size(request.assignment, request.sizes)
    moves = size = leader_changes = 0
    for topic, its in target.items():
        before, held = request.assignment[topic], request.held.get(topic, {})
        sizes = request.sizes.get(topic, {})
        for number, replicas in its.items():
            old = before[number]
            if old == replicas and number not in held:
                continue
            new = len(set(replicas).difference(held.get(number, old)))
            moves += new
            size += new * sizes.get(number, mean)
            leader_changes += old[:1] != replicas[:1]
    return Plan(
        origin=request.assignment,
        target=target,
        moves=moves,
        lower_bound=moves,
        bytes=size,
        leader_changes=leader_changes,
        proved=True,
    )


def _known_factor(tp: TopicPartition, replicas: Replicas, *ways: Assignment) -> bool:
    """Whether a partition has as many replicas as in any of these assignments."""
    lists = (way.get(tp.topic, {}).get(tp.partition) for way in ways)
    return len(replicas) in {len(one) for one in lists if one is not None}


def _restored(
    now: Assignment, former: Assignment, reached: Assignment, usable: frozenset[BrokerId]
) -> tuple[dict[str, dict[int, Replicas]], list[tuple[TopicPartition, BrokerId]]]:
    """Return everything where it was, and the replicas that would be on brokers not usable."""
    back: dict[str, dict[int, Replicas]] = {}
    lost: list[tuple[TopicPartition, BrokerId]] = []
    for topic, its in sorted(now.items()):
        was = former.get(topic, {})
        back[topic] = {}
        for number, replicas in sorted(its.items()):
            old, tp = was.get(number), TopicPartition(topic, number)
            if old is None or not _known_factor(tp, replicas, former, reached):
                back[topic][number] = replicas
                continue
            back[topic][number] = old
            lost += [(tp, b) for b in old if b not in usable]
    return back, lost


def _held(request: PlanRequest) -> Assignment:
    """Return who has full copies of each partition: as held, else as assigned."""
    return {
        topic: {n: request.held.get(topic, {}).get(n, replicas) for n, replicas in its.items()}
        for topic, its in request.assignment.items()
    }
