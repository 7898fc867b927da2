"""Windows of videos and of cached slots: where they start, in which order, and how they are read.

B batch, T frames, N slots, D slot_dim, H W pixels, V videos, K objects.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ocvp.randomness import generator


class Window(NamedTuple):
    """One stretch of one video."""

    video: int
    start: int


def epoch_batches(
    *, seed: int, epoch: int, num_videos: int, num_starts: int, batch_size: int
) -> list[list[Window]]:
    """Return the batches of one epoch: each video once, in random order, from a random start.

    Args:
        seed: The run's seed.
        epoch: Number of the epoch, from 0.
        num_videos: Videos of the split.
        num_starts: Frames on which a window may start (the last one included).
        batch_size: Windows of a batch; the last batch may hold fewer.
    """
    order = generator(seed, "order", epoch).permutation(num_videos)
    windows = [
        Window(int(video), int(generator(seed, "start", epoch, int(video)).integers(num_starts)))
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


class WindowReader(Dataset):
    """Reads windows of several HDF5 datasets that run over the same videos and frames.

    Args:
        sources: For each field the file and the name of its dataset, of shape (V, T, ...).
        length: Frames of a window.
        data: `memory` keeps a copy of the datasets, `disk` reads from the files.
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
        self._files: dict[Path, h5py.File] = {}
        if data == "memory":
            for field, (path, name) in self.sources.items():
                with h5py.File(path, "r") as file:
                    self._arrays[field] = file[name][()]

    def __getitem__(self, windows: Sequence[Window]) -> tuple[list[Window], dict[str, Tensor]]:
        """Return the windows and, for each field, a tensor (B, T, ...) of the stored type."""
        batch = {
            field: torch.from_numpy(
                np.stack([self._read(field, window.video, window.start) for window in windows])
            )
            for field in self.sources
        }
        return list(windows), batch

    def _read(self, field: str, video: int, start: int) -> np.ndarray:
        if field in self._arrays:
            return self._arrays[field][video, start : start + self.length]
        path, name = self.sources[field]
        if path not in self._files:  # opened here, so that each worker has a handle of its own
            self._files[path] = h5py.File(path, "r")
        return self._files[path][name][video, start : start + self.length]

    def batches(
        self, plan: Sequence[Sequence[Window]], num_workers: int = 0
    ) -> Iterator[tuple[list[Window], dict[str, Tensor]]]:
        """Go through the batches of a plan in its order, read ahead by `num_workers` processes."""
        # A copy in memory needs no workers: it would only be sent through a pipe.
        workers = 0 if self._arrays else num_workers
        # The loader draws a base seed even for no workers; a generator of its own keeps it from
        # torch's, which dropout uses.
        own = torch.Generator()
        return iter(
            DataLoader(self, batch_size=None, sampler=plan, num_workers=workers, generator=own)
        )


def to_model(frames: Tensor, device: torch.device | str) -> Tensor:
    """Turn stored frames, uint8 (..., H, W, 3), into float32 (..., 3, H, W) in [0, 1]."""
    return frames.to(device, non_blocking=True).movedim(-1, -3).float().div_(255.0)


def to_pixels(frames: Tensor) -> np.ndarray:
    """Turn frames (..., 3, H, W) in about [0, 1] into uint8 (..., H, W, 3)."""
    return (frames.clamp(0, 1) * 255).round().byte().movedim(-3, -1).cpu().numpy()
