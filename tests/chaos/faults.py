"""Each kind of fault, made to happen in a world."""

from __future__ import annotations

import json
from contextlib import ExitStack
from itertools import permutations
from typing import TYPE_CHECKING, Any

from tests.chaos.schedule import Fault, Kind
from tests.chaos.world import NAME, NAMESPACE, ending
from tests.e2e import mischief

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.truth import Truth
    from tests.chaos.world import World

_TOOL = "/opt/kafka/bin/kafka-reassign-partitions"
_STATEFUL_SET = f"{NAME}-broker"


class MissedError(Exception):
    """There was nothing that the fault could have hit; the message says what it wanted."""


def begin(world: World, fault: Fault) -> ExitStack:
    """Cause a fault; closing what is returned ends it.

    Raises:
        MissedError: There is nothing that it could hit.
    """
    stack = ExitStack()
    _CAUSES[fault.kind](world, fault, stack)
    return stack


def _operator_killed(world: World, _: Fault, __: ExitStack) -> None:
    mischief.kill_processes(world.cluster, _running(world, _operator(world)))


def _operator_deleted(world: World, _: Fault, __: ExitStack) -> None:
    pod = _operator(world)["metadata"]
    mischief.delete_pod(world.env, pod["namespace"], pod["name"])


def _operator_frozen(world: World, _: Fault, stack: ExitStack) -> None:
    stack.enter_context(mischief.frozen(world.cluster, _running(world, _operator(world))))


def _broker_killed(world: World, fault: Fault, _: ExitStack) -> None:
    mischief.kill_processes(world.cluster, _running(world, _broker(world, fault)))


def _broker_deleted(world: World, fault: Fault, _: ExitStack) -> None:
    name = _broker(world, fault)["metadata"]["name"]
    mischief.delete_pod(world.env, NAMESPACE, name, force=True)


def _broker_frozen(world: World, fault: Fault, stack: ExitStack) -> None:
    stack.enter_context(mischief.frozen(world.cluster, _running(world, _broker(world, fault))))


def _broker_evicted(world: World, fault: Fault, _: ExitStack) -> None:
    name = _broker(world, fault)["metadata"]["name"]
    if not mischief.evict(world.env, NAMESPACE, name):
        raise MissedError(f"leave by the PodDisruptionBudget to evict {name}")


def _zookeeper_deleted(world: World, _: Fault, __: ExitStack) -> None:
    mischief.delete_pod(world.env, NAMESPACE, "zookeeper-0", force=True)


def _api_outage(world: World, _: Fault, stack: ExitStack) -> None:
    stack.enter_context(mischief.api_outage(world.cluster))


def _power_loss(world: World, fault: Fault, stack: ExitStack) -> None:
    names = [machine.node.name for machine in world.cluster.machines()]
    names.remove(world.safe)
    stack.enter_context(mischief.power_cut(world.cluster, names[int(fault.pick * len(names))]))


def _plan_deleted(world: World, _: Fault, __: ExitStack) -> None:
    mischief.delete_plan(world.env, _under_way(world))


def _plan_edited(world: World, _: Fault, __: ExitStack) -> None:
    mischief.spoil_plan(world.env, _under_way(world))


def _status_wiped(world: World, _: Fault, __: ExitStack) -> None:
    mischief.wipe_status(world.env, NAMESPACE, "ra", _under_way(world)["metadata"]["name"])


def _reassignment_deleted(world: World, _: Fault, __: ExitStack) -> None:
    mischief.delete_reassignment(world.env, NAMESPACE, _under_way(world)["metadata"]["name"])


def _stateful_set_edited(world: World, fault: Fault, _: ExitStack) -> None:
    replicas = world.brokers.replicas() + (-1 if fault.pick < 0.5 else 1)
    mischief.scale_stateful_set(world.env, NAMESPACE, _STATEFUL_SET, replicas)


def _stateful_set_deleted(world: World, _: Fault, __: ExitStack) -> None:
    mischief.delete_stateful_set(world.env, NAMESPACE, _STATEFUL_SET, orphan=True)


