"""What a step has to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from broker_operator.ports import RejectedError


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing to do here; go on."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Something was changed, or is on its way: end the pass and look again after `seconds`."""

    reason: str
    message: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Blocked:
    """This step cannot do its work now; steps that do not need it go on.

    Attributes:
        stalled: A person has to do something; False where it will end by itself.
        ends_pass: Nothing at all may be done while this holds.
        seconds: Look again after this long.
    """

    reason: str
    message: str
    stalled: bool = True
    ends_pass: bool = False
    seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Retry:
    """The world did not answer; end the pass and back off."""

    message: str


Outcome: TypeAlias = Done | Wait | Blocked | Retry

DONE = Done()


def rejected(error: RejectedError, *, ends_pass: bool = False) -> Blocked:
    """Say what was refused, in the words of who refused it."""
    message = f"{error}; correct what it objects to, and it is tried again within 30 s"
    return Blocked("Rejected", message, ends_pass=ends_pass, seconds=30.0)
