from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_operator.api.spec import (
    OPERATOR_KEYS,
    InvalidSpecError,
    Via,
    WhenScaledDown,
    decode_cluster,
    ensemble_key,
)

METADATA = {"name": "demo", "namespace": "team", "uid": "u"}
MINIMAL: dict[str, Any] = {"replicas": 3, "zookeeper": {"connect": "zk-0:2181"}}


def problems(**spec: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidSpecError) as refused:
        decode_cluster({"metadata": METADATA, "spec": MINIMAL | spec})
    assert str(refused.value) == "; ".join(refused.value.problems)
    return refused.value.problems


def test_a_minimal_spec_gets_every_default() -> None:
    made = decode_cluster({"metadata": METADATA, "spec": MINIMAL})
    assert (made.namespace, made.name, made.uid, made.generation, made.created) == (
        "team",
        "demo",
        "u",
        1,
        "",
    )
    spec = made.spec
    assert (spec.version, spec.image, spec.racks, spec.paused) == ("3.9.2", "", (), False)
    assert spec.heap == 1024**3
    assert (spec.storage.size, spec.storage.when_scaled_down) == ("10Gi", WhenScaledDown.RETAIN)
    assert spec.pod.termination_grace_period_seconds == 180
    moves = spec.reassignment
    assert (moves.via, moves.throttle) == (Via.ZOOKEEPER, 50 * 1024**2)
    assert (moves.max_moves_per_broker, moves.history) == (5, 5)


def test_everything_that_is_said_is_read() -> None:
    spec = decode_cluster(
        {
            "metadata": METADATA | {"generation": 7, "creationTimestamp": "t"},
            "spec": MINIMAL
            | {
                "racks": [{"name": "a", "zone": "z"}, {"name": "b", "nodeSelector": {"k": "v"}}],
                "config": {"log.retention.ms": "1"},
                "jvm": {"heap": "256Mi"},
                "resources": {"limits": {"memory": "1Gi"}},
                "storage": {"size": "5Gi", "className": "ssd", "whenScaledDown": "Delete"},
                "reassignment": {"via": "AdminApi", "throttle": "0", "history": 2},
                "paused": True,
            },
        }
    ).spec
    assert [rack.node_selector for rack in spec.racks] == [
        {"topology.kubernetes.io/zone": "z"},
        {"k": "v"},
    ]
    assert spec.heap == 256 * 1024**2
    assert spec.storage.when_scaled_down is WhenScaledDown.DELETE
    assert (spec.reassignment.via, spec.reassignment.throttle) == (Via.ADMIN_API, None)
    assert spec.paused


@pytest.mark.parametrize(
    ("spec", "field", "why"),
    [
        ({"replicas": 0}, "replicas", "at least 1"),
        ({"replicas": -1}, "replicas", "at least 1"),
        ({"replicas": "3"}, "replicas", "of type int"),
        ({"replicas": True}, "replicas", "of type int"),
        ({"replicas": 101}, "replicas", "above 100"),
        ({"replicas": 201, "racks": [{"name": "a"}, {"name": "b"}]}, "replicas", "above 200"),
        ({"version": "4.0.0"}, "version", "no ZooKeeper"),
        ({"version": "2.8.0"}, "version", "Kafka 3"),
        ({"image": 7}, "image", "of type str"),
        ({"racks": "a"}, "racks", "of type list"),
        ({"racks": ["a"]}, "racks", "of type dict"),
        ({"racks": [{"name": "a", "nodeSelector": [1]}]}, "racks", "of type dict"),
        ({"racks": [{"zone": "z"}]}, "racks", "not a name"),
        ({"racks": [{"name": "a"}, {"name": "a"}]}, "racks", "used twice"),
        ({"racks": [{"name": n} for n in "abcd"]}, "racks", "more than the 3 replicas"),
        ({"zookeeper": {}}, "zookeeper.connect", "host:port"),
        ({"zookeeper": []}, "zookeeper.connect", "host:port"),
        ({"zookeeper": {"connect": "zk"}}, "zookeeper.connect", "host:port"),
        ({"zookeeper": {"connect": "zk:a"}}, "zookeeper.connect", "host:port"),
        ({"zookeeper": {"connect": ":2181"}}, "zookeeper.connect", "host:port"),
        ({"zookeeper": {"connect": "a:1,,b:1"}}, "zookeeper.connect", "host:port"),
        ({"zookeeper": {"connect": "zk:1/"}}, "zookeeper.connect", "chroot"),
        ({"zookeeper": {"connect": "zk:1/a/"}}, "zookeeper.connect", "chroot"),
        ({"zookeeper": {"connect": "zk:1//a"}}, "zookeeper.connect", "chroot"),
        ({"config": {"a": 1}}, "config[a]", "one line of text"),
        ({"config": {"a": "b\nc"}}, "config[a]", "one line of text"),
        ({"config": {"a\nb": "c"}}, "config[a\nb]", "one line of text"),
        ({"storage": {"whenScaledDown": "Burn"}}, "storage.whenScaledDown", "Retain, Delete"),
        ({"storage": {"size": 5}}, "storage.size", "of type str"),
        ({"reassignment": {"via": "Pigeon"}}, "reassignment.via", "ZooKeeper, AdminApi"),
        ({"reassignment": {"throttle": "fast"}}, "reassignment.throttle", "not a quantity"),
        ({"reassignment": {"throttle": "-1"}}, "reassignment.throttle", "negative"),
        ({"reassignment": {"history": "5"}}, "reassignment.history", "of type int"),
        ({"jvm": {"heap": "much"}}, "jvm.heap", "not a quantity"),
        ({"jvm": {"heap": True}}, "jvm.heap", "not a quantity"),
        ({"resources": {"limits": {"memory": "1Gi"}}}, "resources.limits.memory", "150Mi"),
        ({"resources": {"limits": {"memory": "x"}}}, "resources.limits.memory", "not a quantity"),
        ({"paused": "yes"}, "paused", "of type bool"),
    ],
)
def test_each_problem_is_named_by_field_and_reason(
    spec: dict[str, Any], field: str, why: str
) -> None:
    found = problems(**spec)
    assert any(p.startswith(f"spec.{field}: ") and why in p for p in found), found


