"""Ports with somebody in between, who decides over each call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from broker_operator.ports import Clients


class Asked(NamedTuple):
    """One call of a port, as its caller makes it."""

    port: str
    method: str
    args: tuple[Any, ...]

    @property
    def writes(self) -> bool:
        """Whether it may change anything."""
        return self.method in _WRITES


_WRITES = frozenset(
    {
        *("create", "apply", "apply_status", "set_finalizers", "delete"),
        *("submit", "reassign", "elect_preferred", "set_throttle", "clear_throttle", "event"),
    }
)


class Between(Protocol):
    """Makes the call, or does not, and hands its answer on, or does not."""

    async def __call__(self, asked: Asked, act: Callable[[], Awaitable[Any]]) -> Any:
        """Return what the caller is to have; `act()` makes the call itself."""


class Intercepted:
    """A port each of whose calls goes by `between`."""

    def __init__(self, name: str, port: object, between: Between) -> None:
        self._name, self._port, self._between = name, port, between

    def __getattr__(self, method: str) -> Any:
        act = getattr(self._port, method)

        async def call(*args: Any, **kwargs: Any) -> Any:
            asked = Asked(self._name, method, args)
            return await self._between(asked, lambda: act(*args, **kwargs))

        return call


class InterceptedClients:
    """`ports.Clients` that hands out intercepted ports."""

    def __init__(self, clients: Clients, between: Between) -> None:
        self._clients, self._between = clients, between

    def coordination(self, connect: str, namespace: str) -> Any:
        port = self._clients.coordination(connect, namespace)
        return Intercepted("zookeeper", port, self._between)

    def admin(self, connect: str, namespace: str, bootstrap: tuple[str, ...]) -> Any:
        port = self._clients.admin(connect, namespace, bootstrap)
        return Intercepted("kafka", port, self._between)

    async def release(self, connect: str, namespace: str) -> None:
        await self._clients.release(connect, namespace)


def intercepted(world: Any, between: Between) -> dict[str, Any]:
    """Return the ports of a process in this world, all but its clock, with `between` at each."""
    return {
        "kube": Intercepted("kubernetes", world.kube, between),
        "clients": InterceptedClients(world.clients, between),
        "meters": Intercepted("meters", world.meters, between),
        "recorder": Intercepted("recorder", world.recorder, between),
    }
