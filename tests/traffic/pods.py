"""Checked traffic in a Kubernetes cluster: fill, run, stop, verify.

traffic = Traffic(kubectl, kubeconfig, "orders", "orders-broker:9092")
traffic.fill(topics=3, partitions=8, megabytes=20)
traffic.start()
...                                     # scale, break, restart
outcome = traffic.stop()
verdict = traffic.verify()
assert verdict.clean, verdict
traffic.close()
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from tests.traffic.checker import Verdict
from tests.traffic.ledger import Ledger
from tests.traffic.manifests import CPU, IMAGE, ledgers_config_map
from tests.traffic.runner import Kubectl, PodRunner, TrafficPodError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.traffic.follow import Line

__all__ = ["Kubectl", "Outcome", "Traffic", "TrafficOptions", "TrafficPodError"]

CONSUMER_FAULTS = ("missing", "reordered", "duplicated", "corrupt", "rewritten")

_POLL_SECONDS = 0.3
_START_POD_SECONDS = 30.0
_FLOW_SECONDS = 90.0
_PRODUCERS = {"produce": "produced", "transact": "transacted"}
"""Roles, and the kind of their final lines."""


@dataclass(frozen=True, slots=True)
class TrafficOptions:
    """How traffic is made.

    Attributes:
        name: Begins the names of all its objects; one run of a name at a time in a namespace.
        image: Full name of the traffic image.
        prefix: Names of the topics begin so.
        rate: Records per second over all partitions.
        transactional_rate: The same, of a second producer, in transactions; 0 = there is none.
        size: Bytes of a record.
        cpu: Processors that each pod asks for.
        node: Node that the pods run on; any, if None.
        program: The kubectl program, for following logs.
    """

    name: str = "traffic"
    image: str = IMAGE
    prefix: str = "checked-"
    rate: int = 500
    transactional_rate: int = 0
    size: int = 200
    cpu: str = CPU
    node: str | None = None
    program: str = "kubectl"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What producers and consumer said in the end, the producers together.

    Attributes:
        acked: Records acknowledged by the brokers, those of `fill` not counted.
        sent: Records handed to the client.
        failed: Records that were refused for good.
        unresolved: Records without an answer when time was up.
        failure: Why the producer gave up; empty if it did not.
        ack_gap_max_s: Longest time in seconds without an ack while some were due.
        consumed: The consumer's counts, see `LogChecker.totals`.
        behind: What it had not read to the end, with where its fetching stood, and its complaints.
    """

    acked: int
    sent: int
    failed: int
    unresolved: int
    failure: str
    ack_gap_max_s: float
    consumed: dict[str, int]
    behind: str = ""

    def faults(self, verdict: Verdict) -> list[str]:
        """Return what is wrong with a run and the log it left, in sentences; usually nothing.

        Args:
            verdict: The whole log against all that was ever acknowledged.
        """
        found = [] if verdict.clean else [f"the log is not what was acknowledged: {verdict}"]
        if self.failure or self.failed or self.unresolved:
            found.append(
                f"the producer was failed: {self.failure or 'no reason given'}, {self.failed} "
                f"records refused, {self.unresolved} without an answer"
            )
        if (read := self.consumed.get("consumed", 0)) < verdict.acked:
            found.append(
                f"the consumer read {read} of the {verdict.acked} acknowledged records"
                f"{self.behind and ': '}{self.behind}"
            )
        found += [
            f"the consumer saw {count} records {fault}"
            for fault in CONSUMER_FAULTS
            if (count := self.consumed.get(fault, 0))
        ]
        return found


