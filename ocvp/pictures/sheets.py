"""Sheets of pictures, as pages hold them: the frames of a video side by side in one picture.

A sheet is a data URI, in rows of `columns_of` tiles from the upper left. Small pictures, whose
pixels are shown as squares, are stored as they are; larger ones as a codec makes them small.

T frames, N slots, H W pixels.
"""

import base64
import io
import math
from typing import Any

import numpy as np
from PIL import Image

EXACT_SIDE = 48
"""Pictures up to this side are stored as they are, in pixels."""
SLOT_SIDE = 64
"""Pictures of single slots are made this small at least, as they are shown, in pixels."""
# Effort is low: most of the size is saved by the first of it.
_EXACT: dict[str, Any] = {"lossless": True, "quality": 20, "method": 2}
_LOSSY: dict[str, Any] = {"quality": 85, "alpha_quality": 85, "method": 2}


def columns_of(num_tiles: int) -> int:
    """Return how many tiles a row of a sheet has: about as many as there are rows."""
    return math.ceil(math.sqrt(num_tiles))


def frame_sheet(frames: np.ndarray) -> str:
    """Return frames as a sheet (WebP).

    Args:
        frames: uint8, shape (T, H, W, 3), or (T, H, W, 4) with the opacity.
    """
    is_exact = max(frames.shape[1:3]) <= EXACT_SIDE
    return _data_uri(_tiled(frames), "WEBP", **(_EXACT if is_exact else _LOSSY))


def label_sheet(labels: np.ndarray) -> str:
    """Return labels as a sheet whose grey is the label (PNG).

    Args:
        labels: Integers from 0 to 255, shape (T, H, W).
    """
    return _data_uri(_tiled(labels.astype(np.uint8)), "PNG", compress_level=9)


def slot_sheet(objects: np.ndarray, masks: np.ndarray) -> str:
    """Return what each slot holds as a sheet (WebP), its mask as the opacity: T N tiles by frame.

    Args:
        objects: Each slot's picture before masking, in [0, 1], shape (T, N, H, W, 3).
        masks: Soft masks, in [0, 1], shape (T, N, H, W).
    """
    step = slot_step(*masks.shape[2:])
    colours = _bytes(objects[..., ::step, ::step, :])
    opacity = _bytes(masks[..., ::step, ::step])[..., None]
    tiles = np.where(opacity > 0, np.concatenate([colours, opacity], axis=-1), 0)
    return frame_sheet(tiles.astype(np.uint8).reshape(-1, *tiles.shape[2:]))


def slot_step(height: int, width: int) -> int:
    """Return which pixels of single slots are kept: every one, every second one, ..."""
    return max(max(height, width) // SLOT_SIDE, 1)


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)


def _tiled(tiles: np.ndarray) -> np.ndarray:
    """Lay out tiles (T, H, W, ...) in rows, the last one filled up with zeros."""
    columns = columns_of(len(tiles))
    rows = -(-len(tiles) // columns)
    height, width, *channels = tiles.shape[1:]
    padding = np.zeros((rows * columns - len(tiles), *tiles.shape[1:]), tiles.dtype)
    grid = np.concatenate([tiles, padding]).reshape(rows, columns, height, width, *channels)
    return grid.swapaxes(1, 2).reshape(rows * height, columns * width, *channels)


def _data_uri(picture: np.ndarray, kind: str, **settings: Any) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format=kind, **settings)
    content = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{content}"
