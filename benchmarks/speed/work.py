"""One piece of work that is timed, as this project does it: by the code that trainings run.

B batch, T frames.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ocvp.batches.windows import Batch, Window, to_model
from ocvp.config.tree import Protocol, Runtime
from ocvp.extract_slots import encoded
from ocvp.models.loading import open_savi
from ocvp.models.precision import resolve_precision
from ocvp.models.predictors import PREDICTORS
from ocvp.models.savi import SAVi
from ocvp.training.predictor_task import PredictorTask
from ocvp.training.savi_task import SaviTask
from ocvp.training.step import Losses, make_optimizer, train_step
from ocvp.training.task import Task
from speed.subject import SEED, Sizes, Subject, predictor_stage, savi_stage

SCORED = "ocvp_seq"
"""The predictor whose scoring is timed, where the config has it."""
SCORE = "psnr"


class Work(NamedTuple):
    """Something that can be done again and again."""

    run: Callable[[], Any]
    """Does it once; a training step returns its loss."""
    check: Callable[[], float]
    """Returns a figure of it that does not depend on how it is computed, before the first run."""
    num_clips: int
    """Clips, windows or videos that a run goes through."""
    num_bytes: int | None = None
    """What a run reads and writes at least, where that cannot be counted."""


class Given:
    """What the work is built from: models with the same weights in every process, and files.

    Args:
        subject: What is measured.
        folder: Where its files are.
        device: Where it is computed.
    """

    def __init__(self, subject: Subject, folder: Path, device: torch.device):
        self.subject, self.folder, self.device = subject, folder, device
        self.sizes = Sizes(**subject.sizes)
        self.runtime = Runtime(
            device=subject.device,
            compile=subject.compile,
            batch_videos=self.sizes.videos,
            # The sweep over the data set's size streams, as large data sets are.
            residency="disk" if self.sizes.savi_videos else "auto",
            num_workers=0,
        )

    def path(self, name: str) -> Path:
        """Return the file of videos, or of slots (`NAME.slots`), of some work."""
        return self.folder / f"{name}.h5"

    def savi(self) -> tuple[SAVi, dict[str, Any]]:
        """Return the SAVi, in evaluation mode, and the arguments that made it."""
        opened = open_savi(self.folder / "savi.pt")
        return opened.build(self.device), dict(opened.content["model"])

    def predictor(self, kind: str) -> tuple[nn.Module, dict[str, Any]]:
        """Return a predictor with fresh weights, in evaluation mode, and its arguments."""
        stage = predictor_stage(self.subject, kind)
        model = stage.model.model_dump() | {"slot_dim": savi_stage(self.subject).model.slot_dim}
        torch.manual_seed(SEED)
        return PREDICTORS[kind](**model).to(self.device).eval(), model

    def savi_task(self, savi: SAVi, file: str = "savi") -> SaviTask:
        """Return the task of training a SAVi."""
        data = {"train": self.path(file), "validation": self.path(file)}
        settings = savi_stage(self.subject).training
        return SaviTask(savi, settings, self.runtime, **data, seed=SEED)

    def predictor_task(self, kind: str, predictor: nn.Module) -> PredictorTask:
        """Return the task of training a predictor."""
        opened = open_savi(self.folder / "savi.pt")
        files = (self.path("windows"), self.path("windows.slots"))
        return PredictorTask(
            predictor,
            opened.build(self.device),
            predictor_stage(self.subject, kind).training,
            self.runtime,
            savi_digest=opened.digest,
            train=files,
            validation=files,
            seed=SEED,
        )

    def scored(self) -> str:
        """Return the kind of the predictor whose scoring is timed.

        Raises:
            ValueError: If the config has none.
        """
        kinds = list(self.subject.predictors)
        if not kinds:
            raise ValueError(f"{self.subject.config} has no predictor")
        return SCORED if SCORED in kinds else kinds[0]

    def protocol(self) -> Protocol:
        """Return the protocol of that scoring."""
        num_context = self.sizes.num_context
        return Protocol(num_context=num_context, num_preds=self.sizes.frames - num_context)


def endless(task: Task) -> Iterator[Batch]:
    """Read a task's batches, epoch after epoch."""
    for epoch in itertools.count():
        yield from task.read(task.plan(epoch))


def first_batch(task: Task) -> Batch:
    """Read the first batch of a training."""
    return next(iter(task.read(task.plan(0)[:1])))


def work_of(given: Given, name: str) -> Work:
    """Return a piece of work by its name: that of `WORK`, or a kind of predictor."""
    return WORK[name](given) if name in WORK else predictor_step(given, name)


