"""Training a SAVi: clips of each video, reconstructed.

B batch, T frames, N slots, H W pixels.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ocvp.batches.residency import choose
from ocvp.batches.savi_inputs import savi_inputs, video_sources
from ocvp.batches.windows import Batch, Window, WindowReader, epoch_batches, first_windows
from ocvp.compute.device import compiled
from ocvp.config.savi import SaviTraining
from ocvp.config.tree import Runtime
from ocvp.data.videos import VideoFile
from ocvp.models.savi import SAVi
from ocvp.training.losses import savi_loss
from ocvp.training.task import usable_frames


class SaviTask:
    """What `ocvp.training.loop.train` needs to know of a SAVi.

    Args:
        savi: The model, on the device to train on.
        settings: Batch size and clip length.
        runtime: Where the data are kept, and whether to compile.
        train: Videos to train on.
        validation: Videos to validate on, on clips from frame 0.
        seed: Seed of data order and slot noise.

    Raises:
        ValueError: If the videos do not fit the model or are shorter than a clip.
    """

    def __init__(
        self,
        savi: SAVi,
        settings: SaviTraining,
        runtime: Runtime,
        *,
        train: Path,
        validation: Path,
        seed: int,
    ):
        self.module = savi
        self._settings, self._runtime, self._seed = settings, runtime, seed
        sizes = []
        for path in (train, validation):
            with VideoFile(path) as file:
                num_videos, num_frames = file.num_videos, file.num_frames
            length, key = settings.clip_length, "training.clip_length"
            usable = usable_frames(path, num_frames, settings.num_frames, length, key)
            sizes.append((num_videos, usable))
        (self._num_videos, self._num_frames), (self._num_validation, _) = sizes
        sources = [video_sources(savi, path) for path in (train, validation)]
        device = next(savi.parameters()).device
        residency = choose(runtime.residency, sources, device)
        self._train, self._validation = (
            WindowReader(source, settings.clip_length, residency, device) for source in sources
        )
        self._compute = compiled(self._error, runtime.compile)

    def plan(self, epoch: int) -> list[list[Window]]:
        """Return the windows of each batch of an epoch; early ones may be shorter, and more."""
        settings = self._settings
        is_early = epoch < settings.curriculum_epochs
        length = settings.curriculum_clip_length if is_early else settings.clip_length
        return epoch_batches(
            seed=self._seed,
            epoch=epoch,
            num_videos=self._num_videos,
            num_starts=self._num_frames - length + 1,
            batch_size=settings.batch_size * settings.clip_length // length,  # as many frames
            length=length,
        )

    def read(self, plan: Sequence[Sequence[Window]]) -> Iterator[Batch]:
        """Read the batches of a plan."""
        return self._train.batches(plan, self._runtime.num_workers)

    def losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Return the reconstruction error of a batch of clips."""
        return {"loss": self._loss(batch, "train", epoch)}

    def validation_plan(self) -> list[list[Window]]:
        """Return the validation clips, in batches."""
        return first_windows(self._num_validation, self._runtime.batch_videos)

    def read_validation(self, plan: Sequence[Sequence[Window]]) -> Iterator[Batch]:
        """Read batches of validation clips."""
        return self._validation.batches(plan, self._runtime.num_workers)

    def validation_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the reconstruction error of a batch of validation clips."""
        return {"loss": self._loss(batch, "validation", 0)}

    def images(self) -> dict[str, np.ndarray]:
        """Return what each slot holds, for the first validation clip."""
        # Here: a picture does not change what is trained.
        from ocvp.pictures.drawing import slots_panel

        windows, batch = self._validation[[Window(0, 0)]]
        inputs = savi_inputs(self.module, windows, batch, seed=self._seed, purpose="validation")
        with torch.no_grad():
            output = self.module(**inputs)
        panel = slots_panel(
            batch["frames"][0].cpu().numpy(),  # (T, H, W, 3)
            output.objects[0].movedim(-3, -1).clamp(0, 1).cpu().numpy(),  # (T, N, H, W, 3)
            output.masks[0].squeeze(-3).cpu().numpy(),  # (T, N, H, W)
        )
        return {"slots": panel}

    def _loss(self, batch: Batch, purpose: str, epoch: int) -> Tensor:
        windows, fields = batch
        inputs = savi_inputs(
            self.module, windows, fields, seed=self._seed, purpose=purpose, epoch=epoch
        )
        return self._compute(**inputs)

    def _error(self, frames: Tensor, **conditions: Tensor) -> Tensor:
        """Return the loss of what a SAVi is given; the part that is compiled."""
        output = self.module(frames, **conditions)
        return savi_loss(output.reconstruction, frames)  # both (B, T, 3, H, W)
