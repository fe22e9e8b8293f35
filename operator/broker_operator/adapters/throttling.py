"""Replication throttles (KIP-73) as dynamic configs of brokers and topics.

A broker's own settings can only be read from and written to that very broker.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from kafka.admin import AlterConfigOp, ConfigResourceType
from kafka.protocol.admin import DescribeConfigsRequest, IncrementalAlterConfigsRequest

from broker_operator.adapters.kafka_client import (
    REQUEST_TIMED_OUT,
    UNKNOWN_TOPIC_OR_PARTITION,
    AdminClient,
    check,
    say,
)
from broker_operator.core.model import (
    FOLLOWER_RATE,
    FOLLOWER_REPLICAS,
    LEADER_RATE,
    LEADER_REPLICAS,
    ThrottleConfigs,
)
from broker_operator.ports import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from broker_operator.core.model import BrokerId, Throttle

_RATES = (LEADER_RATE, FOLLOWER_RATE)
_LISTS = (LEADER_REPLICAS, FOLLOWER_REPLICAS)
_OWN_TOPIC = 1
_OWN_BROKER = 2
"""Config sources: set dynamically on the topic, on the broker. Defaults have others."""

_TOPICS_PER_REQUEST = 100
"""The controller writes two znodes for each, one after the other, and must answer in time."""
_HEARD_SECONDS = 5.0
"""Within this a broker hears of its new settings; a moment, unless it is in trouble."""
APART = 0.25
"""Seconds between two requests that change anything, less if they are for many brokers. A change is
told to every broker, and takes each of them some 10 ms of a processor: on a machine that brokers
share, six of them at once stopped everything for 0.2 s."""
_POLL_SECONDS = 0.2

_WRITE = "IncrementalAlterConfigs"
_Values = dict[str, str | None]
"""Config key -> value, None to delete it."""
TopicLists = dict[str, _Values]
"""Topic -> its replica lists by config key."""
_Answers = dict[str, tuple[int, str | None]]
"""What was altered, in words -> error code and message."""


def describe(
    client: AdminClient, brokers: Sequence[BrokerId], topics: Sequence[str]
) -> ThrottleConfigs:
    """Read the throttle settings made on these brokers and topics; a deleted topic has none.

    Raises:
        TransientError: One of the brokers did not answer.
        RejectedError: Reading configs is not allowed.
    """
    of_brokers = {
        broker: _own(result, _OWN_BROKER)
        for broker, result in _describe_brokers(client, brokers).items()
    }
    of_topics = {
        result.resource_name: _own(result, _OWN_TOPIC)
        for result in _describe_topics(client, topics)
    }
    return ThrottleConfigs(
        brokers={broker: values for broker, values in of_brokers.items() if values},
        topics={topic: values for topic, values in of_topics.items() if values},
    )


def lists_of(throttle: Throttle) -> list[TopicLists]:
    """Return the replica lists by topic, as many together as one request may name."""
    lists: TopicLists = {}
    for topic, value in throttle.leader_replicas.items():
        lists.setdefault(topic, {})[LEADER_REPLICAS] = value
    for topic, value in throttle.follower_replicas.items():
        lists.setdefault(topic, {})[FOLLOWER_REPLICAS] = value
    return [{topic: lists[topic] for topic in some} for some in _some(sorted(lists))]


def set_lists(client: AdminClient, lists: TopicLists, on_write: Callable[[str], None]) -> None:
    """Set the replica lists of some topics.

    Raises:
        TransientError: A topic is not known.
        RejectedError: A broker refused; the message names what.
    """
    on_write(_WRITE)
    answers = _alter_topics(client, lists)
    check(_known(answers))
    if unknown := sorted(set(answers) - set(_known(answers))):
        raise TransientError(f"{', '.join(unknown)}: deleted just now, or too new")


def clear_lists(client: AdminClient, lists: TopicLists, on_write: Callable[[str], None]) -> None:
    """Delete the replica lists of some topics; one that is gone has none.

    Raises:
        RejectedError: A broker refused; the message names what.
    """
    on_write(_WRITE)
    gone = {topic: dict.fromkeys(values) for topic, values in lists.items()}
    check(_known(_alter_topics(client, gone)))


def set_rates(client: AdminClient, throttle: Throttle, on_write: Callable[[str], None]) -> None:
    """Set the brokers' rates; their lists must be set.

    Returns when every broker goes by its rate, and so by the lists too: it hears of changes in
    their order. What is submitted then is held back from its first byte on.

    Raises:
        TransientError: One of the brokers did not answer, or does not go by its new rate for too
            long.
        RejectedError: A broker refused; the message names what.
    """
    check(_alter_brokers(client, throttle, str(throttle.rate), on_write))
    _await(lambda: _missing(client, throttle), "the throttle is set, but not in force")


def clear_rates(client: AdminClient, throttle: Throttle, on_write: Callable[[str], None]) -> None:
    """Delete the rates of all brokers that can be reached.

    Raises:
        TransientError: One of the brokers did not answer.
        RejectedError: A broker refused; the message names what.
    """
    check(_alter_brokers(client, throttle, None, on_write))


def await_gone(client: AdminClient, throttle: Throttle) -> None:
    """Return when nobody shows a deleted throttle any more.

    A broker learns of its new settings by a notice in ZooKeeper, a moment after the request was
    answered.

    Raises:
        TransientError: Somebody shows it for too long, or does not answer.
    """
    _await(lambda: _shown(client, throttle), "the throttle is deleted, but still shown")


def _await(late: Callable[[], list[str]], trouble: str) -> None:
    """Look until nobody is late.

    Raises:
        TransientError: Somebody is for too long.
    """
    deadline = time.monotonic() + _HEARD_SECONDS
    time.sleep(_POLL_SECONDS)
    while names := late():
        if time.monotonic() > deadline:
            raise TransientError(f"{', '.join(names)}: {trouble}")
        time.sleep(_POLL_SECONDS)


def _missing(client: AdminClient, throttle: Throttle) -> list[str]:
    """Name the brokers that do not show their rate yet."""
    rate, keys = str(throttle.rate), throttle.rate_keys
    found = describe(client, sorted(keys), ()).brokers
    return [
        f"broker {broker}"
        for broker, wanted in keys.items()
        if any(found.get(broker, {}).get(key) != rate for key in wanted)
    ]


def _shown(client: AdminClient, throttle: Throttle) -> list[str]:
    """Name the brokers that still have a rate, and the topics that still have these lists.

    Any rate: a broker may show the one before, if that was replaced a moment ago.
    """
    keys = throttle.rate_keys
    lists = {topic: values for some in lists_of(throttle) for topic, values in some.items()}
    found = describe(client, sorted(keys), sorted(lists))
    return [
        *(
            f"broker {b}"
            for b, values in found.brokers.items()
            if not values.keys().isdisjoint(keys[b])
        ),
        *(
            f"topic {topic}"
            for topic, values in found.topics.items()
            if any(values.get(key) == value for key, value in lists[topic].items())
        ),
    ]


def _some(topics: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield as many as one request may name at a time."""
    for at in range(0, len(topics), _TOPICS_PER_REQUEST):
        yield topics[at : at + _TOPICS_PER_REQUEST]


