"""Pictures of the size at which TensorBoard shows them, so that they are read there as they are.

T frames, N slots, H, W pixels; the first num_context frames are given, the rest is predicted.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from ocvp.pictures.drawing import choose_columns
from ocvp.pictures.overlays import overlay, palette, slot_pictures
from ocvp.pictures.strips import CONTEXT_COLOUR, INK, PREDICTED_COLOUR, load_font

WIDTH, HEIGHT = 350, 215
"""In pixels: TensorBoard 2.21 fits pictures into this width in its tab Images, in Time Series
into this height; there the width is 326 to 390, as windows are."""
NUM_COLUMNS = 4
"""Frames that are shown side by side at most."""

# in pixels
_TEXT = 12
_LINE = 16  # the text with room around it
_LABELS = 64  # to the left of rows
_GAP = 3
_SQUARE = 9  # a colour beside a caption


class _Words(NamedTuple):
    text: str
    colour: tuple[int, int, int] = INK


def clip_card(frames: np.ndarray, reconstruction: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Draw a clip, its reconstruction, and the slot of each pixel.

    Args:
        frames: True frames, uint8, shape (T, H, W, 3).
        reconstruction: The same as decoded.
        labels: Slot of each pixel, integers, shape (T, H, W).

    Returns:
        Picture, uint8, shape (up to HEIGHT, WIDTH, 3).
    """
    rows = {"Truth": frames, "Decoded": reconstruction, "Slots": _painted(frames, labels)}
    columns = choose_columns(len(frames), 0, NUM_COLUMNS)
    return _table(rows, columns, [_Words(str(t + 1)) for t in columns])


def rollout_card(
    frames: np.ndarray, predicted: np.ndarray, labels: np.ndarray, num_context: int
) -> np.ndarray:
    """Draw a rollout beside the truth; predicted frames are counted from the context's end on.

    Args:
        frames: True frames, uint8, shape (T, H, W, 3).
        predicted: What SAVi decodes, of the context and of the prediction, likewise.
        labels: Slot of each of its pixels, integers, shape (T, H, W).
        num_context: Context frames.

    Returns:
        Picture, uint8, shape (up to HEIGHT, WIDTH, 3).
    """
    rows = {"Truth": frames, "Decoded": predicted, "Slots": _painted(predicted, labels)}
    columns = choose_columns(len(frames), num_context, NUM_COLUMNS)
    heads = [
        _Words(f"+{t + 1 - num_context}", PREDICTED_COLOUR)
        if t >= num_context
        else _Words(str(t + 1), CONTEXT_COLOUR)
        for t in columns
    ]
    return _table(rows, columns, heads)


def slots_card(objects: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Draw what each slot holds in one frame, on a checkerboard.

    Args:
        objects: Each slot's picture before masking, shape (N, H, W, 3), in [0, 1].
        masks: Soft masks, shape (N, H, W), in [0, 1].

    Returns:
        Picture, uint8, shape (up to HEIGHT, WIDTH, 3): as many columns as make the slots largest.
    """
    held = slot_pictures(objects, masks)  # (N, H, W, 3)
    num_slots, height, width = masks.shape

    def scale_of(num_columns: int) -> float:
        num_rows = -(-num_slots // num_columns)
        return min((WIDTH // num_columns - _GAP) / width, (HEIGHT // num_rows - _LINE) / height)

    num_columns = max(range(1, num_slots + 1), key=scale_of)
    scale = scale_of(num_columns)
    size = (max(int(scale * width), 1), max(int(scale * height), 1))
    num_rows = -(-num_slots // num_columns)
    image = Image.new("RGB", (WIDTH, num_rows * (size[1] + _LINE)), "white")
    draw = ImageDraw.Draw(image)
    for n, colour in enumerate(palette(num_slots).tolist()):
        row, column = divmod(n, num_columns)
        x, y = column * (WIDTH // num_columns), row * (size[1] + _LINE)
        draw.rectangle((x, y + 3, x + _SQUARE, y + 3 + _SQUARE), tuple(colour))
        draw.text((x + _SQUARE + 5, y), f"Slot {n}", INK, load_font(_TEXT))
        image.paste(_resized(held[n], size), (x, y + _LINE))
    return np.array(image)


def _painted(frames: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return overlay(frames, labels, palette(int(labels.max(initial=0)) + 1))


def _table(
    rows: dict[str, np.ndarray], columns: Sequence[int], heads: Sequence[_Words]
) -> np.ndarray:
    """Draw frames (T, H, W, 3) of each row in the columns that are named, under their heads."""
    frames = next(iter(rows.values()))
    height, width = frames.shape[1:3]
    step = (WIDTH - _LABELS) // len(columns)
    scale = min((step - _GAP) / width, ((HEIGHT - _LINE) // len(rows) - _GAP) / height)
    size = (max(int(scale * width), 1), max(int(scale * height), 1))
    step = size[0] + _GAP
    image = Image.new("RGB", (WIDTH, _LINE + len(rows) * (size[1] + _GAP)), "white")
    draw, font = ImageDraw.Draw(image), load_font(_TEXT)
    draw.text((0, 0), "Frame", INK, font)
    for i, head in enumerate(heads):
        draw.text((_LABELS + i * step + size[0] / 2, 0), head.text, head.colour, font, anchor="ma")
    for r, (label, pictures) in enumerate(rows.items()):
        y = _LINE + r * (size[1] + _GAP)
        draw.text((0, y + size[1] / 2), label, INK, font, anchor="lm")
        for i, column in enumerate(columns):
            image.paste(_resized(pictures[column], size), (_LABELS + i * step, y))
    return np.array(image)


def _resized(picture: np.ndarray, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)
