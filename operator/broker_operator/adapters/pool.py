"""Threads for libraries that block, with a deadline on every call."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from broker_operator.ports import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class DeadlineError(TransientError):
    """A blocking call did not return in time; its outcome is unknown."""


class Pool:
    """A bounded set of threads, made as they are needed and gone after `close`."""

    def __init__(self, name: str, workers: int) -> None:
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix=name)

    async def call(
        self, deadline: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `function` in a thread and return what it returns, within `deadline` seconds.

        The time until a thread is free counts. A thread cannot be stopped: after the deadline it
        goes on until `function` returns, so that needs a time limit of its own too.

        Raises:
            DeadlineError: It took longer.
            TransientError: The pool is closed.
        """
        loop = asyncio.get_running_loop()
        try:
            future = loop.run_in_executor(self._executor, partial(function, *args, **kwargs))
        except RuntimeError as error:
            raise TransientError("the client is closed") from error
        try:
            done, _ = await asyncio.wait({future}, timeout=deadline)
            if not done:
                raise DeadlineError(f"no answer within {deadline:g} s")
            return future.result()
        finally:
            future.cancel()

    def close(self) -> None:
        """Let the threads end: idle ones now, busy ones when their call returns."""
        self._executor.shutdown(wait=False, cancel_futures=True)
