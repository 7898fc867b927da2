"""Masks of one video: which pixels show which object, over all its frames.

T frames, H W pixels.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ocvp.data.frame_files import load_picture
from ocvp.data.resizing import Crop, resize_labels

LABEL_MODES = ("1", "L", "P", "I", "I;16", "I;16B")
"""Pillow's modes of pictures with one number a pixel: black and white, gray, palette."""
MAX_OBJECTS = 255  # masks are stored as uint8, 0 is the background
VOID = 255  # what several data sets write where nobody knows which object it is
PALETTE_SIZE = 256
BLACK = 0


class Mask(NamedTuple):
    """One mask, as it lies on disk."""

    values: NDArray[np.int64]
    """Numbers, shape (H, W)."""
    palette: NDArray[np.int64] | None
    """The colour of each number as red * 65536 + green * 256 + blue; None: a gray picture."""


class Labels(NamedTuple):
    """The objects of a video."""

    masks: NDArray[np.uint8]
    """0 for the background, and the objects from 1 in the order of their values: (T, H, W)."""
    values: list[int] | list[str]
    """What stood for each object: a number, or a colour as #rrggbb."""


def read_masks(
    paths: Sequence[Path],
    size: tuple[int, int],
    resolution: tuple[int, int],
    crop: Crop,
    max_objects: int,
) -> Labels:
    """Read the masks of one video.

    An object is a number. Where palettes differ among the masks, so that one number has several
    colours or one colour several numbers, it is a colour.

    Args:
        paths: A mask for each frame that is stored.
        size: Height and width of the frames on disk.
        resolution: Height and width to make.
        crop: The part of the frames that is used.
        max_objects: The most objects that the video may have.

    Raises:
        ValueError: If a mask cannot be read, is in colour or of another size, if there are too many
            objects, or if it is not clear what they are, naming the file or its folder.
    """
    masks = []
    for path in paths:
        mask = _read_mask(path, size)
        masks.append(mask._replace(values=resize_labels(mask.values, resolution, crop)))
    folder = paths[0].parent
    labels = [mask.values for mask in masks]
    _check_void(folder, _values(labels))
    if _are_numbers(folder, masks):
        values = _values(labels)
        names: list[int] | list[str] = values
    else:
        labels = _colours(folder, masks)
        values = _values(labels)
        names = [f"#{colour:06x}" for colour in values]
    _check_count(folder, names, max_objects)
    # 0 keeps its place as the background, and the others follow in order.
    return Labels(np.searchsorted([0, *values], np.stack(labels)).astype(np.uint8), names)


def _read_mask(path: Path, size: tuple[int, int]) -> Mask:
    """Read one mask, whose frame has this height and width."""
    picture = load_picture(path)
    if picture.format == "JPEG":
        raise ValueError(
            f"{path} is a JPEG picture, which blurs the objects' numbers; masks must be PNG"
        )
    if picture.mode not in LABEL_MODES:
        raise ValueError(
            f"{path} is a picture in colour (Pillow's mode {picture.mode}); a mask must be a gray "
            "or palette PNG, whose values are the objects' numbers, 0 for the background"
        )
    if (picture.height, picture.width) != size:
        raise ValueError(
            f"{path} is {picture.width}x{picture.height}, the frames of its video are "
            f"{size[1]}x{size[0]}; a mask must have the size of its frame"
        )
    palette = None
    if picture.mode == "P":
        entries = np.array(picture.getpalette("RGB"), np.int64).reshape(-1, 3)
        palette = entries @ np.array([1 << 16, 1 << 8, 1])
    if picture.mode == "1":  # white is 255 with one bit as with eight
        picture = picture.convert("L")
    return Mask(np.asarray(picture).astype(np.int64), palette)


def _values(labels: Sequence[NDArray[np.int64]]) -> list[int]:
    """Return what occurs in some frame, in order, without 0."""
    return [int(value) for value in np.unique(np.stack(labels)) if value != 0]


# --- numbers or colours -------------------------------------------------------------------------


