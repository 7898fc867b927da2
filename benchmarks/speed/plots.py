"""What was measured, as a figure, on matplotlib's objects without its global state."""

import statistics
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from speed.tables import OURS

# Okabe and Ito's colours, and a marker each.
STYLES = (("#009E73", "o"), ("#D55E00", "D"))
WIDTH, PANEL, ROW, MARGIN = 12.0, 3.0, 0.32, 1.3  # inches


def times_figure(result: Mapping[str, Any], other: str) -> Figure:
    """Draw the times and the peak memory of both ways, a row for each piece of work.

    A line goes from the least to the largest time; what was not measured is left out.
    """
    work = list(result["work"].values())
    size = (WIDTH, ROW * len(work) + MARGIN)
    figure = Figure(figsize=size, layout="constrained", dpi=150)
    times, memory = figure.subplots(1, 2, sharey=True)
    for (colour, marker), label in zip(STYLES, (OURS, other), strict=True):
        for row, entry in enumerate(work):
            side = entry["sides"].get(label)
            if side is None or not side["seconds"]:
                continue
            seconds = side["seconds"]
            times.plot([min(seconds), max(seconds)], [row, row], color=colour, linewidth=2)
            style = {"color": colour, "marker": marker, "linestyle": "none", "markersize": 5}
            named = {"label": label} if row == 0 else {}
            times.plot([statistics.median(seconds)], [row], **style, **named)
            if side["peak_bytes"]:
                memory.plot([side["peak_bytes"] / 1e6], [row], **style)
    times.set_yticks(range(len(work)), [entry["label"] for entry in work], fontsize=8)
    times.invert_yaxis()
    times.set_xscale("log")
    _finish(times, "Seconds")
    _finish(memory, "Peak memory, MB")
    memory.set_xlim(left=0)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8.5)
    return figure


def sweep_figure(result: Mapping[str, Any]) -> Figure:
    """Draw time and memory over what was varied, one panel each, both axes logarithmic."""
    values = {
        axis: points["values"]
        for found in result["sweep"].values()
        for axis, points in found.items()
    }
    axes_names = list(values)
    size = (PANEL * len(axes_names), 2 * PANEL)
    figure = Figure(figsize=size, layout="constrained", dpi=150)
    panels = figure.subplots(2, len(axes_names), squeeze=False, sharex="col", sharey="row")
    for (colour, marker), (name, found) in zip(STYLES, result["sweep"].items(), strict=False):
        for column, axis in enumerate(axes_names):
            points = found.get(axis, {})
            if "seconds" not in points:  # not measured
                continue
            style = {"color": colour, "marker": marker, "markersize": 4.5, "linewidth": 1.4}
            for row, key in enumerate(("seconds", "megabytes")):
                exponent = points[f"{key}_exponent"]
                text = f"{name}: {exponent:.2f}"
                panels[row][column].plot(points["values"], points[key], label=text, **style)
    for row, unit in enumerate(("Seconds", "Megabytes of the work")):
        for column, axis in enumerate(axes_names):
            panel = panels[row][column]
            panel.set_xscale("log", base=2)
            panel.set_xticks(values[axis], values[axis])
            panel.set_yscale("log")
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            panel.yaxis.set_minor_formatter(NullFormatter())
            if panel.lines:
                panel.legend(title="exponent", fontsize=7.5, title_fontsize=7.5, frameon=False)
            _finish(panel, axis if row else "")
            panel.set_ylabel("" if column else unit, fontsize=9)
    return figure


def _finish(axes: Axes, label: str) -> None:
    axes.set_xlabel(label, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
