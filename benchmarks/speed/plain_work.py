"""The same work in the plain formulation, on the same batches, noise and weights.

It is that of the papers, and of what is known of the published trainer: frame by frame; in each
step of a predictor the slots of its windows are found again, and decoded; pictures are read one by
one. Everything is float32.

B batch, T frames.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from PIL import Image
from torch import Tensor, nn

from ocvp.batches.savi_inputs import savi_inputs, video_sources
from ocvp.batches.windows import Batch, Window, WindowReader, first_windows
from ocvp.training.task import Task
from speed.plain_predictors import plain_predictor, plain_rollout
from speed.plain_savi import PlainSavi
from speed.subject import SEED, predictor_stage, savi_stage
from speed.work import (
    Given,
    Work,
    clip_bytes,
    endless,
    first_batch,
    loader_plan,
    mean_square,
    scoring_of_predictor,
    scoring_of_savi,
)


def plain_work_of(given: Given, name: str) -> Work:
    """Return a piece of work by its name: that of `PLAIN_WORK`, or a kind of predictor."""
    return PLAIN_WORK[name](given) if name in PLAIN_WORK else predictor_step(given, name)


def savi_step(given: Given) -> Work:
    """Train a SAVi for a step."""
    ours, model = given.savi()
    savi = PlainSavi(ours, model)

    def loss(batch: Batch) -> Tensor:
        inputs = inputs_of(ours, batch, "train")
        reconstruction = savi(**inputs).reconstruction
        return functional.mse_loss(reconstruction.clamp(0, 1), inputs["frames"].clamp(0, 1))

    settings = savi_stage(given.subject).training
    savi.corrector.last_gradient_only = settings.attention_gradient == "last"
    return step_of(given.savi_task(ours), savi, loss, settings, given.sizes.savi_batch)


def predictor_step(given: Given, kind: str) -> Work:
    """Train a predictor for a step, on slots that are found anew."""
    ours, model = given.savi()
    savi = PlainSavi(ours, model).requires_grad_(False).eval()
    module, arguments = given.predictor(kind)
    predictor = plain_predictor(kind, module, arguments)
    num_context, num_preds = given.sizes.num_context, given.sizes.num_preds

    def loss(batch: Batch) -> Tensor:
        inputs = inputs_of(ours, batch, "slots train")
        with torch.no_grad():
            slots = savi(**inputs).slots  # (B, T, N, D)
        predicted = plain_rollout(predictor, slots[:, :num_context], num_preds)
        frames = [savi.decode_frame(frame).reconstruction for frame in predicted]
        frame_error = functional.mse_loss(
            torch.stack(frames, dim=1), inputs["frames"][:, num_context:]
        )
        slot_error = functional.mse_loss(torch.stack(predicted, dim=1), slots[:, num_context:])
        weights = settings.frame_loss_weight, settings.slot_loss_weight
        return weights[0] * frame_error + weights[1] * slot_error

    settings = predictor_stage(given.subject, kind).training
    task = given.predictor_task(kind, module)
    return step_of(task, predictor, loss, settings, given.sizes.predictor_batch)


def inputs_of(savi: Any, batch: Batch, purpose: str) -> dict[str, Tensor]:
    """Return what a SAVi is given for a batch: frames, and noise or boxes."""
    windows, fields = batch
    return savi_inputs(savi, windows, fields, seed=SEED, purpose=purpose)


def step_of(
    task: Task, module: nn.Module, loss: Callable[[Batch], Tensor], settings: Any, num_clips: int
) -> Work:
    """Return the steps of a training with Adam, on the batches of a task."""
    optimizer = torch.optim.Adam(module.parameters(), lr=settings.learning_rate)
    batches = endless(task)

    def run() -> Tensor:
        module.train()
        optimizer.zero_grad()
        value = loss(next(batches))
        value.backward()
        if settings.gradient_clip is not None:
            nn.utils.clip_grad_norm_(module.parameters(), settings.gradient_clip)
        optimizer.step()
        return value.detach()

    @torch.no_grad()
    def check() -> float:
        module.eval()  # without dropout
        return float(loss(first_batch(task)))

    return Work(run, check, num_clips)


def extraction(given: Given) -> Work:
    """Find the slots of videos, each frame decoded too."""
    ours, model = given.savi()
    savi = PlainSavi(ours, model).eval()
    reader = WindowReader(video_sources(ours, given.path("clips")), given.sizes.frames)
    plan = first_windows(given.sizes.videos, given.sizes.videos)

    @torch.no_grad()
    def run() -> Any:
        batches = reader.batches(plan)
        return [savi(**inputs_of(ours, batch, "slots train")).slots.cpu() for batch in batches]

    return Work(run, lambda: mean_square(run()), given.sizes.videos)


def savi_scores(given: Given) -> Work:
    """Score a plain SAVi on videos, by the same metrics."""
    return scoring_of_savi(given, PlainSavi(*given.savi()).eval())


def predictor_scores(given: Given) -> Work:
    """Score a plain predictor on videos, by the same metrics."""
    kind = given.scored()
    predictor = plain_predictor(kind, *given.predictor(kind)).eval()
    return scoring_of_predictor(given, PlainSavi(*given.savi()).eval(), predictor)


def loader(given: Given) -> Work:
    """Read a batch of clips from PNG files, one by one, as float32 on the device."""
    subject = given.subject.resized(savi_batch=given.sizes.loader_batch)
    given = Given(subject, given.folder, given.device)
    task = given.savi_task(given.savi()[0], "loader")
    plan: Iterator[list[Window]] = loader_plan(task)
    root, length = given.folder / "png", given.sizes.savi_frames

    def read(windows: list[Window]) -> Tensor:
        clips = [read_clip(root / str(window.video), window.start, length) for window in windows]
        return torch.stack(clips).to(given.device)

    return Work(
        lambda: read(next(plan)),
        lambda: float(read(task.plan(0)[0]).double().mean()),
        given.sizes.loader_batch,
        clip_bytes(given),
    )


def read_clip(folder: Path, start: int, length: int) -> Tensor:
    """Read the frames of a clip, float32 (T, 3, H, W) in [0, 1]."""
    frames = []
    for frame in range(start, start + length):
        with Image.open(folder / f"test_{frame}.png") as picture:
            pixels = torch.from_numpy(np.array(picture.convert("RGB")))
        frames.append(pixels.permute(2, 0, 1).float() / 255)
    return torch.stack(frames)


PLAIN_WORK: dict[str, Callable[[Given], Work]] = {
    "savi": savi_step,
    "extraction": extraction,
    "savi_scores": savi_scores,
    "predictor_scores": predictor_scores,
    "loader": loader,
}
