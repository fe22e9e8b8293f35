"""What a command is about: a BrokerCluster or a Reassignment, named as kubectl names objects."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from broker_operator.api.spec import GROUP

if TYPE_CHECKING:
    from collections.abc import Callable

CLUSTER, REASSIGNMENT = "BrokerCluster", "Reassignment"

_WORDS = {
    word: kind
    for kind, short in ((CLUSTER, "bc"), (REASSIGNMENT, "ra"))
    for singular in (kind.lower(),)
    for plain in (singular, f"{singular}s")
    for word in (short, plain, f"{plain}.{GROUP}")
}
_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")


class Subject(NamedTuple):
    """One object; an empty name is the only BrokerCluster of the namespace."""

    kind: str = CLUSTER
    name: str = ""


def parse(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Subject:
    """Read `demo`, `bc/demo` or `ra/demo-1`, or what `kubectl get -o name` prints."""
    if value is None:
        return Subject()
    word, slash, name = value.rpartition("/")
    kind = _WORDS.get(word.lower()) if slash else CLUSTER
    if kind is None or not _NAME.fullmatch(name):
        raise click.BadParameter(
            f"{value!r} names nothing: write CLUSTER, bc/CLUSTER or ra/REASSIGNMENT"
        )
    return Subject(kind, name)


def subject_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument that says what a command is about."""
    return click.argument("subject", metavar="[CLUSTER | ra/NAME]", required=False, callback=parse)(
        command
    )
