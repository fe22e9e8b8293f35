"""`broker-operator plan` out of the operator's image, on a live cluster; Kafka's own tool moves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.brokers import MOVE_SECONDS, Brokers
from tests.e2e.environment import DEPLOYMENT, OPERATOR_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.environment import Environment

pytestmark = pytest.mark.e2e

POD = "command-line"
REASSIGN = "/opt/kafka/bin/kafka-reassign-partitions"


@pytest.fixture
def with_pod(brokers: Brokers) -> Iterator[Environment]:
    """A pod of the operator's image with nothing but a shell in it."""
    env = brokers.env
    deployed = env.get("deploy", DEPLOYMENT, "-n", OPERATOR_NAMESPACE)
    image = deployed["spec"]["template"]["spec"]["containers"][0]["image"]
    container = {
        "name": "plan",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "infinity"],
    }
    env.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": POD, "namespace": brokers.namespace},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
        }
    )
    where = ("-n", brokers.namespace, f"pod/{POD}")
    env.kubectl("wait", *where, "--for=condition=Ready", "--timeout=120s")
    yield env
    env.kubectl("delete", *where)


def test_a_live_cluster_is_planned_and_moved_by_kafkas_own_tool_and_back(
    brokers: Brokers, with_pod: Environment
) -> None:
    def ask(*command: str) -> tuple[int, str]:
        where = ("exec", "-n", brokers.namespace, POD, "--")
        done = with_pod.kubectl(*where, *command, check=False)
        return done.returncode, done.stdout

    def report(folder: str) -> dict[str, Any]:
        live = ("--bootstrap", brokers.bootstrap, "--throttle", "50Mi")
        code, text = ask("broker-operator", "plan", *live, "--out", folder, "--format", "json")
        assert code == 0, text
        found: dict[str, Any] = json.loads(text)
        return found

    def execute(file: str) -> None:
        """Let Kafka's own tool carry a file out, and wait until it and `verify` say so."""
        text = ask("cat", f"/tmp/plan/{file}")[1]
        brokers.run("sh", "-c", "cat >/tmp/moves.json", stdin=text)
        tool = (REASSIGN, "--bootstrap-server", brokers.bootstrap)
        brokers.run(*tool, "--reassignment-json-file", "/tmp/moves.json", "--execute")
        moved = json.loads(text)["partitions"]

        def complete() -> bool:
            said = brokers.run(*tool, "--reassignment-json-file", "/tmp/moves.json", "--verify")
            return said.count("is completed") == len(moved)

        brokers.until(f"{file} to be carried out", complete, MOVE_SECONDS)

    name = "lopsided"
    brokers.topics("--create", "--topic", name, "--replica-assignment", ",".join(["0:1"] * 6))
    try:
        plan = report("/tmp/plan")
        assert plan["moves"] == plan["lower_bound"] > 0
        assert plan["replica_spread"] <= 1 < plan["replica_spread_before"]
        live = ("--bootstrap", brokers.bootstrap)
        verify = ("broker-operator", "verify", "--plan", "/tmp/plan", *live)
        assert ask(*verify)[0] == 1
        execute("plan.json")
        code, said = ask(*verify)
        assert code == 0, said
        assert report("/tmp/again")["moves"] == 0
        execute("undo.json")
        code, said = ask(*verify)
        assert code == 1
        assert f"Moves: 0 done of {plan['moves']}" in said
    finally:
        brokers.topics("--delete", "--topic", name)
