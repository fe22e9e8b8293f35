from __future__ import annotations

import base64
import json
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_operator.api.reassignment import SWEEP_FINALIZER, Cause, decode_reassignment
from broker_operator.core import naming
from broker_operator.core.facts import StoredPlan
from broker_operator.core.layout import Slot, lay_out
from broker_operator.core.model import Broker
from broker_operator.core.planner import PlanRequest, make_plan
from broker_operator.core.planner.report import Report, make_report
from broker_operator.core.render import reassignment as rendered
from broker_operator.core.render.children import safe_children
from broker_operator.core.render.common import in_sync
from broker_operator.core.render.config import broker_properties
from broker_operator.core.render.stateful_set import stateful_set
from tests.unit.core.samples import cluster, reassignment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker_operator.core.model import KubeObject

RACKS = [{"name": "a", "zone": "eu-a"}, {"name": "b", "nodeSelector": {"disk": "fast"}}]


def set_of(slot: int = 0, replicas: int = 3, **spec: Any) -> KubeObject:
    subject = cluster(**spec)
    slots = lay_out("demo", subject.spec, [])
    return stateful_set(subject, slots[slot], replicas, image="kafka:1", domain="cluster.local")


def pod_of(body: KubeObject) -> dict[str, Any]:
    spec: dict[str, Any] = body["spec"]["template"]["spec"]
    return spec


def children(**spec: Any) -> list[KubeObject]:
    return [*safe_children(cluster(**spec), "kafka-id"), set_of(**spec)]


# What is rendered


@pytest.mark.parametrize("body", children(), ids=lambda b: f"{b['kind']}/{b['metadata']['name']}")
def test_every_child_is_labelled_owned_and_in_the_cluster_s_namespace(body: KubeObject) -> None:
    metadata = body["metadata"]
    assert metadata["namespace"] == "team"
    assert metadata["labels"] == naming.labels("demo", "3.9.2")
    (owner,) = metadata["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == (
        "BrokerCluster",
        "cluster-uid",
        True,
    )
    assert len(metadata["annotations"][naming.HASH_ANNOTATION]) == 16
    json.dumps(body)


