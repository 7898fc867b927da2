"""Strips: rows of pictures over time, with the context set apart from what is predicted.

Pictures are uint8 (height, width, 3) and need no display and no global state.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ocvp.pictures.overlays import upscale

CONTEXT_COLOUR = (68, 119, 170)
PREDICTED_COLOUR = (213, 94, 0)
INK = (30, 30, 30)
EMPTY = (238, 238, 238)
"""Where a row has no picture."""
EDGE = (200, 200, 200)
"""Around every cell, so that pale pictures have a border."""

# in pixels
_MARGIN = 12
COLUMN_GAP = 4
_ROW_GAP = 6
_SPLIT_GAP = 18  # between the context and what is predicted
_LABEL_GAP = 10
_BAR = 4


class Row(NamedTuple):
    """One row of a strip: pictures of consecutive frames under one label."""

    label: str
    """Text on the left; a line break splits it."""
    pictures: np.ndarray
    """uint8, shape (frames, height, width, 3); smaller ones are enlarged to the strip's cells."""
    first: int = 0
    """Frame number, from 0, of the first picture; the frames before it stay empty."""
    colour: tuple[int, int, int] | None = None
    """Colour of a square beside the label, or none."""


class _Layout(NamedTuple):
    """Where the parts of a strip are, in pixels."""

    columns: list[int]
    lefts: list[int]
    height: int
    width: int
    top: int
    split: int
    """How many columns are context; 0 where nothing is set apart."""
    font: ImageFont.FreeTypeFont
    line: int


def strip(
    rows: Sequence[Row],
    *,
    num_context: int,
    columns: Sequence[int] | None = None,
    title: str = "",
) -> np.ndarray:
    """Draw rows of pictures over time, with the context set apart from what is predicted.

    Args:
        rows: At least one; the largest pictures set the size of the cells.
        num_context: Context frames; where all columns are on one side of it, nothing is set apart.
        columns: Frames to show, numbers from 0, rising; all where None.
        title: Line above the picture; empty: none.

    Returns:
        Picture, uint8, shape (height, width, 3). Frames are numbered from 1.

    Raises:
        ValueError: If there are no rows or columns, pictures are not uint8 (frames, height, width,
            3), or do not fit the cells a whole number of times.
    """
    layout = _arrange(rows, num_context, columns, title)
    size = (
        max(layout.lefts[-1] + layout.width, _MARGIN + _text_width(title, layout.font)) + _MARGIN,
        layout.top + len(rows) * (layout.height + _ROW_GAP) - _ROW_GAP + _MARGIN,
    )
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    draw.text((_MARGIN, _MARGIN), title, INK, layout.font, anchor="la")
    _draw_header(draw, layout)
    for i, row in enumerate(rows):
        _draw_row(image, draw, layout, row, layout.top + i * (layout.height + _ROW_GAP))
    return np.array(image)


