"""What the Kubernetes adapter sends and gets: paths of kinds, and answers turned into errors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from broker_operator.ports import ConflictError, RejectedError, TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker_operator.core.model import KubeObject


@dataclass(frozen=True, slots=True)
class Resource:
    """Where the API server keeps a namespaced kind."""

    api_version: str
    plural: str

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """Return the URL path of a collection, an object or its subresource."""
        root = "/apis" if "/" in self.api_version else "/api"
        scope = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        parts = "".join(f"/{quote(part, safe='')}" for part in (name, subresource) if part)
        return f"{root}/{self.api_version}{scope}/{self.plural}{parts}"


RESOURCES: Mapping[str, Resource] = {
    "BrokerCluster": Resource("broker-operator.dev/v1alpha1", "brokerclusters"),
    "ConfigMap": Resource("v1", "configmaps"),
    "Event": Resource("v1", "events"),
    "PersistentVolumeClaim": Resource("v1", "persistentvolumeclaims"),
    "Pod": Resource("v1", "pods"),
    "PodDisruptionBudget": Resource("policy/v1", "poddisruptionbudgets"),
    "Reassignment": Resource("broker-operator.dev/v1alpha1", "reassignments"),
    "Service": Resource("v1", "services"),
    "ServiceAccount": Resource("v1", "serviceaccounts"),
    "StatefulSet": Resource("apps/v1", "statefulsets"),
}
"""Every kind this operator reads or writes, and so everything its RBAC rules have to name."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about.

    Attributes:
        name: Empty for a collection.
        shown: Name to show to people where `name` is empty: of the object to be created.
    """

    kind: str
    namespace: str | None
    name: str = ""
    subresource: str = ""
    shown: str = ""

    @classmethod
    def of(cls, body: KubeObject, *, named: bool = True, subresource: str = "") -> Target:
        """Return the place of an object: itself, its subresource, or the collection it goes to."""
        meta = body["metadata"]
        name = meta["name"]
        return cls(body["kind"], meta["namespace"], name if named else "", subresource, shown=name)

    @property
    def resource(self) -> Resource:
        """Where the server keeps this kind; KeyError for one this operator has no business with."""
        return RESOURCES[self.kind]

    @property
    def path(self) -> str:
        """The URL path."""
        return self.resource.path(self.namespace, self.name, self.subresource)

    def __str__(self) -> str:
        """For people: `StatefulSet kafka/demo-broker status`."""
        place = "/".join(part for part in (self.namespace, self.shown or self.name) if part)
        return " ".join(part for part in (self.kind, place, self.subresource) if part)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server answered.

    Attributes:
        body: The object asked for or, after a failure, a `Status` if the server sent one.
    """

    target: Target
    status: int
    body: Any

    @property
    def absent(self) -> bool:
        """Whether the object does not exist; not just its type, namespace or a proxy's page."""
        return self.status == HTTPStatus.NOT_FOUND and self._details == (
            self.target.name,
            self.target.resource.plural,
        )

    def unwrap(self, verb: str) -> KubeObject:
        """Return the object, or raise what the port promises for this failure."""
        if self.status < HTTPStatus.MULTIPLE_CHOICES and isinstance(self.body, dict):
            return without_ownership(self.body)
        text = f"cannot {verb} {self.target}: {self._message} (HTTP {self.status})"
        if self.status == HTTPStatus.CONFLICT or self.absent:
            raise ConflictError(text)
        if self.status in _FINAL or _UNDECLARED in self._message:
            raise RejectedError(text)
        raise TransientError(text)

    @property
    def _message(self) -> str:
        if isinstance(self.body, dict) and self.body.get("message"):
            return str(self.body["message"])
        return "the server gave no reason"

    @property
    def _details(self) -> tuple[Any, Any]:
        details = (self.body.get("details") if isinstance(self.body, dict) else None) or {}
        return details.get("name"), details.get("kind")


_FINAL = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
"""Refusals that the same request would meet again. Everything else, 401 and a 404 of a type that is
not served yet included, may pass."""
_UNDECLARED = "failed to create typed patch object"
"""What server-side apply answers, as an internal error, to a field that the kind does not have."""


def without_ownership(item: KubeObject) -> KubeObject:
    """Return the object less `managedFields`: up to half of it, and refused when sent back."""
    item.get("metadata", {}).pop("managedFields", None)
    return item


def decoded(data: bytes) -> Any:
    """Return the JSON, or None: proxies answer in HTML, and so does a path nobody serves."""
    try:
        return json.loads(data)
    except ValueError:
        return None
