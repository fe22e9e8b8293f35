from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_operator.cli.locate import line_of, line_of_repeated

TEXT = """
{
  "version": 1, "a\\"b": [ ],
  "partitions": [
    {"topic": "t",
     "replicas": [1,
                  2]},
    7,
    {"topic": "x", "topic":
                   "y"}
  ]
}
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 2),
        (("version",), 3),
        (('a"b',), 3),
        (('a"b', 0), 3),
        (("partitions",), 4),
        (("partitions", 0, "topic"), 5),
        (("partitions", 0, "replicas", 1), 7),
        (("partitions", 1), 8),
        (("partitions", 1, "topic"), 8),
        (("partitions", 2, "topic"), 10),
        (("partitions", 3), 4),
        (("nothing", 3), 2),
    ],
)
def test_the_line_of_the_last_part_that_exists(path: tuple[str | int, ...], line: int) -> None:
    assert line_of(TEXT, path) == line


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.lists(values, min_size=1), st.data())
def test_every_entry_of_a_list_is_found(entries: list[Any], data: st.DataObject) -> None:
    """Whatever comes before it, and on however many lines."""
    index = data.draw(st.integers(0, len(entries) - 1))
    text = "[" + "\n,\n".join(json.dumps(entry) for entry in entries) + "]"
    assert line_of(text, (index,)) == 1 + 2 * index


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"a":1,\n"a":2}', 2),
        ('[{"a": "a",\n"b": {"a":\n1},\n"a" : 2},\n{"a": 1, "a": 2}]', 4),
        ('{"{": "}",\n"x\\"y": 1,\n"x\\u0022y": 1,\n"{": 1}', 3),
        ('{"a": {"b": 1}, "b": ["a", "a"],\n"c": {"c": 0,\n"c"\n:0}}', 3),
        ('{"a": 1}', 1),
    ],
)
def test_the_line_of_a_key_that_is_there_twice(text: str, line: int) -> None:
    assert line_of_repeated(text) == line
