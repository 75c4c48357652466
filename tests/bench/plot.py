"""The figures as a picture, docs/bench.svg and docs/bench.png: `python -m tests.bench.plot FILE`.

Runs in the environment of the peers, which has matplotlib.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench import figures
from tests.bench.figures import CHANGED, FULL, LOCKSTEP, Results

DOCS = Path(__file__).resolve().parents[2] / "docs"
#: Lockstep stands out; the peers are shades that also a printer and a colour-blind reader keep apart.
OURS = "#0b6e4f"
THEIRS = ("#33415c", "#5c677d", "#7d8597", "#979dac", "#c2c7d0")
#: Each panel: its title, the release, the number, what it is, and whether its axis is logarithmic.
PANELS = (
    ("Full push", FULL, "wall_s", "seconds", False),
    ("5 % of the files changed", CHANGED, "wall_s", "seconds", False),
    ("Skew of the flip", CHANGED, "skew_ms", "milliseconds, log", True),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.plot", description=__doc__)
    parser.add_argument("file", type=Path, help="what `python -m tests.bench --json FILE` wrote; its last run is drawn")
    parser.add_argument("--to", type=Path, default=DOCS, help="the directory of bench.svg and bench.png")
    given = parser.parse_args(arguments)
    draw(Results(figures.read(given.file)), given.to)


def draw(results: Results, directory: Path) -> None:
    """Both files. `results` need not have every tool at every size: what is missing leaves a gap."""
    import matplotlib as mpl

    mpl.use("agg")
    # The same figures make the same file.
    mpl.rcParams.update({"svg.hashsalt": "lockstep", "svg.fonttype": "none", "font.family": "sans-serif"})
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(PANELS), figsize=(12, 4.2), layout="constrained")
    for axes, (title, release, field, unit, logarithmic) in zip(panels, PANELS, strict=True):
        _panel(axes, results, release, field)
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold")
        axes.set_ylabel(unit)
        if logarithmic:
            axes.set_yscale("log")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.savefig(directory / "bench.svg", metadata={"Date": None})
    figure.savefig(directory / "bench.png", dpi=110, metadata={"Software": None})


def _panel(axes: Any, results: Results, release: str, field: str) -> None:
    """A group of bars for each size of fleet, in it a bar for each tool, with its number above it."""
    width = 0.84 / len(results.tools)
    theirs = iter(THEIRS)
    for at, tool in enumerate(results.tools):
        offset = (at - (len(results.tools) - 1) / 2) * width
        numbers = [results.number(tool, size, release, field) for size in results.sizes]
        known = [(place, value) for place, value in enumerate(numbers) if value is not None]
        bars = axes.bar(
            [place + offset for place, _ in known],
            [value for _, value in known],
            width * 0.92,
            label=tool.capitalize() if tool == LOCKSTEP else tool,
            color=OURS if tool == LOCKSTEP else next(theirs),
        )
        axes.bar_label(bars, labels=[_short(value) for _, value in known], fontsize=6.5, padding=1.5)
    axes.set_xticks(range(len(results.sizes)), [f"{size} frontends" for size in results.sizes])
    axes.tick_params(axis="x", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.1)


def _short(value: float) -> str:
    """Two digits that count."""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


if __name__ == "__main__":
    main()