def _known(answers: _Answers) -> _Answers:
    return {w: answer for w, answer in answers.items() if answer[0] != UNKNOWN_TOPIC_OR_PARTITION}


def _alter_topics(client: AdminClient, topics: Mapping[str, _Values]) -> _Answers:
    resources = [
        (ConfigResourceType.TOPIC, topic, _operations(values))
        for topic, values in sorted(topics.items())
    ]
    response = client.ask(IncrementalAlterConfigsRequest(resources=resources, validate_only=False))
    return {
        f"topic {answer.resource_name}": (answer.error_code, answer.error_message)
        for answer in response.responses
    }


def _alter_brokers(
    client: AdminClient, throttle: Throttle, rate: str | None, on_write: Callable[[str], None]
) -> _Answers:
    requests = {}
    for broker, keys in throttle.rate_keys.items():
        operations = _operations(dict.fromkeys(keys, rate))
        resource = (ConfigResourceType.BROKER, str(broker), operations)
        requests[broker] = IncrementalAlterConfigsRequest(resources=[resource], validate_only=False)
        on_write(_WRITE)
    answers: _Answers = {}
    for broker, answer in client.ask_each(requests, APART).items():
        if isinstance(answer, Exception):
            answers[f"broker {broker}"] = (REQUEST_TIMED_OUT, f"does not answer: {say(answer)}")
        else:
            for each in answer.responses:
                answers[f"broker {broker}"] = (each.error_code, each.error_message)
    return answers


def _operations(values: _Values) -> list[tuple[str, AlterConfigOp, str | None]]:
    return [
        (key, AlterConfigOp.DELETE if value is None else AlterConfigOp.SET, value)
        for key, value in values.items()
    ]


def _describe_brokers(client: AdminClient, brokers: Sequence[BrokerId]) -> dict[BrokerId, Any]:
    requests = {
        broker: _describe_request([(ConfigResourceType.BROKER, str(broker), list(_RATES))])
        for broker in brokers
    }
    results = {}
    for broker, answer in client.ask_each(requests).items():
        if isinstance(answer, Exception):
            raise TransientError(f"config of broker {broker}: {say(answer)}") from answer
        results[broker] = answer.results[0]
    return results


def _describe_topics(client: AdminClient, topics: Sequence[str]) -> list[Any]:
    lists = list(_LISTS)
    requests = [
        _describe_request([(ConfigResourceType.TOPIC, topic, lists) for topic in some])
        for some in _some(topics)
    ]
    return [
        result
        for request in requests
        for result in client.ask(request).results
        if result.error_code != UNKNOWN_TOPIC_OR_PARTITION
    ]


def _describe_request(resources: list[tuple[ConfigResourceType, str, list[str]]]) -> Any:
    return DescribeConfigsRequest(resources=resources, include_synonyms=False)


def _own(result: Any, source: int) -> dict[str, str]:
    """Return what was set on this very broker or topic, not what it inherits."""
    what = f"config of {result.resource_name}"
    check({what: (result.error_code, result.error_message)})
    return {
        config.name: config.value
        for config in result.configs
        if config.config_source == source and config.value
    }
