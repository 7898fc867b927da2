"""What one run of the training loop is given, and what follows from it."""

import functools
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from ocvp.compute.process_group import Group
from ocvp.config.entries import Training
from ocvp.config.tree import Runtime
from ocvp.models.precision import Precision, resolve_precision
from ocvp.training.resume import ResumeFolder
from ocvp.training.task import Task


@dataclass(frozen=True)
class Setup:
    """What is trained, how, and where that is kept; none of it changes while the loop runs."""

    task: Task
    """What is trained, on what."""
    settings: Training
    """Steps, batch size, rate, schedule, clipping, precision."""
    runtime: Runtime
    """Accumulation, how often to save."""
    seed: int
    """Seed of dropout (data order and noise are the task's)."""
    folder: Path
    """Folder for TensorBoard's files."""
    resume: ResumeFolder | None = None
    """Where the run keeps what it resumes from; None in processes that are not the first."""
    group: Group = field(default_factory=Group)
    """The processes that train together."""
    description: str = "training"
    """Name of the training on the progress bar."""

    @property
    def module(self) -> nn.Module:
        """The model."""
        return self.task.module

    @functools.cached_property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.module.parameters()).device

    @functools.cached_property
    def precision(self) -> Precision:
        """What is not delicate is computed in it."""
        return resolve_precision(self.settings.precision, self.device)

    @functools.cached_property
    def steps_per_epoch(self) -> int:
        """Batches of the first epoch."""
        return len(self.task.plan(0))

    @property
    def num_steps(self) -> int:
        """Steps of the whole training."""
        return self.settings.total_steps(self.steps_per_epoch)
