"""Ports of a process that is killed at a call of one's choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tests.unit.reconcile.world import OneCluster, World


class Killed(BaseException):
    """`kill -9`: nothing in the operator may catch it."""


@dataclass
class Fate:
    """Counts the calls of a process and ends it before, or right after, call `dies_at`.

    Once dead, a process reaches nobody any more, whatever its other tasks still try.
    """

    dies_at: int | None = None
    after: bool = False
    calls: int = 0
    dead: bool = False

    def enter(self) -> int:
        if not self.dead:
            self.calls += 1
            self.dead = self.calls == self.dies_at and not self.after
        if self.dead:
            raise Killed
        return self.calls

    def leave(self, call: int) -> None:
        self.dead = self.dead or (call == self.dies_at and self.after)
        if self.dead:
            raise Killed


class Ruler(Protocol):
    """What decides over each call of a port, by raising."""

    def enter(self) -> int:
        """Be told before a call; the answer numbers it."""

    def leave(self, call: int) -> None:
        """Be told after it."""


class Mortal:
    """A port each of whose methods may be the last thing that its caller does."""

    def __init__(self, port: object, fate: Ruler) -> None:
        self._port, self._fate = port, fate

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            number = self._fate.enter()
            answer = await method(*args, **kwargs)
            self._fate.leave(number)
            return answer

        return call


class MortalClients:
    """`ports.Clients` that hands out mortal ports."""

    def __init__(self, clients: OneCluster, fate: Ruler) -> None:
        self._clients, self._fate = clients, fate

    def coordination(self, connect: str, namespace: str) -> Any:
        return Mortal(self._clients.coordination(connect, namespace), self._fate)

    def admin(self, connect: str, namespace: str, bootstrap: tuple[str, ...]) -> Any:
        return Mortal(self._clients.admin(connect, namespace, bootstrap), self._fate)


def bind(world: World, fate: Fate) -> None:
    """Give the world's operator process this fate."""
    world.reconciler = world.new_reconciler(
        kube=Mortal(world.kube, fate), clients=MortalClients(world.clients, fate)
    )
