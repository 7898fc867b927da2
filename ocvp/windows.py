"""Windows of videos and of cached slots: where they start, in which order, and how they are read.

B batch, T frames, N slots, D slot_dim, H W pixels, V videos, K objects.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ocvp.interruption import leave_stopping_to_parent
from ocvp.randomness import generator


class Window(NamedTuple):
    """One stretch of one video."""

    video: int
    start: int
    length: int | None = None
    """Frames; None: as many as the reader's windows have."""


def epoch_batches(
    *,
    seed: int,
    epoch: int,
    num_videos: int,
    num_starts: int,
    batch_size: int,
    length: int | None = None,
) -> list[list[Window]]:
    """Return the batches of one epoch: each video once, in random order, from a random start.

    Args:
        seed: The run's seed.
        epoch: Number of the epoch, from 0.
        num_videos: Videos of the split.
        num_starts: Frames on which a window may start (the last one included).
        batch_size: Windows of a batch; the last batch may hold fewer.
        length: Frames of a window, where it is not the reader's.
    """
    order = generator(seed, "order", epoch).permutation(num_videos)
    windows = [
        Window(
            int(video),
            int(generator(seed, "start", epoch, int(video)).integers(num_starts)),
            length,
        )
        for video in order
    ]
    return [windows[i : i + batch_size] for i in range(0, num_videos, batch_size)]


def first_windows(num_videos: int, batch_size: int) -> list[list[Window]]:
    """Return batches of the windows that start on frame 0, in the order of the videos."""
    windows = [Window(video, 0) for video in range(num_videos)]
    return [windows[i : i + batch_size] for i in range(0, num_videos, batch_size)]


def slot_noise(
    seed: int, purpose: str, epoch: int, windows: Sequence[Window], num_slots: int, slot_dim: int
) -> Tensor:
    """Return the unit normal noise of the first slots, float32 (B, N, D), one draw a window."""
    draws = [
        generator(seed, "slot noise", purpose, epoch, window.video, window.start).standard_normal(
            (num_slots, slot_dim), dtype=np.float32
        )
        for window in windows
    ]
    return torch.from_numpy(np.stack(draws))


def check_finite(values: Tensor, windows: Sequence[Window], what: str) -> None:
    """Check that no model went astray.

    Args:
        values: What a model made of the windows, shape (B, ...).
        windows: The windows.
        what: Name of the values in the message.

    Raises:
        ValueError: If a value is NaN or infinite, naming the video.
    """
    if torch.isfinite(values).all():  # one look where nothing is wrong, as it makes a GPU wait
        return
    bad = (~torch.isfinite(values)).flatten(1).any(dim=1).nonzero()[0, 0]
    raise ValueError(
        f"{what} of video {windows[int(bad)].video} are not finite; the model cannot be used: "
        "train it again with a lower learning_rate"
    )


def check_buffer(buffer_size: int | None, num_context: int) -> None:
    """Check that a predictor looks back on the whole context.

    Raises:
        ValueError: If it does not: context frames would be given and ignored.
    """
    if buffer_size is not None and buffer_size < num_context:
        raise ValueError(
            f"the predictor's buffer_size is {buffer_size}, smaller than num_context, "
            f"{num_context}; give a buffer_size of at least {num_context}, or null for no limit"
        )


def usable_frames(videos: Path, num_frames: int, limit: int | None, needed: int, why: str) -> int:
    """Return how many frames of each video are trained on.

    Args:
        videos: The file, for messages.
        num_frames: Frames of its videos.
        limit: `training.num_frames`.
        needed: Frames of one window.
        why: What asks for them, for messages.

    Raises:
        ValueError: If the videos, or the frames to train on, are too few.
    """
    if (limit or 0) > num_frames:
        raise ValueError(
            f"training.num_frames is {limit}, but the videos of {videos} have {num_frames} frames"
        )
    usable = limit or num_frames
    if needed > usable:
        of = f"{usable} of the frames of {videos} are" if limit else f"the videos of {videos} have"
        end = "trained on" if limit else f"{usable} frames"
        raise ValueError(f"{why} is {needed}, but {of} {end}")
    return usable


