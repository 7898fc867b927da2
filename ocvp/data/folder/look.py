"""A look at a folder of videos: how many, how long, how large, what is seen and how it moves.

A thing is what differs from the background and hangs together. Where most of a video has one
colour, that is the background, and things can be counted. Elsewhere it is what each pixel shows
most of the time, if the camera stands still; what rests leaves a hole there, and shadows move too,
so that counts would be wrong.

T frames, H W pixels.
"""

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.spatial.distance import cdist

from ocvp.config.recipe import MOST_COUNTED, Seen
from ocvp.config.section import SPLITS
from ocvp.data.films import Film, Pace
from ocvp.data.folder.files import HELP, videos_in
from ocvp.data.folder.paces import SAME
from ocvp.data.frame_files import read_pictures
from ocvp.data.picture_series import check_spacing, read_series
from ocvp.data.raw_videos import check_folder
from ocvp.data.resizing import resize_frame
from ocvp.runtime.progress import progress

MOST_VIDEOS = 24
"""Videos of which frames are looked at, spread over all."""
SIDE = 64
"""Pixels of the shorter side of what is looked at."""
PLAIN = 0.6
"""Share of the pixels that have about the same colour where a ground is plain."""
DIFFERENT = 25
"""Of 255, in the colour that differs most: more than noise and compression."""
LEAST_PIXELS = 6
"""Of a thing, at that size; less is noise."""
USUAL = 90
"""Percentile of the frames of a video that counts of things are taken at: now and then one thing
looks like two."""


class Things(NamedTuple):
    """What is seen in a video."""

    size: tuple[int, int]
    """Height and width of the source."""
    share: float
    """Share of the pixels that differ from the background."""
    speeds: list[float]
    """Ways of things from frame to frame, in fractions of the shorter side."""
    sides: list[float]
    """Square roots of the areas of things, as such fractions."""
    number: int
    """Things seen apart from each other at once; 0 where they cannot be counted."""


def look(folder: Path) -> Seen:
    """Look at the videos in a folder, or in folders `train`, `val` and `test` in it.

    Raises:
        MissingDataError: If there is no such folder, or no video in it.
        ValueError: If something in it is no video, or a video cannot be read, naming it.
    """
    check_folder(folder, HELP)
    splits = [folder / split for split in SPLITS]
    has_splits = all(path.is_dir() for path in splits)
    by_folder = [videos_in(path) for path in (splits if has_splits else [folder])]
    paths = [path for found in by_folder for path in found]
    # --- how long they are
    lengths, paces = [], []
    for path in progress(paths, "counting frames"):
        length, pace = _length(path)
        lengths.append(length)
        paces.append(pace)
    fps = common_rate(paces)
    if fps is not None:
        lengths = [Film(path, fps).count(MOST_COUNTED) for path in paths]
    # --- what is in them
    chosen = paths[:: math.ceil(len(paths) / MOST_VIDEOS)]
    seen = [_things_of(path, fps) for path in progress(chosen, "looking at frames")]
    speeds = [speed for things in seen for speed in things.speeds]
    sides = [side for things in seen for side in things.sides]
    shortest = int(np.argmin(lengths))
    return Seen(
        folder=folder.as_posix(),
        num_videos=len(paths),
        num_train=len(by_folder[0]) if has_splits else None,
        num_frames=lengths[shortest],
        shortest=str(paths[shortest]),
        size=Counter(things.size for things in seen).most_common(1)[0][0],
        fps=fps,
        share=statistics.mean(things.share for things in seen),
        speed=statistics.median(speeds) if speeds else None,
        thing=statistics.median(sides) if sides else None,
        num_things=max(things.number for things in seen),
    )


def common_rate(paces: Sequence[Pace | None]) -> float | None:
    """Return the rate at which films are to be sampled; None where their own frames do.

    Args:
        paces: How the frames of each video follow each other; None for one that does not say.
    """
    known = [pace for pace in paces if pace is not None and pace.fps > 0]
    if len(known) < len(paces):  # pictures say no times
        return None
    slowest, fastest = min(pace.fps for pace in known), max(pace.fps for pace in known)
    if all(pace.is_even for pace in known) and fastest <= slowest * (1 + SAME):
        return None
    return float(f"{slowest:.4g}")


def things_in(frames: NDArray[np.uint8], size: tuple[int, int]) -> Things:
    """Return what is seen in a video, and how it moves.

    Args:
        frames: Shape (T, H, W, 3).
        size: Height and width of the source.
    """
    side = min(frames.shape[1:3])
    differs, is_plain = _foreground(frames)
    centres, areas = zip(*map(_apart, differs), strict=True)
    speeds = [
        float(way)
        for before, after in itertools.pairwise(centres)
        if len(before) and len(after)
        for way in cdist(before, after).min(axis=1) / side
    ]
    sides = [math.sqrt(area) / side for found in areas for area in found]
    number = int(np.percentile([len(found) for found in areas], USUAL, method="lower"))
    return Things(size, float(differs.mean()), speeds, sides, number if is_plain else 0)


def _foreground(frames: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], bool]:
    """Return which pixels differ from the background, (T, H, W), and whether it has one colour."""
    signed = frames.astype(np.int16)
    colour = np.median(signed, axis=(0, 1, 2))  # (3,)
    differs = np.abs(signed - colour).max(axis=-1) > DIFFERENT
    if differs.mean() < 1 - PLAIN:
        return differs, True
    background = np.median(signed, axis=0)  # (H, W, 3)
    return np.abs(signed - background).max(axis=-1) > DIFFERENT, False


def _apart(differs: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return centres (things, 2) and areas (things,) of what hangs together in a frame (H, W)."""
    labels, number = ndimage.label(differs)
    areas = np.bincount(labels.ravel(), minlength=number + 1)[1:]
    large = np.flatnonzero(areas >= LEAST_PIXELS)
    centres = ndimage.center_of_mass(differs, labels, large + 1)
    return np.array(centres).reshape(-1, 2), areas[large]


def _length(path: Path) -> tuple[int, Pace | None]:
    """Return how many frames a video has, up to `MOST_COUNTED`, and how they follow each other."""
    if not path.is_dir():
        film = Film(path)
        if not (number := film.count(MOST_COUNTED)):
            raise ValueError(f"{path} holds no frame")
        return number, film.pace
    pictures = read_series(path)
    if not pictures:
        raise ValueError(
            f"{path} is a folder without pictures, and no video; name the folder in which films, "
            "or folders of pictures, lie themselves"
        )
    check_spacing(pictures, 0)
    return min(len(pictures), MOST_COUNTED), None


def _things_of(path: Path, fps: float | None) -> Things:
    frames, size = [], (0, 0)
    for picture in _pictures(path, fps):
        size = (picture.height, picture.width)
        scale = SIDE / min(size)
        small = (max(round(scale * size[0]), 1), max(round(scale * size[1]), 1))
        frames.append(resize_frame(picture, small, "box"))
    return things_in(np.stack(frames), size)


def _pictures(path: Path, fps: float | None) -> Iterator[Image.Image]:
    if path.is_dir():
        return read_pictures(picture.path for picture in read_series(path)[:MOST_COUNTED])
    return Film(path, fps).read(stop=MOST_COUNTED)
