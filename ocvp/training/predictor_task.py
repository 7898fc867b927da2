"""Training a slot predictor: windows of the cached slots, rolled out through its own predictions.

B batch, T frames, F frames of all windows, N slots, D slot_dim, H W pixels.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from ocvp.batches.windows import Batch, Window, to_model
from ocvp.compute.device import compiled
from ocvp.config.predictors import PredictorTraining
from ocvp.config.tree import Runtime
from ocvp.data.slot_files import check_slots
from ocvp.data.videos import VideoFile
from ocvp.models.rollout import check_buffer, rollout
from ocvp.models.savi import SAVi
from ocvp.training.decoding import mean_squares
from ocvp.training.losses import predictor_loss, square
from ocvp.training.task import Task


class PredictorTask(Task):
    """What `ocvp.training.loop.train` needs to know of a predictor.

    The SAVi is frozen: it decodes predictions, and gradients flow through it to the predictor.

    Args:
        predictor: The model, on the device to train on.
        savi: The SAVi that made the slots, on the same device.
        savi_digest: Its weights_digest.
        settings: Batch size, context, predictions, weights of the losses.
        runtime: Where the data are kept, and whether to compile.
        train: (videos, slots) to train on.
        validation: (videos, slots) to validate on, on windows from frame 0.
        seed: Seed of data order.

    Raises:
        ValueError: If slots, videos and SAVi do not belong together, the videos are too short,
            or the predictor does not look back on the whole context.
    """

    _settings: PredictorTraining

    def __init__(
        self,
        predictor: nn.Module,
        savi: SAVi,
        settings: PredictorTraining,
        runtime: Runtime,
        *,
        savi_digest: str,
        train: tuple[Path, Path],
        validation: tuple[Path, Path],
        seed: int,
    ):
        super().__init__(predictor, settings, runtime, seed)
        self._savi = savi.requires_grad_(False).eval()
        self._device = next(savi.parameters()).device
        # --- do predictor, slots, videos and SAVi belong together? --------------------------------
        check_buffer(getattr(predictor, "buffer_size", None), settings.num_context)
        for videos, slots in (train, validation):
            with VideoFile(videos) as file:
                shape = {"num_videos": file.num_videos, "num_frames": file.num_frames}
            check_slots(slots, weights_digest=savi_digest, **shape)
        # --- the data -----------------------------------------------------------------------------
        sources = [
            {"frames": (videos, "frames"), "slots": (slots, "slots")}
            for videos, slots in (train, validation)
        ]
        if settings.frame_loss_weight == 0:  # frames are only drawn, of validation videos
            del sources[0]["frames"]
        length, key = settings.num_context + settings.num_preds, "training.num_context + num_preds"
        self._open([train[0], validation[0]], sources, length, key, self._device)
        self._rollout = compiled(self._rolled_out, runtime.compile)
        self._decoded_squares = compiled(self._squares, runtime.compile)

    def losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Return the errors of a batch of rollouts."""
        return self._losses(batch, teacher_forcing=self._settings.teacher_forcing)

    def validation_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the errors of a batch of validation rollouts, always without teacher forcing."""
        return self._losses(batch, teacher_forcing=False)

    def images(self) -> dict[str, np.ndarray]:
        """Return the rollout of the first validation video: truth, prediction and slots."""
        # Here: a picture does not change what is trained.
        from ocvp.pictures.cards import rollout_card
        from ocvp.pictures.decoded import decoded

        _, fields = self._validation[[Window(0, 0)]]
        num_context = self._settings.num_context
        slots = fields["slots"].to(self._device)  # (1, num_context + num_preds, N, D)
        with torch.no_grad():
            predicted = rollout(self.module, slots[:, :num_context], self._settings.num_preds)
            # The context as SAVi sees it, then what is predicted: T = num_context + num_preds.
            found = decoded(self._savi.decode(torch.cat([slots[:, :num_context], predicted], 1)[0]))
        frames = fields["frames"][0].cpu().numpy()  # (T, H, W, 3)
        return {"rollout": rollout_card(frames, found.frames, found.labels, num_context)}

    def scores(self) -> dict[str, float]:
        """Return the scores of the decoded predictions of the first validation videos."""
        # Here: what is only shown does not change what is trained.
        from ocvp.training.clip_scores import NUM_VIDEOS, score_clips

        masks = self._masks  # (B, T, H, W)
        future = None if masks is None else masks[:, self._settings.num_context :]
        return score_clips(self._savi, self._predicted(NUM_VIDEOS), future)

    @torch.no_grad()
    def _predicted(self, num_videos: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield predicted slots (num_preds, N, D) and true frames (num_preds, H, W, 3)."""
        num_context, num_preds = self._settings.num_context, self._settings.num_preds
        for _, fields in self._first_clips(num_videos):
            context = fields["slots"][:, :num_context].to(self._device)
            predicted = rollout(self.module, context, num_preds)  # (B, num_preds, N, D)
            yield from zip(predicted, fields["frames"][:, num_context:], strict=True)

    def _losses(self, batch: Batch, *, teacher_forcing: bool) -> dict[str, Tensor]:
        _, fields = batch
        slots = fields["slots"].to(self._device, non_blocking=True)  # (B, T, N, D)
        predicted = self._rollout(slots, teacher_forcing)  # (B, num_preds, N, D)
        settings, future = self._settings, slots[:, self._settings.num_context :]
        if settings.frame_loss_weight == 0:  # frames that do not count need no decoding
            slot_mse = functional.mse_loss(predicted, future)
            return {"loss": settings.slot_loss_weight * slot_mse, "slot_mse": slot_mse}
        # All of them first: a part of a pinned tensor would be copied twice.
        frames = fields["frames"].to(self._device, non_blocking=True)
        # uint8 (B, T, H, W, 3) to float32 (B, num_preds, 3, H, W)
        frames = to_model(frames[:, settings.num_context :], self._device)
        frame_mse, _ = mean_squares(
            self._decoded_squares,
            predicted.flatten(0, 1),  # (B * num_preds, N, D)
            {"frames": frames.flatten(0, 1)},
            {"frames": 1.0},
            [],
        )
        return predictor_loss(
            frame_mse,
            predicted,
            future,
            frame_weight=settings.frame_loss_weight,
            slot_weight=settings.slot_loss_weight,
        )

    def _rolled_out(self, slots: Tensor, teacher_forcing: bool) -> Tensor:
        """Return the predictions of a window, (B, num_preds, N, D); a part that is compiled.

        Args:
            slots: Shape (B, num_context + num_preds, N, D).
            teacher_forcing: Whether to go on from true slots.
        """
        context, future = slots.split([self._settings.num_context, self._settings.num_preds], 1)
        teacher = future if teacher_forcing else None
        return rollout(self.module, context, self._settings.num_preds, teacher)

    def _squares(self, slots: Tensor, truths: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Decode slots (F, N, D), and sum up their squared errors; a part that is compiled."""
        return {"frames": square(self._savi.decode(slots).reconstruction, truths["frames"])}
