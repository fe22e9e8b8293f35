"""kafka-python's Admin API client, with the requests whose error codes its own methods drop."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from kafka.admin import KafkaAdminClient
from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    UnknownBrokerIdError,
    UnknownTopicOrPartitionError,
    for_code,
)
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket

from broker_operator.ports import RejectedError, TransientError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Mapping

CONNECT_TIMEOUT = 3.0
BOOTSTRAP_TIMEOUTS = (1.0, 2.0, 3.5)
"""Seconds for each attempt. One attempt is spent on one broker, chosen at random, if that hangs."""
REQUEST_TIMEOUT = 7.0
"""Seconds from asking until the answer is there, connecting included."""
SERVER_TIMEOUT = 5.5
"""Seconds the controller may take; less than ours, so that it is the one to say what happened."""

OK = 0
UNKNOWN_TOPIC_OR_PARTITION = 3
REQUEST_TIMED_OUT = 7
ELECTION_NOT_NEEDED = 84

APART, APART_MOST = 0.03, 1.0
"""Seconds between the requests to two brokers, and from the first to the last. Brokers that share a
machine, all asked at once, would be at work in the same moment, and their clients would wait."""

_RECONNECT_MAX = 1.0
_METADATA_MAX_AGE = 60.0
_DIRECT = "direct"


class AdminClient(KafkaAdminClient):  # type: ignore[misc]  # kafka-python is not typed
    """One thread and one connection per broker, shared by all callers. Every method blocks.

    A broker's error codes are left in the responses: "not allowed" must never look like "empty".
    """

    def ask(self, request: Any) -> Any:
        """Send a request that any broker can answer to the controller, and return its response.

        A broker that has just started, or one that lags, would deny topics that exist.

        Raises:
            RuntimeError, KafkaError: There is no active controller, or it does not answer.
        """
        return self._manager.run(self._send_request_to_controller, request)

    def ask_each(self, requests: Mapping[int, Any], apart: float = APART) -> dict[int, Any]:
        """Send each broker its request; one that fails has its exception as value.

        Nobody waits for the answer of another. Between two requests are `apart` seconds, less if
        there are so many that the last one would go out after more than `APART_MOST`.
        """
        apart = min(apart, APART_MOST / max(1, len(requests)))
        return dict(self._manager.run(self._ask_each, requests, apart))

    def ask_controller(self, request: Any) -> Any:
        """Send a request to the controller, finding it anew if it has moved.

        Raises:
            BrokerResponseError: The controller refused the request as a whole.
            RuntimeError: There is no active controller.
        """
        return self._manager.run(self._send_request_to_controller, request, _top_level_error)

    async def _ask_each(self, requests: Mapping[int, Any], apart: float) -> dict[int, Any]:
        answers = await self._ask_known(requests, apart)
        strangers = {b for b, answer in answers.items() if isinstance(answer, UnknownBrokerIdError)}
        if strangers:  # they may have joined since the client last looked
            with suppress(Exception):
                await self._manager.cluster.refresh_metadata()
                answers |= await self._ask_known({b: requests[b] for b in strangers}, apart)
        return answers

    async def _ask_known(self, requests: Mapping[int, Any], apart: float) -> dict[int, Any]:
        answers: dict[int, Any] = {}
        for broker, request in requests.items():
            if answers:
                await self._net.sleep(apart)
            try:
                answers[broker] = self._manager.send(request, node_id=broker)
            except Exception as error:  # noqa: BLE001  # one broker's failure is its own
                answers[broker] = error
        for broker, answer in answers.items():
            if not isinstance(answer, Exception):
                try:
                    answers[broker] = await answer
                except Exception as error:  # noqa: BLE001  # likewise
                    answers[broker] = error
        return answers


class _DirectSocket(KafkaNetSocket):  # type: ignore[misc]  # kafka-python is not typed
    """Connects without a proxy, as the library does by default, and closes what fails to.

    The library leaves a refused socket to the garbage collector: while brokers are down, a file
    descriptor for every attempt. A proxy's scheme is its way to choose another kind of socket.
    """

    SCHEMES = (_DIRECT,)

    async def sock_connect(
        self, net: Any, sock: socket.socket, sockaddr: Any, timeout_at: float | None = None
    ) -> Any:
        """Connect `sock` or close it."""
        try:
            return await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
        except BaseException:
            sock.close()
            raise


class _Network(KafkaNetClient):  # type: ignore[misc]  # kafka-python is not typed
    """Lets go of every socket once it is closed.

    The library lets a connection send what is left before it closes the socket, and stops what
    would send it: a broker that takes nothing more, its disk being full, costs a file descriptor.
    """

    def close(self, node_id: int | None = None) -> None:
        """Close one connection; or all, whatever they have not sent yet."""
        transports = [c.transport for c in self._manager._conns.values() if c.transport]  # noqa: SLF001
        super().close(node_id=node_id)
        if node_id is None:
            for transport in transports:
                if transport._sock is not None:  # noqa: SLF001
                    transport._sock.close()  # noqa: SLF001


def open_client(bootstrap: Iterable[str]) -> AdminClient:
    """Connect to the cluster of these brokers, given as `host:port`.

    Raises:
        KafkaError: None of them answered in time.
    """
    servers = list(bootstrap)
    for timeout in BOOTSTRAP_TIMEOUTS[:-1]:
        with suppress(KafkaTimeoutError):
            return _open(servers, timeout)
    return _open(servers, BOOTSTRAP_TIMEOUTS[-1])


def _open(servers: list[str], timeout: float) -> AdminClient:
    networks: list[_Network] = []
    try:
        return AdminClient(
            bootstrap_servers=servers,
            client_id="broker-operator",
            bootstrap_timeout_ms=_ms(timeout),
            request_timeout_ms=_ms(REQUEST_TIMEOUT),
            reconnect_backoff_max_ms=_ms(_RECONNECT_MAX),
            metadata_max_age_ms=_ms(_METADATA_MAX_AGE),
            proxy_url=f"{_DIRECT}://",
            kafka_client=partial(_network, networks),
        )
    except BaseException:
        # The constructor starts a thread before it connects and leaves it behind when that fails.
        for network in networks:
            network.close()
        raise


def check(answers: Mapping[str, tuple[int, str | None]]) -> None:
    """Raise if any answer is an error, and say which.

    Args:
        answers: What was asked for, in words -> error code and message of Kafka's answer.

    Raises:
        TransientError: Kafka could not do something now.
        RejectedError: Kafka refused something.
    """
    errors = {what: answer for what, answer in answers.items() if answer[0] != OK}
    if not errors:
        return
    text = "; ".join(f"{what}: {describe(*error)}" for what, error in sorted(errors.items()))
    passing = all(is_passing(for_code(code)) for code, _ in errors.values())
    raise (TransientError if passing else RejectedError)(text)


def is_passing(error: type[KafkaError]) -> bool:
    """Tell whether Kafka may answer otherwise soon. To the library, a missing topic may, too."""
    return bool(error.retriable) and error is not UnknownTopicOrPartitionError


def describe(code: int, message: str | None = None) -> str:
    """Return Kafka's name of an error, and its message if there is one."""
    name = str(for_code(code).__name__)
    return f"{name}: {message}" if message else name


def say(error: Exception) -> str:
    """Return what an exception says, or its name if it says nothing."""
    if isinstance(error, UnknownBrokerIdError):
        return "it is not in the cluster's metadata"
    return str(error) or type(error).__name__


def _network(made: list[_Network], **config: Any) -> _Network:
    """Make the network layer with limits that the Admin client's own settings do not reach."""
    limit = _ms(CONNECT_TIMEOUT)
    network = _Network(
        socket_connection_setup_timeout_ms=limit,
        socket_connection_setup_timeout_max_ms=limit,
        **config,
    )
    made.append(network)
    return network


def _top_level_error(response: Any) -> list[type[Exception]]:
    return [for_code(response.error_code)]


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
