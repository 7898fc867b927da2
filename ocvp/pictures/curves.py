"""Figures of metrics over time, on matplotlib's objects without its global state.

A Figure made here is known to nobody but its caller and is freed with the last reference to it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ocvp.evaluation.metrics import BASELINES, label_of

NAMES = {
    "lstm": "LSTM",
    "transformer": "Transformer",
    "ocvp_seq": "OCVP-Seq",
    "ocvp_par": "OCVP-Par",
    "copy_last_frame": "Copy of last frame",
    "copy_last_slots": "Copy of last slots",
    "constant_velocity": "Slots at constant velocity",
    "object_constant_velocity": "Objects at constant velocity",
    "ceiling": "SAVi's slots of the future",
}

# Okabe and Ito's colours; a marker each, so that lines can be told apart in grey too.
_STYLES = {
    "lstm": ("#E69F00", "s"),
    "transformer": ("#0072B2", "^"),
    "ocvp_seq": ("#009E73", "o"),
    "ocvp_par": ("#D55E00", "D"),
}
_FURTHER_STYLES = [
    ("#CC79A7", "v"),
    ("#56B4E9", "P"),
    ("#332288", "X"),
    ("#882255", "<"),
    ("#999933", ">"),
    ("#44BB99", "p"),
]
_REFERENCE_STYLES = {
    "copy_last_frame": ("#777777", (0, (1, 1.5))),
    "copy_last_slots": ("#777777", (0, (5, 2))),
    "constant_velocity": ("#AA7744", (0, (5, 2))),
    "object_constant_velocity": ("#AA7744", (0, (1, 1.5))),
    "ceiling": ("#111111", (0, (5, 2, 1, 2))),
}


# Width in inches that an entry of the legend takes: its line, and each character.
_LEGEND_LINE, _LEGEND_CHARACTER = 0.6, 0.075
# Height in inches of a row of it, and the rows that a figure has room for as it is.
_LEGEND_ROW, _LEGEND_ROWS = 0.18, 3


Values = np.ndarray | Sequence[float | None] | Sequence[Sequence[float | None]]
Curves = Mapping[str, Values]
"""Predictors and baselines to one value per predicted frame, or one row of these for each seed;
None or NaN leaves a gap."""


def predictor_styles(predictors: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return a colour and a marker for each predictor.

    The four kinds keep theirs in every figure; other names get the rest in alphabetical order, so
    pass all predictors of a study at once to give each the same ones in all its figures.
    """
    others = sorted(set(predictors) - set(_STYLES))
    number = len(_FURTHER_STYLES)
    # Beyond that many, the same colours get the marker of the next one, and so on.
    further = {
        name: (_FURTHER_STYLES[i % number][0], _FURTHER_STYLES[(i + i // number) % number][1])
        for i, name in enumerate(others)
    }
    return {name: (_STYLES | further)[name] for name in predictors}


def score_panels(metrics: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Curves]:
    """Return what `metric_curves` draws of scores: a panel for each metric with a value.

    Args:
        metrics: Predictor to the metrics of its scores (`ocvp.evaluation.score_files`), of one
            protocol, for each seed; a metric that the first has no value of over time, or no label
            for, is not drawn.
    """
    panels: dict[str, Curves] = {}
    first = next(iter(metrics.values()))
    for name, entry in first[0].items():
        label = label_of(name, entry)
        # not known, not computed, or of whole clips
        if not label or entry["mean"] is None or entry["per_frame"] is None:
            continue
        curves = {predictor: _rows(scores, name) for predictor, scores in metrics.items()}
        curves |= {key: _rows(first, name, f"{key}_per_frame") for key in BASELINES}
        panels[label] = {key: rows for key, rows in curves.items() if rows}
    return panels


def _rows(
    seeds: Sequence[Mapping[str, Any]], metric: str, key: str = "per_frame"
) -> list[list[float | None]]:
    """Return a metric over the predicted frames for each seed that has it."""
    return [scores[metric][key] for scores in seeds if scores[metric].get(key)]


def metric_curves(
    panels: Mapping[str, Curves],
    styles: Mapping[str, tuple[str, str]] | None = None,
    title: str | None = None,
    *,
    max_across: int = 3,
) -> Figure:
    """Draw metrics over the predicted frames, one panel each, under one legend.

    Of several seeds the mean is drawn, in a band of one standard deviation to either side.

    Args:
        panels: Label of a metric to its curves, models and baselines.
        styles: Colour and marker of each predictor, from `predictor_styles` of all predictors of
            the study; None: of those in these panels.
        title: Line above the figure.
        max_across: Most panels side by side.

    Returns:
        The figure, ready for `save_figure`.

    Raises:
        ValueError: If there is no panel, or a panel has no curve.
    """
    if not panels or not all(panels.values()):
        raise ValueError("a figure needs at least one panel and a curve in each panel")
    if styles is None:
        names = set().union(*panels.values())
        styles = predictor_styles([name for name in names if name not in _REFERENCE_STYLES])
    # --- a grid of panels
    across = min(len(panels), max_across)
    down = -(-len(panels) // across)
    size = (max(3.6 * across, 5.4), 2.9 * down + 0.9)  # in inches
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08, wspace=0.03)
    figure = Figure(figsize=size, layout=layout, dpi=150)
    grid = figure.subplots(down, across, squeeze=False).ravel()
    # --- the curves; a name has one entry in the legend, whatever panels it is in
    entries: dict[str, Line2D] = {}
    for axes, (label, curves) in zip(grid, panels.items(), strict=False):
        models = [name for name in curves if name not in _REFERENCE_STYLES]
        places = {name: place / len(models) for place, name in enumerate(models)}
        for name, values in curves.items():
            rows = np.atleast_2d(np.array(values, dtype=np.float64))  # (seeds, frames)
            line = _draw_curve(axes, name, rows, styles, places.get(name, 0))
            entries.setdefault(name, line)
        _finish(axes, label)
    for axes in grid[len(panels) :]:  # the last row may not be full
        axes.remove()
    if title:
        figure.suptitle(title, fontsize=11)
    _add_legend(figure, entries)
    return figure


def _draw_curve(
    axes: Axes, name: str, rows: np.ndarray, styles: Mapping[str, tuple[str, str]], place: float
) -> Line2D:
    """Draw the mean of seeds and their band; markers start at a place of their own in [0, 1).

    So a line under another one of the same values is still seen by its markers.
    """
    known = (~np.isnan(rows)).sum(axis=0)  # seeds, by frame
    values = np.where(known > 0, np.nansum(rows, axis=0) / np.maximum(known, 1), np.nan)
    frames = np.arange(1, len(values) + 1)
    if known.max() > 1:
        squares = np.nansum((rows - values) ** 2, axis=0)
        deviation = np.where(known > 1, np.sqrt(squares / np.maximum(known - 1, 1)), np.nan)
        colour = _REFERENCE_STYLES[name][0] if name in _REFERENCE_STYLES else styles[name][0]
        low, high = values - deviation, values + deviation
        axes.fill_between(frames, low, high, color=colour, alpha=0.15, linewidth=0, zorder=1)
    if name in _REFERENCE_STYLES:
        colour, dashes = _REFERENCE_STYLES[name]
        (line,) = axes.plot(frames, values, color=colour, linestyle=dashes, linewidth=1.4, zorder=2)
        if len(values) == 1:
            line.set_marker("_")  # a line of one point would not show
    else:
        colour, marker = styles[name]
        # About eight markers a line, however long it is; fewer where they could not take turns.
        every = max(1, min(4, len(values) // 2), len(values) // 8)
        start = int(place * every)
        (line,) = axes.plot(
            frames,
            values,
            color=colour,
            marker=marker,
            markevery=(start, every),
            markersize=4.5,
            markeredgecolor="white",
            markeredgewidth=0.6,
            linewidth=1.6,
            zorder=3,
        )
    return line


def _finish(axes: Axes, label: str) -> None:
    axes.set_xlabel("Frames after the context", fontsize=9)
    axes.set_ylabel(label, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True, min_n_ticks=1))
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _add_legend(figure: Figure, entries: Mapping[str, Line2D]) -> None:
    """Put the models below the panels, row by row, and the references in rows of their own.

    Many rows make the figure higher, not its panels lower.
    """
    models = [name for name in entries if name not in _REFERENCE_STYLES]
    references = [name for name in _REFERENCE_STYLES if name in entries]
    longest = max(len(NAMES.get(name, name)) for name in entries)
    width = _LEGEND_LINE + _LEGEND_CHARACTER * longest
    room = max(1, int(figure.get_figwidth() / width))  # entries that fit side by side
    across = min(max(len(models), len(references)), room)
    cells: list[str | None] = []
    for group in (models, references):
        cells += [*group, *[None] * (-len(group) % across)]  # rows are filled up
    further = max(len(cells) // across - _LEGEND_ROWS, 0)
    figure.set_figheight(figure.get_figheight() + further * _LEGEND_ROW)
    # matplotlib fills column by column.
    cells = [cell for column in range(across) for cell in cells[column::across]]
    blank = Line2D([], [], linestyle="none")
    figure.legend(
        [blank if name is None else entries[name] for name in cells],
        ["" if name is None else NAMES.get(name, name) for name in cells],
        loc="outside lower center",
        ncols=across,
        frameon=False,
        fontsize=8.5,
        handlelength=3,
    )
