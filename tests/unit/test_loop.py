from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker_operator import loop as loop_module
from broker_operator.loop import ADRIFT_ATTEMPTS, MAX_BACKOFF, STUCK_SECONDS, ClusterLoops
from broker_operator.ports import ConflictError, RejectedError, TransientError
from broker_operator.reconcile.reconciler import Result
from tests.unit.reconcile.world import Clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from broker_operator.reconcile.reconciler import Reconciler
    from broker_operator.reconcile.scope import Memory

KEY = ("team", "demo")
UID = "a-uid"
DEADLINE = 5.0
AT_REST = Result(delay=None, retry="", status={"replicas": 3})
AT_ONCE = Result(delay=0.0, retry="", status={})


class Scripted:
    """A reconciler that plays a script; the last entry is played for ever."""

    def __init__(self, *script: Result | BaseException) -> None:
        self.script = list(script)
        self.passes = 0
        self.memories: list[Memory] = []
        self.cleaned: list[str] = []
        self.cleaning: dict[str, list[BaseException]] = {}
        self.during: Callable[[], Awaitable[None]] | None = None
        self.happened = asyncio.Event()

    async def run(self, namespace: str, name: str, memory: Memory) -> Result:
        assert (namespace, name) == KEY
        self.passes += 1
        self.memories.append(memory)
        self.happened.set()
        if self.during is not None:
            await self.during()
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, BaseException):
            raise step
        return step

    async def finalize(self, namespace: str, name: str) -> None:
        await self._clean("finalize", namespace, name)

    async def release(self, namespace: str, name: str) -> None:
        await self._clean("release", namespace, name)

    async def adrift(self, namespace: str) -> None:
        assert namespace == KEY[0]
        self.cleaned.append("adrift")
        if errors := self.cleaning.get("adrift"):
            raise errors.pop(0)

    async def _clean(self, what: str, namespace: str, name: str) -> None:
        assert (namespace, name) == KEY
        self.cleaned.append(what)
        if errors := self.cleaning.get(what):
            raise errors.pop(0) if len(errors) > 1 else errors[0]

    async def passed(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE):
            while self.passes < count:
                self.happened.clear()
                await self.happened.wait()


class Told:
    """`ports.Telemetry` that remembers."""

    def __init__(self) -> None:
        self.results: list[str] = []
        self.statuses: list[Mapping[str, Any]] = []
        self.moving: list[tuple[str, Mapping[str, Any]]] = []
        self.dropped: list[tuple[str, str]] = []

    def pass_finished(self, namespace: str, name: str, result: str, seconds: float) -> None:
        assert (namespace, name) == KEY
        assert seconds >= 0
        self.results.append(result)

    def cluster(self, namespace: str, name: str, status: Mapping[str, Any]) -> None:
        assert (namespace, name) == KEY
        self.statuses.append(status)

    def reassignment(
        self, namespace: str, name: str, reassignment: str, status: Mapping[str, Any]
    ) -> None:
        assert (namespace, name) == KEY
        self.moving.append((reassignment, status))

    def drop(self, namespace: str, name: str) -> None:
        self.dropped.append((namespace, name))


class Stage:
    """Loops over a scripted reconciler, and a way to stop them."""

    def __init__(self, *script: Result | BaseException, resync: float = 60.0) -> None:
        self.reconciler = Scripted(*script)
        self.told, self.clock, self.stop = Told(), Clock(), asyncio.Event()
        self.loops = ClusterLoops(
            reconciler=cast("Reconciler", self.reconciler),
            telemetry=self.told,
            clock=self.clock,
            resync_seconds=resync,
        )

    def start(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.loops.run(*KEY, self.stop.wait))

    async def play(self, passes: int) -> None:
        task = self.start()
        await self.reconciler.passed(passes)
        self.stop.set()
        await asyncio.wait_for(task, DEADLINE)


