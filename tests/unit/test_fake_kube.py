"""The API server in memory keeps the contract, and what it adds for tests works."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from broker_operator.ports import TransientError
from tests.contract.kube_contract import (
    FINALIZER,
    KubernetesContract,
    broker_cluster,
    config_map,
    stateful_set,
)
from tests.fakes.kube import Call, FakeKube

if TYPE_CHECKING:
    from broker_operator.core.model import KubeObject
    from broker_operator.ports import Kubernetes

NAMESPACE = "kafka"


def merge(target: KubeObject, patch: KubeObject) -> None:
    for key, value in patch.items():
        if isinstance(value, dict):
            merge(target.setdefault(key, {}), value)
        else:
            target[key] = value


class FakeSomebody:
    def __init__(self, fake: FakeKube) -> None:
        self._fake = fake

    async def patch(
        self, kind: str, namespace: str, name: str, patch: KubeObject, *, status: bool = False
    ) -> None:
        assert status == ("status" in patch)
        self._fake.edit(kind, namespace, name, lambda body: merge(body, patch))


@pytest.fixture
def namespace() -> str:
    return NAMESPACE


@pytest.fixture
def elsewhere() -> str:
    return "elsewhere"


@pytest.fixture
def writes() -> list[str]:
    return []


@pytest.fixture
def fake(namespace: str, elsewhere: str, writes: list[str]) -> FakeKube:
    return FakeKube(namespaces=(namespace, elsewhere), on_write=writes.append)


@pytest.fixture
def kube(fake: FakeKube) -> Kubernetes:
    return fake


@pytest.fixture
def somebody(fake: FakeKube) -> FakeSomebody:
    return FakeSomebody(fake)


class TestContract(KubernetesContract):
    pass


async def test_without_namespaces_every_one_is_watched() -> None:
    fake = FakeKube()
    await fake.create(config_map("a"))
    await fake.create(config_map("b"))
    assert len(await fake.list("ConfigMap", None)) == 2


async def test_an_unknown_kind_is_a_mistake_of_the_caller(fake: FakeKube) -> None:
    with pytest.raises(KeyError, match="Secret"):
        await fake.get("Secret", NAMESPACE, "a")


async def test_calls_and_writes_are_kept_in_order(fake: FakeKube) -> None:
    await fake.create(config_map(NAMESPACE))
    await fake.list("Pod", None)
    assert fake.calls == [
        Call("create", "ConfigMap", NAMESPACE, "settings"),
        Call("list", "Pod", None, ""),
    ]
    assert fake.writes == fake.calls[:1]


async def test_a_call_can_be_made_to_fail_before_it_acts(fake: FakeKube) -> None:
    def refuse(call: Call) -> None:
        raise TransientError(call.verb)

    fake.before = refuse
    with pytest.raises(TransientError, match="create"):
        await fake.create(config_map(NAMESPACE))
    assert fake.find("ConfigMap", NAMESPACE, "settings") is None


async def test_a_call_can_be_made_to_fail_after_it_acted(fake: FakeKube) -> None:
    def lose(call: Call) -> None:
        raise TransientError(call.verb)

    fake.after = lose
    with pytest.raises(TransientError, match="apply"):
        await fake.apply(config_map(NAMESPACE))
    assert fake.find("ConfigMap", NAMESPACE, "settings") is not None


async def test_what_goes_in_or_comes_out_is_a_copy(fake: FakeKube) -> None:
    body = config_map(NAMESPACE, a="1")
    made = await fake.apply(body)
    body["data"]["a"] = made["data"]["a"] = "changed"
    [listed] = await fake.list("ConfigMap", NAMESPACE)
    listed["data"]["a"] = "changed"
    assert (await fake.get("ConfigMap", NAMESPACE, "settings") or {})["data"] == {"a": "1"}


def test_put_replaces_but_keeps_identity(fake: FakeKube) -> None:
    first = fake.put(stateful_set(NAMESPACE) | {"status": {"readyReplicas": 1}})
    second = fake.put(stateful_set(NAMESPACE, "A") | {"status": {"readyReplicas": 2}})
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert second["metadata"]["generation"] == first["metadata"]["generation"] + 1
    assert second["status"] == {"readyReplicas": 2}
    assert fake.calls == []


def test_edit_needs_an_object(fake: FakeKube) -> None:
    with pytest.raises(KeyError, match="orders"):
        fake.edit("BrokerCluster", NAMESPACE, "orders", lambda body: body.clear())


async def test_dependents_go_with_their_last_owner(fake: FakeKube) -> None:
    owners = [await fake.create(broker_cluster(NAMESPACE, name)) for name in ("a", "b")]
    child = config_map(NAMESPACE)
    child["metadata"]["ownerReferences"] = [
        {"kind": "BrokerCluster", "name": o["metadata"]["name"], "uid": o["metadata"]["uid"]}
        for o in owners
    ]
    await fake.create(child)
    await fake.delete("BrokerCluster", NAMESPACE, "a")
    assert fake.find("ConfigMap", NAMESPACE, "settings")
    await fake.delete("BrokerCluster", NAMESPACE, "b")
    assert fake.find("ConfigMap", NAMESPACE, "settings") is None


async def test_a_dependents_finalizer_is_honoured(fake: FakeKube) -> None:
    owner = await fake.create(broker_cluster(NAMESPACE))
    child = config_map(NAMESPACE)
    child["metadata"]["finalizers"] = [FINALIZER]
    child["metadata"]["ownerReferences"] = [
        {"kind": "BrokerCluster", "name": "orders", "uid": owner["metadata"]["uid"]}
    ]
    await fake.create(child)
    fake.remove("BrokerCluster", NAMESPACE, "orders")
    held = fake.find("ConfigMap", NAMESPACE, "settings")
    assert held is not None
    assert "deletionTimestamp" in held["metadata"]


async def test_timestamps_come_from_the_clock_given() -> None:
    fake = FakeKube(now=lambda: datetime(2030, 5, 6, 7, 8, 9, tzinfo=UTC))
    made = await fake.create(config_map(NAMESPACE))
    assert made["metadata"]["creationTimestamp"] == "2030-05-06T07:08:09Z"
