"""Make short films of discs and squares that move over a plain ground, as anybody could film them.

    python tests/helpers/disc_films.py FOLDER [--num-films 100]

`FOLDER/films` gets films (MP4, H.264), in which two to four things of different colours go straight
on, and bounce off the borders and each other. `FOLDER/masks` gets the truth, for scoring
only: pictures whose values are the numbers of the things, 0 for the ground.
"""

import argparse
import itertools
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from PIL import Image

SIDE, NUM_FRAMES, RATE = 96, 24, 12
COLOURS = np.array(
    [
        (230, 60, 50),
        (60, 190, 70),
        (50, 100, 230),
        (240, 200, 40),
        (200, 70, 200),
        (60, 200, 210),
        (245, 140, 40),
        (250, 250, 250),
    ]
)
MOST = 4  # things of a film
GROUND = (60, 60, 66)
SUBSTEPS = 10  # between two frames, so that hits are seen in time


class Clip(NamedTuple):
    """What one film shows."""

    frames: np.ndarray
    """uint8, shape (T, H, W, 3)."""
    masks: np.ndarray
    """uint8, shape (T, H, W): numbers of the things from 1, 0 for the ground."""


def draw(number: int) -> Clip:
    """Draw one film; the same number gives the same film."""
    rng = np.random.default_rng(number)
    count = int(rng.integers(2, MOST + 1))
    radii = rng.uniform(10, 15, count)
    angles, speeds = rng.uniform(0, 2 * np.pi, count), rng.uniform(1.5, 4, count)
    velocities = speeds[:, None] * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    places = _apart(rng, radii)
    is_disc = rng.random(count) < 0.5
    colours = COLOURS[rng.permutation(len(COLOURS))[:count]]
    frames = np.empty((NUM_FRAMES, SIDE, SIDE, 3), np.uint8)
    frames[:] = GROUND
    masks = np.zeros((NUM_FRAMES, SIDE, SIDE), np.uint8)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for t in range(NUM_FRAMES):
        for k, (y, x) in enumerate(places):
            down, right = np.abs(rows - y), np.abs(columns - x)
            distances = np.hypot(down, right) if is_disc[k] else np.maximum(down, right) * 1.1
            frames[t][distances <= radii[k]] = colours[k]
            masks[t][distances <= radii[k]] = k + 1
        for _ in range(SUBSTEPS):
            places = places + velocities / SUBSTEPS
            velocities = bounced(places, velocities, radii)
    return Clip(frames, masks)


def _apart(rng: np.random.Generator, radii: np.ndarray) -> np.ndarray:
    """Return places (things, 2) where nothing touches."""
    while True:
        places = rng.uniform(radii[:, None], SIDE - radii[:, None], (len(radii), 2))
        gaps = np.hypot(*(places[:, None] - places[None]).T) - radii - radii[:, None]
        if (gaps[np.triu_indices(len(radii), 1)] > 2).all():
            return places


def bounced(places: np.ndarray, velocities: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Return the velocities (things, 2) after hits, of borders and of each other.

    Things have one mass and hit as discs do: what they exchange lies along the line between them.
    """
    velocities = np.where(places < radii[:, None], np.abs(velocities), velocities)
    velocities = np.where(places > SIDE - 1 - radii[:, None], -np.abs(velocities), velocities)
    for i, j in itertools.combinations(range(len(places)), 2):
        apart = places[j] - places[i]
        distance = np.hypot(*apart)
        approach = (velocities[i] - velocities[j]) @ apart / distance
        if distance < radii[i] + radii[j] and approach > 0:
            velocities[i] -= approach * apart / distance
            velocities[j] += approach * apart / distance
    return velocities


def write_films(folder: Path, num_films: int) -> None:
    """Write films and their masks."""
    for number in range(1, num_films + 1):
        name, clip = f"film_{number:03d}", draw(number)
        _write_film(folder / "films" / f"{name}.mp4", clip.frames)
        (folder / "masks" / name).mkdir(parents=True)
        for t, mask in enumerate(clip.masks):
            Image.fromarray(mask).save(folder / "masks" / name / f"{t:04d}.png")


def _write_film(path: Path, frames: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())


def main() -> None:
    """Write films into the folder of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--num-films", type=int, default=100)
    args = parser.parse_args()
    write_films(args.folder, args.num_films)


if __name__ == "__main__":
    main()