def test_volumes_have_no_owner_and_outlive_everything() -> None:
    body = set_of()
    (claim,) = body["spec"]["volumeClaimTemplates"]
    assert claim["metadata"] == {"name": "data"}
    assert set(body["spec"]["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}


def test_pods_pass_the_restricted_pod_security_standard() -> None:
    pod = pod_of(set_of())
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False


def test_the_environment_is_what_the_image_expects() -> None:
    env = {
        e["name"]: e.get("value")
        for e in pod_of(set_of(jvm={"heap": "512Mi"}))["containers"][0]["env"]
    }
    assert env == {
        "POD_NAME": None,
        "POD_NAMESPACE": None,
        "SERVICE_NAME": "demo-broker-headless",
        "CLUSTER_DOMAIN": "cluster.local",
        "ZOOKEEPER_CONNECT": "zk:2181/demo",
        "KAFKA_HEAP": "512m",
    }


def test_only_a_start_is_watched_by_commands_which_cost_processor_time() -> None:
    (container,) = pod_of(set_of())["containers"]
    assert container["startupProbe"]["exec"]["command"][-2:] == ["broker", "ready"]
    day = container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"]
    assert day == 24 * 3600, "recovery may take hours"
    for later in ("livenessProbe", "readinessProbe"):
        assert "exec" not in container[later]
        assert container[later]["httpGet"]["path"] == "/-/healthy"


def test_the_selector_of_a_stateful_set_matches_its_pods_and_no_other_rack_s() -> None:
    first, second = (set_of(i, racks=RACKS) for i in range(2))
    labels = [b["spec"]["template"]["metadata"]["labels"].items() for b in (first, second)]
    selectors = [b["spec"]["selector"]["matchLabels"].items() for b in (first, second)]
    assert selectors[0] <= labels[0]
    assert selectors[1] <= labels[1]
    assert not selectors[0] <= labels[1]


def test_racks_place_their_brokers_and_tell_them() -> None:
    pods = [pod_of(set_of(i, racks=RACKS, pod={"nodeSelector": {"arch": "arm"}})) for i in range(2)]
    assert pods[0]["nodeSelector"] == {"arch": "arm", "topology.kubernetes.io/zone": "eu-a"}
    assert pods[1]["nodeSelector"] == {"arch": "arm", "disk": "fast"}
    assert {"name": "BROKER_RACK", "value": "b"} in pods[1]["containers"][0]["env"]
    assert set_of(1, racks=RACKS)["spec"]["ordinals"] == {"start": 100}


def test_what_users_say_of_pods_is_passed_on() -> None:
    said = {
        "labels": {"team": "a", "app.kubernetes.io/instance": "hijacked"},
        "annotations": {"scrape": "yes"},
        "tolerations": [{"key": "kafka", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
        "terminationGracePeriodSeconds": 7,
    }
    body = set_of(pod=said, resources={"limits": {"memory": "2Gi"}}, storage={"className": "ssd"})
    template, pod = body["spec"]["template"], pod_of(body)
    assert template["metadata"]["labels"]["team"] == "a"
    assert template["metadata"]["labels"]["app.kubernetes.io/instance"] == "demo"
    assert template["metadata"]["annotations"]["scrape"] == "yes"
    assert pod["tolerations"] == said["tolerations"]
    assert pod["affinity"] == said["affinity"]
    assert pod["priorityClassName"] == "high"
    assert pod["terminationGracePeriodSeconds"] == 7
    assert pod["containers"][0]["resources"] == {"limits": {"memory": "2Gi"}}
    assert body["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"] == "ssd"


def test_what_users_do_not_say_is_left_out() -> None:
    pod = pod_of(set_of())
    assert not {"nodeSelector", "tolerations", "priorityClassName"} & pod.keys()
    assert "resources" not in pod["containers"][0]
    assert "podAntiAffinity" in pod["affinity"]


@pytest.mark.parametrize(
    ("replicas", "factor", "in_sync_replicas"), [(1, 1, 1), (2, 2, 1), (3, 3, 2), (9, 3, 2)]
)
def test_internal_topics_are_as_safe_as_the_brokers_allow(
    replicas: int, factor: int, in_sync_replicas: int
) -> None:
    lines = broker_properties(cluster(replicas)).splitlines()
    assert lines == sorted(lines)
    assert f"offsets.topic.replication.factor={factor}" in lines
    assert f"min.insync.replicas={in_sync_replicas}" in lines


def test_users_have_the_last_word_on_properties() -> None:
    lines = broker_properties(cluster(config={"min.insync.replicas": "1", "a": "b"})).splitlines()
    assert {"min.insync.replicas=1", "a=b"} <= set(lines)
    assert len([line for line in lines if line.startswith("min.insync.replicas=")]) == 1


def test_a_changed_property_shows_in_the_pod_template_and_the_cluster_id_does_not() -> None:
    def template(**spec: Any) -> Any:
        return set_of(**spec)["spec"]["template"]

    assert template(config={"a": "b"}) != template(config={"a": "c"})
    (with_id,) = (b for b in safe_children(cluster(), "x") if b["kind"] == "ConfigMap")
    (without,) = (b for b in safe_children(cluster(), "") if b["kind"] == "ConfigMap")
    assert with_id["data"]["cluster-id"] == "x"
    assert "cluster-id" not in without["data"]


# Drift


def defaulted(value: Any) -> Any:
    """Return an object as the API server gives it back: more fields, quantities respelled."""
    match value:
        case dict():
            return {k: defaulted(v) for k, v in value.items()} | {"added-by-server": 1}
        case list():
            return [defaulted(item) for item in value]
        case "10Gi":
            return str(10 * 1024**3)
        case _:
            return value


def changes(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every scalar."""
    items = body.items() if isinstance(body, dict) else enumerate(body)
    for key, value in items:
        if isinstance(value, dict | list) and value:
            yield from changes(value, (*path, key))
        elif not isinstance(value, dict | list):
            yield (*path, key)


@pytest.mark.parametrize("body", children(racks=RACKS), ids=lambda b: b["kind"])
def test_what_the_server_adds_is_no_drift_and_every_changed_field_is(body: KubeObject) -> None:
    live = defaulted(body)
    assert in_sync(body, live)
    assert not in_sync(body, None)
    for *path, last in changes(body):
        spoiled = deepcopy(live)
        node = spoiled
        for step in path:
            node = node[step]
        node[last] = "something else"
        assert not in_sync(body, spoiled), (*path, last)
        del node[last]
        assert not in_sync(body, spoiled), (*path, last)


def test_what_we_no_longer_want_is_drift_by_its_hash() -> None:
    live = defaulted(set_of(pod={"priorityClassName": "high"}))
    assert not in_sync(set_of(), live)


@pytest.mark.parametrize(
    ("wanted", "live", "same"),
    [
        ({"a": {}}, {}, True),
        ({"a": []}, {}, True),
        ({"a": {}}, {"a": 1}, False),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({"a": [1]}, {"a": {"b": 1}}, False),
        ({"a": "1Gi"}, {"a": "1024Mi"}, True),
        ({"a": "500m"}, {"a": 0.5}, False),
        ({"a": 1}, {"a": "1"}, True),
        ({"a": "kafka"}, {"a": "zookeeper"}, False),
        ({"a": True}, {"a": None}, False),
    ],
)
def test_sameness(wanted: KubeObject, live: KubeObject, *, same: bool) -> None:
    assert in_sync(wanted, live) is same


# Reassignments and their plans


def test_a_new_reassignment_is_held_until_its_throttle_is_swept() -> None:
    body = rendered.reassignment(cluster(), 7, Cause.SCALE_DOWN, {2, 0, 1})
    assert body["metadata"]["name"] == "demo-7"
    assert body["metadata"]["finalizers"] == [SWEEP_FINALIZER]
    assert body["spec"] == {"cluster": "demo", "cause": "ScaleDown", "brokers": [0, 1, 2]}
    body["metadata"]["uid"] = "x"
    assert decode_reassignment(body).number == 7


def test_an_undo_names_the_one_that_it_takes_back_by_its_uid_too() -> None:
    """Names are used again: a later one of that name is not what it takes back."""
    old = reassignment(6)
    body = rendered.reassignment(cluster(), 7, Cause.UNDO, {0, 1, 2}, old)
    body["metadata"]["uid"] = "x"
    undo = decode_reassignment(body)
    assert undo.cause is Cause.UNDO
    assert undo.takes_back(old)
    assert not undo.takes_back(replace(old, uid="another"))


replica_lists = st.lists(st.integers(0, 300), min_size=1, max_size=4, unique=True).map(tuple)
assignments = st.dictionaries(
    st.text("abc.-_", min_size=1, max_size=5),
    st.dictionaries(st.integers(0, 50), replica_lists, min_size=1, max_size=5),
    max_size=5,
)


def plan(origin: Any, target: Any) -> StoredPlan:
    return StoredPlan(origin, target)


def report_of(count: int, size: int) -> Report:
    """Return the report of a cluster with so many brokers and a partition on each."""
    topic = {n: (n,) for n in range(count)}
    request = PlanRequest(
        assignment={"t": topic},
        brokers=tuple(Broker(n, f"eu-west-{n % 30:02}") for n in range(count)),
        targets=frozenset(range(count)),
        sizes={"t": dict.fromkeys(topic, size)},
    )
    return make_report(request, make_plan(request), [], 1024)


REPORT = report_of(3, 7)


@given(assignments, assignments, st.none() | assignments)
def test_a_plan_comes_back_from_its_config_maps(origin: Any, target: Any, first: Any) -> None:
    whole = StoredPlan(origin, target, first)
    maps = rendered.plan_config_maps(cluster(), reassignment(), whole, REPORT)
    assert maps == rendered.plan_config_maps(cluster(), reassignment(), whole, REPORT)
    stored = rendered.read_plan(maps)
    assert stored == whole
    assert stored.hash == whole.hash
    assert stored.way_back == (origin if first is None else first)


def test_the_parts_of_a_plan_are_found_by_their_labels() -> None:
    labels = rendered.plan_labels(cluster()).items()
    maps = rendered.plan_config_maps(cluster(), reassignment(), plan({}, {}), REPORT)
    assert all(labels <= part["metadata"]["labels"].items() for part in maps)
    assert not any(labels <= child["metadata"]["labels"].items() for child in children())


def test_every_part_of_a_plan_counts_in_its_hash() -> None:
    one, two = {"t": {0: (1, 2)}}, {"t": {0: (2, 1)}}
    plans = [StoredPlan(a, b, c) for a in (one, two) for b in (one, two) for c in (None, one, two)]
    assert len({each.hash for each in plans}) == len(plans)


def test_a_plan_too_large_for_one_config_map_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendered, "PART_BYTES", 20)
    large = {"t": {n: (n, n + 1) for n in range(100)}}
    whole = plan(large, large)
    maps = rendered.plan_config_maps(cluster(), reassignment(), whole, REPORT)
    assert len(maps) > 10
    names = [m["metadata"]["name"] for m in maps]
    assert all(name.startswith(f"demo-1-plan-{whole.hash}-") for name in names)
    (plan_name,) = {(found := naming.plan_of(name)) and found[:2] for name in names}
    assert plan_name == (names[0].removesuffix("-0"), whole.hash)
    assert [name.rpartition("-")[2] for name in names] == [str(n) for n in range(len(maps))]
    assert rendered.read_plan(maps).target == large
    assert {m["metadata"]["ownerReferences"][0]["uid"] for m in maps} == {"uid-1"}
    with pytest.raises(ValueError, match="damaged"):
        rendered.read_plan(maps[:-1])
    with pytest.raises(ValueError, match="damaged"):
        rendered.read_plan(maps[::-1])


@pytest.mark.parametrize(
    "data", [None, {}, {"target.json.gz": "AAAA"}, {"target.json.gz": "!"}, {"target.json.gz": ""}]
)
def test_a_damaged_plan_is_refused(data: Any) -> None:
    maps = rendered.plan_config_maps(cluster(), reassignment(), plan({}, {}), REPORT)
    maps[1]["binaryData"] = data
    with pytest.raises(ValueError, match=r"."):
        rendered.read_plan(maps)


def test_one_flipped_bit_is_noticed() -> None:
    maps = rendered.plan_config_maps(
        cluster(), reassignment(), plan({}, {"t": {0: (1, 2)}}), REPORT
    )
    packed = bytearray(base64.b64decode(maps[1]["binaryData"]["target.json.gz"]))
    for index in range(10, len(packed)):
        spoiled = bytearray(packed)
        spoiled[index] ^= 1
        maps[1]["binaryData"] = {"target.json.gz": base64.b64encode(spoiled).decode()}
        with pytest.raises(ValueError, match=r"."):
            rendered.read_plan(maps)


def test_the_report_lies_beside_the_plan_and_nothing_reads_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rendered, "PART_BYTES", 20)
    wanted = {"t": {n: (n, n + 1) for n in range(10)}}
    maps = rendered.plan_config_maps(cluster(), reassignment(), plan(wanted, wanted), REPORT)
    assert ["data" in m for m in maps] == [True] + [False] * (len(maps) - 1)
    told = json.loads(maps[0]["data"]["report.json"])
    assert told == json.loads(json.dumps(REPORT.to_dict()))
    for spoiled in ({"report.json": "{"}, None):  # edited; stored by an operator without reports
        maps[0]["data"] = spoiled
        assert rendered.read_plan(maps).target == wanted


def test_the_report_of_a_thousand_brokers_fits_beside_a_part_of_the_plan() -> None:
    large = report_of(1000, 10**13)
    maps = rendered.plan_config_maps(cluster(), reassignment(), plan({}, {}), large)
    part = len(base64.b64encode(bytes(rendered.PART_BYTES)))
    assert 200_000 < len(maps[0]["data"]["report.json"]) < 1024**2 - part


def test_the_figures_of_a_report_are_whole_numbers() -> None:
    report = replace(
        REPORT,
        replica_spread_before=3,
        replica_spread=1,
        leader_spread_before=2.334,
        leader_spread=0.5,
        topic_spread=2,
        rack_violations_before=4,
        byte_bound=9,
        batches=5,
        predicted_seconds=0.002,
        ideal_seconds=None,
        partitions_without_size=6,
    )
    assert rendered.plan_figures(report) == {
        "byteBound": 9,
        "replicaSpread": {"before": 3, "after": 1},
        "leaderSpread": {"before": 3, "after": 1},
        "topicSpread": {"before": 0, "after": 2},
        "rackViolations": {"before": 4, "after": 0},
        "batches": 5,
        "predictedSeconds": 1,
        "partitionsWithoutSize": 6,
    }


# Names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (naming.claim("demo-broker-a", 100), "data-demo-broker-a-100"),
        (naming.stateful_set("demo", "a"), "demo-broker-a"),
        (
            naming.broker_host("demo-broker-0", "demo", "team", "cluster.local"),
            "demo-broker-0.demo-broker-headless.team.svc.cluster.local",
        ),
    ],
)
def test_names(name: str, expected: str) -> None:
    assert name == expected


@pytest.mark.parametrize("length", [1, 220, 221, 253])
def test_a_part_of_a_plan_has_a_name_of_its_own_however_long_its_reassignment_s_is(
    length: int,
) -> None:
    """Either may have 253 characters. The uid stands for those that have to be cut off."""
    uid, plan_hash = "0e2c8b3d-6a4f-4f0e-9d3c-2b1a5c7d9e8f", "0123456789ab"
    name = "r" * length
    part = naming.plan_config_map(name, uid, "42", plan_hash, 123_456)
    assert len(part) <= 253
    assert naming.plan_of(part) == (part.removesuffix("-123456"), plan_hash, 123_456)
    for other in (
        naming.plan_config_map(f"{name[:-1]}x", uid[::-1], "42", plan_hash, 123_456),
        naming.plan_config_map(name, uid, "43", plan_hash, 123_456),
        naming.plan_config_map(name, uid, "42", plan_hash[::-1], 123_456),
        naming.plan_config_map(name, uid, "42", plan_hash, 123_457),
    ):
        assert other != part


@pytest.mark.parametrize("name", ["demo-broker", "demo-1-plan-0123456789ab-012345"])
def test_other_config_maps_are_no_part_of_a_plan(name: str) -> None:
    assert naming.plan_of(name) is None


def test_the_selector_is_part_of_the_labels() -> None:
    assert naming.selector("demo").items() <= naming.labels("demo", "3.9.2").items()


def test_what_is_proved_empty_is_named_and_restarts_nobody() -> None:
    slot = Slot("demo-broker", None, 0, 1)
    plain = stateful_set(cluster(1), slot, 3, image="i", domain="d")
    body = stateful_set(cluster(1), slot, 3, image="i", domain="d", empty=[2, 1])
    assert body["metadata"]["annotations"][naming.EMPTY_ANNOTATION] == "1,2"
    assert naming.EMPTY_ANNOTATION not in plain["metadata"]["annotations"]
    assert body["spec"] == plain["spec"]
    assert not in_sync(plain, body), "the annotation is taken away again"


def test_what_is_awaited_is_named_and_restarts_nobody() -> None:
    slot = Slot("demo-broker", None, 0, 1)
    plain = stateful_set(cluster(1), slot, 3, image="i", domain="d")
    body = stateful_set(cluster(1), slot, 3, image="i", domain="d", awaited="2, try 1")
    assert body["metadata"]["annotations"][naming.AWAITED_ANNOTATION] == "2, try 1"
    assert naming.AWAITED_ANNOTATION not in plain["metadata"]["annotations"]
    assert body["spec"] == plain["spec"]


def test_the_claim_s_name_is_the_one_that_the_stateful_set_makes() -> None:
    slot = Slot("demo-broker", None, 0, 1)
    body = stateful_set(cluster(1), slot, 1, image="i", domain="d")
    made = f"{body['spec']['volumeClaimTemplates'][0]['metadata']['name']}-{slot.name}-0"
    assert naming.claim(slot.name, 0) == made
