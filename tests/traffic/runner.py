"""Pods of the traffic tool: start one for a role, follow it, end it, get its last word."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from tests.traffic.follow import Line, LogFollower, Writer
from tests.traffic.manifests import CPU, IMAGE, labels, pod

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import CompletedProcess

_POLL_SECONDS = 0.3


class TrafficPodError(Exception):
    """A pod of the traffic did not do its work; the message has the end of its log."""


class Kubectl(Protocol):
    """Runs kubectl for the cluster in question."""

    def __call__(
        self, *args: str, stdin: str | None = None, check: bool = True
    ) -> CompletedProcess[str]:
        """Run it with these arguments; with `check`, a failure raises."""
        ...


@dataclass(slots=True)
class _Running:
    name: str
    log: LogFollower


@dataclass(slots=True)
class PodRunner:
    """Runs commands of the tool, one pod for each role, and follows what they print.

    Attributes:
        kubectl: Runs kubectl.
        kubeconfig: For following logs; kubectl's own choice, if None.
        namespace: Of the pods.
        run: Begins the names of the pods, and labels them.
        on_line: Gets every JSON line of every pod, from several threads.
        image: Full name of the image.
        cpu: Processors that each pod asks for.
        node: Node that the pods run on; any, if None.
        program: The kubectl program, for following logs.
    """

    kubectl: Kubectl
    kubeconfig: Path | None
    namespace: str
    run: str
    on_line: Callable[[Line], None]
    image: str = IMAGE
    cpu: str = CPU
    node: str | None = None
    program: str = "kubectl"
    _running: dict[str, _Running] = field(default_factory=dict)

    def launch(self, role: str, args: list[str], *, ledgers: str | None = None) -> None:
        """Start the pod of a role anew and follow it; see `manifests.pod` for the arguments."""
        self.discard(role)
        name = self._name(role)
        manifest = pod(
            name,
            self.namespace,
            self.run,
            args,
            image=self.image,
            cpu=self.cpu,
            node=self.node,
            ledgers=ledgers,
        )
        self.apply(manifest)
        config = ["--kubeconfig", str(self.kubeconfig)] if self.kubeconfig else []
        argv = [self.program, *config, "-n", self.namespace, "logs", "-f", name]
        log = LogFollower(argv, lambda: self._writer(name), self.on_line)
        self._running[role] = _Running(name, log)
        log.start()

    def latest(self, kind: str) -> Line | None:
        """Return the last line of a kind that any pod printed."""
        lines = [running.log.latest(kind) for running in self._running.values()]
        return next((line for line in lines if line), None)

    def ask(self, role: str, number: str, kind: str, timeout: float) -> Line:
        """Send a signal to a pod's program and return the line of this kind that answers it.

        Raises:
            TrafficPodError: If there is none within `timeout` seconds.
        """
        log = self._running[role].log
        before = log.latest(kind)
        shell = ("sh", "-c", f"kill -{number} 1")
        self._call("exec", self._running[role].name, "--", *shell)
        self.wait_until(lambda: log.latest(kind) != before, f"{role} says its {kind}", timeout)
        line = log.latest(kind)
        assert line is not None
        return line

    def is_running(self, role: str) -> bool:
        """Whether the pod of a role was launched and not ended from here."""
        return role in self._running

    def has_ended(self, role: str) -> bool:
        """Whether the pod of a role has ended."""
        return self._running[role].log.wait(0)

    def wait_until(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        """Wait until a condition on the lines holds.

        Raises:
            TrafficPodError: If it does not within `timeout` seconds, or a pod ended meanwhile.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            for role in list(self._running):
                if self.has_ended(role):
                    raise self._error(role, f"ended while waiting until {what}")
            if time.monotonic() > deadline:
                raise TrafficPodError(f"not within {timeout:.0f} s: {what}\n{self._all_words()}")
            time.sleep(_POLL_SECONDS)

    def end(self, role: str, kind: str, timeout: float) -> Line:
        """Ask a pod to end and return its last line of this kind.

        Asks from within, for a pod that is deleted takes its log with it.

        Raises:
            TrafficPodError: If there is none within `timeout` seconds.
        """
        if not self.has_ended(role):
            shell = ("sh", "-c", "kill -TERM 1")
            self._call("exec", self._running[role].name, "--", *shell, check=False)
        return self.result(role, kind, timeout)

    def result(self, role: str, kind: str, timeout: float) -> Line:
        """Wait until a pod has ended by itself, and return its last line of this kind.

        Raises:
            TrafficPodError: If there is none within `timeout` seconds.
        """
        running = self._running[role]
        if not running.log.wait(timeout):
            raise self._error(role, f"did not end within {timeout:.0f} s")
        line = running.log.latest(kind)
        if line is None:
            raise self._error(role, "gave no account of its work")
        self.discard(role)
        return line

    def discard(self, role: str) -> None:
        """Remove the pod of a role, if there is one, from this or an earlier run."""
        if role in self._running:
            self._running.pop(role).log.close()
        self._call("delete", "pod", self._name(role), "--now", "--ignore-not-found")

    def discard_all(self) -> None:
        """Remove every pod that was launched and not ended."""
        for role in list(self._running):
            self.discard(role)

    def close(self) -> None:
        """Remove everything with this run's labels."""
        for running in self._running.values():
            running.log.close()
        self._running.clear()
        chosen = ",".join(f"{key}={value}" for key, value in labels(self.run).items())
        self._call("delete", "pod,configmap", "-l", chosen, "--now", "--ignore-not-found")

    def apply(self, manifest: dict[str, Any]) -> None:
        """Apply an object."""
        self._call("apply", "-f", "-", stdin=json.dumps(manifest))

    def _name(self, role: str) -> str:
        return f"{self.run}-{role}"

    def _error(self, role: str, what: str) -> TrafficPodError:
        running = self._running[role]
        state = self._call("get", "pod", running.name, "-o", "jsonpath={.status}", check=False)
        words = running.log.words() or state.stdout or state.stderr
        return TrafficPodError(f"pod {running.name} {what}\n{words}")

    def _all_words(self) -> str:
        parts = [(running.name, running.log.words()) for running in self._running.values()]
        return "\n".join(f"{name}: {words}" for name, words in parts if words)

    def _writer(self, name: str) -> Writer:
        answer = self._call("get", "pod", name, "-o", "jsonpath={.status.phase}", check=False)
        if "(NotFound)" in answer.stderr:
            return "gone"
        return "ended" if answer.stdout.strip() in {"Succeeded", "Failed"} else "writing"

    def _call(
        self, *args: str, stdin: str | None = None, check: bool = True
    ) -> CompletedProcess[str]:
        return self.kubectl("-n", self.namespace, *args, stdin=stdin, check=check)
