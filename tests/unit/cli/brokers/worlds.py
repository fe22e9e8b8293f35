"""Clusters as the operator describes them in the API, and the plugin run on them."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner, Result

from broker_operator.api.spec import API_VERSION
from broker_operator.cli.brokers.access import Session, Where
from broker_operator.cli.brokers.main import brokers
from broker_operator.core.model import Broker
from broker_operator.core.planner import PlanRequest, make_batches, make_plan
from broker_operator.core.planner.report import Report, make_report
from tests.fakes.people import FakePeopleApi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from broker_operator.core.model import KubeObject

NAMESPACE = "team"
MIB = 1024**2
HASH = "73f495b18b6e"


class World:
    """An API server in memory, and `kubectl brokers` on it."""

    def __init__(self) -> None:
        self.api = FakePeopleApi()
        self.asked: list[Where] = []

    def run(self, *arguments: str) -> Result:
        """Run `kubectl brokers`; an exception that escapes is an error."""
        result = CliRunner().invoke(
            brokers, arguments, obj=self._connect, prog_name="kubectl brokers"
        )
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def says(self, *arguments: str) -> str:
        """Run it, and return what it prints; it must succeed."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def fails(self, code: int, *arguments: str) -> str:
        """Run it, and return its error; it must end so and print nothing else."""
        result = self.run(*arguments)
        assert result.exit_code == code, result.output
        assert not result.stdout
        return result.stderr

    @asynccontextmanager
    async def _connect(self, where: Where) -> AsyncIterator[Session]:
        self.asked.append(where)
        yield Session(self.api, where.namespace or NAMESPACE)

    def cluster(self, name: str = "demo", **status: Any) -> KubeObject:
        """Put a cluster of three settled brokers, with other parts of the status if given."""
        settled: dict[str, Any] = {
            "observedGeneration": 1,
            "replicas": 3,
            "readyReplicas": 3,
            "conditions": conditions(),
            "brokers": [row(b) for b in range(3)],
        }
        return self.api.put(
            {
                "apiVersion": API_VERSION,
                "kind": "BrokerCluster",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"replicas": 3, "zookeeper": {"connect": "zk:2181/demo"}},
                "status": settled | status,
            }
        )

    def change_cluster(self, **spec: Any) -> None:
        """Change the cluster's spec; the operator has seen it."""

        def change(body: KubeObject) -> None:
            body["spec"].update(spec)
            body["status"]["observedGeneration"] = body["metadata"]["generation"] + 1

        self.api.edit("BrokerCluster", NAMESPACE, "demo", change)

    def reassignment(
        self, name: str = "demo-1", state: str = "Moving", why: str = "", **more: Any
    ) -> KubeObject:
        """Put a Reassignment of `demo` in a state; `spec` adds to its spec, all else to status."""
        spec: dict[str, Any] = {"cluster": "demo", "cause": "ScaleUp", "brokers": [0, 1, 2, 3]}
        if more.pop("requested", False):
            spec = {"cluster": "demo", "cause": "Requested"}
        spec |= more.pop("spec", {})
        complete = condition("Complete", "False", state, why or f"it is {state}")
        if state == "Succeeded":
            complete["status"] = "True"
        others = more.pop("conditions", [])
        cluster = self.api.find("BrokerCluster", NAMESPACE, "demo")
        uid = cluster["metadata"]["uid"] if cluster else ""
        status = {"conditions": [*others, complete]} | more
        return self.api.put(
            {
                "apiVersion": API_VERSION,
                "kind": "Reassignment",
                "metadata": {
                    "name": name,
                    "namespace": NAMESPACE,
                    "ownerReferences": [{"uid": uid, "controller": True}],
                },
                "spec": spec,
                "status": status,
            }
        )

    def waiting(self, **more: Any) -> KubeObject:
        """Put `demo-1`, which waits for the approval of its plan."""
        way = f"to approve plan {HASH}: kubectl patch ra demo-1"
        more.setdefault("approved", condition("Approved", "False", "ApprovalRequired", way))
        return self.planned(
            state="AwaitingApproval",
            why=f"plan {HASH} of demo-1 waits for approval: kubectl patch ra demo-1",
            blockedBy=[f"plan {HASH} of demo-1 waits for approval: kubectl patch ra demo-1"],
            **more,
        )

    def planned(self, **more: Any) -> KubeObject:
        """Put a Reassignment with a plan, and the ConfigMap that has its report."""
        approved = more.pop("approved", None)
        found = report()
        message = (
            f"{found.moves} replica moves of 6.0 GiB (lower bound 6), 1 preferred leader changes"
        )
        planned = condition("Planned", "True", "Planned", message)
        plan = {"hash": HASH, "moves": found.moves, "bytes": found.bytes}
        plan |= {"configMaps": [config_map := "demo-1-plan-0"]}
        self.config_map(config_map, found.to_dict() | {"hash": HASH})
        both = [planned, approved] if approved else [planned]
        return self.reassignment(conditions=both, plan=plan | more.pop("plan", {}), **more)

    def moving(self, **more: Any) -> KubeObject:
        """Put `demo-1` in mid-move."""
        progress = {
            "plan": HASH,
            "movesDone": 2,
            "bytesDone": 2 * 1024**3,
            "percent": 33,
            "bytesPerSecond": 50 * MIB,
            "eta": "1m22s",
            "slowest": [{"topic": "orders", "partition": 3, "reason": "40 % has arrived"}],
        }
        throttle = {"bytesPerSecond": 50 * MIB, "brokers": [0, 1], "topics": ["orders"]}
        common = {"startedAt": "2026-01-01T00:00:00Z", "progress": progress, "throttle": throttle}
        return self.planned(**({"why": "partitions are moving"} | common | more))

    def config_map(self, name: str, report: Any) -> None:
        text = report if isinstance(report, str) else json.dumps(report)
        self.api.put(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "data": {"report.json": text},
            }
        )

    def event(self, name: str, about: tuple[str, str], reason: str, **more: Any) -> None:
        self.api.put(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "involvedObject": {"kind": about[0], "name": about[1], "namespace": NAMESPACE},
                "type": "Warning",
                "reason": reason,
                "message": f"{reason} happened",
                **more,
            }
        )


def condition(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def conditions(*more: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the conditions of a settled cluster, and others; a later one of a type counts."""
    settled = [
        condition("Available", "True", "AllPartitionsLed", "all 60 partitions have a leader"),
        condition("BrokersReady", "True", "AllReady", "3 of 3 brokers are ready"),
    ]
    return list({c["type"]: c for c in (*settled, *more)}.values())


def row(broker: int, state: str = "Ready", **more: Any) -> dict[str, Any]:
    common = {"pod": f"demo-broker-{broker}", "replicas": 60, "leaders": 20, "bytes": 210 * MIB}
    return {"id": broker, "state": state} | common | more


def report() -> Report:
    """Return the report of a real plan: four partitions of 1 GiB go from 3 brokers to 6."""
    lists = [(0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1)]
    racks = dict(enumerate("abcabc"))
    request = PlanRequest(
        assignment={"orders": dict(enumerate(lists))},
        brokers=tuple(Broker(b, rack, live=True) for b, rack in racks.items()),
        targets=frozenset(racks),
        sizes={"orders": dict.fromkeys(range(4), 1024**3)},
    )
    plan = make_plan(request)
    batches = make_batches(plan.origin, plan.target, sizes=request.sizes, max_moves_per_broker=5)
    return make_report(request, plan, batches, 50 * MIB)
