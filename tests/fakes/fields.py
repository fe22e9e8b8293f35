"""Who owns which field: server-side apply's merging, as far as our own objects need it.

A field is named by its path; a step is a key of a map or an `Item` of a list whose items have an
identity. All other lists are atomic: they have one owner and are replaced as a whole, as in
Kubernetes.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

LIST_KEYS: dict[str, tuple[str, ...]] = {
    "conditions": ("type",),
    "containers": ("name",),
    "env": ("name",),
    "finalizers": (),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "racks": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
"""Lists with identities by the name of their field; no keys: a set of plain values."""

_PORTS = "ports"
_PROTOCOL = "TCP"


class Item(NamedTuple):
    """The step to a list's item: the values of its keys."""

    identity: tuple[Any, ...]


Step: TypeAlias = "str | Item"
Path: TypeAlias = "tuple[Step, ...]"

_ABSENT = object()


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the path of every scalar, atomic list and empty map in `value`."""
    if children := list(_children(value, path)):
        for step, child in children:
            yield from leaves(child, (*path, step))
    else:
        yield path


def value_at(value: Any, path: Path) -> Any:
    """Return what `value` holds at a path; a marker equal only to itself if that is nothing."""
    for depth, step in enumerate(path):
        value = dict(_children(value, path[:depth])).get(step, _ABSENT)
    return value


def merged(live: Any, applied: Any, path: Path = ()) -> Any:
    """Return `live` with every field of `applied` set; neither argument is changed."""
    if isinstance(live, dict) and isinstance(applied, dict):
        result = dict(live)
        for key, value in applied.items():
            result[key] = merged(live.get(key), value, (*path, key))
        return result
    if isinstance(live, list) and isinstance(applied, list) and _has_identities(path):
        old = dict(_children(live, path))
        new = {s: merged(old.get(s), v, (*path, s)) for s, v in _children(applied, path)}
        return [*new.values(), *(value for step, value in old.items() if step not in new)]
    return deepcopy(applied)


def without(value: Any, paths: Collection[Path], at: Path = ()) -> Any:
    """Return `value` less some fields, and less the maps and items that this leaves empty."""
    if () in paths:
        return _ABSENT
    kept = {
        step: without(child, [path[1:] for path in paths if path[0] == step], (*at, step))
        for step, child in _children(value, at)
    }
    if not kept:
        return value
    kept = {step: child for step, child in kept.items() if child is not _ABSENT}
    if not kept and at:
        return _ABSENT
    return list(kept.values()) if isinstance(value, list) else kept


def _children(value: Any, path: Path) -> Iterator[tuple[Step, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list) and _has_identities(path):
        for item in value:
            yield Item(_identity(path, item)), item


def _has_identities(path: Path) -> bool:
    return bool(path) and (path[-1] in LIST_KEYS or path[-1] == _PORTS)


def _identity(path: Path, item: Any) -> tuple[Any, ...]:
    if path[-1] == _PORTS:  # keyed by containerPort in a container, by port in a Service
        return (item.get("containerPort", item.get("port")), item.get("protocol", _PROTOCOL))
    keys = LIST_KEYS[str(path[-1])]
    return tuple(item[key] for key in keys) if keys else (item,)