def _foreign_move(world: World, fault: Fault, _: ExitStack) -> None:
    wanted = swap(world.truth(), fault.pick)
    if not wanted:
        raise MissedError("two partitions at rest that can change places")
    rows = [{"topic": t, "partition": n, "replicas": its} for (t, n), its in wanted.items()]
    world.brokers.run(
        *("sh", "-c"),
        f"cat >/tmp/foreign.json && {_TOOL} --bootstrap-server {world.brokers.bootstrap}"
        " --reassignment-json-file /tmp/foreign.json --execute --additional",
        stdin=json.dumps({"version": 1, "partitions": rows}),
    )


def swap(truth: Truth, pick: float) -> dict[tuple[str, int], list[int]]:
    """Return new lists for two partitions that exchange a follower, so that all loads stay.

    Only partitions at rest on brokers that are there.

    Where all lists hold the same brokers, the followers of one partition change places. Empty if
    every partition moves already.

    Args:
        truth: What there is.
        pick: In [0, 1): where to begin to look.
    """
    still = {
        partition: its
        for partition, its in sorted(truth.replicas.items())
        # The tool refuses brokers that are not registered.
        if partition not in truth.moving and set(its) <= set(truth.brokers)
    }
    names = [name for name, its in still.items() if name.startswith("checked-") and len(its) > 1]
    start = int(pick * len(names))
    names = names[start:] + names[:start]
    for one, other in permutations(names, 2):
        mine = [b for b in still[one][1:] if b not in still[other]]
        theirs = [b for b in still[other][1:] if b not in still[one]]
        if mine and theirs:
            a, b = mine[0], theirs[0]
            return {
                _partition(one): [b if broker == a else broker for broker in still[one]],
                _partition(other): [a if broker == b else broker for broker in still[other]],
            }
    for name in names[:1]:
        head, *followers = still[name]
        return {_partition(name): [head, *reversed(followers)]}
    return {}


def _partition(name: str) -> tuple[str, int]:
    topic, _, number = name.rpartition("-")
    return topic, int(number)


def _operator(world: World) -> dict[str, Any]:
    for pod in mischief.operator_pods(world.env):
        found: dict[str, Any] = pod
        return found
    raise MissedError("an operator's pod")


def _broker(world: World, fault: Fault) -> dict[str, Any]:
    """Return the pod of a broker; any of those that there are."""
    ids = range(world.brokers.replicas())
    name = f"{_STATEFUL_SET}-{ids[int(fault.pick * len(ids))]}"
    pod = mischief.pod_of(world.env, NAMESPACE, name)
    if pod is None:
        raise MissedError(f"pod {name}")
    return pod


def _running(world: World, pod: dict[str, Any]) -> dict[str, Any]:
    """Return a pod that has processes, on a node that has power."""
    node = pod["spec"].get("nodeName")
    for machine in world.cluster.machines():
        here = machine.node.name == node and machine.is_on
        if here and machine.processes(pod["metadata"]["uid"]):
            return pod
    raise MissedError(f"a process of pod {pod['metadata']['name']}")


def _under_way(world: World) -> dict[str, Any]:
    """Return the Reassignment that has a plan and has not ended."""
    items = world.reassignments()
    planned = [i for i in items if i.get("status", {}).get("plan", {}).get("configMaps")]
    if not planned or ending(planned[-1]):
        raise MissedError("a Reassignment under way")
    return planned[-1]


_CAUSES: dict[Kind, Callable[[World, Fault, ExitStack], None]] = {
    Kind.OPERATOR_KILLED: _operator_killed,
    Kind.OPERATOR_DELETED: _operator_deleted,
    Kind.OPERATOR_FROZEN: _operator_frozen,
    Kind.BROKER_KILLED: _broker_killed,
    Kind.BROKER_DELETED: _broker_deleted,
    Kind.BROKER_FROZEN: _broker_frozen,
    Kind.BROKER_EVICTED: _broker_evicted,
    Kind.ZOOKEEPER_DELETED: _zookeeper_deleted,
    Kind.API_OUTAGE: _api_outage,
    Kind.POWER_LOSS: _power_loss,
    Kind.PLAN_DELETED: _plan_deleted,
    Kind.PLAN_EDITED: _plan_edited,
    Kind.STATUS_WIPED: _status_wiped,
    Kind.REASSIGNMENT_DELETED: _reassignment_deleted,
    Kind.STATEFUL_SET_EDITED: _stateful_set_edited,
    Kind.STATEFUL_SET_DELETED: _stateful_set_deleted,
    Kind.FOREIGN_MOVE: _foreign_move,
}
