"""What happens in a round, drawn from a seed. Pure: the same seed draws the same rounds.

A round is one **play**, that is what people ask the operator for, and one or two **faults** that
come upon it. Plays and faults are dealt from shuffled decks, so that each kind comes up again and
again whatever the seed. How many brokers a round begins with follows from the rounds before it,
and that is all it has of them: any round can be had alone.

Only what Kafka itself survives without loss is combined, with replication factor 3,
`min.insync.replicas` 2, acks=all and no unclean election: see `FORBIDDEN` and `second_faults`.
"""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass
from typing import TypeVar

SMALLEST, LARGEST = 3, 5
"""Brokers. Three are as few as can hold topics of replication factor 3."""


class Play(enum.StrEnum):
    """What people ask for in a round. The values are for people, too."""

    SCALE = "scale"
    SCALE_BACK = "scale, and set replicas back in mid-move"
    APPROVE = "scale with approval required, approve"
    PAUSE = "scale, pause the Reassignment, resume"
    HOLD = "scale, pause the cluster, resume"
    EVACUATE = "evacuate a broker, then balance"
    UNDO = "evacuate a broker, undo in mid-move"


class Kind(enum.StrEnum):
    """What goes wrong in a round."""

    OPERATOR_KILLED = "operator process killed"
    OPERATOR_DELETED = "operator pod deleted"
    OPERATOR_FROZEN = "operator frozen"
    BROKER_KILLED = "broker process killed"
    BROKER_DELETED = "broker pod deleted"
    BROKER_FROZEN = "broker frozen"
    BROKER_EVICTED = "broker pod evicted"
    ZOOKEEPER_DELETED = "ZooKeeper pod deleted"
    API_OUTAGE = "API server silent, then restarted"
    POWER_LOSS = "node without power"
    PLAN_DELETED = "plan deleted"
    PLAN_EDITED = "plan edited"
    STATUS_WIPED = "Reassignment status wiped"
    REASSIGNMENT_DELETED = "Reassignment deleted"
    STATEFUL_SET_EDITED = "StatefulSet scaled by hand"
    STATEFUL_SET_DELETED = "StatefulSet deleted, its pods kept"
    FOREIGN_MOVE = "reassignment by Kafka's own tool"


class Moment(enum.StrEnum):
    """From when on a fault's delay counts."""

    ASKED = "after the request"
    MOVING = "after the first move"


EVACUATIONS = frozenset({Play.EVACUATE, Play.UNDO})
KILLS_BROKERS = frozenset(
    {
        Kind.BROKER_KILLED,
        Kind.BROKER_DELETED,
        Kind.BROKER_FROZEN,
        Kind.BROKER_EVICTED,
        Kind.POWER_LOSS,
        Kind.STATEFUL_SET_EDITED,
    }
)
"""At most one of these in a round: two brokers away at once are more than the promise covers."""
ON_RECORDS = frozenset(
    {Kind.PLAN_DELETED, Kind.PLAN_EDITED, Kind.STATUS_WIPED, Kind.REASSIGNMENT_DELETED}
)
"""These need a Reassignment under way."""
FORBIDDEN = {
    # Where its partitions were stands in what these destroy.
    Play.UNDO: ON_RECORDS,
    # A request that is deleted is withdrawn: nothing would be left to be seen through.
    Play.EVACUATE: frozenset({Kind.REASSIGNMENT_DELETED}),
}
SECONDS = {
    Kind.OPERATOR_FROZEN: (10.0, 20.0),
    Kind.BROKER_FROZEN: (10.0, 20.0),
    Kind.API_OUTAGE: (10.0, 20.0),
    Kind.POWER_LOSS: (10.0, 30.0),
}
"""How long they last; the others are over at once."""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: What.
        at: Seconds after the round's moment.
        seconds: How long it lasts, 0 if it is over at once.
        pick: In [0, 1): which of those that it can hit.
    """

    kind: Kind
    at: float
    seconds: float
    pick: float

    @property
    def end(self) -> float:
        """Seconds after the round's moment at which it is over."""
        return self.at + self.seconds


