"""Rollouts of one predictor or of several on the same video: strips, animations and tracks.

T frames, N slots, K objects, H W pixels.
"""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ocvp.evaluation.tracking_metrics import object_centres
from ocvp.pictures.animation import animation
from ocvp.pictures.compared import Comparison
from ocvp.pictures.curves import NAMES
from ocvp.pictures.drawing import MAX_COLUMNS, MAX_WIDTH, choose_columns
from ocvp.pictures.overlays import object_colours, overlay, upscale
from ocvp.pictures.saving import PIXELS_PER_INCH
from ocvp.pictures.strips import Row, strip

MAX_ERROR = 0.5
"""Error of a pixel, of values in [0, 1], that is drawn as brightly as any larger one."""
_ERROR_COLOURS = matplotlib.colormaps["magma"]
_TRUE: dict[str, Any] = {"linestyle": "-", "linewidth": 1.8}
_PREDICTED: dict[str, Any] = {
    **{"linestyle": "-", "linewidth": 0.7, "marker": "o", "markersize": 3.5},
    **{"markerfacecolor": "white", "markeredgewidth": 1.1},
}
_PANEL = 2.6  # side of a panel of tracks, in inches
_CHARACTERS = 12  # of a title, that an inch holds
_CELL_GAP = 16  # of an animation, about: gap and border, in pixels


@dataclass(frozen=True)
class Shown:
    """What predictors make of a video, and what a figure says of it."""

    comparison: Comparison
    num_context: int
    title: str
    """Line above the figure."""
    scores: Mapping[str, str]
    """By predictor, what it scores on the video, with the metric's name."""

    def labels(self) -> dict[str, str]:
        """Return what stands beside each predictor's pictures."""
        return {
            name: "\n".join(filter(None, (NAMES.get(name, name), text)))
            for name, text in self.scores.items()
        }


def rollouts_strip(shown: Shown, factor: int) -> np.ndarray:
    """Draw a video over time: truth, then of each predictor its frames, masks and errors.

    Args:
        shown: The video.
        factor: Enlargement of the frames.

    Returns:
        Picture, uint8, shape (height, width, 3).
    """
    num_frames = len(shown.comparison.frames)
    return strip(
        [row for group in _groups(shown, factor) for row in group],
        num_context=shown.num_context,
        columns=choose_columns(num_frames, shown.num_context, MAX_COLUMNS),
        title=shown.title,
    )


