"""How answers of the API server become objects and errors."""

from __future__ import annotations

from typing import Any

import pytest

from broker_operator.adapters.kube_wire import RESOURCES, Answer, Target, decoded
from broker_operator.ports import ConflictError, RejectedError, TransientError

SETTINGS = Target("ConfigMap", "kafka", "settings")


def status(message: str, **details: str) -> dict[str, Any]:
    return {"kind": "Status", "metadata": {}, "message": message, "details": details}


@pytest.mark.parametrize(
    ("target", "path", "shown"),
    [
        (Target("Pod", None), "/api/v1/pods", "Pod"),
        (SETTINGS, "/api/v1/namespaces/kafka/configmaps/settings", "ConfigMap kafka/settings"),
        (
            Target("BrokerCluster", "kafka", "orders", "status"),
            "/apis/broker-operator.dev/v1alpha1/namespaces/kafka/brokerclusters/orders/status",
            "BrokerCluster kafka/orders status",
        ),
        (
            Target("Pod", "a/b", "../secrets"),
            "/api/v1/namespaces/a%2Fb/pods/..%2Fsecrets",
            "Pod a/b/../secrets",
        ),
    ],
)
def test_a_target_has_a_path_and_a_name_for_people(target: Target, path: str, shown: str) -> None:
    assert target.path == path
    assert str(target) == shown


def test_a_new_object_goes_to_its_collection() -> None:
    body = {"kind": "Pod", "metadata": {"namespace": "kafka", "name": "a"}}
    target = Target.of(body, named=False)
    assert target.path == "/api/v1/namespaces/kafka/pods"
    assert str(target) == "Pod kafka/a"


def test_every_version_names_its_group_unless_it_is_the_core() -> None:
    core = {kind for kind, resource in RESOURCES.items() if resource.api_version == "v1"}
    assert {"ConfigMap", "Event", "PersistentVolumeClaim", "Pod", "Service"} <= core
    assert "StatefulSet" not in core


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, RejectedError),
        (401, TransientError),  # tokens are replaced
        (403, RejectedError),
        (404, TransientError),  # of the type or the namespace
        (405, RejectedError),
        (408, TransientError),
        (409, ConflictError),
        (410, TransientError),  # a list took too long; from the start, then
        (413, RejectedError),
        (415, RejectedError),
        (422, RejectedError),
        (429, TransientError),
        (500, TransientError),
        (502, TransientError),
        (503, TransientError),
        (504, TransientError),
    ],
)
def test_each_failure_has_its_error(code: int, error: type[Exception]) -> None:
    answer = Answer(SETTINGS, code, status("because"))
    with pytest.raises(error) as caught:
        answer.unwrap("apply")
    assert type(caught.value) is error
    assert str(caught.value) == f"cannot apply ConfigMap kafka/settings: because (HTTP {code})"


def test_an_object_that_is_absent_is_told_from_a_type_that_is() -> None:
    absent = Answer(SETTINGS, 404, status("not found", name="settings", kind="configmaps"))
    assert absent.absent
    with pytest.raises(ConflictError, match="not found"):
        absent.unwrap("apply")
    for body in (
        None,
        status("the server could not find the requested resource"),
        status('namespaces "kafka" not found', name="kafka", kind="namespaces"),
        status("not found", name="settings", kind="secrets"),
    ):
        assert not Answer(SETTINGS, 404, body).absent


@pytest.mark.parametrize(
    "data", [b"", b"404 page not found\n", b"<html>", b'{"kind": "Po', b"\xff"]
)
def test_what_is_no_json_is_nothing(data: bytes) -> None:
    assert decoded(data) is None


@pytest.mark.parametrize("body", [None, [], "text"])
def test_a_success_without_an_object_is_a_failure_in_between(body: Any) -> None:
    with pytest.raises(TransientError, match=r"the server gave no reason \(HTTP 200\)"):
        Answer(SETTINGS, 200, body).unwrap("get")


def test_an_object_comes_without_field_ownership() -> None:
    body = {"metadata": {"name": "settings", "managedFields": [{}]}, "data": {}}
    assert Answer(SETTINGS, 200, body).unwrap("get") == {
        "metadata": {"name": "settings"},
        "data": {},
    }
