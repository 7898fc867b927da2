"""What a file holds that is to become a checkpoint of this project, checked.

It is a published checkpoint with its parameter file, or a checkpoint of this project.
"""

import inspect
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ocvp.config.predictors import ImportStage
from ocvp.models.checkpoint import read_checkpoint
from ocvp.models.loading import Opened, check_belongs, model_class, open_savi
from ocvp.published.checkpoints import load_published, read_tensors
from ocvp.published.checkpoints import read_checkpoint as read_published
from ocvp.published.names import listed
from ocvp.published.settings import plain, read_params
from ocvp.published.training import recorded_training
from ocvp.records.origins import files_digest, find_params
from ocvp.runtime.files import file_digest

logger = logging.getLogger(__name__)

NOT_COMPARED = ("box_format", "absent")
"""Conventions that belong to the weights, and that every stage follows."""


class Import(NamedTuple):
    """What was read to be imported."""

    content: dict[str, Any]
    """What `save_tensors` takes of a checkpoint of this project, `save_checkpoint` of others."""
    params: Path | None
    """The parameter file of a published checkpoint."""
    digest: str
    """Of the files that were read."""


def read_import(
    checkpoint: Path, params: Path | None, savi: Path | None, seed: int, wanted: str | None
) -> Import:
    """Read a checkpoint of either project.

    Args:
        checkpoint: A published checkpoint, or one of this project.
        params: Parameter file of a published one; None: it is looked for beside it.
        savi: For a predictor, the SAVi (of this project) that it was trained on.
        seed: What a published checkpoint is to say of the seed.
        wanted: The kind that it must have; None: any.

    Raises:
        ValueError: If a file cannot be read, is refused, or they do not belong together.
    """
    if "format" in read_tensors(checkpoint):  # published ones have no such entry
        if params is not None:
            raise ValueError(
                f"--params is {params}, but {checkpoint} is a checkpoint of this project "
                "and says itself what it holds"
            )
        digest = files_digest([checkpoint])
        return Import(read_own(checkpoint, savi, wanted), None, digest)
    check_name(checkpoint)
    params = params or find_params(checkpoint.absolute())
    digest = files_digest([checkpoint, params])
    return Import(read_theirs(checkpoint, params, savi, seed, wanted), params, digest)


def check_name(checkpoint: Path) -> None:
    """Check that a checkpoint of another project is not named as those of this project are.

    The workflow tells from the name whether a parameter file belongs to a checkpoint.

    Raises:
        ValueError: If its name ends in .pt.
    """
    if checkpoint.suffix == ".pt":
        raise ValueError(
            f"{checkpoint} is no checkpoint of this project, though its name ends in .pt; if it is "
            f"a published one, rename it to {checkpoint.with_suffix('.pth').name}"
        )


def read_theirs(
    checkpoint: Path, params: Path, savi: Path | None, seed: int, wanted: str | None
) -> dict[str, Any]:
    """Read a published checkpoint.

    Args:
        checkpoint: A `checkpoint_*.pth`.
        params: Its `experiment_params.json`.
        savi: For a predictor, the SAVi (of this project) that it was trained on.
        seed: What the checkpoint is to say of the seed.
        wanted: The kind that it must have; None: any.

    Returns:
        What `ocvp.models.checkpoint.save_checkpoint` takes.

    Raises:
        ValueError: If a file cannot be read, is refused, or they do not belong together.
    """
    state, settings = read_published(checkpoint), read_params(params)
    try:
        found = load_published(settings, state)
    except ValueError as error:
        raise ValueError(f"{checkpoint} with {params}: {error}") from error
    check_kind(found.kind, wanted, checkpoint)
    if found.dropped:
        logger.info("not used by the model, and dropped: %s", listed(found.dropped))
    content: dict[str, Any] = {
        "kind": found.kind,
        "model": found.arguments,
        "config": {"model": found.arguments, "training": _training(settings, found.kind, params)},
        "weights": found.model.state_dict(),
        "step": _num_steps(state),
        "epoch": _count(state.get("epoch")),
        "seed": seed,
        "metrics": {},
        "sources": [file_digest(checkpoint), file_digest(params)],
        "imported": {"checkpoint": checkpoint.name, "params": settings, "dropped": found.dropped},
    }
    if found.kind != "savi":
        content["config"]["kind"] = found.kind
        content["savi_digest"] = _savi_digest(savi, checkpoint, found.arguments["slot_dim"])
    else:
        _refuse_savi(savi, checkpoint)
    return content


