from __future__ import annotations

import asyncio
import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import kopf
import pytest
from kopf._cogs.clients import patching
from kopf._cogs.structs.references import Resource
from kopf._core.engines import indexing
from kopf._core.reactor import inventory, processing

from broker_operator import handlers
from broker_operator.api.spec import FINALIZER, GROUP
from tests.unit.test_loop import AT_REST, Stage

with warnings.catch_warnings():
    # kafka-python reads its own schemas in a way that Python 3.11 frowns upon.
    warnings.filterwarnings("ignore", "(read|open)_text is deprecated", DeprecationWarning)
    from broker_operator import app

if TYPE_CHECKING:
    from collections.abc import Callable

    from kopf._cogs.structs import patches

    from broker_operator.loop import ClusterLoops

BROKER_CLUSTERS = Resource(GROUP, "v1alpha1", "brokerclusters")
REASSIGNMENTS = Resource(GROUP, "v1alpha1", "reassignments")
UID = "a-uid"
PODS = Resource("", "v1", "pods")
STATEFUL_SETS = Resource("apps", "v1", "statefulsets")
OURS = {
    "app.kubernetes.io/managed-by": "broker-operator",
    "app.kubernetes.io/instance": "demo",
}


class Loops:
    """What the handlers call, remembered."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.lost: list[str] = []
        self.served = True

    def wake(self, namespace: str, name: str) -> bool:
        self.calls.append(("wake", namespace, name))
        return self.served

    async def adrift(self, namespace: str) -> None:
        self.calls.append(("adrift", namespace, ""))

    async def run(self, namespace: str, name: str, stopped: Any) -> None:
        assert callable(stopped)
        self.calls.append(("run", namespace, name))

    async def finalize(self, namespace: str, name: str, uid: str) -> None:
        assert uid == UID
        self.calls.append(("finalize", namespace, name))

    def forget(self, uid: str) -> None:
        self.calls.append(("forget", uid, ""))

    def stuck(self) -> list[str]:
        return self.lost


class Stopped:
    """kopf's `stopped` of a daemon."""

    def __init__(self, reason: kopf.DaemonStoppingReason | None) -> None:
        self.reason = reason

    async def wait(self) -> None:
        """Return at once: it has been stopped."""


@pytest.fixture
def loops() -> Loops:
    return Loops()


@pytest.fixture
def registry(loops: Loops) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    handlers.register(registry, cast("ClusterLoops", loops))
    return registry


def watching(registry: kopf.OperatorRegistry, resource: Resource) -> list[Any]:
    found: list[Any] = [
        handler
        for handler in registry._watching.get_all_handlers()
        if handler.selector is not None and handler.selector.check(resource)
    ]
    return found


def test_there_is_one_daemon_and_nothing_that_sees_edges(registry: kopf.OperatorRegistry) -> None:
    (daemon,) = registry._spawning.get_all_handlers()
    assert daemon.selector is not None
    assert daemon.selector.check(BROKER_CLUSTERS)
    assert not registry._changing.get_all_handlers()
    assert not registry._indexing.get_all_handlers()
    assert not registry._webhooks.get_all_handlers()


@pytest.mark.parametrize("resource", [BROKER_CLUSTERS, REASSIGNMENTS, PODS, STATEFUL_SETS], ids=str)
def test_each_kind_that_matters_wakes(registry: kopf.OperatorRegistry, resource: Resource) -> None:
    assert len(watching(registry, resource)) == 1


def test_login_and_liveness_are_there(registry: kopf.OperatorRegistry) -> None:
    ids = [str(handler.id) for handler in registry._activities.get_all_handlers()]
    assert ids == ["login", "loops"]


@pytest.mark.parametrize(
    ("reason", "calls"),
    [
        (kopf.DaemonStoppingReason.RESOURCE_DELETED, ["run", "finalize"]),
        (kopf.DaemonStoppingReason.OPERATOR_EXITING, ["run"]),
        (None, ["run"]),
    ],
)
async def test_only_a_deleted_cluster_is_finalized(
    registry: kopf.OperatorRegistry,
    loops: Loops,
    reason: kopf.DaemonStoppingReason | None,
    calls: list[str],
) -> None:
    (daemon,) = registry._spawning.get_all_handlers()
    serve: Any = daemon.fn
    assert await serve(namespace="team", name="demo", uid=UID, stopped=Stopped(reason)) is None
    assert loops.calls == [(call, "team", "demo") for call in calls]


@pytest.mark.parametrize(
    ("metadata", "status", "wakes"),
    [
        ({"generation": 2}, {"observedGeneration": 1}, True),
        ({"generation": 1}, {}, True),
        ({"generation": 2}, {"observedGeneration": 2, "replicas": 9}, False),
    ],
    ids=["new spec", "never seen", "our own status"],
)
async def test_only_what_was_not_observed_yet_wakes(
    registry: kopf.OperatorRegistry,
    loops: Loops,
    metadata: dict[str, Any],
    status: dict[str, Any],
    *,
    wakes: bool,
) -> None:
    (handler,) = watching(registry, BROKER_CLUSTERS)
    content: Any = {"metadata": metadata, "status": status}
    body = kopf.Body(content)
    event = {"type": "MODIFIED", "object": content}
    assert await handler.fn(namespace="team", name="demo", uid=UID, body=body, event=event) is None
    assert loops.calls == ([("wake", "team", "demo")] if wakes else [])


