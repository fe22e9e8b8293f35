"""What every `PeopleApi` does, whether a real API server answers or the one in memory.

Reading is that of `kube_contract`. A test module derives a class from `PluginContract` and provides
the fixtures `people` and `namespace`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

from broker_operator.api.spec import API_VERSION
from broker_operator.ports import ConflictError, Kubernetes
from tests.contract.kube_contract import broker_cluster, generation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker_operator.core.model import KubeObject


class People(Kubernetes, Protocol):
    """A person's client that can make what it changes, too."""

    async def change(self, body: Mapping[str, Any], spec: Mapping[str, Any]) -> KubeObject:
        """See `PeopleApi.change`."""
        ...


def reassignment(namespace: str) -> KubeObject:
    return {
        "apiVersion": API_VERSION,
        "kind": "Reassignment",
        "metadata": {"name": "empty-2", "namespace": namespace},
        "spec": {"cluster": "orders", "evacuate": [2]},
    }


class PluginContract:
    async def test_a_change_sets_what_it_names_and_nothing_else(
        self, people: People, namespace: str
    ) -> None:
        made = await people.create(reassignment(namespace))
        await people.apply_status(made | {"status": {"plan": {"hash": "abc"}}})
        changed = await people.change(made, {"approvedPlan": "abc"})
        read = await people.get("Reassignment", namespace, "empty-2")
        assert read == changed
        assert changed["spec"] == made["spec"] | {"approvedPlan": "abc"}
        assert changed["status"]["plan"] == {"hash": "abc"}
        assert generation(changed) == generation(made) + 1

    async def test_a_change_is_the_persons_and_not_taken_back_by_the_operator(
        self, people: People, namespace: str
    ) -> None:
        body = broker_cluster(namespace)
        del body["spec"]["paused"]
        made = await people.apply(body)
        await people.change(made, {"paused": True})
        applied = await people.apply(body)
        assert applied["spec"]["paused"] is True

    async def test_what_is_gone_is_not_changed(self, people: People, namespace: str) -> None:
        made = await people.create(reassignment(namespace))
        await people.delete("Reassignment", namespace, "empty-2")
        with pytest.raises(ConflictError, match="empty-2"):
            await people.change(made, {"paused": True})

    async def test_what_was_made_again_is_not_changed(self, people: People, namespace: str) -> None:
        old = await people.create(reassignment(namespace))
        await people.delete("Reassignment", namespace, "empty-2")
        await people.create(reassignment(namespace))
        with pytest.raises(ConflictError, match="empty-2"):
            await people.change(old, {"undo": True})
        new = await people.get("Reassignment", namespace, "empty-2")
        assert new is not None
        assert not new["spec"].get("undo")
