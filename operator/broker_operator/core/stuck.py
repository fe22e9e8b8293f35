"""What keeps the controller from going on and does not go away by itself, and how it is cleared.

The controller looks at `/admin/reassign_partitions` when it is created and when a reassignment
through the Admin API comes in, and checks nothing of it. So a node that it missed, or in which
something cannot be carried out, lies there for ever, and nobody can create another one. What each
content does, and what clears it, was seen on live brokers: tests/kafka/matrix/test_request_node.py.

Ours is only what asks for exactly the lists of the active plan, on its way out or back. Everything
else somebody else has put there, and knows why: it is named, and left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING

from broker_operator.core.model import SpoiltRequest, TopicPartition
from broker_operator.core.planner.kafka_json import to_json
from broker_operator.core.text import NAMED, name_some

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from broker_operator.core.facts import StoredPlan
    from broker_operator.core.model import Assignment, Ensemble, Replicas

UNHEARD_SECONDS = 30.0
"""A controller that has begun nothing of a request after this long has not seen it."""
DEAD_END_SECONDS = 60.0
"""A broker that somebody else's move waits for may be restarting for this long."""

_REQUEST = "/admin/reassign_partitions"
_NOT_OURS = "it is not this operator's, which leaves it alone and moves nothing meanwhile"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Something that is in the controller's way.

    Attributes:
        reason: For a condition.
        message: What it is and the way out; the same as long as nothing has changed.
        patience: Seconds it must last: until then it may be in good order.
        nudge: Partitions of a request of ours with their present replicas: a reassignment of these
            through the Admin API moves nothing and makes the controller drop the request. Empty
            where it is not ours.
    """

    reason: str
    message: str
    patience: float = 0.0
    nudge: Assignment = field(default_factory=dict)


def find(
    ensemble: Ensemble, plan: StoredPlan | None, foreign: Sequence[TopicPartition]
) -> Obstacle | None:
    """Return the worst of what is in the way, None if nothing is.

    Args:
        ensemble: What ZooKeeper says.
        plan: That of the active reassignment, None without one.
        foreign: Partitions in flight to where it does not send them.
    """
    looks = (
        _poisoned_topic(ensemble),
        _spoilt_request(ensemble),
        _unheard_request(ensemble, plan),
        _dead_end(ensemble, foreign),
    )
    return next(filter(None, looks), None)


def _poisoned_topic(ensemble: Ensemble) -> Obstacle | None:
    """Topics in which an unchecked request has left what no controller can start with."""
    present: dict[str, dict[int, Replicas]] = {
        topic: dict(spoilt.present) for topic, spoilt in sorted(ensemble.unreadable.items())
    }
    causes = [spoilt.reason for _, spoilt in sorted(ensemble.unreadable.items())]
    emptied = [it for it in ensemble.partitions() if it[1].in_flight and not it[1].target]
    for tp, state in sorted(emptied, key=itemgetter(0)):
        causes.append(f"/brokers/topics/{tp.topic}: partition {tp.partition} loses all replicas")
        present.setdefault(tp.topic, {})[tp.partition] = state.replicas
    if not causes:
        return None
    return Obstacle(
        "PoisonedTopic",
        f"{name_some(causes)}. No broker may be able to become controller with this, so stop none; "
        f"nothing is planned, moved or removed meanwhile. {_way_out(present)} (it works even if it "
        "answers with an error); where there is no controller any more, correct the znode by hand",
    )


def _spoilt_request(ensemble: Ensemble) -> Obstacle | None:
    requested = ensemble.requested
    if requested is None:
        return None
    if not isinstance(requested, SpoiltRequest):
        if requested:
            return None
        requested = SpoiltRequest(f"{_REQUEST}: it names no partition")
    # What it names, or any partition at rest where it names none that the controller reads.
    states = dict(ensemble.partitions())
    names = requested.names or sorted(tp for tp in states if not states[tp].in_flight)[:1]
    way = _way_out(_nested({tp: states[tp].origin for tp in names if tp in states}))
    if requested.fatal:
        way = (
            "No broker can become controller with it, so stop none; delete it by hand, for no "
            "reassignment is answered before: zookeeper-shell's delete /admin/reassign_partitions. "
            f"After that the controller hears of nothing that is created there. {way}"
        )
    return Obstacle(
        "StuckReassignment",
        f"{requested.reason}. The controller cannot carry this out, and while it is there nobody "
        f"can create another request; {_NOT_OURS}. {way}",
    )


def _unheard_request(ensemble: Ensemble, plan: StoredPlan | None) -> Obstacle | None:
    """A request that is in order, and of which the controller has begun nothing."""
    requested, controller = ensemble.requested, ensemble.controller
    if requested is None or isinstance(requested, SpoiltRequest) or controller is None:
        return None
    wanted, states = dict(_entries(requested)), dict(ensemble.partitions())
    if not wanted or any(tp in states and states[tp].in_flight for tp in wanted):
        return None
    # The controller takes out the entry of a partition that is gone, whatever is asked for it.
    present = _nested({t: states[t].replicas if t in states else wanted[t] for t in wanted})
    what = (
        f"{_REQUEST} asks for {len(wanted)} partitions ({name_some(sorted(wanted))}), and broker "
        f"{controller}, the controller, has begun none of them for {UNHEARD_SECONDS:g} s: it does "
        "not see a request that is set, or created after somebody has deleted the one before"
    )
    if plan is not None and _is_of(plan, wanted):
        way = "It is asked through the Admin API to drop the request, which is then made anew"
        return Obstacle("UnheardRequest", f"{what}. {way}", UNHEARD_SECONDS, nudge=present)
    return Obstacle(
        "StuckReassignment", f"{what}; {_NOT_OURS}. {_way_out(present)}", UNHEARD_SECONDS
    )


def _dead_end(ensemble: Ensemble, foreign: Sequence[TopicPartition]) -> Obstacle | None:
    """Moves of somebody else to a broker that is not there."""
    back: dict[TopicPartition, Replicas] = {}
    away: set[int] = set()
    for tp in foreign:
        state = ensemble.topics.get(tp.topic, {}).get(tp.partition)
        if state and (gone := {b for b in state.adding if b not in ensemble.brokers}):
            away |= gone
            back[tp] = state.origin
    if not back:
        return None
    return Obstacle(
        "StuckReassignment",
        f"{len(back)} partitions ({name_some(sorted(back))}) are moved by another tool to broker "
        f"{name_some(sorted(away))}, which is not registered: that never ends before it is; "
        f"{_NOT_OURS}. Start the broker, or send them back. {_way_out(_nested(back))}",
        DEAD_END_SECONDS,
    )


def _is_of(plan: StoredPlan, wanted: dict[TopicPartition, Replicas]) -> bool:
    """Whether every entry is what the plan asks for, on its way out or back."""
    ways = (plan.target, plan.origin)
    return all(
        replicas in [way.get(tp.topic, {}).get(tp.partition) for way in ways]
        for tp, replicas in wanted.items()
    )


def _way_out(lists: Assignment) -> str:
    """Say how these partitions get these replicas through the Admin API: in full if few."""
    names = [tp for tp, _ in _entries(lists)]
    if not names:
        return "The way out: reassign what is named to its present replicas through the Admin API"
    if len(names) > NAMED:
        return (
            f"The way out: reassign these {len(names)} partitions to their present replicas "
            "through the Admin API"
        )
    return (
        f"The way out: kafka-reassign-partitions --execute --additional with {to_json(lists)} as "
        "its --reassignment-json-file"
    )


def _nested(lists: Mapping[TopicPartition, Replicas]) -> dict[str, dict[int, Replicas]]:
    nested: dict[str, dict[int, Replicas]] = {}
    for tp, replicas in lists.items():
        nested.setdefault(tp.topic, {})[tp.partition] = replicas
    return nested


def _entries(assignment: Assignment) -> Iterator[tuple[TopicPartition, Replicas]]:
    for topic, partitions in assignment.items():
        for number, replicas in partitions.items():
            yield TopicPartition(topic, number), replicas
