"""Draws docs/benchmarks/planner.svg. Runs in a virtualenv that has matplotlib: SERIES SVG.

The same numbers give the same bytes: no date, no program, no random names, letters as outlines.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

COLOURS = {
    "ours": "#1b6ca8",
    "kafka": "#d1495b",
    "count": "#66a182",
    "genetic": "#2e4057",
    "linkedin": "#edae49",
}
LABELS = {"add": "30 -> 32", "remove": "30 -> 29", "skewed": "skewed", "rackless": "rackless"}
GROWTH = {"add": ("o", "two brokers more"), "remove": ("s", "one broker less")}
MANY = 100
"""Clusters of so many brokers are not on the line of the small ones."""
STYLE = {
    "svg.hashsalt": "planner",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}


def draw(said: dict[str, Any], target: Path) -> None:
    """Draw time beside others, moves beside others, and ours as it grows."""
    pyplot = importlib.import_module("matplotlib.pyplot")
    with pyplot.rc_context(STYLE):
        figure, axes = pyplot.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
        _times(axes[0], said)
        _moves(axes[1], said)
        _growth(axes[2], said)
        figure.legend(loc="outside lower center", ncols=len(COLOURS))
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})


def _times(axis: Any, said: dict[str, Any]) -> None:
    for tool, title in said["tools"].items():
        points = [c for c in said["cases"] if c["tool"] == tool and c["change"] == "add"]
        made = [(c["partitions"], c["seconds"]) for c in points if c["seconds"] is not None]
        over = [(c["partitions"], said["limit"]) for c in points if c["over"]]
        style = {"color": COLOURS[tool], "marker": "o", "markersize": 4}
        axis.plot(*zip(*[*made, *over], strict=True), label=title, **style)
        for x, y in over:
            axis.annotate("over", (x, y), (0, 5), textcoords="offset points", ha="center")
    axis.axhline(said["limit"], color="grey", linestyle=":", linewidth=1)
    axis.set(xscale="log", yscale="log", xlabel="partitions", ylabel="seconds")
    axis.set_title("Seconds for a plan, 30 -> 32 brokers")


def _moves(axis: Any, said: dict[str, Any]) -> None:
    """Draw the moves at the largest size that all tools but one have plans for."""
    solved = Counter(case["partitions"] for case in said["cases"] if case["moves"] is not None)
    if not solved:
        return
    enough = max(solved.values()) - len(LABELS)
    size = max(size for size, count in solved.items() if count >= enough)
    tools = list(said["tools"])
    for at, tool in enumerate(tools):
        ratios = {
            case["change"]: case["moves"] / case["bound"]
            for case in said["cases"]
            if case["tool"] == tool
            and case["partitions"] == size
            and case["moves"] is not None
            and case["bound"]
        }
        places = [list(LABELS).index(change) + (at - 2) * 0.16 for change in ratios]
        axis.bar(places, ratios.values(), 0.14, color=COLOURS[tool])
    axis.axhline(1, color="grey", linestyle=":", linewidth=1)
    axis.set_xticks(range(len(LABELS)), LABELS.values())
    axis.set(yscale="log", ylabel="moves / fewest possible")
    axis.set_title(f"Replicas moved, {size:,} partitions")


def _growth(axis: Any, said: dict[str, Any]) -> None:
    for change, (marker, label) in GROWTH.items():
        points = [case for case in said["growth"] if case["change"] == change]
        style = {"color": COLOURS["ours"], "marker": marker}
        small = [(case["replicas"], case["seconds"]) for case in points if case["brokers"] < MANY]
        large = [(case["replicas"], case["seconds"]) for case in points if case["brokers"] >= MANY]
        if small:
            axis.plot(*zip(*small, strict=True), **style)
            axis.annotate(label, small[0], (6, -3), textcoords="offset points", va="top")
        if large:
            axis.plot(*zip(*large, strict=True), **style, linestyle="", markerfacecolor="none")
            axis.annotate("300 brokers", large[0], (-6, 4), textcoords="offset points", ha="right")
    if said["growth"]:
        first, *_, last = sorted(said["growth"], key=lambda case: case["replicas"])
        x = (first["replicas"], last["replicas"])
        y = (first["seconds"], first["seconds"] * x[1] / x[0])
        axis.plot(x, y, color="grey", linestyle=":", linewidth=1)
        axis.annotate("linear", (x[1], y[1]), (0, -12), textcoords="offset points", ha="right")
    axis.set(xscale="log", yscale="log", xlabel="replicas", ylabel="seconds")
    axis.set_title("broker-operator up to a million replicas")


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
