"""Figures of metrics over time, on matplotlib's objects without its global state.

A Figure made here is known to nobody but its caller and is freed with the last reference to it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
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


Curves = Mapping[str, np.ndarray | Sequence[float | None]]
"""Predictors and baselines to one value per predicted frame; None or NaN leaves a gap."""


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


def score_panels(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Curves]:
    """Return what `metric_curves` draws of scores: a panel for each metric with a value.

    Args:
        metrics: Predictor to the metrics of its scores (`ocvp.evaluation.score_files`), of one
            protocol; a metric that the first has no value of over time, or no label for, is not
            drawn.
    """
    panels: dict[str, Curves] = {}
    for name, entry in next(iter(metrics.values())).items():
        label = label_of(name, entry)
        # not known, not computed, or of whole clips
        if not label or entry["mean"] is None or entry["per_frame"] is None:
            continue
        curves = {predictor: scores[name]["per_frame"] for predictor, scores in metrics.items()}
        baselines = {baseline: entry.get(f"{baseline}_per_frame") for baseline in BASELINES}
        panels[label] = curves | {key: curve for key, curve in baselines.items() if curve}
    return panels


def metric_curves(
    panels: Mapping[str, Curves],
    styles: Mapping[str, tuple[str, str]] | None = None,
    title: str | None = None,
    *,
    max_across: int = 3,
) -> Figure:
    """Draw metrics over the predicted frames, one panel each, under one legend.

    Args:
        panels: Label of a metric to its curves, models and baselines.
        styles: Colour and marker of each predictor, from `predictor_styles` of all predictors of
            the study; None: of those in these panels.
        title: Line above the figure.
        max_across: Most panels side by side.

    Returns:
        The figure, ready for `savefig` or `figure_picture`.

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
        for name, values in curves.items():
            line = _draw_curve(axes, name, np.array(values, dtype=np.float64), styles)
            entries.setdefault(name, line)
        _finish(axes, label)
    for axes in grid[len(panels) :]:  # the last row may not be full
        axes.remove()
    if title:
        figure.suptitle(title, fontsize=11)
    _add_legend(figure, entries)
    return figure


def figure_picture(figure: Figure) -> np.ndarray:
    """Return a figure as a picture, uint8, shape (height, width, 3)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # the buffer is the canvas's own


def _draw_curve(
    axes: Axes, name: str, values: np.ndarray, styles: Mapping[str, tuple[str, str]]
) -> Line2D:
    frames = np.arange(1, len(values) + 1)
    if name in _REFERENCE_STYLES:
        colour, dashes = _REFERENCE_STYLES[name]
        (line,) = axes.plot(frames, values, color=colour, linestyle=dashes, linewidth=1.4, zorder=2)
        if len(values) == 1:
            line.set_marker("_")  # a line of one point would not show
    else:
        colour, marker = styles[name]
        # About eight markers a line, however long it is.
        every = max(1, len(values) // 8)
        (line,) = axes.plot(
            frames,
            values,
            color=colour,
            marker=marker,
            markevery=every,
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
    """Put the models below the panels, row by row, and the references in rows of their own."""
    models = [name for name in entries if name not in _REFERENCE_STYLES]
    references = [name for name in _REFERENCE_STYLES if name in entries]
    longest = max(len(NAMES.get(name, name)) for name in entries)
    width = _LEGEND_LINE + _LEGEND_CHARACTER * longest
    room = max(1, int(figure.get_figwidth() / width))  # entries that fit side by side
    across = min(max(len(models), len(references)), room)
    cells: list[str | None] = []
    for group in (models, references):
        cells += [*group, *[None] * (-len(group) % across)]  # rows are filled up
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
