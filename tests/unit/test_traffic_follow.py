"""A log that is followed through broken streams is seen once, line by line."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.traffic.follow import Line, LogFollower, Writer


def line(number: int, kind: str = "tick") -> str:
    return json.dumps({"kind": kind, "n": number})


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def follow(script: str, states: Iterator[Writer]) -> tuple[LogFollower, list[Line]]:
    seen: list[Line] = []
    follower = LogFollower(["sh", "-c", script], lambda: next(states), seen.append)
    follower.start()
    assert follower.wait(30)
    return follower, seen


def test_lines_come_once_though_each_stream_starts_at_the_beginning(tmp_path: Path) -> None:
    texts = [line(number) for number in range(6)]
    for attempt, shown in enumerate((2, 2, 4, 6)):
        (tmp_path / str(attempt)).write_text("".join(f"{text}\n" for text in texts[:shown]))
    script = (
        f"cd {tmp_path}; n=$(cat count 2>/dev/null || echo 0); echo $((n+1)) >count; cat $n;"
        " [ $n = 3 ]"
    )
    follower, seen = follow(script, iter(["writing", "writing", "ended", "ended"]))
    assert [each["n"] for each in seen] == [0, 1, 2, 3, 4, 5]
    assert follower.latest("tick") == {"kind": "tick", "n": 5}


def test_a_line_cut_by_the_break_is_taken_when_it_is_whole(log: Path) -> None:
    log.write_text(f"{line(0)}\n{line(1)[:7]}")
    script = f"cat {log}; [ -e {log}.full ] && exit 0; echo '{line(1)[7:]}' >>{log}; >{log}.full"
    _, seen = follow(script, iter(["writing", "ended"]))
    assert [each["n"] for each in seen] == [0, 1]


def test_the_end_is_believed_only_if_the_whole_log_was_read_after_it(log: Path) -> None:
    log.write_text(f"{line(0)}\n")
    script = f"cat {log}; echo '{line(1)}' >{log}.new; cat {log}.new >>{log}"
    _, seen = follow(script, iter(["writing", "ended"]))
    assert [each["n"] for each in seen] == [0, 1]


def test_a_writer_that_is_gone_ends_it_although_the_log_cannot_be_read() -> None:
    follower, seen = follow("exit 1", iter(["gone"]))
    assert seen == []
    assert follower.latest("tick") is None


def test_what_is_no_json_line_is_kept_as_words() -> None:
    script = f"echo '%3|FAIL|no route'; echo 17; echo '{{}}'; echo '{line(1)}'"
    follower, seen = follow(script, iter(["ended"]))
    assert [each["n"] for each in seen] == [1]
    assert follower.words().splitlines() == ["%3|FAIL|no route", "17", "{}"]


def test_closing_ends_a_stream_that_would_go_on() -> None:
    follower = LogFollower(["sleep", "600"], lambda: "writing")
    follower.start()
    follower.close()
    assert follower.wait(0)
