"""Raw data as people have them on disk, for tests: OBJ3D's tree, and videos of one's own.

What they show is simulated (`ocvp.data.tabletop.simulation`), so masks are known. Source frames are
larger than what tests store, and not square, so that resizing and cutting count.
"""

import functools
from pathlib import Path

import av
import numpy as np
from PIL import Image

from ocvp.config.datasets import TabletopDataset
from ocvp.data.tabletop.simulation import simulate

SOURCE_SIZE = (48, 64)  # height and width
MAX_OBJECTS = 3
# Numbers of objects in mask pictures: not contiguous, and not in the order of the objects.
MASK_VALUES = np.array([0, 40, 7, 12], np.uint8)
NUM_VIDEOS = {"train": 4, "val": 3, "test": 3}


@functools.cache
def simulated(split, video, num_frames, size=SOURCE_SIZE):
    """Return the arrays of one video (see `ocvp.data.tabletop.simulation.simulate`)."""
    dataset = TabletopDataset(
        kind="tabletop",
        seed=3,
        resolution=size,
        num_frames=num_frames,
        num_objects=(2, MAX_OBJECTS),
        num_videos=NUM_VIDEOS,
    )
    return simulate(dataset, split, video)


def write_obj3d(root, num_videos=NUM_VIDEOS, num_frames=20, size=SOURCE_SIZE):
    """Write an OBJ3D tree: root/{split}/{episode}/test_{frame}.png, counted from 1, not padded.

    Returns:
        Source frames by split: a list of arrays (T, H, W, 3), in the order of the episodes.
    """
    frames = {}
    for split in num_videos:
        frames[split] = []
        for video in range(num_videos[split]):
            frames[split].append(simulated(split, video, num_frames, size)["frames"])
            names = [f"test_{frame + 1}.png" for frame in range(num_frames)]
            folder = Path(root) / split / str(video + 1)
            write_pictures(folder, frames[split][-1], names)
    return frames


def write_folder(
    root,
    num_videos=NUM_VIDEOS,
    num_frames=20,
    size=SOURCE_SIZE,
    *,
    films=False,
    masks=True,
    splits=True,
):
    """Write videos of one's own: root/frames/{split}/{name} and root/masks/{split}/{name}.

    Args:
        root: The data set's folder.
        num_videos: Videos by split.
        num_frames: T.
        size: Height and width.
        films: Whether videos are MP4 files instead of folders of PNG files.
        masks: Whether to write masks, with the values of `MASK_VALUES`.
        splits: Whether there is a folder for each split; else all videos lie together.
    """
    for split in num_videos:
        inner = split if splits else ""
        for video in range(num_videos[split]):
            arrays = simulated(split, video, num_frames, size)
            name = f"{split}_{video + 1}"
            names = [f"{frame:05d}.png" for frame in range(num_frames)]
            folder = Path(root) / "frames" / inner
            if films:
                write_film(folder / f"{name}.mp4", arrays["frames"])
            else:
                write_pictures(folder / name, arrays["frames"], names)
            if masks:
                values = MASK_VALUES[arrays["masks"]]
                write_pictures(Path(root) / "masks" / inner / name, values, names, palette=True)


def write_pictures(folder, frames, names, *, palette=False):
    """Write pictures (H, W) or (H, W, 3) into a folder; with a palette, values are its indices."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame, name in zip(frames, names, strict=True):
        picture = Image.fromarray(frame)
        if palette:
            picture.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
        picture.save(folder / name)


def write_film(path, frames, rate=10):
    """Write frames without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=rate, options={"qp": "0"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())
    return path
