"""Where in a JSON text something stands, for messages. Called only once something is wrong."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_KEY_OR_BRACE = re.compile(r'("(?:[^"\\]|\\.)*")([ \t\r\n]*:)?|[{}]')


def line_of(text: str, path: Sequence[str | int]) -> int:
    """Return the line, from 1, of what `path` leads to, or of the last part of it that exists.

    Args:
        text: Valid JSON.
        path: Keys of objects and indexes of lists, from the outside in. Of a key that is there
            twice, the last one counts, as it does to parsers.
    """
    at = _skip(text, 0)
    for step in path:
        found = [begin for key, begin in _children(text, at) if key == step]
        if not found:
            break
        at = found[-1]
    return text.count("\n", 0, at) + 1


def line_of_repeated(text: str) -> int:
    """Return the line, from 1, where the first key stands that its object has already.

    Args:
        text: Valid JSON in which there is one.
    """
    at = 0
    objects: list[set[str]] = []
    for match in _KEY_OR_BRACE.finditer(text):
        string, colon = match.groups()
        if string is None:
            if match[0] == "{":
                objects.append(set())
            else:
                objects.pop()
        elif colon:
            key = json.loads(string)
            if key in objects[-1]:
                at = match.start()
                break
            objects[-1].add(key)
    return text.count("\n", 0, at) + 1


def _children(text: str, at: int) -> Iterator[tuple[str | int, int]]:
    """Yield key or index, and where the value begins, of the object or list that begins at `at`."""
    opening = text[at]
    if opening not in "{[":
        return
    index = 0
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        key: str | int = index
        if opening == "{":
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        yield key, at
        _, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
        index += 1


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
