"""Windows of videos and of cached slots: where they start, in which order, and how they are read.

B batch, T frames, L frames of a window, N slots, D slot_dim, H W pixels, V videos.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ocvp.batches.read_ahead import read_ahead
from ocvp.batches.stored_field import StoredField
from ocvp.compute.randomness import generator

Residency = Literal["device", "memory", "disk"]

STREAMING_WORKERS = 2
"""Processes that read ahead from disk where the config leaves it open (`runtime.num_workers`)."""


class Window(NamedTuple):
    """One stretch of one video."""

    video: int
    start: int
    length: int | None = None
    """Frames; None: as many as the reader's windows have."""


Batch = tuple[list[Window], dict[str, Tensor]]


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
            # A generator for each video: its window depends on no other one.
            int(generator(seed, "start", epoch, int(video)).integers(num_starts)),
            length,
        )
        for video in order
    ]
    return [windows[i : i + batch_size] for i in range(0, num_videos, batch_size)]


def first_windows(num_videos: int, batch_size: int, first_video: int = 0) -> list[list[Window]]:
    """Return batches of the windows that start on frame 0, in the order of the videos."""
    windows = [Window(video, 0) for video in range(first_video, first_video + num_videos)]
    return [windows[i : i + batch_size] for i in range(0, num_videos, batch_size)]


def check_finite(values: Tensor, windows: Sequence[Window], what: str) -> None:
    """Check that no model went astray.

    Args:
        values: What a model made of the windows, shape (B, ...).
        windows: The windows.
        what: Name of the values in the message.

    Raises:
        ValueError: If a value is NaN or infinite, naming the video.
    """
    is_finite = torch.isfinite(values)  # (B, ...)
    if is_finite.all():  # one reading where nothing is wrong, as it makes a GPU wait
        return
    bad = (~is_finite).flatten(1).any(dim=1).nonzero()[0, 0]  # the first of the batch
    raise ValueError(
        f"{what} of video {windows[int(bad)].video} are not finite; the model cannot be used: "
        "train it again with a lower learning_rate"
    )


class WindowReader:
    """Reads windows of several HDF5 datasets that run over the same videos and frames.

    However the data are kept, the batches are the same, but for the device they are on.

    Args:
        sources: For each field the file and the name of its dataset, of shape (V, T, ...).
        length: Frames of a window.
        residency: Where the data are kept, as they are stored: `device` and `memory` hold a copy
            on the device or in main memory, and `disk` reads from the files.
        device: Where batches are computed on; they come from there where the data are kept there,
            else from main memory, pinned for a GPU.

    Raises:
        ValueError: If a file is gone or damaged or does not fit, or the fields do not run over the
            same videos and frames, naming it.
    """

    def __init__(
        self,
        sources: Mapping[str, tuple[Path, str]],
        length: int,
        residency: Residency = "disk",
        device: torch.device | str = "cpu",
    ):
        self.length = length
        self._fields = {field: StoredField(path, name) for field, (path, name) in sources.items()}
        first = next(iter(self._fields.values()))
        self._num_videos, self._num_frames = first.shape[:2]
        for field in self._fields.values():
            if field.shape[:2] != first.shape[:2]:
                raise ValueError(
                    f"{field.path} holds {field.shape[0]} videos of {field.shape[1]} frames, but "
                    f"{first.path} {first.shape[0]} of {first.shape[1]}"
                )
        self._is_pinned = torch.device(device).type == "cuda" and residency != "device"
        self._kept: dict[str, Tensor] = {}
        if residency != "disk":
            place = device if residency == "device" else "cpu"
            self._kept = {name: field.load(place) for name, field in self._fields.items()}

    def __getitem__(self, windows: Sequence[Window]) -> Batch:
        """Return the windows and, for each field, a tensor (B, T, ...) of the stored type.

        Raises:
            ValueError: If the windows have different lengths or lie outside of the videos, or a
                file is gone or damaged, naming it.
        """
        length = self._length_of(windows)
        if self._kept:
            return list(windows), self._gather(windows, length)
        stretches = [(window.video, window.start) for window in windows]
        return list(windows), {
            name: torch.from_numpy(field.read(stretches, length))
            for name, field in self._fields.items()
        }

    def batches(
        self, plan: Sequence[Sequence[Window]], num_workers: int | None = 0
    ) -> Iterator[Batch]:
        """Go through the batches of a plan, in its order.

        Args:
            plan: The windows of each batch; a batch may have none.
            num_workers: Processes that read ahead from disk, 0 for none; None: 2. Data that are
                kept need none.

        Raises:
            ValueError: If a file is gone or damaged, or such a process was killed.
        """
        num_workers = STREAMING_WORKERS if num_workers is None else num_workers
        files = ", ".join(sorted({str(field.path) for field in self._fields.values()}))
        # A worker would only send a copy of what is kept here.
        for windows, batch in read_ahead(self, plan, 0 if self._kept else num_workers, files):
            if self._is_pinned and not self._kept:  # here: workers must not touch the GPU
                batch = {name: values.pin_memory() for name, values in batch.items()}
            yield windows, batch

    def _length_of(self, windows: Sequence[Window]) -> int:
        lengths = {window.length or self.length for window in windows} or {self.length}
        if len(lengths) > 1:
            raise ValueError(f"the windows of a batch have several lengths, {sorted(lengths)}")
        length = lengths.pop()
        last = self._num_frames - length
        for video, start, _ in windows:
            if not (0 <= video < self._num_videos and 0 <= start <= last):
                path = next(iter(self._fields.values())).path
                raise ValueError(
                    f"frames {start} to {start + length} of video {video} are asked for, but "
                    f"{path} holds {self._num_videos} videos of {self._num_frames} frames"
                )
        return length

    def _gather(self, windows: Sequence[Window], length: int) -> dict[str, Tensor]:
        """Return the windows of the fields that are kept, with one operation for each."""
        # As rows of a field whose videos lie one after the other, shape (V * T, ...).
        firsts = [window.video * self._num_frames + window.start for window in windows]
        index = torch.tensor(firsts, dtype=torch.long)[:, None] + torch.arange(length)  # (B, L)
        batch = {}
        for name, kept in self._kept.items():
            values = torch.empty(  # (B * L, ...); pinned, a copy to the GPU waits for nothing
                (index.numel(), *kept.shape[2:]),
                dtype=kept.dtype,
                device=kept.device,
                pin_memory=self._is_pinned,
            )
            # Several times faster on a CPU than kept[videos, frames].
            rows = index.flatten().to(kept.device, non_blocking=True)
            torch.index_select(kept.flatten(0, 1), 0, rows, out=values)
            batch[name] = values.view(*index.shape, *kept.shape[2:])  # (B, L, ...)
        return batch


def to_model(frames: Tensor, device: torch.device | str) -> Tensor:
    """Turn stored frames, uint8 (..., H, W, 3), into float32 (..., 3, H, W) in [0, 1]."""
    # As bytes to the device first: they are a quarter of what floats are.
    return frames.to(device, non_blocking=True).movedim(-1, -3).float().div_(255.0)


def to_pixels(frames: Tensor) -> np.ndarray:
    """Turn frames (..., 3, H, W) in about [0, 1] into uint8 (..., H, W, 3)."""
    return (frames.clamp(0, 1) * 255).round().byte().movedim(-3, -1).cpu().numpy()
