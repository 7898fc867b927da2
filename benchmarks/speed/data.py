"""The files that are measured on: simulated videos, repeated, and what is made of them once.

V videos, T frames.
"""

import contextlib
import io
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ocvp.config.datasets import TabletopDataset
from ocvp.config.tree import Runtime
from ocvp.data.slot_files import write_slots
from ocvp.data.tabletop.simulation import simulate
from ocvp.data.videos import Video, VideoFile, VideoWriter
from ocvp.extract_slots import encoded
from ocvp.models.checkpoint import save_checkpoint
from ocvp.models.loading import open_savi
from ocvp.models.savi import SAVi
from speed.subject import SEED, Sizes, Subject, savi_stage

SIMULATED_VIDEOS, SIMULATED_FRAMES = 2, 30
MOST_OBJECTS = 5
VALIDATION_VIDEOS = 200
"""Of Obj3D."""
LOADER_FRAMES = 30
"""Frames of the videos that clips are read from, from random starts on."""
FILES = {
    "savi": ("savi",),
    "extraction": ("clips",),
    "savi_scores": ("clips",),
    "predictor_scores": ("clips",),
    "loader": ("loader",),
    "first_step": ("dataset", "validation"),
}
"""Work to the files of videos that it needs; that of predictors needs `windows`."""
WITH_SLOTS = ("windows", "clips")


def make_data(subject: Subject, folder: Path, names: Iterable[str]) -> None:
    """Write all files that some work needs: videos, a SAVi that was not trained, and its slots.

    Args:
        subject: What is measured.
        folder: Where to; the subject itself is written there too.
        names: The work.
    """
    folder.mkdir(parents=True, exist_ok=True)
    subject.save(folder)
    write_savi(subject, folder / "savi.pt")
    of_each = (FILES.get(name, ("windows",)) for name in names)
    needed = sorted(set(itertools.chain.from_iterable(of_each)))
    pictures = simulated(subject)
    for name in needed:
        path = folder / f"{name}.h5"
        write_videos(subject, path, pictures, *shape_of(name, Sizes(**subject.sizes)))
        if name in WITH_SLOTS:
            with contextlib.redirect_stderr(io.StringIO()):  # progress bars
                write_slots_of(path, folder / "savi.pt")
    if "loader" in needed:
        write_pictures(folder / "png", pictures, *shape_of("loader", Sizes(**subject.sizes)))


def shape_of(name: str, sizes: Sizes) -> tuple[int, int]:
    """Return how many videos a file has, and how many frames each."""
    return {
        "savi": (sizes.savi_videos or sizes.savi_batch, sizes.savi_frames),
        # As long as a window, so that each starts on frame 0: slots that are cached are then those
        # that the plain formulation finds.
        "windows": (sizes.predictor_batch, sizes.num_context + sizes.num_preds),
        "clips": (sizes.videos, sizes.frames),
        "loader": (sizes.loader_batch, max(LOADER_FRAMES, sizes.savi_frames)),
        "dataset": (sizes.dataset_videos, sizes.dataset_frames),
        "validation": (min(VALIDATION_VIDEOS, sizes.dataset_videos), sizes.dataset_frames),
    }[name]


def simulated(subject: Subject) -> list[dict[str, Any]]:
    """Return a few short videos of the embedded data set: frames, masks and boxes, (T, ...)."""
    dataset = TabletopDataset(
        kind="tabletop",
        resolution=subject.resolution,
        num_frames=SIMULATED_FRAMES,
        num_objects=(1, max(1, min(MOST_OBJECTS, subject.savi["model"]["num_slots"] - 1))),
        num_videos={"train": SIMULATED_VIDEOS, "val": 1, "test": 1},
    )
    return [simulate(dataset, "train", number) for number in range(SIMULATED_VIDEOS)]


def repeated(pictures: list[dict[str, Any]], video: int, field: str, num_frames: int) -> Any:
    """Return a field of one of many videos, (T, ...): those that there are, from another start."""
    frames = (np.arange(num_frames) + video // len(pictures)) % SIMULATED_FRAMES
    return pictures[video % len(pictures)][field][frames]


def write_videos(
    subject: Subject, path: Path, pictures: list[dict[str, Any]], num_videos: int, num_frames: int
) -> None:
    """Write a file of V videos of T frames."""
    fields = ("frames", "masks", "boxes") if subject.has_masks else ("frames",)
    attributes = {"dataset": "benchmark", "split": "train", "source": "{}"}
    with VideoWriter(path, num_videos=num_videos, attributes=attributes) as writer:
        for video in range(num_videos):
            arrays = {name: repeated(pictures, video, name, num_frames) for name in fields}
            writer.append(Video(str(video), arrays))


def write_pictures(
    folder: Path, pictures: list[dict[str, Any]], num_videos: int, num_frames: int
) -> None:
    """Write the frames of the same videos as PNG files, as Obj3D has them."""
    for video in range(num_videos):
        (folder / str(video)).mkdir(parents=True)
        for frame, values in enumerate(repeated(pictures, video, "frames", num_frames)):
            Image.fromarray(values).save(folder / str(video) / f"test_{frame}.png")


def write_savi(subject: Subject, path: Path) -> None:
    """Write a SAVi with fresh weights."""
    torch.manual_seed(SEED)
    model = savi_stage(subject).model.model_dump() | {"resolution": tuple(subject.resolution)}
    weights = SAVi(**model).state_dict()
    save_checkpoint(path, weights=weights, kind="savi", model=model, config={})


def write_slots_of(videos: Path, checkpoint: Path) -> None:
    """Write the slots of a file of videos beside it, as `NAME.slots.h5`."""
    savi = open_savi(checkpoint)
    with VideoFile(videos) as file:
        part = range(file.num_videos)
    slots = list(encoded(savi.build(), checkpoint, videos, part, Runtime(device="cpu"), SEED))
    joined = np.concatenate(slots)
    write_slots(videos.with_suffix(".slots.h5"), [joined], joined.shape, savi.digest)
