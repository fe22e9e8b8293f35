"""The state machine of a partition, and the verdict over a whole log."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.traffic.checker import Finding, LogChecker, PartitionChecker, Verdict, compare
from tests.traffic.ledger import Ledger
from tests.traffic.record import Record, encode


def value(sequence: int, producer: str = "p", topic: str = "t", partition: int = 0) -> bytes:
    return encode(Record(producer, topic, partition, sequence, 0))


def observe(checker: PartitionChecker, *messages: tuple[int, int]) -> list[Finding]:
    """Feed (offset, sequence) pairs."""
    return [checker.observe(offset, value(sequence))[0] for offset, sequence in messages]


def test_a_log_in_order_is_fresh() -> None:
    checker = PartitionChecker("t", 0)
    assert observe(checker, (0, 0), (1, 1), (2, 2)) == [Finding.FRESH] * 3
    assert checker.missing == 0


def test_a_gap_is_missing_until_it_is_filled_which_is_a_swap() -> None:
    checker = PartitionChecker("t", 0)
    assert observe(checker, (0, 0), (1, 3)) == [Finding.FRESH] * 2
    assert checker.missing == 2
    assert observe(checker, (2, 1)) == [Finding.REORDERED]
    assert checker.missing == 1


def test_a_log_that_does_not_begin_with_its_first_record_misses_it() -> None:
    checker = PartitionChecker("t", 0)
    observe(checker, (0, 2))
    assert checker.missing == 2


def test_a_reader_that_starts_in_the_middle_misses_nothing_before() -> None:
    checker = PartitionChecker("t", 0)
    observe(checker, (70, 50), (71, 52))
    assert checker.missing == 1


def test_the_same_offset_again_is_a_redelivery() -> None:
    checker = PartitionChecker("t", 0)
    observe(checker, (0, 0), (1, 1))
    assert observe(checker, (0, 0), (1, 1), (2, 2)) == [
        Finding.REDELIVERED,
        Finding.REDELIVERED,
        Finding.FRESH,
    ]


def test_the_same_sequence_at_another_offset_is_a_duplicate() -> None:
    checker = PartitionChecker("t", 0)
    assert observe(checker, (0, 0), (1, 0))[1] is Finding.DUPLICATED


def test_an_offset_that_changed_its_record_was_rewritten() -> None:
    checker = PartitionChecker("t", 0)
    observe(checker, (0, 0), (1, 1))
    assert observe(checker, (1, 7)) == [Finding.REWRITTEN]


def test_damage_and_records_of_another_partition_are_corrupt_once() -> None:
    checker = PartitionChecker("t", 0)
    assert checker.observe(0, b"noise") == (Finding.CORRUPT, None)
    assert checker.observe(0, b"noise") == (Finding.REDELIVERED, None)
    assert checker.observe(1, value(0, partition=1)) == (Finding.CORRUPT, None)
    assert checker.observe(2, value(0, topic="u")) == (Finding.CORRUPT, None)
    assert checker.missing == 0


def test_offsets_jumped_over_are_counted() -> None:
    checker = PartitionChecker("t", 0)
    observe(checker, (0, 0), (4, 1))
    assert checker.skipped == 3


def test_producers_count_on_their_own() -> None:
    checker = PartitionChecker("t", 0)
    checker.observe(0, value(0, "a"))
    checker.observe(1, value(0, "b"))
    checker.observe(2, value(2, "a"))
    assert checker.missing == 1


@given(st.lists(st.integers(0, 12), max_size=40))
def test_findings_match_the_plain_definitions(sequences: list[int]) -> None:
    checker = PartitionChecker("t", 0)
    for offset, sequence in enumerate(sequences):
        before = sequences[:offset]
        expected = (
            Finding.DUPLICATED
            if sequence in before
            else Finding.REORDERED
            if before and sequence < max(before)
            else Finding.FRESH
        )
        assert observe(checker, (offset, sequence)) == [expected]
    assert checker.missing == len(set(range(max(sequences, default=-1) + 1)) - set(sequences))


@given(st.integers(0, 30), st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30))))
def test_rewinds_as_a_rebalance_makes_them_change_nothing(
    length: int, reads: list[tuple[int, int]]
) -> None:
    """Each read begins at some committed offset, and the last one goes on to the end."""
    checker = PartitionChecker("t", 0)
    for back, step in [*reads, (0, length)]:
        reached = max(checker.next_offset, 0)
        start = max(0, reached - back)
        for offset in range(start, min(start + step, length)):
            assert observe(checker, (offset, offset))[0] in {Finding.FRESH, Finding.REDELIVERED}
    assert checker.missing == 0
    assert checker.counts[Finding.FRESH] == length


def read(*messages: tuple[str, int, bytes]) -> LogChecker:
    """A log of (topic, partition, value), offsets counted for each partition."""
    log = LogChecker()
    for topic, partition, payload in messages:
        known = log.partitions.get((topic, partition))
        log.observe(topic, partition, known.next_offset if known else 0, payload)
    return log


def ledger(producer: str, *acks: tuple[str, int, int]) -> Ledger:
    """A ledger of (topic, partition, sequence)."""
    book = Ledger(producer)
    for topic, partition, sequence in acks:
        book.ack((topic, partition), sequence)
    return book


CLEAN = Verdict(
    acked=2, found=2, missing=0, reordered=0, duplicated=0, corrupt=0, unacked=0, examples=()
)


def test_all_that_was_acked_is_there() -> None:
    log = read(("t", 0, value(0)), ("t", 0, value(1)))
    verdict = compare(log, [ledger("p", ("t", 0, 0), ("t", 0, 1))])
    assert verdict == CLEAN
    assert verdict.clean


def test_a_record_that_was_never_acked_may_be_there() -> None:
    log = read(*(("t", 0, value(number)) for number in range(3)))
    verdict = compare(log, [ledger("p", ("t", 0, 0), ("t", 0, 1))])
    assert verdict == replace(CLEAN, unacked=1)
    assert verdict.clean


def test_a_lost_tail_is_found_by_the_ledger_alone() -> None:
    log = read(("t", 0, value(0)))
    verdict = compare(log, [ledger("p", ("t", 0, 0), ("t", 0, 1))])
    assert verdict == replace(CLEAN, found=1, missing=1, examples=("t-0 p 1..1",))
    assert not verdict.clean


def test_a_partition_that_vanished_is_lost() -> None:
    verdict = compare(LogChecker(), [ledger("p", ("t", 0, 0), ("t", 1, 0))])
    assert (verdict.missing, verdict.examples) == (2, ("t-0 p 0..0", "t-1 p 0..0"))


def test_each_fault_alone_spoils_the_verdict() -> None:
    swapped = read(("t", 0, value(1)), ("t", 0, value(0)))
    doubled = read(("t", 0, value(0)), ("t", 0, value(0)))
    damaged = read(("t", 0, b"noise"))
    assert [compare(log, []).clean for log in (swapped, doubled, damaged)] == [False] * 3
    assert compare(doubled, []).examples == ("t-0 p 0 again at offset 1",)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.integers(0, 5)), unique=True),
    st.data(),
)
def test_missing_is_exactly_what_was_acked_and_is_not_there(
    acks: list[tuple[str, int, int]], data: st.DataObject
) -> None:
    kept = [ack for ack in acks if data.draw(st.booleans())]
    log = read(*(("t", part, value(seq, who, partition=part)) for who, part, seq in kept))
    books = [ledger(who, *(("t", part, seq) for w, part, seq in acks if w == who)) for who in "ab"]
    verdict = compare(log, books)
    assert (verdict.acked, verdict.found) == (len(acks), len(kept))
    assert verdict.missing == len(acks) - len(kept)
    assert verdict.unacked == 0


def test_a_ledger_survives_its_json() -> None:
    book = ledger("p", ("t", 0, 0), ("t", 0, 1), ("t", 0, 5), ("u", 3, 0))
    assert book.to_json() == {
        "producer": "p",
        "acked": {"t": {"0": [[0, 1], [5, 5]]}, "u": {"3": [[0, 0]]}},
    }
    assert Ledger.from_json(book.to_json()) == book
    assert book.total == 4


def test_high_water_names_the_last_of_each_producer() -> None:
    log = read(("t", 0, value(0)), ("t", 0, value(1)), ("t", 0, value(0, "q")))
    assert log.high_water() == {"t": {"0": {"p": 1, "q": 0}}}