@pytest.fixture
def backoffs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Back off for no time at all, and list the attempts."""
    attempts: list[int] = []

    def at_once(attempt: int) -> float:
        attempts.append(attempt)
        return 0.0

    monkeypatch.setattr(loop_module, "_backoff", at_once)
    return attempts


async def test_no_failure_of_a_pass_ends_the_loop(backoffs: list[int]) -> None:
    failures = [TransientError("a"), RejectedError("b"), KeyError("c"), ValueError("d")]
    stage = Stage(*failures, AT_REST)
    await stage.play(5)
    assert backoffs == [1, 2, 3, 4]
    assert stage.told.results == ["retry", "retry", "error", "error", "success"]
    assert stage.told.statuses == [AT_REST.status]


async def test_success_resets_the_back_off(backoffs: list[int]) -> None:
    retry = Result(delay=None, retry="ZooKeeper did not answer", status={})
    stage = Stage(TransientError("a"), retry, AT_ONCE, ConflictError("b"), AT_REST)
    await stage.play(5)
    assert backoffs == [1, 2, 1]
    assert stage.told.results == ["retry", "retry", "waiting", "retry", "success"]


async def test_one_memory_serves_all_passes_of_a_loop() -> None:
    stage = Stage(AT_ONCE, AT_ONCE, AT_REST)
    await stage.play(3)
    assert len({id(memory) for memory in stage.reconciler.memories}) == 1


async def test_what_a_reassignment_says_is_told() -> None:
    stage = Stage(Result(delay=None, retry="", status={}, reassignment=("demo-1", {"a": 1})))
    await stage.play(1)
    assert stage.told.moving == [("demo-1", {"a": 1})]


async def test_a_wake_ends_the_wait() -> None:
    stage = Stage(AT_REST)
    task = stage.start()
    await stage.reconciler.passed(1)
    stage.loops.wake(*KEY)
    await stage.reconciler.passed(2)
    stage.stop.set()
    await asyncio.wait_for(task, DEADLINE)


async def test_a_wake_during_a_pass_is_not_lost() -> None:
    stage = Stage(AT_REST)

    async def wake_once() -> None:
        stage.reconciler.during = None
        stage.loops.wake(*KEY)

    stage.reconciler.during = wake_once
    await stage.play(2)


async def test_waking_nobody_is_harmless_and_told() -> None:
    stage = Stage(AT_REST)
    task = stage.start()
    await stage.reconciler.passed(1)
    assert stage.loops.wake(*KEY)
    assert not stage.loops.wake("team", "nobody")
    stage.stop.set()
    await asyncio.wait_for(task, DEADLINE)
    assert not stage.loops.wake(*KEY)


@pytest.mark.parametrize(
    ("failures", "tries"),
    [
        pytest.param([], 1, id="at once"),
        pytest.param(
            [TransientError("a"), ConflictError("b"), RejectedError("c")], 4, id="at last"
        ),
        pytest.param([TransientError("away")] * 99, ADRIFT_ATTEMPTS, id="never"),
    ],
)
async def test_what_is_adrift_is_looked_for_again_if_that_fails(
    backoffs: list[int], failures: list[BaseException], tries: int
) -> None:
    stage = Stage(AT_REST)
    stage.reconciler.cleaning = {"adrift": [*failures]}
    await asyncio.wait_for(stage.loops.adrift("team"), DEADLINE)
    assert stage.reconciler.cleaned == ["adrift"] * tries
    assert backoffs == list(range(1, 1 + min(len(failures), tries)))


async def test_one_call_at_a_time_looks_for_what_is_adrift() -> None:
    stage = Stage(AT_REST)
    looking: list[int] = []

    async def look(namespace: str) -> None:  # noqa: ARG001
        looking.append(1)
        await asyncio.sleep(0)
        assert len(looking) == 1
        looking.pop()

    stage.reconciler.adrift = look  # type: ignore[method-assign]
    await asyncio.gather(*(stage.loops.adrift("team") for _ in range(3)))


async def test_no_wait_is_longer_than_the_resync() -> None:
    stage = Stage(Result(delay=10_000.0, retry="", status={}), resync=0.01)
    await stage.play(3)


async def test_a_loop_whose_pass_does_not_come_back_is_stuck() -> None:
    stage = Stage(AT_REST)
    hang = asyncio.Event()

    async def wait() -> None:
        await hang.wait()

    stage.reconciler.during = wait
    task = stage.start()
    await stage.reconciler.passed(1)
    stage.clock.seconds += STUCK_SECONDS + stage.loops.resync_seconds
    assert stage.loops.stuck() == []
    stage.clock.seconds += 1
    assert stage.loops.stuck() == ["team/demo"]
    hang.set()
    stage.stop.set()
    await asyncio.wait_for(task, DEADLINE)
    assert stage.loops.stuck() == []


async def test_a_cancelled_loop_lets_go() -> None:
    stage = Stage(AT_REST)
    task = stage.start()
    await stage.reconciler.passed(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    stage.clock.seconds += 10 * STUCK_SECONDS
    assert stage.loops.stuck() == []


async def test_a_deleted_cluster_is_cleaned_up_in_order_and_forgotten() -> None:
    stage = Stage(AT_REST)
    await stage.loops.finalize(*KEY, UID)
    assert stage.reconciler.cleaned == ["finalize", "release"]
    assert stage.told.dropped == [KEY]
    assert stage.loops.stuck() == []


async def test_cleaning_up_waits_for_the_end_of_the_loop() -> None:
    stage = Stage(AT_REST)
    task = stage.start()
    await stage.reconciler.passed(1)
    await stage.loops.finalize(*KEY, UID)
    assert stage.reconciler.cleaned == []
    stage.stop.set()
    await asyncio.wait_for(task, DEADLINE)
    await stage.loops.finalize(*KEY, UID)
    assert stage.reconciler.cleaned == ["finalize", "release"]


async def test_cleaning_up_is_done_once_whoever_asks() -> None:
    stage = Stage(AT_REST)
    at_once = stage.reconciler._clean

    async def slow(what: str, namespace: str, name: str) -> None:
        await asyncio.sleep(0)
        await at_once(what, namespace, name)

    stage.reconciler._clean = slow  # type: ignore[method-assign]
    await asyncio.gather(*(stage.loops.finalize(*KEY, UID) for _ in range(3)))
    await stage.loops.finalize(*KEY, UID)
    assert stage.reconciler.cleaned == ["finalize", "release"]
    stage.loops.forget(UID)
    await stage.loops.finalize(*KEY, "the next of that name")
    assert stage.reconciler.cleaned == ["finalize", "release"] * 2


@pytest.mark.usefixtures("backoffs")
async def test_cleaning_up_that_let_nothing_go_is_done_again_when_asked() -> None:
    stage = Stage(AT_REST)
    away = TransientError("the API server is away")
    original = stage.reconciler._clean

    async def slow(what: str, namespace: str, name: str) -> None:
        stage.clock.seconds += 30
        await original(what, namespace, name)

    stage.reconciler._clean = slow  # type: ignore[method-assign]
    stage.reconciler.cleaning = {"finalize": [away], "release": [away]}
    await asyncio.wait_for(stage.loops.finalize(*KEY, UID), DEADLINE)
    stage.reconciler.cleaning, stage.reconciler.cleaned = {}, []
    await asyncio.wait_for(stage.loops.finalize(*KEY, UID), DEADLINE)
    assert stage.reconciler.cleaned == ["finalize", "release"]


async def test_cleaning_up_that_was_cancelled_is_nobody_s_any_more() -> None:
    stage = Stage(AT_REST)
    at_once = stage.reconciler._clean
    begun = asyncio.Event()

    async def hang(what: str, namespace: str, name: str) -> None:  # noqa: ARG001
        begun.set()
        await asyncio.Event().wait()

    stage.reconciler._clean = hang  # type: ignore[method-assign]
    task = asyncio.create_task(stage.loops.finalize(*KEY, UID))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    stage.reconciler._clean = at_once  # type: ignore[method-assign]
    await stage.loops.finalize(*KEY, UID)
    assert stage.reconciler.cleaned == ["finalize", "release"]


@pytest.mark.usefixtures("backoffs")
async def test_cleaning_up_is_tried_again() -> None:
    stage = Stage(AT_REST)
    stage.reconciler.cleaning = {
        "finalize": [TransientError("a"), KeyError("b"), StopIteration()],
        "release": [ConflictError("c")],
    }
    tries = 0
    original = stage.reconciler._clean

    async def heal(what: str, namespace: str, name: str) -> None:
        nonlocal tries
        tries += 1
        if tries in (3, 5):
            stage.reconciler.cleaning.pop(what)
        await original(what, namespace, name)

    stage.reconciler._clean = heal  # type: ignore[method-assign]
    await asyncio.wait_for(stage.loops.finalize(*KEY, UID), DEADLINE)
    assert stage.reconciler.cleaned == ["finalize"] * 3 + ["release"] * 2


@pytest.mark.usefixtures("backoffs")
async def test_a_cluster_is_let_go_even_if_kafka_never_answers() -> None:
    stage = Stage(AT_REST)
    original = stage.reconciler._clean

    async def slow(what: str, namespace: str, name: str) -> None:
        stage.clock.seconds += 7
        await original(what, namespace, name)

    stage.reconciler._clean = slow  # type: ignore[method-assign]
    stage.reconciler.cleaning = {"finalize": [TransientError("Kafka is away")]}
    before = stage.clock.seconds
    await asyncio.wait_for(stage.loops.finalize(*KEY, UID), DEADLINE)
    assert stage.reconciler.cleaned[-1] == "release"
    assert stage.clock.seconds - before < 60
    assert stage.told.dropped == [KEY]


@pytest.mark.usefixtures("backoffs")
async def test_cleaning_up_that_hangs_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "ATTEMPT_SECONDS", 0.01)
    monkeypatch.setattr(loop_module, "FINALIZE_SECONDS", 0.0)
    stage = Stage(AT_REST)

    async def hang(what: str, namespace: str, name: str) -> None:  # noqa: ARG001
        stage.reconciler.cleaned.append(what)
        stage.clock.seconds += 1
        if what == "finalize":
            await asyncio.Event().wait()

    stage.reconciler._clean = hang  # type: ignore[method-assign]
    await asyncio.wait_for(stage.loops.finalize(*KEY, UID), DEADLINE)
    assert stage.reconciler.cleaned == ["finalize", "release"]


@given(st.integers(1, 10_000))
def test_the_back_off_doubles_up_to_its_cap_with_jitter(attempt: int) -> None:
    ceiling = min(MAX_BACKOFF, 2.0 ** min(attempt - 1, 30))
    assert ceiling / 2 <= loop_module._backoff(attempt) <= ceiling
