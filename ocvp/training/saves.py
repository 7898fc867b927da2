"""What a training saves: states that it resumes from, the space they need, and its products."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from ocvp.models.checkpoint import save_checkpoint
from ocvp.records.records import TRAINING_TIME
from ocvp.runtime.files import check_writable, companion, write_json
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


def training_products(path: Path, select: str) -> list[Path]:
    """Return what a training makes beside its product, that one first.

    Args:
        path: The product, for example `savi.pt`; beside it lies `savi.best.pt` or `savi.last.pt`.
        select: `best` or `last`: which weights are the product.
    """
    other = path.with_suffix(f".{'best' if select == 'last' else 'last'}.pt")
    return [path, other, companion(path, TRAINING_TIME)]


def save_training(
    products: Sequence[Path],
    state: TrainingState,
    *,
    last_weights: Mapping[str, Tensor],
    select: str,
    config: BaseModel,
    **content: Any,
) -> None:
    """Write the selected weights of a training, the others, and its duration.

    Args:
        products: Where to (see `training_products`).
        state: The end of the training.
        last_weights: Weights after the last step.
        select: `best` or `last`: which weights are the product.
        config: The stage's config.
        content: Further entries of the checkpoint.
    """
    path, beside, times = products
    versions: dict[str, dict[str, Any]] = {
        "last": {"weights": last_weights, "step": state.step, "metrics": state.metrics},
        "best": {
            "weights": state.best_weights,
            "step": state.best_step,
            "metrics": {"loss": state.best_loss},  # no more was kept of that validation
        },
    }
    other = "best" if select == "last" else "last"
    common = {
        "config": config.model_dump(mode="json"),
        "epoch": state.epoch,
        "examples": state.examples,
        "training_seconds": round(state.seconds, 1),
        "recoveries": state.recoveries,
        "extended_from": state.extended_from,
        "sessions": state.sessions,
        **state.made_by,
        **content,
    }
    # The product last: where it lies, the other one does too.
    save_checkpoint(beside, **versions[other], **common)
    save_checkpoint(path, **versions[select], **common)
    duration = {"steps": state.step, "epochs": state.epoch, "examples": state.examples}
    duration |= {"seconds": common["training_seconds"], "device": state.made_by["device"]}
    write_json(times, duration)


def _state_bytes(module: nn.Module) -> int:
    """Return about how large a state is."""
    return STATE_FACTOR * sum(tensor.nbytes for tensor in module.state_dict().values())