def savi_step(given: Given) -> Work:
    """Train a SAVi for a step."""
    savi, _ = given.savi()
    task = given.savi_task(savi)
    settings = savi_stage(given.subject).training
    return step_of(given, task, settings, given.sizes.savi_batch)


def predictor_step(given: Given, kind: str) -> Work:
    """Train a predictor for a step, on cached slots."""
    predictor, _ = given.predictor(kind)
    task = given.predictor_task(kind, predictor)
    settings = predictor_stage(given.subject, kind).training
    return step_of(given, task, settings, given.sizes.predictor_batch)


def step_of(given: Given, task: Task, settings: Any, num_clips: int) -> Work:
    """Return the steps of a training; the rate is that after the warm-up."""
    losses = Losses(task, resolve_precision(given.subject.precision, given.device))
    optimizer = make_optimizer(task.module, settings)
    batches = endless(task)

    def run() -> Tensor:
        task.module.train()
        rate, limit = settings.learning_rate, settings.gradient_clip
        values, _ = train_step(losses, batches, [1.0], 0, optimizer, rate, limit)
        return values["loss"]

    @torch.no_grad()
    def check() -> float:
        task.module.eval()  # without dropout
        return float(task.losses(first_batch(task), 0)["loss"])

    return Work(run, check, num_clips)


def extraction(given: Given) -> Work:
    """Encode videos, from the file to arrays of slots."""
    savi, _ = given.savi()
    path, part = given.path("clips"), range(given.sizes.videos)

    def run() -> Any:
        return list(encoded(savi, given.folder / "savi.pt", path, part, given.runtime, SEED))

    return Work(run, lambda: mean_square(run()), given.sizes.videos)


def mean_square(batches: Any) -> float:
    """Return the mean of the squares of arrays."""
    values = torch.cat([torch.as_tensor(batch).double().cpu().flatten() for batch in batches])
    return float(values.square().mean())


def savi_scores(given: Given) -> Work:
    """Score a SAVi on videos."""
    return scoring_of_savi(given, given.savi()[0])


def scoring_of_savi(given: Given, savi: Any) -> Work:
    """Return the scoring of a SAVi, whichever way it computes."""
    # Here, as below: the other work is to have no memory of what scoring needs.
    from ocvp.evaluation.savi_scores import score_savi

    def run() -> Any:
        frames = given.sizes.frames
        return score_savi(savi, given.path("clips"), frames, given.runtime, SEED, name="SAVi")

    return Work(run, lambda: run()["metrics"][SCORE]["mean"], given.sizes.videos)


def predictor_scores(given: Given) -> Work:
    """Score a predictor on videos, beside its baselines."""
    return scoring_of_predictor(given, given.savi()[0], given.predictor(given.scored())[0])


def scoring_of_predictor(given: Given, savi: Any, predictor: Any) -> Work:
    """Return the scoring of a predictor, whichever way both models compute."""
    from ocvp.evaluation.predictor_scores import score_predictor

    files = (given.path("clips"), given.path("clips.slots"))
    protocol = given.protocol()

    def run() -> Any:
        return score_predictor(savi, predictor, *files, protocol, given.runtime)

    return Work(run, lambda: run()["metrics"][SCORE]["mean"], given.sizes.videos)


def loader(given: Given) -> Work:
    """Read the next batch of clips of a training, as float32 on the device."""
    stage = given.subject.resized(savi_batch=given.sizes.loader_batch)
    given = Given(stage, given.folder, given.device)
    task = given.savi_task(given.savi()[0], "loader")
    batches = endless(task)

    def run() -> Tensor:
        return to_model(next(batches)[1]["frames"], given.device)

    def check() -> float:
        return float(to_model(first_batch(task)[1]["frames"], given.device).double().mean())

    return Work(run, check, given.sizes.loader_batch, clip_bytes(given))


def clip_bytes(given: Given) -> int:
    """Return how many bytes the clips of a batch of the loader have, as float32."""
    height, width = given.subject.resolution
    return 4 * 3 * height * width * given.sizes.savi_frames * given.sizes.loader_batch


def loader_plan(task: Task) -> Iterator[list[Window]]:
    """Yield the windows of each batch, epoch after epoch."""
    for epoch in itertools.count():
        yield from task.plan(epoch)


WORK: dict[str, Callable[[Given], Work]] = {
    "savi": savi_step,
    "extraction": extraction,
    "savi_scores": savi_scores,
    "predictor_scores": predictor_scores,
    "loader": loader,
}
