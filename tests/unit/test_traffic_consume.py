"""What the checked consumer says of partitions that it has not read to their end."""

from __future__ import annotations

import json
from typing import Any

from tests.traffic.consume import CheckedConsumer


def consumer() -> CheckedConsumer:
    return CheckedConsumer({"group.id": "nobody"})


def partition(**more: Any) -> dict[str, Any]:
    read = {"fetch_state": "active", "leader": 1, "app_offset": 9, "ls_offset": 9, "hi_offset": 9}
    return read | more


def test_a_partition_that_stands_still_is_named_with_its_reason() -> None:
    late = partition(fetch_state="validate-epoch-wait", leader=2, app_offset=5)
    told = {
        "cgrp": {"state": "up", "join_state": "steady"},
        "topics": {
            "t": {"partitions": {"-1": partition(app_offset=0), "0": late, "1": partition()}}
        },
    }
    its = consumer()
    its.statistics = json.dumps(told)
    assert its.behind() == {
        "group": "up, steady",
        "t-0": "validate-epoch-wait, leader 2, read to 5, committed to 9 of 9",
    }


def test_nothing_is_said_of_a_log_that_was_read_or_of_one_that_nothing_is_known_of() -> None:
    its = consumer()
    assert its.behind() == {}
    its.statistics = json.dumps({"topics": {"t": {"partitions": {"0": partition()}}}})
    assert its.behind() == {}
