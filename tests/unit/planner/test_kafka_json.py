from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker_operator.core.planner import AssignmentFormatError, from_json, to_json
from broker_operator.core.planner.kafka_json import (
    MAX_ID,
    NotJsonError,
    RepeatedKeyError,
    quote,
)


def test_an_assignment_is_written_sorted_and_compact() -> None:
    assert to_json({"b": {1: (2, 1), 0: (1, 2)}, "a": {0: (3,)}, "empty": {}}) == (
        '{"version":1,"partitions":[{"topic":"a","partition":0,"replicas":[3]},'
        '{"topic":"b","partition":0,"replicas":[1,2]},'
        '{"topic":"b","partition":1,"replicas":[2,1]}]}'
    )


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=9),
        st.dictionaries(
            st.integers(0, MAX_ID),
            st.lists(st.integers(0, MAX_ID), min_size=1, max_size=5, unique=True).map(tuple),
            min_size=1,
            max_size=5,
        ),
        max_size=5,
    )
)
def test_what_is_written_is_read_back(assignment: dict[str, dict[int, tuple[int, ...]]]) -> None:
    assert from_json(to_json(assignment)) == assignment


def test_keys_that_kafka_adds_are_ignored() -> None:
    text = """{"version": 1, "note": "", "partitions": [
        {"topic": "a", "partition": 0, "replicas": [1], "log_dirs": ["any"]}]}"""
    assert from_json(text) == {"a": {0: (1,)}}


def test_nothing_is_an_assignment_too() -> None:
    assert from_json('{"version":1,"partitions":[]}') == {}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"topic": 7}, ("partitions", 1, "topic")),
        ({"partition": None}, ("partitions", 1, "partition")),
        ({"partition": 0}, ("partitions", 1)),
        ({"replicas": []}, ("partitions", 1, "replicas")),
        ({"replicas": [1, 1]}, ("partitions", 1, "replicas", 1)),
        ({"replicas": [1, 2, -1]}, ("partitions", 1, "replicas", 2)),
    ],
)
def test_a_refusal_knows_the_way_to_what_is_wrong(
    changes: dict[str, object], path: tuple[str | int, ...]
) -> None:
    with pytest.raises(AssignmentFormatError) as refused:
        from_json(entry(**changes))
    assert refused.value.path == path


def entry(**changes: object) -> str:
    first = {"topic": "a", "partition": 0, "replicas": [1, 2]}
    second = {"topic": "a", "partition": 1, "replicas": [1, 2]} | changes
    return json.dumps({"version": 1, "partitions": [first, second]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON: "),
        ('{"version":1', "not JSON: "),
        ("[" * 100_000, "not JSON: "),
        ("[]", "the document must be an object"),
        ("{}", "version must be 1, not null"),
        ('{"version":2}', "version must be 1, not 2"),
        ('{"version":true}', "version must be 1, not true"),
        ('{"version":1}', "partitions must be a list"),
        ('{"version":1,"partitions":{}}', "partitions must be a list"),
        ('{"version":1,"partitions":[7]}', "partitions[0] must be an object"),
        (entry(topic=None), "partitions[1]: topic must be a name"),
        (entry(topic=""), "partitions[1]: topic must be a name"),
        (entry(partition="1"), "partitions[1] (a): partition must be an integer from 0"),
        (entry(partition=-1), "partitions[1] (a): partition must be an integer from 0"),
        (entry(partition=True), "partitions[1] (a): partition must be an integer from 0"),
        (entry(partition=1.0), "partitions[1] (a): partition must be an integer from 0"),
        (entry(partition=0), "partitions[1] (a-0): named twice"),
        (entry(replicas=None), "partitions[1] (a-1): replicas must be a list of broker ids from 0"),
        (entry(replicas=[]), "partitions[1] (a-1): replicas must be a list of broker ids from 0"),
        (
            entry(replicas=["1"]),
            "partitions[1] (a-1): replicas must be a list of broker ids from 0",
        ),
        (entry(replicas=[-1]), "partitions[1] (a-1): replicas must be a list of broker ids from 0"),
        (entry(replicas=[1, 1]), "partitions[1] (a-1): replicas names a broker twice"),
        (
            entry(partition=MAX_ID + 1),
            "partitions[1] (a): partition must be an integer from 0 to 2",
        ),
        (entry(replicas=[MAX_ID + 1]), "partitions[1] (a-1): replicas must be a list of broker id"),
    ],
)
def test_what_is_no_assignment_is_refused_by_entry(text: str, message: str) -> None:
    with pytest.raises(AssignmentFormatError) as refused:
        from_json(text)
    assert str(refused.value).startswith(message)


def test_what_is_no_json_has_the_parsers_words() -> None:
    with pytest.raises(NotJsonError) as refused:
        from_json("{")
    assert isinstance(refused.value.error, json.JSONDecodeError)


FIRST = '{"topic":"a","partition":0,"replicas":[1]}'
TWICE = '{"topic":"a","partition":0,"topic":"b","replicas":[1]}'


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f'{{"version":1,"partitions":[{FIRST}],"partitions":[]}}', "partitions"),
        ('{"version":1,"version":1,"partitions":[]}', "version"),
        (
            '{"version":1,"partitions":[{"topic":"a","partition":0,"topic":"b","replicas":[1]}]}',
            "topic",
        ),
        (
            '{"version":1,"partitions":[{"topic":"a","partition":0,"\\u0074opic":"b","replicas":[1]}]}',
            "topic",
        ),
        ('{"version":1,"partitions":[],"note":{"x":1,"x":2}}', "x"),
    ],
)
def test_a_key_that_is_there_twice_is_refused(text: str, key: str) -> None:
    with pytest.raises(RepeatedKeyError) as refused:
        from_json(text)
    assert refused.value.key == key
    assert str(refused.value) == f'key "{key}" appears twice'


def test_colons_elsewhere_do_no_harm() -> None:
    named = FIRST.replace('"a"', '"a:b"')
    text = f'{{"version":1,"note":{{"a":"::"}},"partitions":[{named}]}}'
    assert from_json(text) == {"a:b": {0: (1,)}}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        ([], "[]"),
        ([1], "a list"),
        ({"a": 1}, "an object"),
        ("x" * 90, '"' + "x" * 59 + "..."),
    ],
)
def test_values_are_quoted_as_json(value: object, shown: str) -> None:
    assert quote(value) == shown