async def test_once_a_cluster_is_gone_its_reassignments_are_looked_at(
    registry: kopf.OperatorRegistry, loops: Loops
) -> None:
    (handler,) = watching(registry, BROKER_CLUSTERS)
    content = deleted_cluster(FINALIZER)  # the API server shows the last one that it had
    event = {"type": "DELETED", "object": content}
    body = kopf.Body(content)
    assert await handler.fn(namespace="team", name="demo", uid=UID, body=body, event=event) is None
    assert loops.calls == [("forget", UID, ""), ("adrift", "team", "")]


def live_cluster() -> Any:
    """Return a BrokerCluster that we hold, as kopf is told of it."""
    metadata = {"name": "demo", "namespace": "team", "uid": UID, "finalizers": [FINALIZER]}
    return {"metadata": metadata | {"generation": 2}, "status": {"observedGeneration": 2}}


def deleted_cluster(*finalizers: str) -> Any:
    """Return one that is being deleted."""
    body = live_cluster()
    changed = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [*finalizers]}
    return body | {"metadata": body["metadata"] | changed}


class Kopf:
    """What kopf itself does with what it is told of a BrokerCluster: our end rests on its order."""

    def __init__(self, registry: kopf.OperatorRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
        self.let_go: Callable[[], object] = lambda: None
        self._registry = registry
        self._memories, self._busy = inventory.ResourceMemories(), asyncio.Event()
        self._busy.set()  # there is always more to do: it never sleeps
        self._body: Any = {}
        monkeypatch.setattr(patching, "patch_obj", self._patch)

    async def told(self, kind: Any, body: Any) -> None:
        self._body = body
        await processing.process_resource_event(
            lifecycle=kopf.lifecycles.all_at_once,
            indexers=indexing.OperatorIndexers(),
            registry=self._registry,
            settings=app._settings(),
            memories=self._memories,
            memobase=cast("Any", kopf.Memo()),
            resource=BROKER_CLUSTERS,
            raw_event={"type": kind, "object": body},
            event_queue=asyncio.Queue(),
            stream_pressure=self._busy,
        )

    async def _patch(self, *, patch: patches.Patch, **_: Any) -> tuple[None, None]:
        assert not dict(patch), "no annotations"
        for change in patch.fns:
            change(self._body)
        assert FINALIZER not in self._body["metadata"].get("finalizers", ())
        self.let_go()
        return None, None


@pytest.mark.parametrize("kind", [None, "MODIFIED"])
@pytest.mark.parametrize(
    ("finalizers", "calls"),
    [
        (["foregroundDeletion", FINALIZER], ["finalize", "let go"]),
        (["foregroundDeletion"], []),
    ],
    ids=["held by us", "held by others"],
)
async def test_a_cluster_that_was_deleted_before_we_came_is_finalized_before_it_is_let_go(
    registry: kopf.OperatorRegistry,
    loops: Loops,
    monkeypatch: pytest.MonkeyPatch,
    *,
    finalizers: list[str],
    calls: list[str],
    kind: str | None,
) -> None:
    reactor = Kopf(registry, monkeypatch)
    reactor.let_go = lambda: loops.calls.append(("let go", "", ""))
    await reactor.told(kind, deleted_cluster(*finalizers))
    assert [call[0] for call in loops.calls] == calls


async def test_a_cluster_that_is_deleted_while_we_serve_it_is_finalized_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage, registry = Stage(AT_REST), kopf.OperatorRegistry()
    handlers.register(registry, stage.loops)
    reactor, cleaned = Kopf(registry, monkeypatch), stage.reconciler.cleaned
    reactor.let_go = lambda: cleaned.append("let go")
    await reactor.told("ADDED", live_cluster())
    await stage.reconciler.passed(1)
    for _ in range(99):
        await reactor.told("MODIFIED", deleted_cluster(FINALIZER))
        await asyncio.sleep(0)
        if "let go" in cleaned:
            break
    await reactor.told("MODIFIED", deleted_cluster(FINALIZER))  # it was on its way meanwhile
    assert [step for step in cleaned if step != "let go"] == ["finalize", "release"]
    assert cleaned[2] == "let go"
    await reactor.told("DELETED", deleted_cluster(FINALIZER))
    assert cleaned[-1] == "adrift"


@pytest.mark.parametrize(
    ("kind", "generation", "observed", "wakes"),
    [
        ("DELETED", 2, 2, True),
        ("MODIFIED", 3, 2, True),
        ("ADDED", 1, None, True),
        ("MODIFIED", 2, 2, False),
    ],
    ids=["gone", "new spec or being deleted", "never seen", "our own status"],
)
async def test_only_news_of_a_reassignment_wake(
    registry: kopf.OperatorRegistry,
    loops: Loops,
    *,
    kind: str,
    generation: int,
    observed: int | None,
    wakes: bool,
) -> None:
    (handler,) = watching(registry, REASSIGNMENTS)
    body = {"metadata": {"generation": generation}, "status": {"observedGeneration": observed}}
    event = {"type": kind, "object": body}
    spec = {"cluster": "demo"}
    assert await handler.fn(namespace="team", spec=spec, event=event) is None
    assert loops.calls == ([("wake", "team", "demo")] if wakes else [])


@pytest.mark.parametrize(
    ("kind", "generation", "looked_at"),
    [("MODIFIED", 3, True), ("MODIFIED", 2, False), (None, 2, True), ("DELETED", 2, False)],
    ids=["now", "our own status", "found so at the start", "gone"],
)
async def test_a_deleted_reassignment_may_be_a_former_cluster_of_that_name_s(
    registry: kopf.OperatorRegistry,
    loops: Loops,
    kind: str | None,
    generation: int,
    *,
    looked_at: bool,
) -> None:
    (handler,) = watching(registry, REASSIGNMENTS)
    metadata = {"generation": generation, "deletionTimestamp": "2026-01-01T00:00:00Z"}
    event = {"type": kind, "object": {"metadata": metadata, "status": {"observedGeneration": 2}}}
    assert await handler.fn(namespace="team", spec={"cluster": "demo"}, event=event) is None
    assert (("adrift", "team", "") in loops.calls) is looked_at


@pytest.mark.parametrize(("kind", "looked_at"), [("ADDED", True), (None, True), ("DELETED", False)])
async def test_a_reassignment_that_no_loop_serves_is_looked_at(
    registry: kopf.OperatorRegistry, loops: Loops, kind: str | None, *, looked_at: bool
) -> None:
    (handler,) = watching(registry, REASSIGNMENTS)
    loops.served = False
    event = {"type": kind, "object": {"metadata": {"generation": 1}}}
    assert await handler.fn(namespace="team", spec={"cluster": "typo"}, event=event) is None
    after = [("adrift", "team", "")] if looked_at else []
    assert loops.calls == [("wake", "team", "typo"), *after]


@pytest.mark.parametrize("resource", [PODS, STATEFUL_SETS], ids=str)
async def test_a_child_wakes_its_cluster(
    registry: kopf.OperatorRegistry, loops: Loops, resource: Resource
) -> None:
    (handler,) = watching(registry, resource)
    assert handler.labels == handlers.OURS
    assert await handler.fn(namespace="team", labels=OURS) is None
    assert loops.calls == [("wake", "team", "demo")]


async def test_a_loop_without_heartbeat_fails_the_probe(
    registry: kopf.OperatorRegistry, loops: Loops
) -> None:
    probe: Any = registry._activities.get_all_handlers()[-1]  # type: ignore[index]
    assert await probe.fn() == "ok"
    loops.lost = ["team/demo"]
    with pytest.raises(kopf.PermanentError, match="team/demo"):
        await probe.fn()


CONNECTION = kopf.ConnectionInfo(server="https://api")


@pytest.mark.parametrize(
    ("account", "kubeconfig"), [(CONNECTION, None), (None, CONNECTION)], ids=["pod", "laptop"]
)
async def test_a_login_expires_so_that_a_new_token_is_read(
    monkeypatch: pytest.MonkeyPatch,
    account: kopf.ConnectionInfo | None,
    kubeconfig: kopf.ConnectionInfo | None,
) -> None:
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: account)
    monkeypatch.setattr(kopf, "login_with_kubeconfig", lambda **_: kubeconfig)
    found = await handlers.login()
    assert found is not None
    assert found.expiration is not None
    left = found.expiration - datetime.now(tz=UTC)
    assert timedelta(minutes=9) < left <= timedelta(minutes=10)
    assert replace(found, expiration=None) == CONNECTION


async def test_no_credentials_are_no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: None)
    monkeypatch.setattr(kopf, "login_with_kubeconfig", lambda **_: None)
    assert await handlers.login() is None


@pytest.mark.parametrize("resource", [PODS, STATEFUL_SETS], ids=str)
def test_only_our_own_children_are_listed(resource: Resource) -> None:
    """A key that matches nothing does so in silence, and every pod would be read."""
    selectors = app._settings().watching.label_selectors
    assert selectors.collect(resource) == ["app.kubernetes.io/managed-by=broker-operator"]


@pytest.mark.parametrize("resource", [BROKER_CLUSTERS, REASSIGNMENTS], ids=str)
def test_all_of_our_own_kinds_are_listed(resource: Resource) -> None:
    assert app._settings().watching.label_selectors.collect(resource) == []


def test_kopf_uses_our_names_and_never_gives_up() -> None:
    settings = app._settings()
    assert settings.persistence.finalizer == FINALIZER
    assert settings.scanning.disabled
    delays = list(islice(app.EndlessBackoff(), 500))
    assert len(delays) == 500
    assert all(0.5 <= delay <= 30 for delay in delays)
