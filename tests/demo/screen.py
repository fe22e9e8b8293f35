"""Shows snapshots: on a terminal a live screen, elsewhere a line now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from broker_operator.api.quantity import format_bytes

if TYPE_CHECKING:
    from tests.demo.model import Flow, Move, Snapshot

BAR = 32
PLAIN_SECONDS = 5.0
"""Without a terminal a line is printed this often, and whenever the phase changes."""

COLOURS = {"Ready": "green", "Draining": "yellow", "Leaving": "yellow", "Starting": "cyan"}


class View(Protocol):
    """Something that can show the demo."""

    def show(self, snapshot: Snapshot) -> None:
        """Show one moment."""
        ...

    def say(self, words: str) -> None:
        """Print a line that stays."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was."""
        ...


def view(console: Console) -> View:
    """Return the view that fits where the output goes."""
    return Screen(console) if console.is_terminal else Plain(console)


class Screen:
    """A live screen."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()

    def show(self, snapshot: Snapshot) -> None:
        """Show one moment."""
        self._live.update(render(snapshot), refresh=True)

    def say(self, words: str) -> None:
        """Print a line above the screen."""
        self._live.console.print(words)

    def close(self) -> None:
        """Take the screen away."""
        self._live.stop()


class Plain:
    """Lines with the time, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = (-PLAIN_SECONDS, "")

    def show(self, snapshot: Snapshot) -> None:
        """Print a line unless one was printed a moment ago."""
        at, phase = self._last
        if snapshot.phase == phase and snapshot.at - at < PLAIN_SECONDS:
            return
        self._last = (snapshot.at, snapshot.phase)
        self.say(f"{snapshot.at:6.1f} s  {line(snapshot)}")

    def say(self, words: str) -> None:
        """Print a line."""
        self._console.print(words, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Nothing to take away."""


def line(snapshot: Snapshot) -> str:
    """Return a snapshot in one line."""
    loads = " ".join(f"{row.id}:{row.replicas}" for row in snapshot.brokers)
    parts = [snapshot.phase, f"brokers {snapshot.ready}/{snapshot.desired}"]
    if loads:
        parts.append(f"replicas {loads}")
    if snapshot.move and not snapshot.move.done:
        move = snapshot.move
        eta = f", {move.eta} left" if move.eta else ""
        parts.append(f"{move.name} {move.moves_done}/{move.moves} moves {move.percent} %{eta}")
    if snapshot.flow.acked:
        parts.append(_flow_words(snapshot.flow))
    if snapshot.trouble:
        parts.append(f"STALLED: {snapshot.trouble}")
    return " | ".join(parts)


def render(snapshot: Snapshot) -> Panel:
    """Return the whole screen for one moment."""
    parts: list[Panel] = [_brokers(snapshot)]
    if snapshot.move:
        parts.append(_move(snapshot.move))
    if snapshot.flow.acked:
        parts.append(_traffic(snapshot.flow))
    if snapshot.trouble:
        parts.append(Panel(Text(snapshot.trouble, style="red"), title="stalled"))
    if snapshot.events:
        parts.append(Panel(Text("\n".join(snapshot.events), overflow="ellipsis"), title="events"))
    title = f"broker-operator  {snapshot.phase}  {snapshot.at:.0f} s"
    return Panel(Group(*parts), title=title, title_align="left")


def _brokers(snapshot: Snapshot) -> Panel:
    table = Table.grid(padding=(0, 2))
    most = max((row.replicas for row in snapshot.brokers), default=0) or 1
    for row in snapshot.brokers:
        colour = COLOURS.get(row.state, "red")
        full = round(BAR * row.replicas / most)
        table.add_row(
            f"broker {row.id}",
            Text(row.state, style=colour),
            Text("█" * full + "·" * (BAR - full), style=colour),
            f"{row.replicas} replicas",
            f"{row.leaders} leaders",
            format_bytes(row.bytes),
        )
    title = f"brokers: {snapshot.ready} ready of {snapshot.desired} desired"
    return Panel(table, title=title, title_align="left")


def _move(move: Move) -> Panel:
    words = (
        f"{move.moves_done} of {move.moves} moves (lower bound {move.lower_bound}), "
        f"{format_bytes(move.bytes_done)} of {format_bytes(move.bytes)}"
    )
    if move.rate and not move.done:
        words += f", {format_bytes(move.rate)}/s"
    if move.eta:
        words += f", {move.eta} left"
    bar = ProgressBar(total=100, completed=move.percent, width=2 * BAR)
    lines: list[Text | ProgressBar] = [
        Text(words),
        bar,
        *(Text(f"waits: {why}", style="yellow") for why in move.blocked),
    ]
    title = f"{move.name}: {move.cause}, {move.state}"
    return Panel(Group(*lines), title=title, title_align="left")


def _traffic(flow: Flow) -> Panel:
    style = "red" if flow.faults else ""
    return Panel(Text(_flow_words(flow), style=style), title="checked traffic", title_align="left")


def _flow_words(flow: Flow) -> str:
    p99 = "-" if flow.p99 is None else f"{flow.p99:.0f} ms"
    return (
        f"produce {flow.produced:.0f}/s, consume {flow.consumed:.0f}/s, p99 {p99}, "
        f"{flow.acked:,} acked, {flow.faults} faults"
    )