class WindowReader(Dataset):
    """Reads windows of several HDF5 datasets that run over the same videos and frames.

    Args:
        sources: For each field the file and the name of its dataset, of shape (V, T, ...).
        length: Frames of a window.
        data: `memory` keeps a copy of the datasets, `disk` reads from the files.

    Raises:
        ValueError: If a file is damaged, naming it.
    """

    def __init__(
        self,
        sources: Mapping[str, tuple[Path, str]],
        length: int,
        data: Literal["memory", "disk"] = "memory",
    ):
        self.sources = dict(sources)
        self.length = length
        self._arrays: dict[str, np.ndarray] = {}
        self._files: dict[tuple[int, Path], h5py.File] = {}
        if data == "memory":
            for field, (path, name) in self.sources.items():
                with _naming(path), h5py.File(path, "r") as file:
                    self._arrays[field] = file[name][()]

    def __getitem__(self, windows: Sequence[Window]) -> tuple[list[Window], dict[str, Tensor]]:
        """Return the windows and, for each field, a tensor (B, T, ...) of the stored type."""
        batch = {
            field: torch.from_numpy(np.stack([self._read(field, window) for window in windows]))
            for field in self.sources
        }
        return list(windows), batch

    def _read(self, field: str, window: Window) -> np.ndarray:
        video, start = window.video, window.start
        stop = start + (window.length or self.length)
        if field in self._arrays:
            return self._arrays[field][video, start:stop]
        path, name = self.sources[field]
        with _naming(path):
            # Each process opens the file for itself: HDF5 handles cannot be shared.
            handle = (os.getpid(), path)
            if handle not in self._files:
                self._files[handle] = h5py.File(path, "r")
            return self._files[handle][name][video, start:stop]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}

    def batches(
        self, plan: Sequence[Sequence[Window]], num_workers: int = 0
    ) -> Iterator[tuple[list[Window], dict[str, Tensor]]]:
        """Go through the batches of a plan in its order, read ahead by `num_workers` processes."""
        # A copy in memory needs no workers: it would only be sent through a pipe.
        workers = 0 if self._arrays else num_workers
        # The loader draws a base seed even for no workers; a generator of its own keeps it from
        # torch's, which dropout uses.
        own = torch.Generator()
        loader = DataLoader(
            _Reported(self),
            batch_size=None,
            sampler=plan,
            num_workers=workers,
            generator=own,
            worker_init_fn=leave_stopping_to_parent,
        )
        for batch in loader:
            if isinstance(batch, ValueError):
                raise batch
            yield batch


class _Reported(Dataset):
    """Hands errors over as values: raised in a worker they would come with its traceback."""

    def __init__(self, reader: WindowReader):
        self._reader = reader

    def __getitem__(
        self, windows: Sequence[Window]
    ) -> tuple[list[Window], dict[str, Tensor]] | ValueError:
        try:
            return self._reader[windows]
        except ValueError as error:
            return error


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what h5py says of a damaged file into a message that names it."""
    try:
        yield
    except (OSError, RuntimeError, KeyError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); delete it and run the workflow again"
        ) from error


def to_model(frames: Tensor, device: torch.device | str) -> Tensor:
    """Turn stored frames, uint8 (..., H, W, 3), into float32 (..., 3, H, W) in [0, 1]."""
    return frames.to(device, non_blocking=True).movedim(-1, -3).float().div_(255.0)


def to_pixels(frames: Tensor) -> np.ndarray:
    """Turn frames (..., 3, H, W) in about [0, 1] into uint8 (..., H, W, 3)."""
    return (frames.clamp(0, 1) * 255).round().byte().movedim(-3, -1).cpu().numpy()