def text_size(height: int) -> int:
    """Return a size of text in pixels that suits cells of this height."""
    return min(max(height // 6, 12), 22)


@cache
def load_font(size: int) -> ImageFont.FreeTypeFont:
    """Return the sans serif font that comes with matplotlib, the same on every machine."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)


def _arrange(
    rows: Sequence[Row], num_context: int, columns: Sequence[int] | None, title: str
) -> _Layout:
    if not rows:
        raise ValueError("a strip needs at least one row")
    for row in rows:
        if row.pictures.ndim != 4 or row.pictures.shape[-1] != 3 or row.pictures.dtype != np.uint8:
            raise ValueError(
                f"pictures of row {row.label!r} must be uint8 of shape (frames, height, width, 3), "
                f"got {row.pictures.dtype} of {row.pictures.shape}"
            )
    # --- which frames are shown
    num_frames = max(row.first + len(row.pictures) for row in rows)
    chosen = list(range(num_frames) if columns is None else columns)
    if not chosen:
        raise ValueError("a strip needs at least one column")
    # --- how large a cell and its text are
    height, width = (max(row.pictures.shape[axis] for row in rows) for axis in (1, 2))
    font = load_font(text_size(height))
    line = sum(font.getmetrics())
    # modulo: where all columns are context, nothing is set apart
    split = sum(column < num_context for column in chosen) % len(chosen)
    # --- where columns start, past the longest label
    labels = [(row.label, line + 4 if row.colour else 0) for row in rows] + [("Frame", 0)]
    left = _MARGIN + _LABEL_GAP + max(_text_width(text, font) + extra for text, extra in labels)
    lefts = [
        left + i * (width + COLUMN_GAP) + (_SPLIT_GAP if 0 < split <= i else 0)
        for i in range(len(chosen))
    ]
    header = _MARGIN + (line + 10 if title else 0)
    top = header + line + 4 + (line + _BAR + 6 if split else 0)
    return _Layout(chosen, lefts, height, width, top, split, font, line)


def _draw_header(draw: ImageDraw.ImageDraw, layout: _Layout) -> None:
    """Write the frames' numbers and, above them, what is context and what is predicted."""
    y = layout.top - 4 - layout.line
    draw.text((layout.lefts[0] - _LABEL_GAP, y), "Frame", INK, layout.font, anchor="ra")
    for x, column in zip(layout.lefts, layout.columns, strict=True):
        draw.text((x + layout.width / 2, y), str(column + 1), INK, layout.font, anchor="ma")
    if not layout.split:
        return
    for lefts, colour, names in (
        (layout.lefts[: layout.split], CONTEXT_COLOUR, ("Context", "Cont.", "C")),
        (layout.lefts[layout.split :], PREDICTED_COLOUR, ("Predicted", "Pred.", "P")),
    ):
        start, end = lefts[0], lefts[-1] + layout.width
        name = next((n for n in names if _text_width(n, layout.font) <= end - start), names[-1])
        words = y - layout.line - _BAR - 6
        draw.text(((start + end) / 2, words), name, colour, layout.font, anchor="ma")
        bar = words + layout.line + 2
        draw.rectangle((start, bar, end - 1, bar + _BAR - 1), colour)


def _draw_row(
    image: Image.Image, draw: ImageDraw.ImageDraw, layout: _Layout, row: Row, y: int
) -> None:
    # --- the label, its lines centred on the row
    middle = y + layout.height // 2
    lines = row.label.split("\n")
    for i, text in enumerate(lines):
        position = (layout.lefts[0] - _LABEL_GAP, middle + (i - (len(lines) - 1) / 2) * layout.line)
        draw.text(position, text, INK, layout.font, anchor="rm")
    # --- the square beside it
    if row.colour:
        side = layout.line - 6
        right = layout.lefts[0] - _LABEL_GAP - _text_width(row.label, layout.font) - 10
        top = middle - side // 2
        draw.rectangle((right - side, top, right, top + side), row.colour)
    # --- the pictures, in cells that stay empty where there is none
    for x, column in zip(layout.lefts, layout.columns, strict=True):
        draw.rectangle((x - 1, y - 1, x + layout.width, y + layout.height), EMPTY, outline=EDGE)
        index = column - row.first
        if 0 <= index < len(row.pictures):
            picture = _fitted(row.pictures[index], layout, row.label)
            image.paste(Image.fromarray(picture), (x, y))


def _fitted(picture: np.ndarray, layout: _Layout, label: str) -> np.ndarray:
    factor = layout.height // picture.shape[0]
    enlarged = upscale(picture, factor)
    if enlarged.shape[:2] != (layout.height, layout.width):
        raise ValueError(
            f"pictures of row {label!r} are {picture.shape[0]}x{picture.shape[1]}, which does not "
            f"fit cells of {layout.height}x{layout.width} a whole number of times"
        )
    return enlarged


def _text_width(text: str, font: ImageFont.FreeTypeFont) -> int:
    return max(int(np.ceil(font.getlength(line))) for line in text.split("\n"))
