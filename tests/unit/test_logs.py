"""Log lines: what is in them, in both styles, and what never is."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from broker_operator import logs
from broker_operator.logs import bound

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("broker_operator.test")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Put back what `setup` changes for the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logs._CHATTY}
    root.handlers = []
    yield
    logging.captureWarnings(capture=False)
    root.handlers, root.level = handlers, level
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def as_json(stream: io.StringIO) -> io.StringIO:
    logs.setup("json", stream=stream)
    return stream


@pytest.fixture
def as_plain(stream: io.StringIO) -> io.StringIO:
    logs.setup("plain", stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail(text: str) -> None:
    raise ValueError(text)


def test_json_tells_when_who_and_what(as_json: io.StringIO) -> None:
    record = logging.makeLogRecord(
        {
            "name": "broker_operator.loop",
            "levelno": logging.INFO,
            "levelname": "INFO",
            "created": 1.5,
            "msg": "Scaling",
        }
    )
    logging.getLogger().handle(record)
    assert lines(as_json) == [
        {
            "time": "1970-01-01T00:00:01.500Z",
            "level": "info",
            "logger": "broker_operator.loop",
            "message": "Scaling",
        }
    ]


def test_bound_fields_are_in_every_record_of_the_block(as_json: io.StringIO) -> None:
    with bound(namespace="kafka", name="orders"):
        log.info("First")
        with bound(reconcileID="6f1c", name="inner"):
            log.info("Second")
        log.info("Third")
    log.info("Fourth")
    keys = ("namespace", "name", "reconcileID")
    assert [[line.get(key) for key in keys] for line in lines(as_json)] == [
        ["kafka", "orders", None],
        ["kafka", "inner", "6f1c"],
        ["kafka", "orders", None],
        [None, None, None],
    ]


async def test_tasks_inherit_what_is_bound_and_keep_it_apart(as_json: io.StringIO) -> None:
    async def work(name: str) -> None:
        with bound(name=name):
            await asyncio.sleep(0)
            log.info("Working")

    with bound(namespace="kafka"):
        await asyncio.gather(work("a"), work("b"))
    assert [(line["namespace"], line["name"]) for line in lines(as_json)] == [
        ("kafka", "a"),
        ("kafka", "b"),
    ]


def test_extra_fields_belong_to_one_record(as_json: io.StringIO) -> None:
    log.info("Scaling out to %d brokers", 4, extra={"brokers": [0, 1, 2, 3], "to": object})
    [line] = lines(as_json)
    assert line["message"] == "Scaling out to 4 brokers"
    assert line["brokers"] == [0, 1, 2, 3]
    assert line["to"] == "<class 'object'>"


def test_a_field_never_hides_what_every_line_has(as_json: io.StringIO) -> None:
    with bound(level="my level"):
        log.warning("Careful")
    [line] = lines(as_json)
    assert (line["level"], line["level_"]) == ("warning", "my level")


def test_an_exception_is_one_field_of_one_line(as_json: io.StringIO) -> None:
    try:
        fail("first\nsecond")
    except ValueError:
        log.exception("Failed")
    [line] = lines(as_json)
    assert line["message"] == "Failed"
    assert line["error"].startswith("Traceback")
    assert line["error"].endswith("ValueError: first\nsecond")


def test_the_object_that_kopf_speaks_of_is_told(as_json: io.StringIO) -> None:
    ref = {"apiVersion": "v1", "kind": "Pod", "namespace": "kafka", "name": "p", "uid": "u"}
    log.info("Seen", extra={"k8s_ref": ref, "k8s_skip": False, "settings": object()})
    [line] = lines(as_json)
    assert {"namespace": "kafka", "name": "p", "uid": "u"}.items() <= line.items()
    assert not {"k8s_ref", "k8s_skip", "settings", "kind"} & line.keys()


@pytest.mark.parametrize(
    "key",
    ["password", "ssl.keystore.password", "Authorization", "token", "clientSecret", "private_key"],
)
def test_secrets_are_masked_by_the_name_of_their_field(as_json: io.StringIO, key: str) -> None:
    log.info("Sent", extra={key: "hunter2", "config": [{"a": {key: "hunter2"}}], "b": "shown"})
    [line] = lines(as_json)
    assert line[key] == "***"
    assert line["config"] == [{"a": {key: "***"}}]
    assert line["b"] == "shown"
    assert "hunter2" not in as_json.getvalue()


def test_plain_lines_are_for_eyes(as_plain: io.StringIO) -> None:
    with bound(namespace="kafka", name="orders"):
        log.warning("Waiting", extra={"why": 'broker 3 "is" away', "brokers": 3, "none": ""})
    [line] = as_plain.getvalue().splitlines()
    time, _, rest = line.partition(" ")
    assert time.endswith("Z")
    assert rest == (
        "WARNING broker_operator.test: Waiting namespace=kafka name=orders"
        r' why="broker 3 \"is\" away" brokers=3 none=""'
    )


def test_plain_errors_stand_below_their_line(as_plain: io.StringIO) -> None:
    try:
        fail("no")
    except ValueError:
        log.exception("Failed", extra={"brokers": 3})
    first, *_, last = as_plain.getvalue().splitlines()
    assert first.endswith("Failed brokers=3")
    assert last == "ValueError: no"


def test_stacks_are_told(as_json: io.StringIO) -> None:
    log.info("Here", stack_info=True)
    assert "test_stacks_are_told" in lines(as_json)[0]["error"]


def test_libraries_are_heard_only_when_they_warn(stream: io.StringIO) -> None:
    logs.setup("json", level="debug", stream=stream)
    for name in ("kafka.conn", "kazoo.client", "aiohttp.access", "asyncio"):
        logging.getLogger(name).info("I live")
        logging.getLogger(name).warning("I die")
    log.debug("Shown")
    assert [line["message"] for line in lines(stream)] == ["I die"] * 4 + ["Shown"]


def test_warnings_of_python_are_logged(as_json: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        logging.captureWarnings(capture=True)
        warnings.warn("old way", DeprecationWarning, stacklevel=1)
    [line] = lines(as_json)
    assert "old way" in line["message"]


def test_setup_again_replaces_the_first(as_json: io.StringIO) -> None:
    second = io.StringIO()
    logs.setup("plain", level="warning", stream=second)
    log.info("Too quiet")
    log.warning("Heard")
    assert as_json.getvalue() == ""
    assert second.getvalue().count("Heard") == 1
    assert "quiet" not in second.getvalue()


@pytest.mark.parametrize(
    ("style", "level", "message"),
    [("xml", "INFO", "log style 'xml'"), ("json", "LOUD", "LOUD")],
)
def test_unknown_styles_and_levels_are_refused(style: str, level: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        logs.setup(style, level)
