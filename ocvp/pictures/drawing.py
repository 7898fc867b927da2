"""Panels of slots over time, and which frames fit a picture.

T frames, N slots, H, W pixels; the first num_context frames are given, the rest is predicted.
"""

import numpy as np

from ocvp.pictures.overlays import overlay, palette, slot_pictures, upscale
from ocvp.pictures.strips import COLUMN_GAP, Row, strip

MAX_COLUMNS = 16
MAX_WIDTH = 1600
"""Of pictures whose frames are not enlarged by a given factor, in pixels."""
MAX_CELL = 128
"""To how much frames are enlarged at most, where no factor is given."""
_LABEL_ROOM = 230  # pixels beside the frames, about: labels and margins


def slots_panel(
    frames: np.ndarray,
    objects: np.ndarray,
    masks: np.ndarray,
    *,
    factor: int | None = None,
    colours: np.ndarray | None = None,
    title: str = "",
) -> np.ndarray:
    """Draw frames, reconstruction, the slot of each pixel, and what each slot holds, over time.

    Args:
        frames: True frames, uint8, shape (T, H, W, 3).
        objects: Each slot's picture before masking, shape (T, N, H, W, 3), in [0, 1].
        masks: Soft masks, shape (T, N, H, W), in [0, 1].
        factor: Enlargement of the frames; None: as fits a screen, where wide frames may also be
            fewer.
        colours: Colours of the slots, shape (N, 3), as from `slot_colours`; None: the palette.
        title: Line above the picture; empty: none.

    Returns:
        Picture, uint8, shape (height, width, 3): each slot's mask on a checkerboard, one row each.

    Raises:
        ValueError: If shapes do not match or a number is out of range.
    """
    if len(objects) != len(frames):
        raise ValueError(f"{len(frames)} frames, but objects of {len(objects)} frames")
    factor, max_columns = _fit(frames, factor)
    num_slots = masks.shape[1]
    colours = palette(num_slots) if colours is None else colours
    held = slot_pictures(objects, masks)  # (T, N, H, W, 3)
    together = np.clip((objects * masks[..., None]).sum(axis=1), 0, 1)  # (T, H, W, 3)
    rows = [
        Row("Truth", upscale(frames, factor)),
        Row("Reconstruction", upscale(np.rint(255 * together).astype(np.uint8), factor)),
        Row("Masks", overlay(frames, masks.argmax(axis=1), colours, factor)),
    ]
    for n in range(num_slots):
        red, green, blue = (int(part) for part in colours[n])
        rows.append(Row(f"Slot {n}", upscale(held[:, n], factor), 0, (red, green, blue)))
    columns = choose_columns(len(frames), 0, max_columns)
    return strip(rows, num_context=0, columns=columns, title=title)


def _fit(frames: np.ndarray, factor: int | None) -> tuple[int, int]:
    """Return a factor and how many columns to show, so that a picture fits a screen."""
    if factor is not None:
        return factor, MAX_COLUMNS
    width = frames.shape[2]
    room, columns = MAX_WIDTH - _LABEL_ROOM, max(min(len(frames), MAX_COLUMNS), 1)
    factor = max(min(room // columns - COLUMN_GAP, MAX_CELL) // width, 1)
    # frames that are too wide at any factor get fewer columns
    return factor, min(MAX_COLUMNS, max(room // (factor * width + COLUMN_GAP), 2))


def choose_columns(num_frames: int, num_context: int, max_columns: int) -> list[int]:
    """Choose frames to show, evenly spaced within the context and within the rest.

    The last context frame and the last frame are always among them.

    Raises:
        ValueError: If there is no frame or max_columns is below 2.
    """
    if num_frames < 1 or max_columns < 2:
        raise ValueError(
            f"num_frames is {num_frames} and max_columns {max_columns}, "
            "allowed are at least 1 and 2"
        )
    num_context = min(max(num_context, 0), num_frames)
    if num_frames <= max_columns:
        return list(range(num_frames))
    if num_context in (0, num_frames):  # all on one side
        return _spread(0, num_frames - 1, max_columns)
    # As many as its share of the frames, but one at least on either side.
    share = round(max_columns * num_context / num_frames)
    share = min(max(share, 1), max_columns - 1, num_context)
    context = [num_context - 1] if share == 1 else _spread(0, num_context - 1, share)
    rest = min(max_columns - share, num_frames - num_context)
    predicted = [num_frames - 1] if rest == 1 else _spread(num_context, num_frames - 1, rest)
    return context + predicted


def _spread(first: int, last: int, count: int) -> list[int]:
    return [round(number) for number in np.linspace(first, last, count)]