class Traffic:
    """Checked traffic to the brokers at `bootstrap`; all that was acked is kept in `ledgers`."""

    def __init__(
        self,
        kubectl: Kubectl,
        kubeconfig: Path | None,
        namespace: str,
        bootstrap: str,
        *,
        options: TrafficOptions | None = None,
        on_line: Callable[[Line], None] = lambda _: None,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            kubectl: Runs kubectl.
            kubeconfig: For following logs; kubectl's own choice, if None.
            namespace: Where the pods run; it must exist.
            bootstrap: host:port of a broker, as pods see it.
            options: How traffic is made.
            on_line: Gets every JSON line of every pod, from several threads.
        """
        self.options = options or TrafficOptions()
        self.namespace = namespace
        self.bootstrap = bootstrap
        self.ledgers: list[Ledger] = []
        self._runs = 0
        self._pods = PodRunner(
            kubectl,
            kubeconfig,
            namespace,
            run=self.options.name,
            on_line=on_line,
            image=self.options.image,
            cpu=self.options.cpu,
            node=self.options.node,
            program=self.options.program,
        )

    def fill(
        self,
        *,
        topics: int = 12,
        partitions: int = 20,
        replication: int = 3,
        megabytes: float = 200,
        timeout: float = 240,
    ) -> Line:
        """Make topics and put checked bytes on them; return the tool's final line.

        Raises:
            TrafficPodError: If that fails or takes longer than `timeout` seconds.
        """
        sizes = {
            "topics": topics,
            "partitions": partitions,
            "replication": replication,
            "megabytes": megabytes,
            "timeout": timeout,
        }
        options = [text for key, value in sizes.items() for text in (f"--{key}", str(value))]
        self._launch("fill", *self._topics(), *options)
        line = self._pods.result("fill", "filled", timeout + _START_POD_SECONDS)
        self.ledgers.append(Ledger.from_json(line))
        return line

    def start(self, *, observe: bool = True, outage: bool = False) -> None:
        """Start the producers, the consumer and, if asked, an observer of the brokers' metadata.

        Returns when records are acked and consumed.

        Args:
            observe: Whether to have that observer.
            outage: Whether all brokers will be down at once. All is written in transactions then,
                for librdkafka gives up what is not, see `tests.traffic.produce`.

        Raises:
            TrafficPodError: If that does not happen in time.
        """
        self._runs += 1
        rates = {"produce": self.options.rate, "transact": self.options.transactional_rate}
        if outage:
            rates = {"produce": 0, "transact": sum(rates.values())}
        group = f"{self.options.name}-{self._runs}"
        self._launch("consume", *self._topics(), "--group", group)
        for role in (role for role, rate in rates.items() if rate):
            send = ("--rate", str(rates[role]), "--size", str(self.options.size))
            self._launch(role, *self._topics(), *send)
        if observe:
            self._launch("observe", "--every", "1", command="describe")
        self.wait_until(self._flows, "records are acked and consumed", _FLOW_SECONDS)

    def _flows(self) -> bool:
        consumed = self.latest("consume")
        lines = [self.latest(role) for role in self._producers()]
        return all(line and line["acked"] for line in lines) and bool(
            consumed and consumed["consumed"]
        )

    def _producers(self) -> list[str]:
        return [role for role in _PRODUCERS if self._pods.is_running(role)]

    def latest(self, kind: str) -> Line | None:
        """Return the last line of a kind: `produce`, `transact`, `consume`, `describe`."""
        return self._pods.latest(kind)

    def wait_until(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        """Wait until a condition on the traffic's lines holds.

        Raises:
            TrafficPodError: If it does not within `timeout` seconds, or a pod ended meanwhile.
        """
        self._pods.wait_until(condition, what, timeout)

    def stop(self, timeout: float = 120) -> Outcome:
        """Stop the producers, let the consumer catch up, stop it too; return what they said.

        Raises:
            TrafficPodError: If one of them gives no final account within `timeout` seconds.
        """
        said = [self._pods.end(role, _PRODUCERS[role], timeout) for role in self._producers()]
        self.ledgers += map(Ledger.from_json, said)
        acked = sum(ledger.total for ledger in self.ledgers)
        self._let_consumer_catch_up(acked, timeout, to_the_end=True)
        consumed = self._pods.end("consume", "consumed", timeout)
        self._pods.discard("observe")
        return Outcome(
            acked=sum(line["total"] for line in said),
            sent=sum(line["sent"] for line in said),
            failed=sum(line["failed"] for line in said),
            unresolved=sum(line["unresolved"] for line in said),
            failure="; ".join(line["failure"] for line in said if line["failure"]),
            ack_gap_max_s=max(line["ack_gap_max_s"] for line in said),
            consumed={key: value for key, value in consumed.items() if isinstance(value, int)},
            behind=f"{consumed['behind']}, after {consumed['complaints']}",
        )

    def check(self, timeout: float = 120) -> tuple[Verdict, dict[str, int]]:
        """Judge the log while the traffic goes on; return that, and the consumer's counts.

        The log is read as far as it went when the producers had said what was acked so far, and the
        consumer is waited for until it has read as much.

        Raises:
            TrafficPodError: If one of them does not answer, or the log cannot be read in time.
        """
        said = [self._pods.ask(role, "USR1", "ledger", timeout) for role in self._producers()]
        ledgers = [*self.ledgers, *map(Ledger.from_json, said)]
        verdict = self._verify(ledgers, timeout)
        self._let_consumer_catch_up(verdict.acked, timeout)
        line = self.latest("consume") or {}
        return verdict, {key: value for key, value in line.items() if isinstance(value, int)}

    def _let_consumer_catch_up(
        self, wanted: int, timeout: float, *, to_the_end: bool = False
    ) -> None:
        """Wait until it has read so many. If it reads no more for so long, records are lost."""
        deadline, read = time.monotonic() + timeout, 0
        while time.monotonic() < deadline and not self._pods.has_ended("consume"):
            line = self.latest("consume")
            if line and line["consumed"] >= wanted and (line["lag"] == 0 or not to_the_end):
                return
            if line and line["consumed"] > read:
                deadline, read = time.monotonic() + timeout, line["consumed"]
            time.sleep(_POLL_SECONDS)

    def verify(self, timeout: float = 180) -> Verdict:
        """Read all partitions from start to end and compare with everything that was acked.

        Raises:
            TrafficPodError: If the log cannot be read to its end within `timeout` seconds.
        """
        return self._verify(self.ledgers, timeout)

    def _verify(self, ledgers: list[Ledger], timeout: float) -> Verdict:
        name = f"{self.options.name}-ledgers"
        text = json.dumps([ledger.to_json() for ledger in ledgers])
        self._pods.apply(ledgers_config_map(name, self.namespace, self.options.name, text))
        self._launch("verify", *self._topics(), "--timeout", str(timeout), ledgers=name)
        line = self._pods.result("verify", "verdict", timeout + _START_POD_SECONDS)
        values = {each.name: line[each.name] for each in fields(Verdict)}
        return Verdict(**{**values, "examples": tuple(values["examples"])})

    def describe(self, *, assignment: bool = False) -> Line:
        """Ask the brokers now where the replicas are; see `tests.traffic.describe`.

        Raises:
            TrafficPodError: If they do not answer.
        """
        self._launch("describe", *(["--assignment"] if assignment else []))
        return self._pods.result("describe", "describe", 2 * _START_POD_SECONDS)

    def abandon(self) -> None:
        """Remove what still runs, without its account: the test that wanted it has failed."""
        self._pods.discard_all()

    def close(self) -> None:
        """Remove all of it from the cluster."""
        self._pods.close()

    def _topics(self) -> tuple[str, str]:
        return "--prefix", self.options.prefix

    def _launch(
        self, role: str, *args: str, command: str | None = None, ledgers: str | None = None
    ) -> None:
        words = [command or role, "--bootstrap", self.bootstrap, *args]
        self._pods.launch(role, words, ledgers=ledgers)
