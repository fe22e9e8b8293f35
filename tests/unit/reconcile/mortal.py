"""A process that is killed at a call of one's choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.fakes.intercept import intercepted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.fakes.intercept import Asked
    from tests.unit.reconcile.world import World


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

    async def __call__(self, asked: Asked, act: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ARG002
        if not self.dead:
            self.calls += 1
            self.dead = self.calls == self.dies_at and not self.after
        if self.dead:
            raise Killed
        call = self.calls
        answer = await act()
        if call == self.dies_at and self.after:
            self.dead = True
        if self.dead:
            raise Killed
        return answer


def bind(world: World, fate: Fate) -> None:
    """Give the world's operator process this fate."""
    world.reconciler = world.new_reconciler(**intercepted(world, fate))
