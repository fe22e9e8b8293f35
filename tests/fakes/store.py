"""The objects of the API server in memory: versions, generations, owners of fields, deletion."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from tests.fakes.fields import Path, leaves, merged, value_at, without

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from broker_operator.core.model import KubeObject

Key = tuple[str, str, str]
"""Kind, namespace and name."""

_NO_STATUS = {"ConfigMap", "Event", "ServiceAccount"}
_NO_GENERATION = _NO_STATUS | {"PersistentVolumeClaim", "Service"}
_SERVER_OWNED = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "resourceVersion",
    "uid",
)
_IDENTITY: set[Path] = {
    ("apiVersion",),
    ("kind",),
    ("metadata", "name"),
    ("metadata", "namespace"),
}


@dataclass(slots=True)
class _Stored:
    """An object, and who owns which of its fields (manager and operation -> paths)."""

    body: KubeObject
    owners: dict[str, set[Path]] = field(default_factory=dict)


class ObjectStore:
    """What etcd and the API server's registry are to the real thing.

    Bodies that go in are copied; those that come out belong to the store.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._objects: dict[Key, _Stored] = {}
        self._version = 0
        self._uids = 0

    def get(self, key: Key) -> KubeObject | None:
        """Return an object."""
        stored = self._objects.get(key)
        return stored.body if stored else None

    def of_kind(self, kind: str) -> Iterator[KubeObject]:
        """Yield all objects of a kind by namespace and name."""
        for key, stored in sorted(self._objects.items(), key=lambda entry: entry[0]):
            if key[0] == kind:
                yield stored.body

    def insert(self, body: KubeObject, owner: str) -> None:
        """Add an object without its status, all fields owned by `owner`."""
        content = client_part(body)
        owners = {owner: _owned(content)}
        self._uids += 1
        meta = content["metadata"]
        meta["uid"] = str(UUID(int=self._uids))
        meta["creationTimestamp"] = self._timestamp()
        if body["kind"] not in _NO_GENERATION:
            meta["generation"] = 1
        self._objects[key_of(body)] = _Stored(content, owners)
        self._touch(content)

    def apply(self, key: Key, applied: KubeObject, owner: str) -> None:
        """Server-side apply, forced: `applied` is all that `owner` owns from now on."""
        stored = self._objects[key]
        wanted = _owned(applied)
        others = {who: paths for who, paths in stored.owners.items() if who != owner}
        dropped = stored.owners.get(owner, set()) - wanted - set().union(*others.values())
        result: KubeObject = without(merged(stored.body, applied), dropped)
        taken = {p for p in wanted if value_at(stored.body, p) != value_at(applied, p)}
        owners = {who: paths - taken for who, paths in others.items()} | {owner: wanted}
        self._store(key, result, owners)

    def replace(self, key: Key, content: KubeObject, owner: str) -> None:
        """Update: what changes is `owner`'s alone afterwards, what is left out is gone."""
        stored = self._objects[key]
        kept = {k: v for k, v in stored.body["metadata"].items() if k in _SERVER_OWNED}
        result = {**deepcopy(content), "metadata": {**deepcopy(content["metadata"]), **kept}}
        present = _owned(content)
        changed = {p for p in present if value_at(stored.body, p) != value_at(result, p)}
        owners = {who: (paths & present) - changed for who, paths in stored.owners.items()}
        owners[owner] = owners.get(owner, set()) | changed
        self._store(key, result, owners)

    def delete(self, key: Key, uid: str | None = None) -> None:
        """Remove an object, or mark it while finalizers hold it; another uid is left alone."""
        stored = self._objects.get(key)
        if stored is None or uid not in (None, stored.body["metadata"]["uid"]):
            return
        meta = stored.body["metadata"]
        if not meta.get("finalizers"):
            self._drop(key)
        elif "deletionTimestamp" not in meta:
            meta["deletionTimestamp"] = self._timestamp()
            meta["deletionGracePeriodSeconds"] = 0
            if "generation" in meta:
                meta["generation"] += 1
            self._touch(stored.body)

    def _store(self, key: Key, result: KubeObject, owners: dict[str, set[Path]]) -> None:
        stored = self._objects[key]
        owners = {who: paths for who, paths in owners.items() if paths}
        if result == stored.body and owners == stored.owners:
            return
        meta = result["metadata"]
        if key[0] not in _NO_GENERATION and _desired(result) != _desired(stored.body):
            meta["generation"] += 1
        self._objects[key] = _Stored(result, owners)
        self._touch(result)
        if "deletionTimestamp" in meta and not meta.get("finalizers"):
            self._drop(key)

    def _touch(self, body: KubeObject) -> None:
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)

    def _drop(self, key: Key) -> None:
        """Remove an object and, as the garbage collector would, what nobody else owns."""
        gone = self._objects.pop(key).body["metadata"]["uid"]
        alive = {stored.body["metadata"]["uid"] for stored in self._objects.values()}
        for other, stored in list(self._objects.items()):
            uids = {ref["uid"] for ref in stored.body["metadata"].get("ownerReferences", [])}
            if gone in uids and not uids & alive:
                self.delete(other, stored.body["metadata"]["uid"])

    def _timestamp(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%SZ")


def key_of(body: KubeObject) -> Key:
    """Return where an object belongs."""
    return body["kind"], body["metadata"]["namespace"], body["metadata"]["name"]


def client_part(body: KubeObject) -> KubeObject:
    """Return a copy of what a client may set by the main resource."""
    content = deepcopy(body)
    if body["kind"] not in _NO_STATUS:
        content.pop("status", None)
    for key in _SERVER_OWNED:
        content["metadata"].pop(key, None)
    return content


def status_part(body: KubeObject) -> KubeObject:
    """Return a copy of what a client may set by the status subresource."""
    return {"status": deepcopy(body["status"])} if "status" in body else {}


def _owned(content: KubeObject) -> set[Path]:
    return set(leaves(content)) - _IDENTITY


def _desired(body: KubeObject) -> KubeObject:
    return {key: value for key, value in body.items() if key not in ("metadata", "status")}
