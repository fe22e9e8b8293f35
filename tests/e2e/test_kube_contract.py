"""The real adapter on a real API server: the contract, and how it fails."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from kubernetes.aio.config import incluster_config

from broker_operator.adapters import kube as adapter
from broker_operator.adapters.clock import SystemClock
from broker_operator.adapters.kube import KubeApi, connect
from broker_operator.adapters.kube_wire import RESOURCES, Resource
from broker_operator.adapters.recorder import EventRecorder
from broker_operator.cli.brokers.access import LiveApi
from broker_operator.ports import Kubernetes, RejectedError, TransientError
from tests.contract.kube_contract import (
    KubernetesContract,
    broker_cluster,
    config_map,
    stateful_set,
)
from tests.contract.plugin_contract import PluginContract, reassignment
from tests.e2e.apiserver import ApiServer, running_api_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from broker_operator.core.model import KubeObject

pytestmark = pytest.mark.apiserver

NUMBER = count()


class Kubectl:
    """Somebody else, who uses kubectl."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server

    async def patch(
        self, kind: str, namespace: str, name: str, patch: KubeObject, *, status: bool = False
    ) -> None:
        where = (f"--namespace={namespace}", "--field-manager=somebody", "--type=merge")
        subresource = ("--subresource=status",) if status else ()
        what = ("patch", kind, name, f"--patch={json.dumps(patch)}")
        await asyncio.to_thread(self._server.kubectl, *what, *where, *subresource)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running_api_server(tmp_path_factory.mktemp("apiserver")) as running:
        running.install_crds()
        yield running


@pytest.fixture
def namespace(server: ApiServer) -> str:
    name = f"test-{next(NUMBER)}"
    server.create_namespace(name)
    return name


@pytest.fixture
def elsewhere(server: ApiServer, namespace: str) -> str:
    name = f"{namespace}-elsewhere"
    for each in (name, f"{name}-unwatched"):
        server.create_namespace(each)
    return name


@pytest.fixture
def writes() -> list[str]:
    return []


@pytest.fixture
async def kube(server: ApiServer, namespace: str, writes: list[str]) -> AsyncIterator[Kubernetes]:
    async with await connect(str(server.kubeconfig)) as client:
        watched = (namespace, f"{namespace}-elsewhere")
        yield KubeApi(client, namespaces=watched, on_write=writes.append)


@pytest.fixture
def somebody(server: ApiServer) -> Kubectl:
    return Kubectl(server)


class TestContract(KubernetesContract):
    pass


@pytest.fixture
async def people(server: ApiServer) -> AsyncIterator[LiveApi]:
    async with await connect(str(server.kubeconfig)) as client:
        yield LiveApi(client)


class TestPlugin(PluginContract):
    async def test_a_field_that_an_older_crd_has_not_is_refused(
        self, people: LiveApi, namespace: str
    ) -> None:
        made = await people.create(reassignment(namespace))
        with pytest.raises(RejectedError, match=r"spec\.hurry"):
            await people.change(made, {"hurry": True})

    async def test_what_may_not_be_changed_is_refused_with_the_reason(
        self, people: LiveApi, namespace: str
    ) -> None:
        made = await people.create(reassignment(namespace))
        with pytest.raises(RejectedError, match="only approvedPlan, paused and undo"):
            await people.change(made, {"evacuate": [1]})


async def test_long_lists_come_in_pages(
    kube: Kubernetes, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "PAGE", 2)
    names = [f"settings-{number}" for number in range(5)]
    for name in names:
        await kube.create(config_map(namespace, name))
    found = await kube.list("ConfigMap", namespace)
    assert [item["metadata"]["name"] for item in found] == names


async def test_without_namespaces_every_one_is_watched(
    server: ApiServer, namespace: str, elsewhere: str
) -> None:
    async with await connect(str(server.kubeconfig)) as client:
        kube = KubeApi(client)
        for place in (namespace, elsewhere):
            await kube.create(broker_cluster(place))
        found = await kube.list("BrokerCluster", None)
    assert {namespace, elsewhere} <= {item["metadata"]["namespace"] for item in found}


async def test_every_kind_is_served_where_we_look(kube: Kubernetes, namespace: str) -> None:
    for kind in RESOURCES:
        await kube.list(kind, namespace)
        assert await kube.get(kind, namespace, "nothing") is None


async def test_a_bad_field_is_rejected_with_the_servers_reason(
    kube: Kubernetes, namespace: str
) -> None:
    body = broker_cluster(namespace)
    body["spec"]["replicas"] = 0
    with pytest.raises(RejectedError, match=r"apply BrokerCluster .*/orders.*at least 1") as caught:
        await kube.apply(body)
    assert "HTTP 422" in str(caught.value)


async def test_nonsense_is_rejected_with_the_servers_reason(
    kube: Kubernetes, namespace: str
) -> None:
    body = stateful_set(namespace)
    body["spec"]["replicas"] = "three"
    with pytest.raises(RejectedError, match=r"create StatefulSet .*/orders-broker.*replicas"):
        await kube.create(body)


async def test_a_field_that_a_pod_does_not_have_is_rejected_too(
    kube: Kubernetes, namespace: str
) -> None:
    """The server calls it an internal error (HTTP 500), which would be tried again for ever."""
    body = stateful_set(namespace)
    body["spec"]["template"]["spec"]["affinity"] = {"nodeAfinity": {}}
    with pytest.raises(RejectedError, match=r"orders-broker.*nodeAfinity"):
        await kube.apply(body)


