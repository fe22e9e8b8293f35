"""An API server in memory, for everything that takes a `ports.Kubernetes`.

It keeps resource versions, generations, field ownership, the status subresource, finalizers and
owner references as the real one does; `tests/contract/kube_contract.py` holds both to that. It does
not validate, default or convert, and there are no controllers: a test plays those with `put` and
`edit`.
"""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from broker_operator.adapters.kube_wire import RESOURCES
from broker_operator.ports import ConflictError, RejectedError
from tests.fakes.store import ObjectStore, client_part, key_of, status_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from broker_operator.core.model import KubeObject

OPERATOR = "broker-operator"
SOMEBODY = "somebody"
"""Field manager of whoever else writes: people and controllers."""


class Call(NamedTuple):
    """One call of the port; `name` is empty for a list."""

    verb: str
    kind: str
    namespace: str | None
    name: str

    @property
    def writes(self) -> bool:
        """Whether it may change anything."""
        return self.verb not in ("get", "list")


class FakeKube:
    """`ports.Kubernetes` in memory.

    Args:
        namespaces: As in the real adapter: what a list without a namespace covers; empty = all.
        on_write: As in the real adapter.
        now: Gives the time for creation and deletion timestamps.

    Attributes:
        calls: Every call of the port so far, reads included, in order.
        before: Called before each call acts; a test makes it raise what the call shall fail with.
        after: Called when it has acted, before the caller hears of it; raising here loses the
            answer of something that happened.
    """

    def __init__(
        self,
        *,
        namespaces: Iterable[str] = (),
        on_write: Callable[[str], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime(2026, 1, 1, tzinfo=UTC),
    ) -> None:
        self.calls: list[Call] = []
        self.before: Callable[[Call], None] = lambda _: None
        self.after: Callable[[Call], None] = lambda _: None
        self._namespaces = frozenset(namespaces)
        self._on_write = on_write
        self._now = now
        self._store = ObjectStore(now)

    # What tests use beside the port.

    @property
    def writes(self) -> list[Call]:
        """The calls that may have changed something."""
        return [call for call in self.calls if call.writes]

    def find(self, kind: str, namespace: str, name: str) -> KubeObject | None:
        """Return an object without this counting as a call."""
        return deepcopy(self._store.get((kind, namespace, name)))

    def all(self, kind: str) -> Iterable[KubeObject]:
        """Return all objects of a kind without this counting as a call."""
        return [deepcopy(body) for body in self._store.of_kind(kind)]

    def put(self, body: KubeObject) -> KubeObject:
        """Create or replace an object, status included, as somebody else."""
        key = key_of(body)
        if self._store.get(key) is None:
            self._store.insert(body, SOMEBODY)
        self._store.replace(key, client_part(body) | status_part(body), SOMEBODY)
        return self._live(body)

    def edit(
        self, kind: str, namespace: str, name: str, change: Callable[[KubeObject], object]
    ) -> KubeObject:
        """Let somebody else change an object in place: a person its spec, a controller its status.

        Raises:
            KeyError: There is no such object.
        """
        if (body := self.find(kind, namespace, name)) is None:
            raise KeyError(f"{kind} {namespace}/{name}")
        change(body)
        return self.put(body)

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """Let somebody else delete an object; its finalizers still hold it."""
        self._store.delete((kind, namespace, name))

    # The port.

    async def get(self, kind: str, namespace: str, name: str) -> KubeObject | None:
        """See `ports.Kubernetes.get`."""
        call = self._enter("get", kind, namespace, name)
        found = self.find(kind, namespace, name)
        self.after(call)
        return found

    async def list(
        self, kind: str, namespace: str | None, labels: Mapping[str, str] | None = None
    ) -> list[KubeObject]:
        """See `ports.Kubernetes.list`."""
        call = self._enter("list", kind, namespace, "")
        wanted = (labels or {}).items()
        found = [
            body
            for body in self.all(kind)
            if self._covers(namespace, body["metadata"]["namespace"])
            and wanted <= body["metadata"].get("labels", {}).items()
        ]
        self.after(call)
        return found

    async def create(self, body: KubeObject) -> KubeObject:
        """See `ports.Kubernetes.create`."""
        call = self._enter("create", *key_of(body))
        if self._store.get(key_of(body)) is not None:
            raise ConflictError(f"cannot create {_shown(body)}: it exists already")
        self._store.insert(body, f"{OPERATOR}/Update")
        self.after(call)
        return self._live(body)

    async def apply(self, body: KubeObject) -> KubeObject:
        """See `ports.Kubernetes.apply`."""
        call = self._enter("apply", *key_of(body))
        if "managedFields" in body["metadata"]:
            raise RejectedError(f"cannot apply {_shown(body)}: metadata.managedFields must be nil")
        self._check_preconditions(body, "uid", "resourceVersion")
        if self._store.get(key_of(body)) is None:
            self._store.insert(body, f"{OPERATOR}/Apply")
        else:
            self._store.apply(key_of(body), client_part(body), f"{OPERATOR}/Apply")
        self.after(call)
        return self._live(body)

    async def apply_status(self, body: KubeObject) -> KubeObject:
        """See `ports.Kubernetes.apply_status`."""
        call = self._enter("apply_status", *key_of(body))
        if (live := self.find(*key_of(body))) is None:
            raise ConflictError(f"cannot apply the status of {_shown(body)}: it is gone")
        self._check_preconditions(body, "resourceVersion")
        if body["status"]:
            self._store.apply(key_of(body), status_part(body), f"{OPERATOR}/Apply/status")
        else:
            self._store.replace(key_of(body), client_part(live), f"{OPERATOR}/Update/status")
        self.after(call)
        return self._live(body)

    async def set_finalizers(
        self,
        body: KubeObject,
        finalizers: Iterable[str],
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """See `ports.Kubernetes.set_finalizers`."""
        call = self._enter("set_finalizers", *key_of(body))
        if (live := self.find(*key_of(body))) is None:
            raise ConflictError(f"cannot set finalizers of {_shown(body)}: it is gone")
        self._check_preconditions(body, "resourceVersion")
        names = [*finalizers]
        added = set(names) - set(live["metadata"].pop("finalizers", []))
        if added and "deletionTimestamp" in live["metadata"]:
            raise RejectedError(f"no new finalizers on {_shown(body)}, it is being deleted")
        if names:
            live["metadata"]["finalizers"] = names
        if annotations:
            live["metadata"].setdefault("annotations", {}).update(annotations)
        content = client_part(live) | status_part(live)
        self._store.replace(key_of(body), content, f"{OPERATOR}/Update")
        self.after(call)

    async def delete(self, kind: str, namespace: str, name: str, uid: str | None = None) -> None:
        """See `ports.Kubernetes.delete`."""
        call = self._enter("delete", kind, namespace, name)
        self._store.delete((kind, namespace, name), uid)
        self.after(call)

    def _enter(self, verb: str, kind: str, namespace: str | None, name: str) -> Call:
        if kind not in RESOURCES:
            raise KeyError(kind)  # as the real adapter does
        call = Call(verb, kind, namespace, name)
        self.calls.append(call)
        if call.writes:
            self._on_write(verb)
        self.before(call)
        return call

    def _covers(self, asked: str | None, namespace: str) -> bool:
        if asked is not None:
            return asked == namespace
        return not self._namespaces or namespace in self._namespaces

    def _check_preconditions(self, body: KubeObject, *keys: str) -> None:
        live = (self._store.get(key_of(body)) or {}).get("metadata", {})
        for key in keys:
            if (expected := body["metadata"].get(key)) and expected != live.get(key):
                raise ConflictError(f"{_shown(body)} has {key} {live.get(key)}, not {expected}")

    def _live(self, body: KubeObject) -> KubeObject:
        return deepcopy(self._store.get(key_of(body)) or {})


def _shown(body: KubeObject) -> str:
    return "{} {}/{}".format(*key_of(body))