def _are_numbers(folder: Path, masks: Sequence[Mask]) -> bool:
    """Tell whether a number means the same object in all masks; else a colour does."""
    palettes = [mask.palette for mask in masks if mask.palette is not None]
    longest = max(palettes, key=len, default=np.zeros(0, np.int64))
    if len(palettes) < len(masks) and palettes:
        _check_mixture(folder, masks)
    if all(np.array_equal(palette, longest[: len(palette)]) for palette in palettes):
        return True  # one palette, perhaps without its last entries
    used = [_used(mask) for mask in masks if mask.palette is not None]
    pairs = set().union(*used)
    repeats = any(len({colour for _, colour in one}) < len(one) for one in used)
    if len({number for number, _ in pairs}) == len(pairs):
        # Where one mask has two numbers of one colour, colours mean nothing.
        return repeats or len({colour for _, colour in pairs}) == len(pairs)
    if repeats:
        raise _unclear(folder, "within a mask several numbers have one colour")
    return False


def _unclear(folder: Path, reason: str) -> ValueError:
    return ValueError(
        f"the masks in {folder} have palettes of their own, so a colour stands for an object, but "
        f"{reason}; write all of them with one palette"
    )


def _check_mixture(folder: Path, masks: Sequence[Mask]) -> None:
    """Raise ValueError where some masks are gray and show an object, and others have a palette."""
    if any(mask.palette is None and mask.values.any() for mask in masks):
        raise ValueError(
            f"some masks in {folder} are gray and some have a palette, so their numbers need not "
            "mean the same; write all of them as gray, or all with a palette"
        )


def _used(mask: Mask) -> set[tuple[int, int]]:
    """Return the numbers of a palette mask that occur, each with its colour."""
    numbers = np.unique(mask.values)
    return set(zip(numbers.tolist(), _coloured(mask, numbers).tolist(), strict=True))


def _coloured(mask: Mask, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the colours of numbers: black beyond the palette's end, and of an empty gray mask."""
    colours = np.full(PALETTE_SIZE, BLACK, np.int64)
    if mask.palette is not None:
        colours[: len(mask.palette)] = mask.palette
    return colours[numbers]


def _colours(folder: Path, masks: Sequence[Mask]) -> list[NDArray[np.int64]]:
    """Return masks whose values are colours, 0 for the background: each (H, W)."""
    used = [_used(mask) for mask in masks if mask.palette is not None]
    background = _background(folder, used)
    counts = Counter(colour for one in used for _, colour in one if colour != background)
    if max(counts.values(), default=0) == 1:  # 0: no mask shows an object
        raise _unclear(folder, "no mask has a colour of another one")
    return [
        np.where((colours := _coloured(mask, mask.values)) == background, 0, colours)
        for mask in masks
    ]


def _background(folder: Path, used: Sequence[set[tuple[int, int]]]) -> int:
    """Return the background's colour: black, or else that of number 0; all masks show it."""
    shown = [{colour for _, colour in one} for one in used]
    of_zero = {colour for one in used for number, colour in one if number == 0}
    everywhere = set.intersection(*shown)
    if BLACK in everywhere and (BLACK in of_zero or len(of_zero) > 1):
        return BLACK
    if len(of_zero) == 1 and of_zero <= everywhere and not any(BLACK in one for one in shown):
        return of_zero.pop()
    raise _unclear(folder, "it is not clear which colour is the background (black, in all masks)")


# --- checks -------------------------------------------------------------------------------------


def _check_void(folder: Path, values: list[int]) -> None:
    if len(values) > 1 and values[-1] == VOID:
        raise ValueError(
            f"the masks in {folder} hold {VOID} beside {_listed(values[:-1])}; {VOID} marks an "
            "object only in black and white masks, elsewhere it often stands for what is "
            "unknown: write 0 (background) or another number there"
        )


def _check_count(folder: Path, values: list[int] | list[str], max_objects: int) -> None:
    if len(values) > max_objects:
        raise ValueError(
            f"the masks in {folder} hold {len(values)} objects ({_listed(values)}), but "
            f"max_objects is {max_objects}; give at least {len(values)}"
        )
    if len(values) > MAX_OBJECTS:
        raise ValueError(
            f"the masks in {folder} hold {len(values)} objects; at most {MAX_OBJECTS} can be stored"
        )


def _listed(values: list[int] | list[str]) -> str:
    return ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
