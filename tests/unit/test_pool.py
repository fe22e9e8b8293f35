from __future__ import annotations

import asyncio
import threading
import time

import pytest

from broker_operator.adapters.pool import DeadlineError, Pool
from broker_operator.ports import TransientError


async def test_returns_what_the_call_returns_and_raises_what_it_raises() -> None:
    pool = Pool("test", workers=1)
    assert await pool.call(5, divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await pool.call(5, divmod, 7, 0)
    pool.close()


async def test_a_call_that_takes_too_long_is_left_behind() -> None:
    pool = Pool("test", workers=1)
    release = threading.Event()
    started = time.monotonic()
    with pytest.raises(DeadlineError, match=r"0\.1 s"):
        await pool.call(0.1, release.wait, 30)
    with pytest.raises(DeadlineError):
        await pool.call(0.1, divmod, 7, 2)  # no thread is free
    assert time.monotonic() - started < 5
    release.set()
    assert await pool.call(5, divmod, 7, 2) == (3, 1)
    pool.close()


async def test_never_more_threads_than_workers_and_none_after_close() -> None:
    pool = Pool("bounded", workers=2)
    await asyncio.gather(*(pool.call(5, time.sleep, 0.01) for _ in range(20)))
    mine = [thread for thread in threading.enumerate() if thread.name.startswith("bounded")]
    assert 1 <= len(mine) <= 2
    pool.close()
    for thread in mine:
        thread.join(5)
        assert not thread.is_alive()
    with pytest.raises(TransientError, match="closed"):
        await pool.call(5, divmod, 7, 2)