def read_own(checkpoint: Path, savi: Path | None, wanted: str | None) -> dict[str, Any]:
    """Read a checkpoint of this project, and add where it came from.

    Args:
        checkpoint: For example a `savi.pt`.
        savi: For a predictor, the SAVi that it was trained on.
        wanted: The kind that it must have; None: any.

    Raises:
        ValueError: If it cannot be read, is damaged, or belongs to another SAVi.
    """
    opened = Opened(checkpoint, read_checkpoint(checkpoint))
    content = opened.content
    check_kind(content["kind"], wanted, checkpoint)
    if content["kind"] == "savi":
        _refuse_savi(savi, checkpoint)
    opened.build()  # fails where it does not fit this architecture
    if content["kind"] != "savi":
        check_belongs(opened, open_savi(_required(savi, checkpoint)))
    for name, tensor in content["weights"].items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{checkpoint}: {name} is not finite: it holds NaN or infinity")
    origin: dict[str, Any] = {"checkpoint": checkpoint.name, "digest": file_digest(checkpoint)}
    if "imported" in content:
        origin["imported"] = content["imported"]
    return {**content, "imported": origin}


def check_kind(kind: str, wanted: str | None, checkpoint: Path) -> None:
    """Raise ValueError where a checkpoint holds another kind than the config wants."""
    if wanted not in (None, kind):
        raise ValueError(f"{checkpoint} holds a model of kind {kind}; the config wants {wanted}")


def check_settings(stage: ImportStage, model: Mapping[str, Any], checkpoint: Path) -> None:
    """Check that a checkpoint holds what the config says.

    Args:
        stage: Its kind, and settings that the model must have.
        model: The arguments that build its model.
        checkpoint: Its file, for messages.

    Raises:
        ValueError: With a line for each setting that differs: key and both values.
    """
    kind = stage.kind
    arguments = inspect.signature(model_class(kind)).parameters
    defaults = {name: argument.default for name, argument in arguments.items()}
    found = plain({**defaults, **model})
    faults = []
    for key, wanted in plain(stage.model).items():
        if key not in arguments:
            faults.append(f"model.{key} is {wanted}, but a {kind} has no such setting")
        elif key not in NOT_COMPARED and found[key] != wanted:
            faults.append(
                f"model.{key} is {found[key]} in the checkpoint and {wanted} in the config"
            )
    if faults:
        raise ValueError("\n  ".join([f"{checkpoint} is not the model of the config:", *faults]))


def _training(settings: Mapping[str, Any], kind: str, params: Path) -> dict[str, Any]:
    """Return the training settings to record; what cannot be converted is no reason to refuse."""
    try:
        return recorded_training(settings, kind)
    except ValueError as error:
        logger.warning("%s: the training settings are not recorded (%s)", params, error)
    section = settings.get("training_prediction")
    if kind == "savi" or not isinstance(section, dict):
        return {}
    return {key: section[key] for key in ("num_context", "num_preds") if key in section}


def _num_steps(state: Mapping[str, Any]) -> int | None:
    """Return how many steps Adam counted, where the file says."""
    optimizer = state.get("optimizer_state_dict")
    moments = optimizer.get("state") if isinstance(optimizer, dict) else None
    entries = moments.values() if isinstance(moments, dict) else []
    steps = [_count(entry.get("step")) for entry in entries if isinstance(entry, dict)]
    # parameters that did not always have a gradient counted fewer
    return max((step for step in steps if step is not None), default=None)


def _count(value: Any) -> int | None:
    """Return a number of something, None where it is none; it is only recorded."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    is_count = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return int(value) if is_count and value < 2**63 else None


def _savi_digest(savi: Path | None, checkpoint: Path, slot_dim: int) -> str:
    """Return the digest of the SAVi that a predictor belongs to, whose slots must fit."""
    opened = open_savi(_required(savi, checkpoint))
    own = opened.content["model"]["slot_dim"]
    if own != slot_dim:
        raise ValueError(
            f"{checkpoint} predicts slots with slot_dim {slot_dim}, the slots of {savi} have "
            f"{own}; give the SAVi that it was trained on"
        )
    return opened.digest


def _required(savi: Path | None, checkpoint: Path) -> Path:
    if savi is None:
        raise ValueError(
            f"--savi is missing: {checkpoint} holds a predictor, which belongs to the SAVi that it "
            "was trained on; give that one's checkpoint of this project (savi.pt, imported or "
            "trained here)"
        )
    return savi


def _refuse_savi(savi: Path | None, checkpoint: Path) -> None:
    if savi is not None:
        raise ValueError(f"--savi is {savi}, but {checkpoint} holds a SAVi, which needs no other")
