"""Draw the pictures of docs/slots_that_do_not_bind.md.

    python tests/helpers/unbound_pictures.py [FOLDER]

No training makes them: slots are dealt out over the true masks of one tabletop video, each time
wrong in another way, and drawn as trainings draw theirs.

T frames, N slots, H W pixels.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from raw_trees import simulated
from scipy import ndimage

from ocvp.pictures.drawing import slots_panel
from ocvp.pictures.saving import save_picture

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
NUM_FRAMES, EVERY, SIDE, NUM_SLOTS = 12, 3, 48, 5
VIDEO = 1


def one_hot(labels: np.ndarray) -> np.ndarray:
    """Return masks (T, N, H, W) of labels (T, H, W)."""
    return (labels[:, None] == np.arange(NUM_SLOTS)[:, None, None]).astype(np.float64)


def bound(labels: np.ndarray) -> np.ndarray:
    """Each object has a slot, the background another one; a slot that is not needed is empty."""
    return one_hot(labels)


def plateau(labels: np.ndarray) -> np.ndarray:
    """All slots have the same share of every pixel."""
    return np.full_like(one_hot(labels), 1 / NUM_SLOTS)


def by_place(labels: np.ndarray) -> np.ndarray:
    """Each slot has a part of the picture, whatever is there."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    places = np.array([(0.2, 0.25), (0.2, 0.75), (0.55, 0.5), (0.85, 0.2), (0.85, 0.8)])
    distances = np.hypot(*(np.stack([rows, columns]) - places[..., None, None]).swapaxes(0, 1))
    masks = np.exp(-distances * 30)
    return np.broadcast_to(masks / masks.sum(axis=0), (len(labels), *masks.shape)).copy()


def split(labels: np.ndarray) -> np.ndarray:
    """Two slots share an object."""
    parts = labels.copy()
    for frame in parts:
        rows, _ = np.nonzero(frame == 1)
        middle = int(np.median(rows)) if len(rows) else 0
        frame[:middle][frame[:middle] == 1] = NUM_SLOTS - 1
    return one_hot(parts)


def swap(labels: np.ndarray) -> np.ndarray:
    """Two slots exchange their objects on the way."""
    swapped = labels.copy()
    half = len(labels) // 2
    swapped[half:] = np.array([0, 2, 1, 3, 4])[labels[half:]]
    return one_hot(swapped)


def empty(labels: np.ndarray) -> np.ndarray:
    """One slot holds everything, and the others nothing."""
    return one_hot(np.zeros_like(labels))


KINDS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "bound": (bound, 0.0),
    "plateau": (plateau, 6.0),
    "by_place": (by_place, 1.5),
    "split": (split, 0.0),
    "swap": (swap, 0.0),
    "empty": (empty, 3.0),
}
"""How masks are dealt out, and how blurred (in pixels) such slots see."""


def draw(name: str) -> np.ndarray:
    """Return one picture, uint8 (height, width, 3)."""
    deal, blur = KINDS[name]
    arrays = simulated("train", VIDEO, NUM_FRAMES, (SIDE, SIDE))
    frames, labels = arrays["frames"][::EVERY], arrays["masks"][::EVERY]
    masks = deal(labels)  # (T, N, H, W)
    seen = ndimage.gaussian_filter(frames / 255, (0, blur, blur, 0))  # (T, H, W, 3)
    objects = np.broadcast_to(seen[:, None], (*masks.shape, 3))
    return slots_panel(frames, objects, masks, factor=1)


def main() -> None:
    """Write all pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, metavar="FOLDER")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in KINDS:
        save_picture(folder / f"{name}.png", draw(name))


if __name__ == "__main__":
    main()
