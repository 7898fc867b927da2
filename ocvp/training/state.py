"""Where a training is: what it resumes from, besides the weights and the optimiser."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class TrainingState:
    """Where a run is. Every random draw and the rate are functions of it and of the seed."""

    step: int = 0
    """Optimiser steps that are done."""
    epoch: int = 0
    batch: int = 0
    """Batches of the epoch that are done."""
    seconds: float = 0.0
    """Time that it took, interruptions apart."""
    examples: int = 0
    """Windows that were trained on."""
    best_loss: float = float("inf")
    best_step: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    """The last validation."""
    validated_step: int = -1
    """The step of the last validation."""
    recoveries: int = 0
    """How often the run went back, as it stopped being finite."""
    rate_factor: float = 1.0
    """What that left of the rate."""
    sessions: list[dict[str, Any]] = field(default_factory=list)
    """For each time that the run was started or gone on with: first and last step, seconds, where
    it ran."""
    num_steps: int = 0
    """Steps that the run is to have at its end."""
    extended_from: list[int] = field(default_factory=list)
    """What `num_steps` was before the run was extended."""

    @property
    def is_complete(self) -> bool:
        """Whether all steps are done, and validated."""
        return self.step == self.num_steps == self.validated_step

    @property
    def made_by(self) -> dict[str, Any]:
        """What trained it last: code, versions and machine."""
        return self.sessions[-1]["made_by"]

    def set_length(self, num_steps: int) -> None:
        """Set how many steps the run is to have, which may extend it.

        Raises:
            ValueError: If more are done already.
        """
        if self.step > num_steps:
            raise ValueError(
                f"the training is to have {num_steps} steps, but {self.step} are done already; "
                "give at least that many, or do not extend"
            )
        if self.num_steps not in (0, num_steps):
            self.extended_from.append(self.num_steps)
        self.num_steps = num_steps


def load_state(
    stored: Mapping[str, Any], module: nn.Module, optimizer: torch.optim.Optimizer
) -> TrainingState:
    """Load weights and optimiser from what was saved, and return where the run was."""
    module.load_state_dict(stored["weights"])
    for group, former in zip(
        stored["optimizer"]["param_groups"], optimizer.param_groups, strict=True
    ):
        group["fused"] = former["fused"]  # how to compute is this process' choice
    optimizer.load_state_dict(stored["optimizer"])
    return TrainingState(**stored["state"])
