"""Read published checkpoints, safely, and make models with their weights.

A published experiment folder holds `experiment_params.json` and `models/checkpoint_*.pth`. The
checkpoint is a dict with epoch, model_state_dict, optimizer_state_dict, scheduler_state_dict and
lr_warmup; the last is a pickled object of a class of that code, so torch's safe loader needs a
stand-in for this one name.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ocvp.models.loading import build_module
from ocvp.models.tensor_files import read_tensors as read_plain_tensors
from ocvp.published.names import Renamed, kind_of, listed, rename, unwrapped
from ocvp.published.settings import predictor_arguments, savi_arguments

logger = logging.getLogger(__name__)

WARMUP_CLASS = "lib.schedulers.LRWarmUp"
PLAIN = (str, bool, int, float, list, tuple, dict, Tensor, type(None))


class WarmUpState:
    """Harmless stand-in for the one pickled class: keeps plain attributes, runs nothing."""

    def __setstate__(self, state: Any) -> None:
        """Keep the attributes of a pickled warm-up, which are numbers and switches.

        Raises:
            ValueError: If the state is no mapping of names to plain values.
        """
        if not isinstance(state, dict):
            raise ValueError(f"the state of {WARMUP_CLASS} is a {type(state).__name__}, no dict")
        for name, value in state.items():
            if not isinstance(name, str) or not name.isidentifier() or name.startswith("__"):
                raise ValueError(f"{WARMUP_CLASS} has an attribute {name!r:.40}")
            if not isinstance(value, PLAIN):
                kind = type(value).__name__
                raise ValueError(f"the attribute {name} of {WARMUP_CLASS} is a {kind}")
        vars(self).update(state)


class Published(NamedTuple):
    """A model with published weights, and what the file said of them."""

    kind: str
    """`savi`, or a predictor's kind."""
    arguments: dict[str, Any]
    """What builds the model."""
    model: nn.Module
    """In evaluation mode."""
    dropped: tuple[str, ...]
    """Tensors of the file that no output depends on."""


def read_tensors(path: Path) -> dict[str, Any]:
    """Read a file of torch.save without running code from it.

    Args:
        path: A published checkpoint, or one of this project.

    Returns:
        The dict in the file; an object of the warm-up class is a WarmUpState.

    Raises:
        ValueError: If the file is missing, needs any other class, is damaged, or holds no dict.
    """
    allowed = [(WarmUpState, WARMUP_CLASS)]
    return read_plain_tensors(path, allowed=allowed, older_formats=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a published checkpoint without running code from it (see `read_tensors`).

    Raises:
        ValueError: If the file is missing, needs any other class, is damaged, or holds no weights.
    """
    checkpoint = read_tensors(path)
    if "model_state_dict" not in checkpoint:
        raise ValueError(f"{path}: no model_state_dict; not a published checkpoint")
    state = checkpoint["model_state_dict"]
    if not isinstance(state, dict) or not state:
        raise ValueError(f"{path}: its model_state_dict holds no weights")
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ValueError(f"{path}: {name!r:.80} of its model_state_dict is no tensor")
        if not tensor.is_floating_point():
            raise ValueError(f"{path}: {name} is {tensor.dtype}; no weights")
    return checkpoint


def load_published(params: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> Published:
    """Make the model that a published checkpoint holds.

    Args:
        params: Content of its `experiment_params.json` (`ocvp.published.settings.read_params`).
        checkpoint: Content of the checkpoint (`read_checkpoint`).

    Raises:
        ValueError: If the weights are not those of the model that the parameters describe, or are
            not finite.
    """
    state, wrappers = unwrapped(checkpoint["model_state_dict"])
    if wrappers:
        logger.info("the names of all tensors start with %s, which was removed", wrappers)
    kind = kind_of(state)
    if kind == "savi":
        arguments = savi_arguments(params)
    else:
        described, arguments = predictor_arguments(params)
        if described != kind:
            raise ValueError(
                f"the checkpoint holds the predictor {kind}, the parameters describe {described} "
                "(model.predictor.predictor_name)"
            )
    renamed = rename(state, kind)
    try:
        model = build_module(kind, arguments, renamed.tensors)
    except ValueError as error:
        text = f"the parameters describe a {kind} that cannot be built: {error}"
        raise ValueError(text) from error
    _load(model, renamed)
    return Published(kind, arguments, model.eval(), renamed.dropped)


def _load(model: nn.Module, renamed: Renamed) -> None:
    """Copy weights into the model, or say which parameter does not fit."""
    expected = model.state_dict()
    for ours, tensor in renamed.tensors.items():
        name = f"{ours} (in the file: {renamed.theirs[ours]})"
        if ours not in expected:
            raise ValueError(f"the checkpoint's {name} is not a parameter of the described model")
        if tensor.shape != expected[ours].shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)} in the checkpoint and "
                f"{tuple(expected[ours].shape)} in the model that the parameters describe"
            )
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} is not finite: it holds NaN or infinity")
    if missing := expected.keys() - renamed.tensors.keys():
        raise ValueError(f"the checkpoint has no weights for {listed(missing)}")
    model.load_state_dict(renamed.tensors)
