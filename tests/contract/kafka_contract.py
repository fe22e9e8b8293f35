"""What the operator may rely on from any `Coordination` and `BrokerAdmin`, fake or live."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from broker_operator.core.model import (
    FOLLOWER_RATE,
    FOLLOWER_REPLICAS,
    LEADER_RATE,
    LEADER_REPLICAS,
    MIN_INSYNC,
    BrokerLogs,
    Leadership,
    PartitionState,
    SpoiltRequest,
    Throttle,
    ThrottleConfigs,
    TopicPartition,
    Unknown,
)
from broker_operator.core.planner.kafka_json import to_json
from broker_operator.ports import ReassignmentInProgressError, RejectedError, TransientError
from tests.contract.kafka_world import BROKERS, DEADLINE, SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker_operator.core.model import Assignment, BrokerId, Replicas
    from tests.contract.kafka_world import World

CREATE = "create /admin/reassign_partitions"

WRONG_SHAPES: dict[str, dict[int, tuple[object, ...]]] = {
    "no replicas": {0: ()},
    "a broker twice": {0: (2, 2, 0)},
    "a negative id": {0: (-1, 2)},
    "strings for ids": {0: ("2", "1")},
    "booleans for ids": {0: (True, 2)},
    "a fraction for an id": {0: (1.0, 2)},
    "a negative partition": {-1: (1, 2)},
}


class ReadContract:
    async def test_reads_brokers_topics_and_who_controls_them(self, world: World) -> None:
        await world.create_topic({0: (0, 1), 1: (3, 1)})
        seen = await world.coordination.read()
        assert set(seen.brokers) == set(BROKERS)
        assert all(seen.brokers[broker].id == broker for broker in BROKERS)
        assert all(seen.brokers[broker].hosts for broker in BROKERS)
        assert seen.controller in BROKERS
        assert seen.cluster_id
        assert seen.topics[world.topic] == {0: PartitionState((0, 1)), 1: PartitionState((3, 1))}
        assert seen.requested is None
        assert not seen.migrating

    async def test_reading_writes_nothing(self, world: World) -> None:
        await world.create_topic({0: (0, 1)})
        await world.coordination.read()
        await world.admin.leadership()
        await world.admin.log_dirs(BROKERS)
        await world.admin.throttles(BROKERS, [world.topic])
        await world.admin.min_insync([world.topic])
        assert world.writes == []

    async def test_a_deleted_topic_is_gone(self, world: World) -> None:
        await world.create_topic({0: (0, 1)})
        await world.delete_topic()
        await world.until("topic is gone", lambda seen: world.topic not in seen.topics)

    async def test_a_stopped_broker_is_not_registered(self, world: World) -> None:
        await world.create_topic({0: (3,), 1: (0,)})
        await world.stop_broker(3)
        await world.until("broker 3 is gone", lambda seen: set(seen.brokers) == {0, 1, 2})

        async def lost() -> bool:
            led = (await world.admin.leadership())[world.topic]
            return led == {0: Leadership(None, frozenset({3})), 1: Leadership(0, frozenset({0}))}

        await world.until_true("nobody leads what only broker 3 had", lost)
        logs = await world.admin.log_dirs(BROKERS)
        assert isinstance(logs[3], Unknown)
        assert all(isinstance(logs[broker], BrokerLogs) for broker in (0, 1, 2))
        await world.start_broker(3)
        await world.until("broker 3 is back", lambda seen: set(seen.brokers) == set(BROKERS))

        async def back() -> bool:
            led = (await world.admin.leadership())[world.topic]
            return led[0] == Leadership(3, frozenset({3}))

        await world.until_true("broker 3 leads again", back)
        assert isinstance((await world.admin.log_dirs([3]))[3], BrokerLogs)


WAYS = {"ZooKeeper": CREATE, "AdminApi": "AlterPartitionReassignments"}
"""`spec.reassignment.via`, and what it writes."""
by_either_way = pytest.mark.parametrize("via", WAYS)


async def send(world: World, via: str, batch: Assignment) -> None:
    """Submit a batch by either way."""
    if via == "ZooKeeper":
        await world.coordination.submit(batch)
    else:
        await world.admin.reassign(batch)


class ReassignmentContract:
    """What holds by whichever way moves are submitted."""

    @by_either_way
    async def test_moves_what_it_is_told_to(self, world: World, via: str) -> None:
        await world.create_topic({0: (0, 1), 1: (1, 2)}, size=100_000)
        target = {world.topic: {0: (3, 1)}}
        await send(world, via, target)
        assert world.writes == [WAYS[via]]
        seen = await world.until_moved(target)
        assert seen.topics[world.topic][1] == PartitionState((1, 2))

    @by_either_way
    async def test_a_move_in_flight_shows_both_ends(self, world: World, via: str) -> None:
        await world.create_topic({0: (0, 1)}, size=SIZE)
        await world.hold()
        target = {world.topic: {0: (3, 1)}}
        await send(world, via, target)
        seen = await world.until("in flight", lambda seen: seen.topics[world.topic][0].in_flight)
        state = seen.topics[world.topic][0]
        assert state == PartitionState((3, 1, 0), adding=(3,), removing=(0,))
        assert (state.target, state.origin) == ((3, 1), (1, 0))
        await world.let_go()
        await world.until_moved(target)

    @by_either_way
    async def test_a_change_of_order_alone_is_done_at_once(self, world: World, via: str) -> None:
        await world.create_topic({0: (0, 1, 2)})
        target = {world.topic: {0: (2, 1, 0)}}
        await send(world, via, target)
        await world.until_moved(target)

    @by_either_way
    @pytest.mark.parametrize("wrong", WRONG_SHAPES.values(), ids=WRONG_SHAPES)
    async def test_refuses_what_would_poison_the_cluster(
        self, world: World, via: str, wrong: Mapping[int, Replicas]
    ) -> None:
        await self._refused_by(world, via, {world.topic: wrong}, sent=False)

    @by_either_way
    async def test_refuses_a_target_that_is_not_live(self, world: World, via: str) -> None:
        await world.create_topic({0: (0, 1)})
        await self._refused_by(world, via, {world.topic: {0: (0, 9)}}, f"{world.topic}-0")

    @by_either_way
    async def test_refuses_what_does_not_exist(self, world: World, via: str) -> None:
        await world.create_topic({0: (0, 1)})
        await self._refused_by(world, via, {world.topic: {1: (1, 0)}}, f"{world.topic}-1")
        await self._refused_by(world, via, {"nobody-made-this": {0: (1, 0)}}, "nobody-made-this-0")

    async def _refused_by(
        self, world: World, via: str, batch: Assignment, match: str = "", *, sent: bool = True
    ) -> None:
        """Nothing has changed, and the refusal names what is wrong."""
        with pytest.raises((ValueError, RejectedError), match=match or None):
            await send(world, via, batch)
        if not sent:
            assert world.writes == []
        seen = await world.coordination.read()
        assert seen.requested is None
        assert not any(state.in_flight for _, state in seen.partitions())


class SubmitContract:
    async def test_a_move_in_flight_shows_its_request_and_both_ends(self, world: World) -> None:
        await world.create_topic({0: (0, 1), 1: (0, 1)}, size=SIZE)
        await world.hold()
        target = {world.topic: {0: (3, 1)}}
        await world.coordination.submit(target)
        seen = await world.until("in flight", lambda seen: seen.topics[world.topic][0].in_flight)
        state = seen.topics[world.topic][0]
        assert state == PartitionState((3, 1, 0), adding=(3,), removing=(0,))
        assert state.target == (3, 1)
        assert seen.requested == target
        with pytest.raises(ReassignmentInProgressError):
            await world.coordination.submit({world.topic: {1: (2, 1)}})
        with pytest.raises(ValueError, match="already on the move"):
            await world.coordination.submit({world.topic: {0: (2, 1)}})
        await world.let_go()
        await world.until_moved(target)

    async def test_refuses_an_empty_batch(self, world: World) -> None:
        await self._refused(world, {})
        await self._refused(world, {world.topic: {}})

    async def test_refuses_more_than_200_entries(self, world: World) -> None:
        await self._refused(world, {world.topic: dict.fromkeys(range(201), (0, 1))}, "201")

    async def test_refuses_more_than_a_million_bytes(self, world: World) -> None:
        everyone = tuple(range(2_000))
        await self._refused(world, {world.topic: dict.fromkeys(range(199), everyone)}, "bytes")

    async def test_refuses_a_broker_that_has_just_stopped(self, world: World) -> None:
        await world.create_topic({0: (0, 1)})
        await world.stop_broker(3)
        await world.until("broker 3 is gone", lambda seen: 3 not in seen.brokers)
        await self._refused(world, {world.topic: {0: (0, 3)}}, f"{world.topic}-0.*3")
        await world.start_broker(3)

    async def test_refuses_unknown_partitions(self, world: World) -> None:
        await world.create_topic({0: (0, 1)})
        await self._refused(world, {world.topic: {0: (1, 0), 1: (1, 0)}}, f"{world.topic}-1")
        await self._refused(world, {"nobody-made-this": {0: (1, 0)}}, "nobody-made-this-0")

    async def test_refuses_what_was_decided_on_before_it_moved(self, world: World) -> None:
        await world.create_topic({0: (0, 1), 1: (0, 1)})
        decided = (await world.coordination.read()).topics
        moved = {world.topic: {0: (1, 0)}}
        await world.admin.reassign(moved)
        await world.until_moved(moved)
        with pytest.raises(ValueError, match=f"{world.topic}-0: has changed since"):
            await world.coordination.submit({world.topic: {0: (0, 1)}}, decided)
        assert (await world.coordination.read()).requested is None
        other = {world.topic: {1: (1, 0)}}
        await world.coordination.submit(other, decided)
        await world.until_moved(other)

    async def _refused(self, world: World, batch: Assignment, match: str = "") -> None:
        """Nothing is sent, nothing has changed, and the refusal names what is wrong."""
        with pytest.raises(ValueError, match=match or None):
            await world.coordination.submit(batch)
        assert world.writes == []
        seen = await world.coordination.read()
        assert seen.requested is None
        assert not any(state.in_flight for _, state in seen.partitions())


class RequestContract:
    """What the controller does with requests that others have put there, or taken away."""

    async def test_a_request_that_nobody_can_parse_goes_with_any_reassignment(
        self, world: World
    ) -> None:
        await world.create_topic({0: (0, 1)})
        await world.put_request(b"not JSON")
        await world.until("seen", lambda seen: isinstance(seen.requested, SpoiltRequest))
        with pytest.raises(ReassignmentInProgressError):
            await world.coordination.submit({world.topic: {0: (1, 0)}})
        await world.admin.reassign({world.topic: {0: (0, 1)}})
        await world.until("gone", lambda seen: seen.requested is None)
        await world.coordination.submit({world.topic: {0: (1, 0)}})
        await world.until_moved({world.topic: {0: (1, 0)}})

    async def test_a_request_that_is_not_seen_goes_when_all_it_names_is_reassigned(
        self, world: World
    ) -> None:
        await world.create_topic({0: (0, 1), 1: (0, 1)})
        await world.deafen()
        batch = {world.topic: {0: (1, 0), 7: (1, 0)}}
        await world.put_request(to_json(batch).encode())
        await world.admin.reassign({world.topic: {1: (1, 0)}})
        seen = await world.until_moved({world.topic: {1: (1, 0)}}, requested=batch)
        assert seen.topics[world.topic][0] == PartitionState((0, 1))
        with pytest.raises(RejectedError, match=f"{world.topic}-7"):
            await world.admin.reassign({world.topic: {0: (0, 1), 7: (1, 0)}})
        await world.until("gone", lambda seen: seen.requested is None)
        await world.coordination.submit({world.topic: {0: (1, 0)}})
        await world.until_moved({world.topic: {0: (1, 0)}})

    async def test_what_does_not_exist_is_dropped_from_a_request(self, world: World) -> None:
        await world.create_topic({0: (0, 1)})
        batch = {world.topic: {0: (1, 0)}, "nobody-made-this": {0: (1, 0)}}
        await world.put_request(to_json(batch).encode())
        await world.until_moved({world.topic: {0: (1, 0)}})


class AdminContract:
    async def test_retargets_a_partition_in_flight(self, world: World) -> None:
        await world.create_topic({0: (0, 1)}, size=SIZE)
        await world.hold()
        await world.coordination.submit({world.topic: {0: (3, 1)}})
        await world.until("in flight", lambda seen: seen.topics[world.topic][0].in_flight)
        await world.admin.reassign({world.topic: {0: (2, 1)}})
        seen = await world.until("retargeted", lambda seen: seen.requested is None)
        assert seen.topics[world.topic][0] == PartitionState((2, 1, 0), (2,), (0,))
        await world.let_go()
        await world.until_moved({world.topic: {0: (2, 1)}})

    async def test_names_each_refused_partition_and_moves_the_others(self, world: World) -> None:
        await world.create_topic({0: (0, 1), 1: (0, 1), 2: (0, 1)})
        batch = {world.topic: {0: (0, 9), 1: (0, 8), 2: (0, 2)}, "nobody-made-this": {0: (0, 1)}}
        with pytest.raises(RejectedError) as refusal:
            await world.admin.reassign(batch)
        for named in (f"{world.topic}-0", f"{world.topic}-1", "nobody-made-this-0"):
            assert named in str(refusal.value)
        assert f"{world.topic}-2" not in str(refusal.value)
        seen = await world.until_moved({world.topic: {2: (0, 2)}})
        assert seen.topics[world.topic][0] == PartitionState((0, 1))

    async def test_log_dirs_have_the_size_of_every_replica(self, world: World) -> None:
        await world.create_topic({0: (0, 1), 1: (1, 0)}, size=200_000)
        logs = await world.admin.log_dirs([0, 1, 2])
        for broker in (0, 1):
            found = logs[broker]
            assert isinstance(found, BrokerLogs)
            assert not found.failed
            assert set(found.sizes[world.topic]) == {0, 1}
            assert all(200_000 <= s < 300_000 for s in found.sizes[world.topic].values())
        nothing = logs[2]
        assert isinstance(nothing, BrokerLogs)
        assert world.topic not in nothing.sizes

    async def test_elects_the_preferred_leader_of_the_partitions_given(self, world: World) -> None:
        await world.create_topic({0: (0, 1), 1: (0, 1), 2: (1, 0)})
        await world.coordination.submit({world.topic: {0: (1, 0), 1: (1, 0)}})
        await world.until_moved({world.topic: {0: (1, 0), 1: (1, 0)}})
        await world.until_true("0 leads still", lambda: self._led_by(world, {0: 0, 1: 0, 2: 1}))
        chosen = [TopicPartition(world.topic, 0), TopicPartition(world.topic, 2)]
        await world.admin.elect_preferred(chosen)
        await world.until_true("1 leads one", lambda: self._led_by(world, {0: 1, 1: 0, 2: 1}))
        await world.admin.elect_preferred(chosen)
        await world.until_true("1 leads one", lambda: self._led_by(world, {0: 1, 1: 0, 2: 1}))

    async def test_electing_nobody_is_no_write(self, world: World) -> None:
        await world.create_topic({0: (0, 1)})
        await world.coordination.submit({world.topic: {0: (1, 0)}})
        await world.until_moved({world.topic: {0: (1, 0)}})
        await world.admin.elect_preferred([])
        assert world.writes == [CREATE]
        await world.until_true("0 leads still", lambda: self._led_by(world, {0: 0}))

    async def test_electing_a_leader_that_is_away_fails_for_now(self, world: World) -> None:
        await world.create_topic({0: (3, 0)})
        await world.stop_broker(3)
        await world.until_true("0 leads", lambda: self._led_by(world, {0: 0}))
        with pytest.raises(TransientError, match=f"{world.topic}-0"):
            await world.admin.elect_preferred([TopicPartition(world.topic, 0)])
        await world.start_broker(3)

    async def test_electing_a_leader_for_what_does_not_exist_is_refused(self, world: World) -> None:
        with pytest.raises(RejectedError, match="nobody-made-this-0"):
            await world.admin.elect_preferred([TopicPartition("nobody-made-this", 0)])

    async def _led_by(self, world: World, leaders: Mapping[int, BrokerId]) -> bool:
        found = (await world.admin.leadership())[world.topic]
        return {number: each.leader for number, each in found.items()} == leaders


class ThrottleContract:
    async def test_sets_shows_and_clears_a_throttle(self, world: World) -> None:
        await world.create_topic({0: (0, 1), 1: (1, 2)})
        ours = Throttle(1_000_000, (0, 3), {world.topic: "0:0,0:1"}, {world.topic: "0:3"})
        await world.admin.set_throttle(ours)
        rates = {LEADER_RATE: "1000000", FOLLOWER_RATE: "1000000"}
        lists = {LEADER_REPLICAS: "0:0,0:1", FOLLOWER_REPLICAS: "0:3"}
        await self._until(world, ThrottleConfigs({0: rates, 3: rates}, {world.topic: lists}))
        assert world.writes == ["IncrementalAlterConfigs"] * 3
        await world.admin.clear_throttle(ours)
        assert await world.admin.throttles(BROKERS, [world.topic]) == ThrottleConfigs({}, {})
        await world.admin.clear_throttle(ours)
        assert await world.admin.throttles(BROKERS, [world.topic]) == ThrottleConfigs({}, {})

    async def test_is_gone_for_good_if_cleared_in_the_moment_that_it_is_set(
        self, world: World
    ) -> None:
        await world.create_topic({0: (0, 1)})
        ours = Throttle(1_000_000, BROKERS, {world.topic: "0:0"}, {world.topic: "0:3"})
        for _ in range(5):
            await world.admin.set_throttle(ours)
            await world.admin.clear_throttle(ours)
        last = Throttle(2_000_000, (0,))
        await world.admin.set_throttle(last)  # notices come in order: after this one, all have come
        rates = {LEADER_RATE: "2000000", FOLLOWER_RATE: "2000000"}
        await self._until(world, ThrottleConfigs({0: rates}, {}))
        await world.admin.clear_throttle(last)

    async def test_leaves_what_it_was_not_told_about(self, world: World) -> None:
        await world.create_topic({0: (0, 1), 1: (1, 2)})
        theirs = Throttle(7_000_000, (1, 2), {world.topic: "1:1"}, {})
        await world.admin.set_throttle(theirs)
        ours = Throttle(1_000_000, (0,), {}, {world.topic: "0:3"})
        await world.admin.set_throttle(ours)
        await world.admin.clear_throttle(ours)
        rates = {LEADER_RATE: "7000000", FOLLOWER_RATE: "7000000"}
        lists = {LEADER_REPLICAS: "1:1"}
        await self._until(world, ThrottleConfigs({1: rates, 2: rates}, {world.topic: lists}))
        await world.admin.clear_throttle(theirs)
        await self._until(world, ThrottleConfigs({}, {}))

    async def test_a_new_rate_replaces_the_old_one(self, world: World) -> None:
        await world.admin.set_throttle(Throttle(1_000_000, (2,)))
        await world.admin.set_throttle(Throttle(2_000_000, (2,)))
        rates = {LEADER_RATE: "2000000", FOLLOWER_RATE: "2000000"}
        await self._until(world, ThrottleConfigs({2: rates}, {}))
        await world.admin.set_throttle(Throttle(3_000_000, (2,)))
        await world.admin.clear_throttle(Throttle(3_000_000, (2,)))  # it may show the former still
        assert (await world.admin.throttles([2], [])).brokers == {}

    async def test_a_topic_that_is_gone_fails_for_now_but_clears(self, world: World) -> None:
        lost = Throttle(1_000_000, (0,), {"nobody-made-this": "*"}, {})
        with pytest.raises(TransientError, match="nobody-made-this"):
            await world.admin.set_throttle(lost)
        assert (await world.admin.throttles([0], [])).brokers == {}
        await world.admin.clear_throttle(lost)
        assert (await world.admin.throttles([], ["nobody-made-this"])).topics == {}

    async def test_a_broker_that_is_away_fails_for_now_and_the_rest_is_cleared(
        self, world: World
    ) -> None:
        await world.create_topic({0: (0, 1)})
        ours = Throttle(1_000_000, (0, 3), {world.topic: "*"}, {world.topic: "*"})
        await world.admin.set_throttle(ours)
        await world.stop_broker(3)
        await world.until("broker 3 is gone", lambda seen: 3 not in seen.brokers)
        with pytest.raises(TransientError, match="3"):
            await world.admin.throttles(BROKERS, [world.topic])

        async def rest_is_cleared() -> bool:
            # If broker 3 was the controller, topics can be told again only by the next one.
            with pytest.raises(TransientError, match="3"):
                await world.admin.clear_throttle(ours)
            with suppress(TransientError):
                shown = await world.admin.throttles((0, 1, 2), [world.topic])
                return shown == ThrottleConfigs({}, {})
            return False

        await world.until_true("the rest is cleared", rest_is_cleared)
        await world.start_broker(3)
        rates = {LEADER_RATE: "1000000", FOLLOWER_RATE: "1000000"}
        await self._until(world, ThrottleConfigs({3: rates}, {}))
        await world.admin.clear_throttle(ours)
        await self._until(world, ThrottleConfigs({}, {}))

    async def _until(
        self,
        world: World,
        expected: ThrottleConfigs,
        brokers: tuple[BrokerId, ...] = BROKERS,
    ) -> None:
        end = time.monotonic() + DEADLINE
        while (shown := await world.admin.throttles(brokers, [world.topic])) != expected:
            assert time.monotonic() < end, f"not within {DEADLINE:g} s: {expected}; last: {shown}"
            await asyncio.sleep(0.05)


class MinInsyncContract:
    async def test_a_topic_has_the_minimum_in_sync_that_is_in_force(self, world: World) -> None:
        await world.create_topic({0: (0, 1)})
        assert await world.admin.min_insync([world.topic]) == {world.topic: 1}, "Kafka's default"
        await world.configure_topic(MIN_INSYNC, "2")
        await world.until_true("its own is in force", lambda: self._has(world, 2))
        await world.configure_topic(MIN_INSYNC, None)
        await world.until_true("the default is back", lambda: self._has(world, 1))
        assert world.writes == []

    async def test_it_is_no_throttle(self, world: World) -> None:
        await world.create_topic({0: (0, 1)})
        await world.configure_topic(MIN_INSYNC, "2")
        await world.until_true("it is in force", lambda: self._has(world, 2))
        assert await world.admin.throttles([], [world.topic]) == ThrottleConfigs({}, {})

    async def test_a_topic_that_does_not_exist_has_none(self, world: World) -> None:
        await world.create_topic({0: (0, 1)})
        asked = [world.topic, "nobody-made-this", world.topic]
        assert await world.admin.min_insync(asked) == {world.topic: 1}
        assert await world.admin.min_insync(["nobody-made-this"]) == {}
        assert await world.admin.min_insync([]) == {}

    async def _has(self, world: World, minimum: int) -> bool:
        return await world.admin.min_insync([world.topic]) == {world.topic: minimum}


class CloseContract:
    async def test_nothing_answers_after_close(self, world: World) -> None:
        await world.coordination.close()
        await world.admin.close()
        with pytest.raises(TransientError):
            await world.coordination.read()
        with pytest.raises(TransientError):
            await world.coordination.submit({world.topic: {0: (0, 1)}})
        with pytest.raises(TransientError):
            await world.admin.leadership()
        await world.coordination.close()
        await world.admin.close()


class KafkaContract(
    ReadContract,
    ReassignmentContract,
    SubmitContract,
    RequestContract,
    AdminContract,
    ThrottleContract,
    MinInsyncContract,
    CloseContract,
):
    """All of it. A subclass offers a fixture `world`."""
