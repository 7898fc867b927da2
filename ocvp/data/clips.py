"""Clips of one's own: a film or a folder of pictures, cut to a model's frame, and its first boxes.

T frames, H W pixels, K objects.
"""

import csv
import json
import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ocvp.data.films import Film
from ocvp.data.frame_files import read_pictures
from ocvp.data.picture_series import check_spacing, read_series
from ocvp.data.raw_videos import PICTURES
from ocvp.data.resizing import WHOLE, Crop, Fit, choose_crop, resize_frame

logger = logging.getLogger(__name__)

BOX_KEYS = ("y_min", "x_min", "y_max", "x_max")
EXPECTED = (
    f"expected are rows of {', '.join(BOX_KEYS)} as fractions of the frame, from 0 to 1, the "
    "smaller one first"
)


class Clip(NamedTuple):
    """Frames in a model's size."""

    frames: np.ndarray
    """uint8, shape (T, H, W, 3)."""
    crop: Crop
    """Where they lie in the source."""


def read_clip(
    path: Path,
    *,
    resolution: tuple[int, int],
    fit: Fit = "crop",
    start: int = 0,
    every: int = 1,
    max_frames: int | None = None,
    fps: float | None = None,
    pattern: str | None = None,
) -> Clip:
    """Read a film, or the pictures of a folder in the order of the numbers in their names.

    Args:
        path: A film in any format that FFmpeg reads (MP4, WebM, GIF, ...), or a folder.
        resolution: Height and width to make; resized with PIL's bicubic filter, and left as they
            are where they have this size.
        fit: `crop` cuts the middle out in the shape of `resolution`, `stretch` distorts.
        start: Frames to skip.
        every: Take each n-th frame, for a film that is faster than what the model was trained on.
        max_frames: Frames to take at most; None: all.
        fps: Frames a second to make of a film before `start` and `every` (`ocvp.data.films.Film`);
            None: its own.
        pattern: Which pictures of a folder are the frames (`ocvp.data.picture_series`).

    Raises:
        ValueError: If the path is missing, no video, damaged, or has no frame from `start` on; if a
            folder holds several series of pictures, or one is missing among those that are taken;
            if `fps` is given for a folder.
    """
    if not path.exists():
        raise ValueError(f"{path} does not exist; give a film or a folder of pictures")
    stop = None if max_frames is None else start + every * (max_frames - 1) + 1
    film = None if path.is_dir() else Film(path, fps)
    if film is not None:
        source = film.read(start, stop, every)
    elif fps is None:
        source = read_pictures(_pictures(path, pattern, slice(start, stop, every)))
    else:
        raise ValueError(f"fps is {fps:g}, but {path} is a folder of pictures, which says no times")
    crop, frames = WHOLE, []
    for picture in source:
        crop = choose_crop((picture.height, picture.width), resolution, fit)
        frames.append(resize_frame(picture, resolution, crop=crop))
    if not frames:
        raise ValueError(f"{path} has no frames from frame {start} on")
    if film is not None and fps is None and film.pace is not None and not film.pace.is_even:
        logger.warning(
            "%s: the time from frame to frame is %s, so motion jumps; give --fps to sample it at "
            "one rate",
            path,
            film.pace.span(),
        )
    return Clip(np.stack(frames), crop)


def read_boxes(path: Path) -> np.ndarray:
    """Read the boxes of the first frame.

    Args:
        path: A CSV file with four columns, or a JSON file with a list of lists of four (by
            itself, or under `boxes`): y_min, x_min, y_max, x_max of an object in each row, as
            fractions of the frame.

    Returns:
        Boxes, float32, shape (K, 4).

    Raises:
        ValueError: If the file is missing, unreadable, or a box is none.
    """
    try:
        text = path.read_text(encoding="utf-8")
        rows = json.loads(text) if path.suffix == ".json" else _csv_rows(text)
        rows = rows["boxes"] if isinstance(rows, dict) else rows
        boxes = np.array(rows, dtype=np.float32)  # (K, 4), checked below
    except (OSError, ValueError, TypeError, KeyError) as error:
        found = f"{type(error).__name__}: {error}"[:200]  # some quote all that they could not read
        raise ValueError(f"{path} cannot be read as boxes: {found}; {EXPECTED}") from None
    if boxes.ndim != 2 or boxes.shape[1] != 4 or len(boxes) == 0:
        raise ValueError(f"{path} holds numbers of shape {boxes.shape}; {EXPECTED}")
    for index, (y_min, x_min, y_max, x_max) in enumerate(boxes.tolist()):
        if not (0 <= y_min < y_max <= 1 and 0 <= x_min < x_max <= 1):
            box = [round(number, 6) for number in (y_min, x_min, y_max, x_max)]
            raise ValueError(f"{path}: box {index} is {box}; {EXPECTED}")
    return boxes


def crop_boxes(boxes: np.ndarray, crop: Crop) -> np.ndarray:
    """Turn boxes of the source's frame into boxes of the part that is used.

    Args:
        boxes: Shape (K, 4), fractions of the source's frame.
        crop: The part.

    Returns:
        Boxes, float32, shape (K, 4), fractions of the part and cut to it; -1 for a box outside.
    """
    # Twice, as a box is two corners: (4,).
    origin = np.array([crop.top, crop.left] * 2, dtype=np.float32)
    size = np.array([crop.bottom - crop.top, crop.right - crop.left] * 2, dtype=np.float32)
    cut = ((boxes - origin) / size).clip(0, 1)  # (K, 4)
    for index, (y_min, x_min, y_max, x_max) in enumerate(cut.tolist()):
        if y_min >= y_max or x_min >= x_max:
            logger.warning("box %d lies outside of the part of the frame that is used", index)
            cut[index] = -1
    return cut


def _pictures(folder: Path, pattern: str | None, taken: slice) -> list[Path]:
    pictures = read_series(folder, pattern)
    if not pictures:
        raise ValueError(f"{folder} holds no pictures ({', '.join(PICTURES)})")
    check_spacing(pictures, taken.start, taken.stop)
    return [picture.path for picture in pictures[taken]]


def _csv_rows(text: str) -> list[list[float]]:
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if row]
    if rows and tuple(rows[0]) == BOX_KEYS:
        rows = rows[1:]
    return [[float(cell) for cell in row] for row in rows]