async def test_a_namespace_without_rights_does_not_hide_the_others(
    server: ApiServer, kube: Kubernetes, namespace: str, elsewhere: str
) -> None:
    await kube.create(broker_cluster(namespace))
    await kube.create(broker_cluster(elsewhere))
    server.grant("reader", namespace, "list", "brokerclusters.broker-operator.dev")
    async with await connect(str(server.kubeconfig_of("reader"))) as client:
        fenced = KubeApi(client, namespaces=(namespace, elsewhere))

        # The authorizer learns of new rights a moment later.
        deadline = time.monotonic() + 10
        while not (found := await fenced.list("BrokerCluster", None)):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        assert [item["metadata"]["namespace"] for item in found] == [namespace]
        with pytest.raises(RejectedError):
            await fenced.list("BrokerCluster", elsewhere)


async def test_missing_rights_are_rejected_by_verb_and_resource(
    server: ApiServer, namespace: str
) -> None:
    async with await connect(str(server.kubeconfig_of("nobody"))) as client:
        kube = KubeApi(client)
        with pytest.raises(RejectedError, match=r"cannot patch resource \"statefulsets\""):
            await kube.apply(stateful_set(namespace))
        with pytest.raises(RejectedError, match=r"cannot list resource \"pods\""):
            await kube.list("Pod", namespace)
        with pytest.raises(RejectedError, match=r"cannot get resource \"brokerclusters\""):
            await kube.get("BrokerCluster", namespace, "orders")
        with pytest.raises(RejectedError, match=r"cannot delete resource \"configmaps\""):
            await kube.delete("ConfigMap", namespace, "settings")


async def test_a_type_that_is_not_served_is_no_proof_of_absence(
    kube: Kubernetes, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unserved = {"Reassignment": Resource("broker-operator.dev/v9", "reassignments")}
    monkeypatch.setattr("broker_operator.adapters.kube_wire.RESOURCES", unserved)
    with pytest.raises(TransientError, match="Reassignment"):
        await kube.get("Reassignment", namespace, "orders-1")
    with pytest.raises(TransientError, match="Reassignment"):
        await kube.list("Reassignment", namespace)
    with pytest.raises(TransientError, match="Reassignment"):
        await kube.delete("Reassignment", namespace, "orders-1")


async def test_a_namespace_that_is_gone_may_come_back(kube: Kubernetes) -> None:
    with pytest.raises(TransientError, match='namespaces "nowhere" not found'):
        await kube.create(config_map("nowhere"))


async def test_an_unknown_user_may_get_better_credentials(server: ApiServer) -> None:
    async with await connect(str(server.kubeconfig)) as client:
        client.configuration.cert_file = None
        client.configuration.api_key["BearerToken"] = "Bearer expired"
        client.rest_client = type(client.rest_client)(client.configuration)
        with pytest.raises(TransientError, match="401"):
            await KubeApi(client).list("Pod", None)


async def test_in_a_pod_the_token_is_read_again_when_it_was_replaced(
    server: ApiServer, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put_token(account: str) -> None:
        server.kubectl("create", "serviceaccount", account, f"--namespace={namespace}")
        text = server.kubectl("create", "token", account, f"--namespace={namespace}")
        (tmp_path / "token").write_text(text.strip())

    later = SimpleNamespace(now=lambda: datetime.now() + timedelta(minutes=2))  # noqa: DTZ005 - as the library does
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    authority = str(server.authority.own.certificate)
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", authority)
    put_token("first")
    async with await connect() as client:
        kube = KubeApi(client)
        with pytest.raises(RejectedError, match=f'"system:serviceaccount:{namespace}:first"'):
            await kube.list("Pod", namespace)
        put_token("second")
        clock = SimpleNamespace(datetime=later, timedelta=timedelta)
        monkeypatch.setattr(incluster_config, "datetime", clock)
        with pytest.raises(RejectedError, match=f'"system:serviceaccount:{namespace}:second"'):
            await kube.list("Pod", namespace)


async def test_a_server_that_does_not_answer_costs_the_timeout_only(server: ApiServer) -> None:
    hung_up = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with silent, await connect(str(server.kubeconfig)) as client:
        host, port = silent.sockets[0].getsockname()
        client.configuration.host = f"http://{host}:{port}"
        async with asyncio.timeout(5):
            with pytest.raises(TransientError, match=r"no answer .*Pod kafka.*within 0.2 s"):
                await KubeApi(client, timeout=0.2).list("Pod", "kafka")
            await hung_up.wait()


async def test_a_server_that_is_down_is_transient(server: ApiServer) -> None:
    async with await connect(str(server.kubeconfig)) as client:
        client.configuration.host = "https://127.0.0.1:1"
        with pytest.raises(TransientError, match="no answer to GET ConfigMap kafka/settings"):
            await KubeApi(client).get("ConfigMap", "kafka", "settings")


async def test_events_are_taken_and_repeats_count_up(
    kube: Kubernetes, namespace: str, server: ApiServer
) -> None:
    cluster = await kube.create(broker_cluster(namespace))
    long = "Broker 3 is not ready. " * 100
    for recorder in (EventRecorder(kube, SystemClock()), EventRecorder(kube, SystemClock())):
        await recorder.event(cluster, reason="ScalingUp", message="Adding broker 3.")
        await recorder.event(cluster, reason="Waiting", message=long, warning=True)
    events = await kube.list("Event", namespace)
    told = {(e["type"], e["reason"], e["count"], len(e["message"])) for e in events}
    assert told == {("Normal", "ScalingUp", 2, 16), ("Warning", "Waiting", 2, 1024)}
    shown = server.kubectl("describe", "brokercluster", "orders", f"--namespace={namespace}")
    assert "Adding broker 3." in shown
    assert "(x2 over" in shown


async def test_without_credentials_we_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(RejectedError, match="credentials"):
        await connect(str(tmp_path / "absent.conf"))
