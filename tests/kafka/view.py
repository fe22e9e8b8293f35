"""A live cluster as its znodes show it, read without any code of the operator's."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import ResourceType
from kazoo.exceptions import NoNodeError

from tests.kafka.nodes import REQUEST, Nodes
from tests.kafka.processes import wait_until

if TYPE_CHECKING:
    from tests.kafka.cluster import KafkaCluster

CONTROLLER = "/controller"
TOPICS, BROKERS = "/brokers/topics", "/brokers/ids"


class View:
    """What is in the znodes of a Kafka cluster, and the hands to put something there."""

    def __init__(self, zookeeper: str) -> None:
        self.nodes = Nodes(zookeeper, "/kafka")

    def close(self) -> None:
        self.nodes.close()

    def brokers(self) -> set[int]:
        """Registered broker ids."""
        return {int(name) for name in self.nodes.children(BROKERS)}

    def controller(self) -> int | None:
        """The active controller, None while there is none."""
        found = self.nodes.json(CONTROLLER)
        return None if found is None else int(found["brokerid"])

    def topics(self) -> dict[str, dict[str, Any]]:
        """Content of each topic's znode."""
        found = {name: self.nodes.json(f"{TOPICS}/{name}") for name in self.nodes.children(TOPICS)}
        return {name: content for name, content in found.items() if content is not None}

    def assignment(self) -> dict[tuple[str, int], list[int]]:
        """Replicas of every partition, those being added and removed included."""
        return {
            (topic, int(number)): replicas
            for topic, content in self.topics().items()
            for number, replicas in content["partitions"].items()
        }

    def load(self) -> Counter[int]:
        """Replicas per broker."""
        return Counter(b for replicas in self.assignment().values() for b in replicas)

    def in_flight(self) -> set[tuple[str, int]]:
        """Partitions that the controller is moving."""
        return {
            (topic, int(number))
            for topic, content in self.topics().items()
            for key in ("adding_replicas", "removing_replicas")
            for number in content.get(key, {})
        }

    def leader(self, topic: str, partition: int) -> int:
        """The leader of a partition, -1 while there is none."""
        return int((self._state(topic, partition) or {"leader": -1})["leader"])

    def in_sync(self, topic: str, partition: int) -> list[int]:
        """The ISR of a partition."""
        return list((self._state(topic, partition) or {"isr": ()})["isr"])

    def out_of_sync(self) -> list[tuple[str, int]]:
        """Partitions at rest of which a replica on a registered broker is not in sync."""
        live, flying = self.brokers(), self.in_flight()
        return [
            tp
            for tp, replicas in self.assignment().items()
            if tp not in flying
            and not live.intersection(replicas).issubset((self._state(*tp) or {"isr": ()})["isr"])
        ]

    def requested(self) -> bytes | None:
        """Content of `/admin/reassign_partitions`, None if it is not there."""
        try:
            return self.nodes.get(REQUEST)[0]
        except NoNodeError:
            return None

    def throttles(self) -> dict[str, dict[str, str]]:
        """Replication throttles by the entity that has one, `brokers/1` or `topics/orders`."""
        found = {}
        for kind in ("brokers", "topics"):
            for name in self.nodes.children(f"/config/{kind}"):
                config = (self.nodes.json(f"/config/{kind}/{name}") or {}).get("config", {})
                if throttled := {k: v for k, v in config.items() if "replication.throttled" in k}:
                    found[f"{kind}/{name}"] = throttled
        return found

    def await_gone(self, broker: int) -> None:
        """Wait until a broker that was killed is no longer registered."""
        wait_until(lambda: broker not in self.brokers(), f"broker {broker} is unregistered")

    def clean(self, cluster: KafkaCluster) -> None:
        """Delete every topic, and what a failed test has left, for the next one."""

        def gone() -> bool:
            # Again and again: a broker that was asked for a consumer's coordinator a moment ago may
            # make Kafka's own topic anew after it was deleted.
            for topic in self.topics():
                with suppress(KafkaException):  # it is being deleted already
                    cluster.delete_topic(topic)
            return not self.topics()

        wait_until(gone, "every topic is deleted", pause=0.5)
        for entity, throttles in self.throttles().items():
            kind, _, name = entity.partition("/")
            for key in throttles if kind == "brokers" else ():
                cluster.configure(ResourceType.BROKER, name, key, None)
        if self.requested() is not None:
            self.nodes.delete(REQUEST)
            self.nodes.delete(CONTROLLER)  # only a new one listens for the next request
            wait_until(lambda: self.controller() is not None, "a controller is elected")

    def _state(self, topic: str, partition: int) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.nodes.json(
            f"{TOPICS}/{topic}/partitions/{partition}/state"
        )
        return found
