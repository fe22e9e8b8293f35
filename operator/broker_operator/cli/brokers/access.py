"""The way to the Kubernetes API: found as kubectl finds it, with the rights of who runs it."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click
from kubernetes.aio.config import kube_config

from broker_operator.adapters.kube import KubeApi, connect
from broker_operator.adapters.kube_wire import Target
from broker_operator.cli.errors import InputError
from broker_operator.ports import ConflictError, RejectedError, TransientError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from broker_operator.core.model import KubeObject

MANAGER = "kubectl-brokers"
"""Field manager of what people change: the operator must not take it for its own."""
TIMEOUT = 15.0
"""Seconds that one request may take."""

_MERGE = "application/merge-patch+json"
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_META = "broker_operator.brokers."

T = TypeVar("T")


class PeopleApi(Protocol):
    """The API server as far as people need it. Objects are plain dicts; errors as in `ports`."""

    async def get(self, kind: str, namespace: str, name: str) -> KubeObject | None:
        """Return one object, None if there is none."""
        ...

    async def list(self, kind: str, namespace: str | None) -> list[KubeObject]:
        """Return all objects of a kind in a namespace."""
        ...

    async def change(self, body: Mapping[str, Any], spec: Mapping[str, Any]) -> KubeObject:
        """Set fields of an object's spec and nothing else; return the object as it is then.

        Raises:
            ConflictError: It is gone, or another one has its name since it was read.
            RejectedError: The server refuses it, or its kind has no such field.
        """
        ...


class LiveApi(KubeApi):
    """`PeopleApi` on a live API server."""

    async def change(self, body: Mapping[str, Any], spec: Mapping[str, Any]) -> KubeObject:
        """See `PeopleApi.change`."""
        target = Target.of(dict(body))
        patch = {"metadata": {"uid": body["metadata"]["uid"]}, "spec": dict(spec)}
        # Without Strict an older CRD would drop a field that it does not know, and say yes.
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
        answer = await self._send("PATCH", target, query, patch, _MERGE)
        try:
            return answer.unwrap("change")
        except RejectedError as error:
            if "metadata.uid" in str(error):  # it is immutable, which is how another one is told
                raise ConflictError(f"cannot change {target}: it was made anew") from error
            raise


@dataclass(frozen=True, slots=True)
class Where:
    """Which Kubernetes, and which namespace of it; None is what the kubeconfig says."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """An API server, and the namespace that is meant."""

    api: PeopleApi
    namespace: str


if TYPE_CHECKING:
    Connector = Callable[[Where], AbstractAsyncContextManager[Session]]


@asynccontextmanager
async def live(where: Where) -> AsyncIterator[Session]:
    """Connect as kubectl does: `--kubeconfig`, `$KUBECONFIG`, the home folder, a pod's own account.

    Raises:
        RejectedError: There are no credentials, or they cannot be read.
    """
    # The library's own words would come beside the one message.
    logging.getLogger("kubernetes").setLevel(logging.CRITICAL)
    kubeconfig = where.kubeconfig or os.environ.get("KUBECONFIG") or None
    try:
        client = await connect(kubeconfig, where.context)
        namespace = where.namespace or _default_namespace(kubeconfig, where.context)
    except RejectedError as error:
        raise RejectedError(f"{error} (kubeconfig: {kubeconfig or 'none given'})") from error
    except Exception as error:
        # The library raises whatever it trips over in a file that is no kubeconfig.
        raise RejectedError(f"the kubeconfig cannot be read: {error}") from error
    async with client:
        yield Session(LiveApi(client, timeout=TIMEOUT), namespace)


def _default_namespace(kubeconfig: str | None, context: str | None) -> str:
    in_pod = os.environ.get("KUBERNETES_SERVICE_HOST") and not kubeconfig and not context
    if in_pod:
        return _POD_NAMESPACE.read_text().strip()
    contexts, active = kube_config.list_kube_config_contexts(kubeconfig)
    chosen = next((c for c in contexts if c["name"] == context), active)
    return str(chosen["context"].get("namespace") or "default")


def where_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options with which kubectl says where; they may stand before a subcommand too."""
    for names, metavar, text in (
        (("--kubeconfig",), "FILE", "Kubeconfig to use."),
        (("--context",), "NAME", "Context of the kubeconfig to use."),
        (("--namespace", "-n"), "NAME", "Namespace of the BrokerCluster."),
    ):
        command = click.option(
            *names, metavar=metavar, help=text, expose_value=False, callback=_remember
        )(command)
    return command


def _remember(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value:
        ctx.meta[f"{_META}{param.name}"] = value


def session(ctx: click.Context) -> AbstractAsyncContextManager[Session]:
    """Return the connection that a command's options ask for; a test puts its own in `ctx.obj`."""
    connector: Connector = ctx.obj or live
    names = ("kubeconfig", "context", "namespace")
    return connector(Where(*(ctx.meta.get(f"{_META}{name}") for name in names)))


def with_session(work: Callable[[Session], Awaitable[T]]) -> T:
    """Connect, do the work, and disconnect.

    Raises:
        InputError: There are no credentials, or the server does not answer or refuses.
    """
    ctx = click.get_current_context()

    async def main() -> T:
        async with session(ctx) as opened:
            return await work(opened)

    try:
        return asyncio.run(main())
    except (RejectedError, TransientError) as error:
        raise InputError(said(error)) from error


def said(error: Exception) -> str:
    """Return what an API server has said, and what it may mean."""
    text = str(error)
    if "cannot list BrokerCluster" in text and "(HTTP 404)" in text:
        return f"{text}; is broker-operator installed in this Kubernetes?"
    return text