def rollouts_animation(shown: Shown, factor: int) -> list[np.ndarray]:
    """Draw the same as an animation: truth, then each predictor, in columns; one alone in a row.

    Args:
        shown: The video.
        factor: Enlargement of the frames; less where the columns are too many for a screen.

    Returns:
        T pictures of one size, uint8, shape (height, width, 3) each.
    """
    width = shown.comparison.frames.shape[2]
    is_alone = len(shown.scores) == 1
    across = 5 if is_alone else len(shown.scores) + 1
    room = MAX_WIDTH // across - _CELL_GAP
    groups = _groups(shown, max(min(factor, room // width), 1))
    if is_alone:
        views: list[list[Row | None]] = [[row for group in groups for row in group]]
    else:
        depth = max(map(len, groups))
        views = [[group[n] if n < len(group) else None for group in groups] for n in range(depth)]
    return animation(views, num_context=shown.num_context, title=shown.title)


def _groups(shown: Shown, factor: int) -> list[list[Row]]:
    """Return what is drawn of the truth, and of each predictor."""
    found = shown.comparison
    truth = [Row("Truth", upscale(found.frames, factor))]
    if found.labels is not None:
        colours = object_colours(int(found.labels.max(initial=0)))
        painted = overlay(found.frames, found.labels, colours, factor)
        truth.append(Row("True masks", painted))
    groups = [truth]
    for name, label in shown.labels().items():
        rollout = found.rollouts[name]
        masks = overlay(rollout.frames, rollout.labels, found.colours, factor)
        errors = upscale(error_pictures(found.frames, rollout.frames), factor)
        frames = upscale(rollout.frames, factor)
        groups.append([Row(label, frames), Row("Masks", masks), Row("Error", errors)])
    return groups


def error_pictures(frames: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return how wrong each pixel is: black where it is right, the brighter the more it is not.

    The mean over the colours of the absolute difference, up to `MAX_ERROR`.

    Args:
        frames: True frames, uint8, shape (T, H, W, 3).
        predicted: Predicted ones, of the same shape.

    Returns:
        Pictures, uint8, shape (T, H, W, 3).
    """
    errors = np.abs(frames.astype(np.float32) - predicted).mean(axis=-1) / 255  # (T, H, W)
    return _ERROR_COLOURS(np.minimum(errors / MAX_ERROR, 1), bytes=True)[..., :3]


# --- tracks ---------------------------------------------------------------------------------------


def tracks_figure(shown: Shown, max_across: int = 4) -> Figure:
    """Draw where objects go, truly and as each predictor predicts it, over the last context frame.

    A predicted track is that of the slot that held the object in this frame. Without true masks,
    what is drawn as true are the slots of the context, up to this frame.

    Args:
        shown: The video.
        max_across: Most panels side by side.
    """
    number = len(shown.scores)
    across = min(number, max_across)
    down = -(-number // across)
    height, width = shown.comparison.frames.shape[1:3]
    size = (across * _PANEL, down * (_PANEL * height / width + 0.3) + 0.6)
    figure = Figure(figsize=size, layout="constrained", dpi=PIXELS_PER_INCH)
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axes, (name, label) in zip(grid, shown.labels().items(), strict=False):
        _draw_tracks(axes, shown, name)
        axes.set_title(label.replace("\n", ", "), fontsize=9)
    for axes in grid[number:]:  # the last row may not be full
        axes.remove()
    figure.suptitle(textwrap.fill(shown.title, int(size[0] * _CHARACTERS)), fontsize=10)
    known = shown.comparison.labels is not None
    entries = [Line2D([], [], color="#444444", **style) for style in (_TRUE, _PREDICTED)]
    words = ["true" if known else "in the context", "predicted"]
    figure.legend(entries, words, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def _draw_tracks(axes: Axes, shown: Shown, name: str) -> None:
    """Draw the tracks of one predictor, over a pale last frame of the context."""
    found, last = shown.comparison, shown.num_context - 1
    axes.imshow(255 - (255 - found.frames[last]) // 2)
    axes.set(xticks=[], yticks=[])
    axes.set_xlim(axes.get_xlim())  # what leaves the frame is cut
    axes.set_ylim(axes.get_ylim())
    outline = [patheffects.withStroke(linewidth=3.2, foreground="white")]
    for true, predicted, colour in tracks(found, name, shown.num_context):
        axes.plot(*true.T[::-1], color=colour, path_effects=outline, **_TRUE)
        axes.plot(*predicted.T[::-1], color=colour, **_PREDICTED)


def tracks(
    found: Comparison, name: str, num_context: int
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return the tracks of objects, from the last context frame on.

    Args:
        found: The video.
        name: The predictor.
        num_context: Context frames.

    Returns:
        For each object that a slot held in the last context frame, the true centres (row, column)
        in pixels, those of its slot, both of shape (1 + num_preds, 2), and its colour in [0, 1];
        NaN where it is hidden. Without true masks, for each slot but the largest its centres in
        the context, (num_context, 2), and the predicted ones.
    """
    rollout, last = found.rollouts[name], num_context - 1
    num_slots = rollout.masks.shape[1]
    # as labels of objects, for which 0 is the background
    centres = object_centres(rollout.labels[None].astype(np.int64) + 1, num_slots)[0]  # (T, N, 2)
    colours = found.colours / 255
    if found.labels is None:
        largest = np.bincount(rollout.labels[last].ravel(), minlength=num_slots).argmax()
        seen = [n for n in range(num_slots) if n != largest and n in rollout.labels[last]]
        return [(centres[:num_context, n], centres[last:, n], colours[n]) for n in seen]
    slots = found.slots_of_labels[1:]
    true = object_centres(found.labels[None].astype(np.int64), len(slots))[0]  # (T, K, 2)
    return [
        (true[last:, k], centres[last:, slot], colours[slot])
        for k, slot in enumerate(slots)
        if slot != -1
    ]
