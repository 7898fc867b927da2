"""Training a SAVi: clips of each video, reconstructed.

B batch, T frames, F frames of all clips, N slots, D slot_dim, H W pixels.
"""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ocvp.batches.savi_inputs import savi_inputs, video_sources
from ocvp.batches.windows import Batch, Window, first_windows
from ocvp.compute.device import compiled
from ocvp.config.savi import SaviTraining
from ocvp.config.tree import Runtime
from ocvp.models.savi import SAVi
from ocvp.training.decoding import mean_squares
from ocvp.training.losses import (
    made_by_slots,
    savi_squares,
    shared_background,
    shared_objects,
)
from ocvp.training.targets import make_targets, target_fields
from ocvp.training.task import Task

DOUBTED_VIDEOS = 16
"""Of the validation, whose masks are looked at."""
SHARED = {"background": shared_background, "shared_objects": shared_objects}
"""What slots share, and should not, by the names of the losses."""
EMPTY_WEIGHT = 0.01
"""Of the loss of the empty slot, so small that other weights hardly move by it."""


class SaviTask(Task):
    """What `ocvp.training.loop.train` needs to know of a SAVi.

    Args:
        savi: The model, on the device to train on, with the targets that the settings weigh.
        settings: Batch size, clip length, weights of the targets.
        runtime: Where the data are kept, and whether to compile.
        train: Videos to train on.
        validation: Videos to validate on, on clips from frame 0.
        seed: Seed of data order and slot noise.

    Raises:
        ValueError: If the videos do not fit the model, are shorter than a clip, or lack what its
            targets are made of.
    """

    module: SAVi
    _settings: SaviTraining

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
        super().__init__(savi, settings, runtime, seed)
        savi.corrector.last_gradient_only = settings.attention_gradient == "last"
        videos, device = [train, validation], next(savi.parameters()).device
        fields = target_fields(savi.targets, videos)
        sources = [
            video_sources(savi, path) | {field: (path, field) for field in fields}
            for path in videos
        ]
        self._open(videos, sources, settings.clip_length, "training.clip_length", device)
        shared = {
            "background": settings.background_weight,
            "shared_objects": settings.shared_objects_weight,
        }
        self._shared = [name for name, weight in shared.items() if weight]
        self._weights = {"frames": 1.0, **shared, **settings.target.weights}
        self._encode = compiled(savi.encode, runtime.compile)
        self._decoded_squares = compiled(self._squares, runtime.compile)

    def losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Return the weighted error of a batch of clips and, where there are targets, its parts."""
        return self._losses(batch, "train", epoch)

    def validation_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the errors of a batch of validation clips."""
        return self._losses(batch, "validation", 0)

    def images(self) -> dict[str, np.ndarray]:
        """Return the first validation clip, and what each slot holds in its last frame."""
        # Here: a picture does not change what is trained.
        from ocvp.pictures.cards import clip_card, slots_card
        from ocvp.pictures.decoded import decoded

        windows, batch = self._validation[[Window(0, 0)]]
        inputs = savi_inputs(self.module, windows, batch, seed=self._seed, purpose="validation")
        with torch.no_grad():
            found = decoded(self.module.decode(self.module.encode(**inputs)[0]))
        frames = batch["frames"][0].cpu().numpy()  # (T, H, W, 3)
        return {
            "clip": clip_card(frames, found.frames, found.labels),
            "slots": slots_card(found.objects[-1], found.masks[-1]),
        }

    def scores(self) -> dict[str, float]:
        """Return the scores of the first validation clips, as they are decomposed."""
        # Here: what is only shown does not change what is trained.
        from ocvp.training.clip_scores import NUM_VIDEOS, score_clips

        return score_clips(self.module, self._encoded(NUM_VIDEOS), self._masks)

    @torch.no_grad()
    def _encoded(self, num_videos: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield slots (T, N, D) and frames (T, H, W, 3) of the first validation clips."""
        for windows, batch in self._first_clips(num_videos):
            inputs = savi_inputs(self.module, windows, batch, seed=self._seed, purpose="validation")
            yield from zip(self.module.encode(**inputs), batch["frames"], strict=True)

    def doubts(self, epoch: int) -> str:
        """Return what speaks against slots having found objects.

        Nothing in the curriculum, and while what slots share does not count, or not for long: until
        then a plain ground may be divided by place.
        """
        # Here: what is only said does not change what is trained.
        from ocvp.training.binding import doubts_about

        settled = (1 + self._settings.shared_from) / 2
        if self._is_early(epoch) or (self._shared and epoch < self._epoch_from(settled)):
            return ""
        num_videos = min(self._num_validation, DOUBTED_VIDEOS)
        plan = first_windows(num_videos, self._runtime.batch_videos)
        masks = [self._masks_from_one_start(*batch) for batch in self.read_validation(plan)]
        return doubts_about(np.concatenate(masks))

    @torch.no_grad()
    def _masks_from_one_start(
        self, windows: Sequence[Window], batch: Mapping[str, Tensor]
    ) -> np.ndarray:
        """Return masks (B, T, N, H, W) of videos whose slots start from the same noise, if any."""
        first = [windows[0]._replace(video=0)] * len(windows)
        inputs = savi_inputs(self.module, first, batch, seed=self._seed, purpose="validation")
        return self.module(**inputs).masks.squeeze(-3).float().cpu().numpy()

    def _length_in(self, epoch: int) -> int:
        return self._settings.curriculum_clip_length if self._is_early(epoch) else self._length

    def _is_early(self, epoch: int) -> bool:
        """Tell whether an epoch belongs to the curriculum."""
        return epoch < self._settings.curriculum_epochs

    @functools.cached_property
    def _shared_epoch(self) -> int:
        return self._epoch_from(self._settings.shared_from)

    def _epoch_from(self, share: float) -> int:
        """Return the first epoch after a share of the steps and the curriculum."""
        early, first = self._settings.curriculum_epochs, len(self.plan(0))
        steps = share * self._settings.total_steps(first) - early * first
        return early + max(math.ceil(steps / len(self.plan(early))), 0)

    def _losses(self, batch: Batch, purpose: str, epoch: int) -> dict[str, Tensor]:
        windows, fields = batch
        # Frames (B, T, 3, H, W), and what the first slots start from.
        inputs = savi_inputs(
            self.module, windows, fields, seed=self._seed, purpose=purpose, epoch=epoch
        )
        truths = {"frames": inputs["frames"]}
        truths |= make_targets(self.module.targets, inputs["frames"], fields)
        if self._shared and (purpose == "validation" or epoch >= self._shared_epoch):
            none = torch.zeros_like(inputs["frames"][:, :, :1])
            truths |= dict.fromkeys(self._shared, none)
        # Time first: the frames without a target, which end each clip, come last.
        slots = self._encode(**inputs, prune=False)  # (B, T, N, D)
        loss, means = mean_squares(
            self._decoded_squares,
            slots.transpose(0, 1).flatten(0, 1),  # (T * B, N, D)
            {name: true.transpose(0, 1).flatten(0, 1) for name, true in truths.items()},
            self._weights,
            list(self.module.decoder.parameters()),
        )
        if self.module.prune_threshold is not None:
            empty = self._share_of_empty(slots[0, 0].detach())
            loss, means["empty"] = loss + EMPTY_WEIGHT * empty, empty.detach()
        if len(means) == 1:
            return {"loss": loss}
        names = {"frames": "frame_mse"}
        return {"loss": loss} | {names.get(k, f"{k}_mse"): mean for k, mean in means.items()}

    def _share_of_empty(self, slots: Tensor) -> Tensor:
        """Return the mean square of what an empty slot beside slots (N, D) gets of a frame.

        Of one frame: it is the same slot in all of them.
        """
        beside = torch.cat([slots, self.module.empty_slot.unsqueeze(0)])  # (N + 1, D)
        return self.module.decode(beside).masks[-1].square().mean()

    def _squares(self, slots: Tensor, truths: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Decode slots (F, N, D), and sum up their squared errors; a part that is compiled."""
        output, predicted = self.module.decode_with_targets(slots)
        if names := [name for name in SHARED if name in truths]:
            made = made_by_slots(output, truths["frames"])
            predicted |= {name: SHARED[name](output, made) for name in names}
        return savi_squares(output.reconstruction, predicted, truths)
