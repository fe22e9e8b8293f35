"""What every `ports.Kubernetes` does, whether a real API server answers or the one in memory.

A test module derives a class from `KubernetesContract` and provides the fixtures `kube`, `writes`,
`namespace`, `elsewhere` and `somebody`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from broker_operator.ports import ConflictError, Kubernetes, RejectedError

if TYPE_CHECKING:
    from broker_operator.core.model import KubeObject

FINALIZER = "broker-operator.dev/finalizer"


class Somebody(Protocol):
    """Another client of the same API server: a person, or a controller."""

    async def patch(
        self, kind: str, namespace: str, name: str, patch: KubeObject, *, status: bool = False
    ) -> None:
        """Send a JSON merge patch, of the status subresource if `status`."""
        ...


def config_map(namespace: str, name: str = "settings", **data: str) -> KubeObject:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data or {"answer": "42"},
    }


def broker_cluster(namespace: str, name: str = "orders") -> KubeObject:
    return {
        "apiVersion": "broker-operator.dev/v1alpha1",
        "kind": "BrokerCluster",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": 3, "zookeeper": {"connect": "zookeeper:2181/orders"}, "paused": True},
    }


def stateful_set(namespace: str, *env: str) -> KubeObject:
    labels = {"app.kubernetes.io/instance": "orders"}
    container = {
        "name": "kafka",
        "image": "kafka:1",
        "env": [{"name": name, "value": "1"} for name in env],
        "ports": [{"name": "kafka", "containerPort": 9092, "protocol": "TCP"}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "orders-broker", "namespace": namespace, "labels": dict(labels)},
        "spec": {
            "replicas": 3,
            "serviceName": "orders-broker-headless",
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def condition(kind: str, status: str, message: str = "3 of 3 brokers are ready.") -> KubeObject:
    return {
        "type": kind,
        "status": status,
        "reason": "Because",
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def version(body: KubeObject | None) -> str:
    assert body is not None
    return str(body["metadata"]["resourceVersion"])


def generation(body: KubeObject | None) -> int:
    assert body is not None
    return int(body["metadata"]["generation"])


def env_of(body: KubeObject) -> list[str]:
    [container] = body["spec"]["template"]["spec"]["containers"]
    return [variable["name"] for variable in container.get("env", [])]


class Reading:
    async def test_get_of_an_object_that_is_not_there_is_none(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        assert await kube.get("ConfigMap", namespace, "nothing") is None
        assert await kube.get("BrokerCluster", namespace, "nothing") is None
        assert await kube.get("StatefulSet", "no-such-namespace", "nothing") is None

    async def test_objects_come_with_their_kind_and_without_field_ownership(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        await kube.create(config_map(namespace))
        [listed] = await kube.list("ConfigMap", namespace, {})
        got = await kube.get("ConfigMap", namespace, "settings")
        assert listed == got
        assert (listed["apiVersion"], listed["kind"]) == ("v1", "ConfigMap")
        assert "managedFields" not in listed["metadata"]
        assert listed["data"] == {"answer": "42"}

    async def test_list_takes_only_objects_with_all_labels(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        for name, labels in {
            "a": {"instance": "orders", "component": "broker"},
            "b": {"instance": "orders"},
            "c": {"instance": "other", "component": "broker"},
            "d": {},
        }.items():
            body = config_map(namespace, name)
            body["metadata"]["labels"] = labels
            await kube.create(body)
        both = {"instance": "orders", "component": "broker"}
        found = await kube.list("ConfigMap", namespace, both)
        assert [item["metadata"]["name"] for item in found] == ["a"]
        found = await kube.list("ConfigMap", namespace, {"instance": "orders"})
        assert [item["metadata"]["name"] for item in found] == ["a", "b"]

    async def test_list_without_namespace_covers_those_watched(
        self, kube: Kubernetes, namespace: str, elsewhere: str
    ) -> None:
        unwatched = f"{elsewhere}-unwatched"
        for place in (namespace, elsewhere, unwatched):
            await kube.create(broker_cluster(place))
        found = await kube.list("BrokerCluster", None)
        assert {item["metadata"]["namespace"] for item in found} == {namespace, elsewhere}
        assert len(await kube.list("BrokerCluster", unwatched)) == 1


class Creating:
    async def test_create_returns_what_the_server_made_of_it(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        made = await kube.create(broker_cluster(namespace))
        assert made["metadata"]["uid"]
        assert made["metadata"]["creationTimestamp"].endswith("Z")
        assert generation(made) == 1
        assert made["spec"]["replicas"] == 3

    async def test_create_of_a_taken_name_is_a_conflict(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        await kube.create(config_map(namespace, first="yes"))
        with pytest.raises(ConflictError, match=r"ConfigMap .*settings"):
            await kube.create(config_map(namespace, second="yes"))
        kept = await kube.get("ConfigMap", namespace, "settings")
        assert kept is not None
        assert kept["data"] == {"first": "yes"}


class Applying:
    async def test_apply_creates_and_the_same_again_changes_nothing(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        made = await kube.apply(stateful_set(namespace, "A", "B"))
        again = await kube.apply(stateful_set(namespace, "A", "B"))
        assert version(again) == version(made)
        assert generation(again) == 1

    async def test_what_is_left_out_is_removed(self, kube: Kubernetes, namespace: str) -> None:
        body = config_map(namespace, a="1", b="2")
        body["metadata"]["labels"] = {"x": "1", "y": "2"}
        await kube.apply(body)
        del body["data"]["a"], body["metadata"]["labels"]["x"]
        applied = await kube.apply(body)
        assert applied["data"] == {"b": "2"}
        assert applied["metadata"]["labels"] == {"y": "2"}

    async def test_list_items_are_known_by_name(self, kube: Kubernetes, namespace: str) -> None:
        await kube.apply(stateful_set(namespace, "A", "B", "C"))
        applied = await kube.apply(stateful_set(namespace, "D", "C"))
        assert env_of(applied) == ["D", "C"]

    async def test_what_others_added_stays(
        self, kube: Kubernetes, namespace: str, somebody: Somebody
    ) -> None:
        await kube.apply(stateful_set(namespace))
        theirs = {"metadata": {"labels": {"team": "orders"}, "annotations": {"note": "mine"}}}
        await somebody.patch("StatefulSet", namespace, "orders-broker", theirs)
        applied = await kube.apply(stateful_set(namespace, "A"))
        assert applied["metadata"]["labels"]["team"] == "orders"
        assert applied["metadata"]["annotations"] == {"note": "mine"}

    async def test_what_others_changed_of_ours_is_put_back(
        self, kube: Kubernetes, namespace: str, somebody: Somebody
    ) -> None:
        await kube.apply(stateful_set(namespace))
        await somebody.patch("StatefulSet", namespace, "orders-broker", {"spec": {"replicas": 0}})
        applied = await kube.apply(stateful_set(namespace))
        assert applied["spec"]["replicas"] == 3
        assert generation(applied) == 3

    async def test_only_the_spec_counts_as_a_new_generation(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        body = broker_cluster(namespace)
        await kube.apply(body)
        body["metadata"]["labels"] = {"x": "1"}
        labelled = await kube.apply(body)
        assert generation(labelled) == 1
        body["spec"]["replicas"] = 4
        scaled = await kube.apply(body)
        assert generation(scaled) == 2
        assert int(version(scaled)) > int(version(labelled))

    async def test_apply_does_not_touch_the_status(
        self, kube: Kubernetes, namespace: str, somebody: Somebody
    ) -> None:
        await kube.apply(broker_cluster(namespace))
        status = {"status": {"replicas": 3}}
        await somebody.patch("BrokerCluster", namespace, "orders", status, status=True)
        body = broker_cluster(namespace) | {"status": {"replicas": 7}}
        applied = await kube.apply(body)
        assert applied["status"] == {"replicas": 3}

    async def test_apply_with_an_old_version_is_a_conflict(
        self, kube: Kubernetes, namespace: str, somebody: Somebody
    ) -> None:
        made = await kube.apply(config_map(namespace))
        await somebody.patch("ConfigMap", namespace, "settings", {"data": {"b": "2"}})
        body = config_map(namespace)
        body["metadata"]["resourceVersion"] = version(made)
        with pytest.raises(ConflictError, match="settings"):
            await kube.apply(body)

    async def test_apply_to_an_object_that_was_made_again_is_a_conflict(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        made = await kube.apply(config_map(namespace))
        await kube.delete("ConfigMap", namespace, "settings")
        body = config_map(namespace)
        body["metadata"]["uid"] = made["metadata"]["uid"]
        with pytest.raises(ConflictError, match="settings"):
            await kube.apply(body)

    async def test_field_ownership_cannot_be_applied(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        body = config_map(namespace)
        body["metadata"]["managedFields"] = [{"manager": "me", "operation": "Apply"}]
        with pytest.raises(RejectedError, match=r"settings.*managedFields"):
            await kube.apply(body)


class Status:
    async def test_status_is_all_that_changes(self, kube: Kubernetes, namespace: str) -> None:
        made = await kube.create(broker_cluster(namespace))
        body = broker_cluster(namespace)
        body["spec"]["replicas"] = 9
        body["metadata"]["labels"] = {"x": "1"}
        body["status"] = {"replicas": 2, "conditions": [condition("Available", "True")]}
        applied = await kube.apply_status(body)
        assert applied["status"] == body["status"]
        assert applied["spec"] == made["spec"]
        assert "labels" not in applied["metadata"]
        assert generation(applied) == 1
        assert version(applied) != version(made)

    async def test_the_same_status_again_changes_nothing(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        await kube.create(broker_cluster(namespace))
        body = broker_cluster(namespace)
        body["status"] = {"replicas": 2, "conditions": [condition("Available", "True")]}
        first = await kube.apply_status(body)
        again = await kube.apply_status(body)
        assert version(again) == version(first)

    async def test_what_is_left_out_of_the_status_is_removed(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        await kube.create(broker_cluster(namespace))
        body = broker_cluster(namespace)
        both = [condition("Available", "True"), condition("Paused", "True")]
        body["status"] = {"replicas": 2, "readyReplicas": 1, "conditions": both}
        await kube.apply_status(body)
        body["status"] = {"replicas": 2, "conditions": [condition("Available", "False")]}
        applied = await kube.apply_status(body)
        assert applied["status"] == body["status"]

    async def test_an_empty_status_leaves_nothing_of_it(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        read = await kube.create(broker_cluster(namespace))
        shown = await kube.apply_status(read | {"status": {"replicas": 1, "readyReplicas": 1}})
        emptied = await kube.apply_status(shown | {"status": {}})
        assert not emptied.get("status")
        with pytest.raises(ConflictError, match="orders"):
            await kube.apply_status(shown | {"status": {}})
        again = await kube.apply_status(emptied | {"status": {}})
        assert version(again) == version(emptied)
        refilled = await kube.apply_status(again | {"status": {"readyReplicas": 2}})
        assert refilled["status"] == {"readyReplicas": 2}

    async def test_the_version_read_is_a_precondition(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        read = await kube.create(broker_cluster(namespace))
        now = await kube.apply_status(read | {"status": {"replicas": 1}})
        with pytest.raises(ConflictError, match="orders"):
            await kube.apply_status(read | {"status": {"replicas": 2}})
        again = await kube.apply_status(now | {"status": {"replicas": 3}})
        assert again["status"] == {"replicas": 3}

    async def test_status_of_an_object_that_is_gone_is_a_conflict(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        body = broker_cluster(namespace) | {"status": {"replicas": 2}}
        with pytest.raises(ConflictError, match="orders"):
            await kube.apply_status(body)


class Deleting:
    async def test_delete_is_quiet_about_what_is_gone(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        await kube.create(config_map(namespace))
        await kube.delete("ConfigMap", namespace, "settings")
        await kube.delete("ConfigMap", namespace, "settings")
        assert await kube.get("ConfigMap", namespace, "settings") is None

    async def test_delete_spares_an_object_with_another_uid(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        old = await kube.create(config_map(namespace))
        await kube.delete("ConfigMap", namespace, "settings", old["metadata"]["uid"])
        new = await kube.create(config_map(namespace))
        await kube.delete("ConfigMap", namespace, "settings", old["metadata"]["uid"])
        assert await kube.get("ConfigMap", namespace, "settings") == new
        await kube.delete("ConfigMap", namespace, "settings", new["metadata"]["uid"])
        assert await kube.get("ConfigMap", namespace, "settings") is None

    async def test_a_finalizer_holds_the_object_until_it_is_taken_off(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        await kube.set_finalizers(await kube.create(broker_cluster(namespace)), [FINALIZER])
        await kube.delete("BrokerCluster", namespace, "orders")
        held = await kube.get("BrokerCluster", namespace, "orders")
        assert held is not None
        assert held["metadata"]["deletionTimestamp"].endswith("Z")
        assert held["metadata"]["finalizers"] == [FINALIZER]
        await kube.delete("BrokerCluster", namespace, "orders")
        assert await kube.get("BrokerCluster", namespace, "orders") == held
        await kube.set_finalizers(held, [])
        assert await kube.get("BrokerCluster", namespace, "orders") is None

    async def test_an_object_being_deleted_takes_no_new_finalizer(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        await kube.set_finalizers(await kube.create(broker_cluster(namespace)), [FINALIZER])
        await kube.delete("BrokerCluster", namespace, "orders")
        held = await kube.get("BrokerCluster", namespace, "orders")
        assert held is not None
        with pytest.raises(RejectedError, match="orders"):
            await kube.set_finalizers(held, [FINALIZER, "broker-operator.dev/second"])
        await kube.set_finalizers(held, [])

    async def test_finalizers_are_set_on_the_object_as_read(
        self, kube: Kubernetes, namespace: str, somebody: Somebody
    ) -> None:
        read = await kube.create(broker_cluster(namespace))
        theirs = {"metadata": {"finalizers": ["example.com/theirs"]}}
        await somebody.patch("BrokerCluster", namespace, "orders", theirs)
        with pytest.raises(ConflictError, match="orders"):
            await kube.set_finalizers(read, [FINALIZER])
        now = await kube.get("BrokerCluster", namespace, "orders")
        assert now is not None
        assert now["metadata"]["finalizers"] == ["example.com/theirs"]
        await kube.set_finalizers(now, [])

    async def test_annotations_are_set_with_them_and_others_stay(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        body = broker_cluster(namespace)
        body["metadata"]["annotations"] = {"example.com/theirs": "a", "broker-operator.dev/x": "b"}
        read = await kube.create(body)
        await kube.set_finalizers(read, [FINALIZER], {"broker-operator.dev/x": "c"})
        now = await kube.get("BrokerCluster", namespace, "orders")
        assert now is not None
        assert now["metadata"]["finalizers"] == [FINALIZER]
        wanted = {"example.com/theirs": "a", "broker-operator.dev/x": "c"}
        assert now["metadata"]["annotations"] == wanted
        await kube.set_finalizers(now, [])
        now = await kube.get("BrokerCluster", namespace, "orders")
        assert now is not None
        assert now["metadata"]["annotations"] == wanted

    async def test_finalizers_of_an_object_that_is_gone_are_a_conflict(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        read = await kube.create(broker_cluster(namespace))
        await kube.delete("BrokerCluster", namespace, "orders")
        with pytest.raises(ConflictError, match="orders"):
            await kube.set_finalizers(read, [FINALIZER])

    async def test_finalizers_that_are_there_already_change_nothing(
        self, kube: Kubernetes, namespace: str
    ) -> None:
        await kube.set_finalizers(await kube.create(broker_cluster(namespace)), [FINALIZER])
        read = await kube.get("BrokerCluster", namespace, "orders")
        assert read is not None
        await kube.set_finalizers(read, [FINALIZER])
        assert version(await kube.get("BrokerCluster", namespace, "orders")) == version(read)
        await kube.set_finalizers(read, [])


class Counting:
    async def test_every_write_is_announced_once_and_no_read_is(
        self, kube: Kubernetes, namespace: str, writes: list[str]
    ) -> None:
        made = await kube.create(broker_cluster(namespace))
        await kube.get("BrokerCluster", namespace, "orders")
        await kube.list("BrokerCluster", namespace)
        await kube.apply_status(made | {"status": {"replicas": 1}})
        await kube.apply(config_map(namespace))
        read = await kube.get("BrokerCluster", namespace, "orders")
        assert read is not None
        await kube.set_finalizers(read, [])
        await kube.delete("BrokerCluster", namespace, "orders")
        assert writes == ["create", "apply_status", "apply", "set_finalizers", "delete"]

    async def test_a_write_that_fails_is_announced_too(
        self, kube: Kubernetes, namespace: str, writes: list[str]
    ) -> None:
        await kube.create(config_map(namespace))
        with pytest.raises(ConflictError):
            await kube.create(config_map(namespace))
        assert writes == ["create", "create"]


class KubernetesContract(Reading, Creating, Applying, Status, Deleting, Counting):
    """All of it."""
