"""The Kubernetes API server over HTTP: dicts in, dicts out.

Of the official client only the transport is used: pool, TLS, credentials. Its typed models would
cost more memory and time than everything else in this process.
"""

from __future__ import annotations

import logging
import os
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
from kubernetes.aio import config as kube_config
from kubernetes.aio.client import ApiClient, Configuration

from broker_operator import __version__
from broker_operator.adapters.kube_wire import Answer, Target, decoded, without_ownership
from broker_operator.ports import RejectedError, TransientError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from broker_operator.core.model import KubeObject

FIELD_MANAGER = "broker-operator"
TIMEOUT = 30.0
"""Seconds that one request may take, connecting and reading included."""
PAGE = 500
"""Objects asked for at once by a list; the server holds each page in memory, and so do we."""

_LOG = logging.getLogger(__name__)
_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"


async def connect(kubeconfig: str | None = None, context: str | None = None) -> ApiClient:
    """Return a client with the credentials found, to be closed by the caller.

    In a pod it is the service account, whose token, which the kubelet replaces, is read again every
    minute. Elsewhere, or if `kubeconfig` or `context` is given, it is a kubeconfig, read once:
    `kubeconfig`, else `$KUBECONFIG`, else the one in the home folder. Credentials from it are
    not renewed.

    Raises:
        RejectedError: There are no credentials, or they cannot be read.
    """
    settings = Configuration()
    try:
        if kubeconfig or context or not _in_pod():
            await kube_config.load_kube_config(
                kubeconfig, context, client_configuration=settings, persist_config=False
            )
        else:
            kube_config.load_incluster_config(settings)
    except (kube_config.ConfigException, OSError) as error:
        raise RejectedError(f"cannot find credentials for a Kubernetes API: {error}") from error
    client = ApiClient(settings)
    client.user_agent = f"{FIELD_MANAGER}/{__version__}"
    return client


class KubeApi:
    """`ports.Kubernetes` on a live API server.

    Args:
        client: What `connect` returned. Several of these may share one.
        namespaces: The namespaces watched; empty = all, which needs cluster-wide rights.
        on_write: Called with the name of the method before every write is attempted.
        timeout: Seconds that one request may take.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        namespaces: Iterable[str] = (),
        on_write: Callable[[str], None] = lambda _: None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._client = client
        self._namespaces: Sequence[str | None] = tuple(namespaces) or (None,)
        self._on_write = on_write
        self._timeout = timeout

    async def get(self, kind: str, namespace: str, name: str) -> KubeObject | None:
        """See `ports.Kubernetes.get`."""
        target = Target(kind, namespace, name)
        answer = await self._send("GET", target)
        return None if answer.absent else answer.unwrap("get")

    async def list(
        self, kind: str, namespace: str | None, labels: Mapping[str, str] | None = None
    ) -> list[KubeObject]:
        """See `ports.Kubernetes.list`.

        A watched namespace that we have no rights in any more, as when it was deleted, holds
        nothing that we serve: it must not keep the others from being served.
        """
        scopes = self._namespaces if namespace is None else (namespace,)
        selector = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
        found: list[KubeObject] = []
        for scope in scopes:
            try:
                found += [item async for item in self._items(kind, scope, selector)]
            except RejectedError as error:
                if namespace is not None or scope is None:
                    raise
                _LOG.warning("Passing over namespace %s: %s", scope, error)
        return found

    async def create(self, body: KubeObject) -> KubeObject:
        """See `ports.Kubernetes.create`."""
        self._on_write("create")
        target = Target.of(body, named=False)
        answer = await self._send("POST", target, {"fieldManager": FIELD_MANAGER}, body)
        return answer.unwrap("create")

    async def apply(self, body: KubeObject) -> KubeObject:
        """See `ports.Kubernetes.apply`."""
        self._on_write("apply")
        return await self._apply(Target.of(body), body)

    async def apply_status(self, body: KubeObject) -> KubeObject:
        """See `ports.Kubernetes.apply_status`. Only name, version and status are sent.

        The endpoint ignores a uid; a resourceVersion, if there is one, is a precondition.
        """
        self._on_write("apply_status")
        kept = ("name", "namespace", "resourceVersion")
        meta = {key: value for key, value in body["metadata"].items() if key in kept}
        identity = {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": meta}
        target = Target.of(body, subresource="status")
        if body["status"]:
            return await self._apply(target, identity | {"status": body["status"]})
        # An apply that leaves nothing of a map makes null of it (`removingWalker.doMap` of
        # structured-merge-diff), and the API server refuses that for good.
        manager = {"fieldManager": FIELD_MANAGER}
        answer = await self._send("PATCH", target, manager, identity | {"status": None}, _MERGE)
        return answer.unwrap("apply")

    async def set_finalizers(
        self,
        body: KubeObject,
        finalizers: Iterable[str],
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """See `ports.Kubernetes.set_finalizers`."""
        self._on_write("set_finalizers")
        version = body["metadata"]["resourceVersion"]
        metadata: KubeObject = {"resourceVersion": version, "finalizers": [*finalizers]}
        if annotations:
            metadata["annotations"] = {**annotations}
        manager = {"fieldManager": FIELD_MANAGER}
        answer = await self._send("PATCH", Target.of(body), manager, {"metadata": metadata}, _MERGE)
        answer.unwrap("set finalizers of")

    async def delete(self, kind: str, namespace: str, name: str, uid: str | None = None) -> None:
        """See `ports.Kubernetes.delete`. Dependents are collected in the background."""
        self._on_write("delete")
        options: KubeObject = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
        }
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        answer = await self._send("DELETE", Target(kind, namespace, name), body=options)
        if answer.absent:
            return
        if answer.status == HTTPStatus.CONFLICT and uid is not None:
            live = await self.get(kind, namespace, name)
            if live is None or live["metadata"]["uid"] != uid:
                return
        answer.unwrap("delete")

    async def _apply(self, target: Target, body: KubeObject) -> KubeObject:
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        answer = await self._send("PATCH", target, query, body, _APPLY)
        return answer.unwrap("apply")

    async def _items(
        self, kind: str, namespace: str | None, selector: str
    ) -> AsyncIterator[KubeObject]:
        target = Target(kind, namespace)
        query = {"limit": str(PAGE)} | ({"labelSelector": selector} if selector else {})
        identity = {"apiVersion": target.resource.api_version, "kind": kind}
        while True:
            page = (await self._send("GET", target, query)).unwrap("list")
            for item in page["items"]:
                # The server names neither version nor kind in lists of its own kinds.
                yield identity | without_ownership(item)
            if not (more := page["metadata"].get("continue")):
                return
            query["continue"] = more

    async def _send(
        self,
        method: str,
        target: Target,
        query: Mapping[str, str] | None = None,
        body: KubeObject | None = None,
        content_type: str = _JSON,
    ) -> Answer:
        try:
            method, url, headers, payload, _ = await self._client.param_serialize(
                method,
                target.path,
                query_params=[*(query or {}).items()],
                header_params={"Accept": _JSON, "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
            )
            response = await self._client.call_api(
                method, url, headers, payload, _request_timeout=self._timeout
            )
            data = await response.read()
        except (aiohttp.ClientError, OSError, kube_config.ConfigException) as error:
            # TimeoutError is an OSError, and often has no text of its own.
            why = str(error) or f"no answer within {self._timeout:g} s"
            raise TransientError(f"no answer to {method} {target}: {why}") from error
        return Answer(target, response.status, decoded(data))


def _in_pod() -> bool:
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST"))