@dataclass(frozen=True)
class Round:
    """All that happens in a round.

    Attributes:
        number: Counted from 1.
        before: Brokers that it begins with.
        brokers: Brokers that its play begins with: an evacuation needs four, and scales first.
        play: What is asked for.
        target: Brokers that the play scales to; for an evacuation the broker to be emptied.
        moment: From when on the times below count.
        turn: Seconds until the second half of the play, such as the undo.
        faults: One or two, in the order of their beginnings.
    """

    number: int
    before: int
    brokers: int
    play: Play
    target: int
    moment: Moment
    turn: float
    faults: tuple[Fault, ...]

    @property
    def after(self) -> int:
        """Brokers at the end."""
        keeps = self.play in EVACUATIONS or self.play is Play.SCALE_BACK
        return self.brokers if keeps else self.target

    @property
    def words(self) -> str:
        """The round in one line."""
        goal = f"broker {self.target}" if self.play in EVACUATIONS else f"to {self.target}"
        grown = "" if self.before == self.brokers else f" -> {self.brokers}"
        faults = "; ".join(
            f"{fault.kind.value} at {fault.at:.1f} s"
            + (f" for {fault.seconds:.0f} s" if fault.seconds else "")
            for fault in self.faults
        )
        return (
            f"round {self.number}: {self.before}{grown} brokers: {self.play.value} ({goal}); "
            f"{self.moment.value}: {faults}"
        )

    def timeline(self) -> list[tuple[float, Step, Fault | None]]:
        """Return what is to be done when, in order: (seconds, step, fault unless it is the turn).

        A turn that fell into an outage of the API server waits for its end: nobody could ask.
        """
        silent = [f for f in self.faults if f.kind is Kind.API_OUTAGE and f.at <= self.turn]
        turn = max([self.turn, *(fault.end for fault in silent)])
        steps: list[tuple[float, Step, Fault | None]] = [(turn, Step.TURN, None)]
        for fault in self.faults:
            steps.append((fault.at, Step.BEGIN, fault))
            if fault.seconds:
                steps.append((fault.end, Step.END, fault))
        return sorted(steps, key=lambda step: (step[0], list(Step).index(step[1])))


class Step(enum.Enum):
    """What is done at a time of a round."""

    BEGIN = "begin"
    END = "end"
    TURN = "turn"


T = TypeVar("T")


def deal(seed: int, number: int, deck: list[T], salt: str) -> T:
    """Return the card of a round, from decks that are dealt out one after the other."""
    pack, place = divmod(number - 1, len(deck))
    shuffled = list(deck)
    random.Random(f"{seed} {salt} {pack}").shuffle(shuffled)  # noqa: S311 - nothing secret
    return shuffled[place]


def second_faults(play: Play, first: Kind) -> list[Kind]:
    """Return what may come upon a play together with a first fault.

    Nothing beside a silent API server, which would keep the test from doing it.
    """
    if first is Kind.API_OUTAGE:
        return []
    barred = {first, Kind.API_OUTAGE} | FORBIDDEN.get(play, frozenset())
    if first in KILLS_BROKERS:
        barred |= KILLS_BROKERS
    if first in ON_RECORDS:
        barred |= ON_RECORDS
    return [kind for kind in Kind if kind not in barred]


def draw(seed: int, number: int, before: int) -> Round:
    """Draw a round.

    Args:
        seed: Of the whole run.
        number: Of the round, counted from 1.
        before: Brokers that there are.
    """
    rng = random.Random(f"{seed} round {number}")  # noqa: S311 - nothing secret
    first = deal(seed, number, list(Kind), "faults")
    play = deal(seed, number, list(Play), "plays")
    if first in FORBIDDEN.get(play, ()):
        play = Play.SCALE
    evacuation = play in EVACUATIONS
    brokers = max(before, SMALLEST + 1) if evacuation else before
    targets = range(brokers) if evacuation else range(SMALLEST, LARGEST + 1)
    target = rng.choice([n for n in targets if evacuation or n != brokers])
    kinds = [first]
    if (others := second_faults(play, first)) and rng.random() < 0.5:
        kinds.append(rng.choice(others))
    free = play in {Play.SCALE, Play.EVACUATE} and not ON_RECORDS.intersection(kinds)
    moment = rng.choice(list(Moment)) if free else Moment.MOVING
    latest = 12.0 if moment is Moment.ASKED else 4.0
    faults = [
        Fault(
            kind=kind,
            at=round(rng.uniform(0.0, latest), 1),
            seconds=round(rng.uniform(*SECONDS.get(kind, (0.0, 0.0))), 1),
            pick=rng.random(),
        )
        for kind in kinds
    ]
    return Round(
        number=number,
        before=before,
        brokers=brokers,
        play=play,
        target=target,
        moment=moment,
        turn=round(rng.uniform(0.0, 6.0), 1),
        faults=tuple(sorted(faults, key=lambda fault: fault.at)),
    )


def rounds(seed: int, first: int, last: int) -> list[Round]:
    """Return the rounds `first` to `last`; with how many brokers each begins, the former tell."""
    found: list[Round] = []
    brokers = SMALLEST
    for number in range(1, last + 1):
        found.append(draw(seed, number, brokers))
        brokers = found[-1].after
    return found[first - 1 :]


def parse_rounds(text: str) -> tuple[int, int]:
    """Return first and last of `50` (the first fifty), `7..7` or `7..9`.

    Raises:
        ValueError: It is neither.
    """
    first, dots, last = text.partition("..")
    numbers = (first, last) if dots else ("1", first)
    if not all(number.isdecimal() for number in numbers):
        raise ValueError(f"rounds are a count such as 50, or a span such as 7..9, not {text!r}")
    low, high = map(int, numbers)
    if not 1 <= low <= high:
        raise ValueError(f"rounds count from 1 upwards, unlike {text!r}")
    return low, high
