from __future__ import annotations

from typing import Any

import pytest

from broker_operator.api.reassignment import (
    ENDED_ANNOTATION,
    UNDOES_ANNOTATION,
    UNDOES_UID_ANNOTATION,
    Cause,
    State,
    ThrottleRecord,
    decode_reassignment,
)


def body(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "demo-12", "uid": "u"},
        "spec": {"cluster": "demo", "cause": "ScaleUp", "brokers": [0, 1]},
        "status": status,
    }


def test_a_new_one_knows_what_it_is_for_and_no_more() -> None:
    fresh = body()
    del fresh["status"]
    made = decode_reassignment(fresh)
    assert (made.name, made.uid, made.number) == ("demo-12", "u", 12)
    assert (made.cause, made.brokers) == (Cause.SCALE_UP, frozenset({0, 1}))
    assert not made.finished
    assert not made.deleting
    assert (made.plan_hash, made.config_maps, made.moves, made.bytes) == ("", (), 0, 0)
    assert made.throttle is None
    assert made.status == {}


def test_everything_is_read_back() -> None:
    plan = {"hash": "abc", "configMaps": ["a", "b"], "moves": 3, "bytes": 4}
    throttle = {"bytesPerSecond": 9, "brokers": [1], "topics": ["t"]}
    given = body(plan=plan, throttle=throttle)
    given["metadata"] |= {"deletionTimestamp": "x", "finalizers": ["f"]}
    made = decode_reassignment(given)
    assert (made.plan_hash, made.config_maps, made.moves, made.bytes) == ("abc", ("a", "b"), 3, 4)
    assert made.throttle == ThrottleRecord(9, (1,), ("t",))
    assert made.deleting
    assert made.finalizers == ("f",)


def test_a_throttle_may_name_nobody() -> None:
    made = decode_reassignment(body(throttle={"bytesPerSecond": 9}))
    assert made.throttle == ThrottleRecord(9, (), ())


@pytest.mark.parametrize(
    "throttle",
    [
        None,
        {},
        {"brokers": [1], "topics": ["t"]},
        {"bytesPerSecond": None, "brokers": [1]},
        {"bytesPerSecond": "50Mi", "brokers": [1]},
    ],
)
def test_a_throttle_without_a_rate_is_no_record(throttle: dict[str, Any] | None) -> None:
    """Its schema asks for none, so a hand may have taken it out; the rest is read all the same."""
    made = decode_reassignment(body(throttle=throttle, plan={"hash": "abc"}))
    assert made.throttle is None
    assert made.plan_hash == "abc"


@pytest.mark.parametrize("part", ["plan", "throttle", "conditions"])
@pytest.mark.parametrize("emptied", [{}, None])
def test_a_status_that_lost_parts_is_read_for_the_rest(part: str, emptied: Any) -> None:
    whole: dict[str, Any] = {
        "plan": {"hash": "abc"},
        "throttle": {"bytesPerSecond": 9},
        "conditions": [{"type": "Complete", "status": "True", "reason": "Succeeded"}],
    }
    made = decode_reassignment(body(**(whole | {part: emptied})))
    found = {
        "plan": bool(made.plan_hash),
        "throttle": made.throttle is not None,
        "conditions": made.finished,
    }
    assert found == {key: key != part for key in whole}


@pytest.mark.parametrize(
    ("status", "reason", "finished", "succeeded"),
    [
        ("True", "Succeeded", True, True),
        ("False", "Superseded", True, False),
        ("False", "Moving", False, False),
    ],
)
def test_the_complete_condition_tells_the_end(
    status: str, reason: str, *, finished: bool, succeeded: bool
) -> None:
    made = decode_reassignment(
        body(conditions=[{"type": "Complete", "status": status, "reason": reason}])
    )
    assert (made.finished, made.succeeded) == (finished, succeeded)


@pytest.mark.parametrize(("name", "number"), [("demo-7", 7), ("demo", 0), ("a-b", 0), ("a-10", 10)])
def test_the_number_is_at_the_end_of_the_name(name: str, number: int) -> None:
    given = body()
    given["metadata"]["name"] = name
    assert decode_reassignment(given).number == number


@pytest.mark.parametrize(
    ("undoes", "uid", "made", "expected"),
    [
        ("demo-12", "u", "2026-01-01T00:00:00Z", True),
        ("demo-12", "another", "2026-01-01T00:00:00Z", False),
        ("demo-11", "u", "2026-01-01T00:00:00Z", False),
        ("demo-12", "", "2026-01-01T00:00:00Z", True),
        ("demo-12", "", "2026-01-01T00:00:01Z", True),
        ("demo-12", "", "2026-01-01T00:00:02Z", False),
        ("", "", "2026-01-01T00:00:00Z", False),
    ],
    ids=["it", "its successor", "another", "by name", "just made", "made later", "nothing"],
)
def test_an_undo_takes_back_one_reassignment_and_none_that_has_its_name_later(
    undoes: str, uid: str, made: str, *, expected: bool
) -> None:
    old, undo = body(), body()
    old["metadata"]["creationTimestamp"] = made
    noted = {UNDOES_ANNOTATION: undoes, UNDOES_UID_ANNOTATION: uid}
    undo["metadata"] |= {"annotations": noted, "creationTimestamp": "2026-01-01T00:00:01Z"}
    assert decode_reassignment(undo).takes_back(decode_reassignment(old)) is expected


@pytest.mark.parametrize(
    ("noted", "reason", "state", "forgotten"),
    [
        ("Succeeded", "", State.SUCCEEDED, True),
        ("Refused", "", State.REFUSED, True),
        ("Succeeded", "Queued", State.SUCCEEDED, True),
        ("Succeeded", "Undone", State.UNDONE, False),
        ("Succeeded", "Succeeded", State.SUCCEEDED, False),
        ("Moving", "", State.QUEUED, False),
        ("whatever", "Moving", State.MOVING, False),
        ("", "", State.QUEUED, False),
    ],
)
def test_an_end_is_known_by_the_metadata_where_the_status_does_not_tell(
    noted: str, reason: str, state: State, *, forgotten: bool
) -> None:
    given = body(conditions=[{"type": "Complete", "reason": reason}] if reason else [])
    given["metadata"]["annotations"] = {ENDED_ANNOTATION: noted} if noted else {}
    made = decode_reassignment(given)
    assert (made.state, made.forgotten) == (state, forgotten)
