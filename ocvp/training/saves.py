"""Saving the states that a training resumes from, and the space that they need."""

from pathlib import Path

import torch
from torch import nn

from ocvp.runtime.files import check_writable
from ocvp.runtime.training_log import TrainingLog
from ocvp.training.resume import ResumeFolder
from ocvp.training.state import TrainingState

STATE_FACTOR = 4
"""Size of a saved state in times the weights: the last and the best ones, Adam's two moments."""
NUM_STATES = 5
"""States on disk at once: up to three that stay and one that is being written; the products take
less than another."""
SPARE_BYTES = 4_000_000
"""For curves and pictures until the next save."""


def check_space(folder: Path, resume: ResumeFolder, module: nn.Module) -> None:
    """Check that the disk has space for a whole training.

    Args:
        folder: Folder of the curves.
        resume: Where states go; what lies there already counts.
        module: The model.

    Raises:
        OSError: If it has not, or the folder cannot be written.
    """
    needed = NUM_STATES * _state_bytes(module) + SPARE_BYTES
    check_writable(folder / "events", max(needed - resume.num_bytes(), 0))


def save(
    resume: ResumeFolder,
    state: TrainingState,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    log: TrainingLog,
    is_milestone: bool,
) -> None:
    """Write the curves up to a state, and the state (see `ResumeFolder.write`).

    Raises:
        OSError: If it cannot be written; the former states are whole.
    """
    check_writable(resume.folder / "state.pt", _state_bytes(module) + SPARE_BYTES)
    log.flush()  # first: a point that is not in the file would never come again
    content = {
        "weights": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "state": vars(state),
    }
    resume.write(content, milestone=is_milestone)


def _state_bytes(module: nn.Module) -> int:
    """Return about how large a state is."""
    return STATE_FACTOR * sum(tensor.nbytes for tensor in module.state_dict().values())
