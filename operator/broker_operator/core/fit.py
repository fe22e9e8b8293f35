"""Whether a stored plan still fits the cluster, and if not, what has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker_operator.core.model import TopicPartition
from broker_operator.core.text import name_some

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker_operator.core.facts import StoredPlan
    from broker_operator.core.model import Assignment, BrokerId, Ensemble, Replicas
    from broker_operator.core.planner import Plan


def misfit(
    plan: StoredPlan,
    ensemble: Ensemble,
    brokers: frozenset[BrokerId],
    *,
    started: bool,
    topics: frozenset[str] | None = None,
) -> str:
    """Say what the plan cannot put right any more; empty if it still leads to its end.

    A plan that has started is a walk: where its partitions are on the way does not matter. One
    that waits, such as for approval, must be carried out as it was shown, or not at all.

    Args:
        plan: The stored plan.
        ensemble: Where everything is now.
        brokers: Those that may hold replicas afterwards.
        started: Whether any of its moves may have begun.
        topics: Those that the plan is about; None: all.
    """
    checks = [_strays(plan, ensemble, brokers, topics), _other_factors(plan, ensemble, topics)]
    if not started:
        checks += [_gone(plan, ensemble), _moved(plan, ensemble)]
    return next(filter(None, checks), "")


def changes(plan: StoredPlan | Plan) -> Iterator[tuple[TopicPartition, Replicas, Replicas]]:
    """Yield the partitions whose list differs: name, list in the origin, list in the target."""
    for topic, partitions in plan.target.items():
        before = plan.origin.get(topic, {})
        for number, replicas in partitions.items():
            if (old := before.get(number, ())) != replicas:
                yield TopicPartition(topic, number), old, replicas


def receivers(plan: StoredPlan | Plan, ensemble: Ensemble) -> frozenset[BrokerId]:
    """Return the brokers to which a plan moves anything from where it is now."""
    found: set[BrokerId] = set()
    for tp, old, new in changes(plan):
        state = ensemble.topics.get(tp.topic, {}).get(tp.partition)
        found.update(set(new).difference(state.target if state else old))
    return frozenset(found)


def first_lists(plan: StoredPlan, now: Assignment) -> Assignment:
    """Return where everything was before the first plan of a Reassignment, for its next one.

    An undo takes back what its plans have moved. So what these leave alone counts as where it is,
    and so does what lies neither where the last plan found it nor where that leads, for somebody
    else has moved or made it.

    Args:
        plan: Its last plan, which has begun or comes after one that has.
        now: Where everything is; nothing is in flight.
    """

    def before(topic: str, number: int, replicas: Replicas) -> Replicas:
        ends = (its.get(topic, {}).get(number, ()) for its in (plan.origin, plan.target))
        ours = any(set(replicas) == set(end) for end in ends)  # in whatever order they lie now
        ours = ours and number in plan.starts.get(topic, {})
        return plan.way_back.get(topic, {}).get(number, replicas) if ours else replicas

    return {t: {n: before(t, n, r) for n, r in its.items()} for t, its in now.items()}


def _strays(
    plan: StoredPlan,
    ensemble: Ensemble,
    brokers: frozenset[BrokerId],
    topics: frozenset[str] | None,
) -> str:
    """Find partitions on brokers that shall hold none, where somebody else has put them.

    Those are new since, or what the plan leaves alone, and not as it left them.
    """
    new, moved = [], []
    for tp, state in ensemble.partitions():
        if brokers.issuperset(state.target) or (topics is not None and tp.topic not in topics):
            continue
        planned = plan.target.get(tp.topic, {}).get(tp.partition)
        if planned is None:
            new.append(tp)
        elif plan.ends.get(tp.topic, {}).get(tp.partition) is None:
            moved += [tp] if set(state.target) != set(planned) else []
    if new:
        return f"{_partitions(sorted(new))} new since, on brokers that shall hold none"
    if moved:
        return f"{_partitions(sorted(moved))} moved by others, to brokers that shall hold none"
    return ""


def _other_factors(plan: StoredPlan, ensemble: Ensemble, topics: frozenset[str] | None) -> str:
    """Find partitions whose replication factor is neither the plan's nor the one that it found."""
    changed = []
    for tp, state in ensemble.partitions():
        planned = plan.target.get(tp.topic, {}).get(tp.partition)
        if planned is None or len(planned) == len(state.target):
            continue
        if topics is not None and tp.topic not in topics:
            continue
        if len(plan.origin.get(tp.topic, {}).get(tp.partition, ())) != len(state.target):
            changed.append(tp)
    return f"{_partitions(sorted(changed))} of another replication factor" if changed else ""


def _gone(plan: StoredPlan, ensemble: Ensemble) -> str:
    gone = [
        tp for tp, _, _ in changes(plan) if tp.partition not in ensemble.topics.get(tp.topic, {})
    ]
    return f"{_partitions(sorted(gone))} deleted since" if gone else ""


def _moved(plan: StoredPlan, ensemble: Ensemble) -> str:
    moved = [
        tp
        for tp, old, _ in changes(plan)
        if (state := ensemble.topics.get(tp.topic, {}).get(tp.partition)) and state.target != old
    ]
    return f"{_partitions(sorted(moved))} not where the plan found them" if moved else ""


def _partitions(names: list[TopicPartition]) -> str:
    verb = "1 partition is" if len(names) == 1 else f"{len(names)} partitions are"
    return f"({name_some(names)}) {verb}"