@pytest.mark.parametrize("key", sorted(OPERATOR_KEYS))
def test_what_the_operator_sets_is_refused(key: str) -> None:
    assert problems(config={key: "x"}) == (
        f"spec.config[{key}]: 'x' is set by the operator; remove it",
    )


def test_every_problem_is_named_at_once() -> None:
    found = problems(replicas=0, version="4.0", zookeeper={"connect": "zk/"}, paused=1)
    fields = [p.split(":")[0] for p in found]
    assert fields == [
        "spec.replicas",
        "spec.version",
        "spec.zookeeper.connect",
        "spec.zookeeper.connect",
        "spec.paused",
    ]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = (
    "replicas",
    "version",
    "image",
    "racks",
    "zookeeper",
    "config",
    "storage",
    "resources",
    "jvm",
    "pod",
    "reassignment",
    "paused",
)


def refusal(spec: dict[str, Any]) -> tuple[str, ...]:
    """Return what is wrong with a spec, nothing if it is decoded; all else is raised."""
    try:
        decode_cluster({"metadata": METADATA, "spec": MINIMAL | spec})
    except InvalidSpecError as refused:
        return refused.problems or ("refused without a reason",)
    return ()


@given(st.dictionaries(st.sampled_from(FIELDS), anything))
def test_whatever_comes_in_is_decoded_or_refused(spec: dict[str, Any]) -> None:
    assert all(p.startswith("spec.") for p in refusal(spec))


@given(
    st.dictionaries(
        st.sampled_from(["name", "zone", "nodeSelector"]), anything, min_size=1, max_size=3
    )
)
def test_whatever_a_rack_is_it_is_decoded_or_refused(rack: dict[str, Any]) -> None:
    assert all(p.startswith("spec.") for p in refusal({"racks": [rack]}))


@pytest.mark.parametrize(
    ("connect", "key"),
    [
        ("zk:2181", "zk.team:2181"),
        ("zk.team:2181", "zk.team:2181"),
        ("zk.team.svc:2181", "zk.team:2181"),
        ("zk.team.svc.cluster.local:2181", "zk.team:2181"),
        ("zk.team.svc.cluster.local.:2181", "zk.team:2181"),
        ("ZK:2181/Orders", "zk.team:2181/Orders"),
        ("b:1,a:1/x", "a.team:1,b.team:1/x"),
        ("10.0.0.1:2181", "10.0.0.1:2181"),
        ("zk:2181/a/", "zk.team:2181/a"),
    ],
)
def test_one_ensemble_path_has_one_key(connect: str, key: str) -> None:
    assert ensemble_key(connect, "team", "cluster.local") == key


def test_one_name_in_two_namespaces_is_two_ensembles() -> None:
    keys = {ensemble_key("zk:2181", namespace, "cluster.local") for namespace in "ab"}
    assert len(keys) == 2


def test_one_service_name_in_two_dns_domains_is_two_ensembles() -> None:
    abroad = "zk.team.svc.clusterset.local:2181"
    assert ensemble_key(abroad, "team", "cluster.local") == abroad
