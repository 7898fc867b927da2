"""Read checkpoints and parameter files in the format of the published OCVP experiments.

A published experiment folder holds `experiment_params.json` and `models/checkpoint_*.pth`. The
checkpoint is a dict with epoch, model_state_dict, optimizer_state_dict, scheduler_state_dict and
lr_warmup; the last is a pickled object of a class of that code, so torch's safe loader needs a
stand-in for this one name.
"""

import json
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ocvp.predictors import PREDICTORS
from ocvp.savi import SAVi

# our parameter <- theirs; patterns match whole names
SAVI_NAMES = [
    (r"initializer\.slots_mu", "initializer.mean"),
    (r"initializer\.slots_sigma", "initializer.sigma"),
    (r"initializer\.coord_encoder\.(.+)", r"initializer.mlp.\1"),
    (r"encoder\.encoder\.(\d+)\.block\.0\.(.+)", r"encoder.convolutions.\1.\2"),
    (r"encoder_pos_embedding\.(.+)", r"encoder.position.\1"),
    (r"encoder_mlp\.(.+)", r"encoder.mlp.\1"),
    (r"slot_attention\.norm_input\.(.+)", r"corrector.norm_inputs.\1"),
    (r"slot_attention\.norm_slot\.(.+)", r"corrector.norm_slots.\1"),
    (r"slot_attention\.to_q\.(.+)", r"corrector.query.\1"),
    (r"slot_attention\.to_k\.(.+)", r"corrector.key.\1"),
    (r"slot_attention\.to_v\.(.+)", r"corrector.value.\1"),
    (r"slot_attention\.(norm_mlp|gru|mlp)\.(.+)", r"corrector.\1.\2"),
    (r"predictor\.attn\.q\.(.+)", r"transition.query.\1"),
    (r"predictor\.attn\.k\.(.+)", r"transition.key.\1"),
    (r"predictor\.attn\.v\.(.+)", r"transition.value.\1"),
    (r"predictor\.attn\.out_projection\.0\.(.+)", r"transition.output.\1"),
    (r"predictor\.mlp\.(.+)", r"transition.mlp.\1"),
    (r"predictor\.layernorm_query\.(.+)", r"transition.norm_attention.\1"),
    (r"predictor\.layernorm_mlp\.(.+)", r"transition.norm_mlp.\1"),
    (r"decoder_pos_embedding\.(.+)", r"decoder.position.\1"),
    # numbered below: upsampling layers without parameters stand between the convolutions
    (r"decoder\.decoder\.(\d+)\.block\.0\.(.+)", r"decoder.convolutions.\1.\2"),
    (r"decoder\.decoder\.\d+\.(weight|bias)", r"decoder.output.\1"),
]
SAVI_DROPPED = [r"initializer\.dummy_parameter", r"predictor\.dense_o\..+"]

_BLOCK_NAMES = [
    (r"self_attn\.(.+)", r"attention.\1"),
    (r"norm1\.(.+)", r"norm.\1"),
    (r"norm2\.(.+)", r"feed_forward.norm.\1"),
    (r"(linear[12]\..+)", r"feed_forward.\1"),
]
_LAYER = r"transformer_encoders\.(\d+)\."


def _block(theirs: str, ours: str) -> list[tuple[str, str]]:
    """Return the names of one transformer block that sits at `theirs` in a layer."""
    return [
        (_LAYER + theirs + pattern, rf"layers.\1.{ours}" + name.replace(r"\1", r"\2"))
        for pattern, name in _BLOCK_NAMES
    ]


_TOKEN_NAMES = [(r"mlp_in\.(.+)", r"to_tokens.\1"), (r"mlp_out\.(.+)", r"to_slots.\1")]
PREDICTOR_NAMES: dict[str, list[tuple[str, str]]] = {
    "lstm": [(r"lstm\.(\d+)\.(weight|bias)_(ih|hh)", r"lstm.\2_\3_l\1")],
    "transformer": [*_TOKEN_NAMES, *_block("", "block.")],
    "ocvp_seq": [
        *_TOKEN_NAMES,
        *_block(r"object_encoder_block\.", "object_block."),
        *_block(r"time_encoder_block\.", "time_block."),
    ],
    "ocvp_par": [
        *_TOKEN_NAMES,
        (_LAYER + r"self_attn_obj\.(.+)", r"layers.\1.object_attention.\2"),
        (_LAYER + r"self_attn_time\.(.+)", r"layers.\1.time_attention.\2"),
        *_block("", ""),
    ],
}
PREDICTOR_DROPPED: dict[str, list[str]] = {
    "ocvp_par": [_LAYER + r"self_attn\..+"],
}
PREDICTOR_KINDS = {
    "LSTM": "lstm",
    "Transformer": "transformer",
    "OCVP-Seq": "ocvp_seq",
    "OCVP-Par": "ocvp_par",
}
INITIALIZER_KINDS = {
    "Random": "random",
    "LearnedRandom": "learned_random",
    "CoM": "centres",
    "BBox": "boxes",
}
WARMUP_CLASS = "lib.schedulers.LRWarmUp"


class WarmUpState:
    """Harmless stand-in for the one pickled class: keeps the attributes, runs nothing."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a published checkpoint without running code from it.

    Args:
        path: A `checkpoint_*.pth`.

    Returns:
        The dict in the file; lr_warmup, where it is an object, is a WarmUpState.

    Raises:
        ValueError: If the file needs any other class, is not a checkpoint, or holds no weights.
    """
    try:
        with torch.serialization.safe_globals([(WarmUpState, WARMUP_CLASS)]):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path}: {_refusal(path, error)}") from error
    except (RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError) as error:
        # what the loader trips over in a file that is something else, or cut off
        raise ValueError(
            f"{path}: not a checkpoint that torch.save wrote ({error!r:.80})"
        ) from error
    if not isinstance(checkpoint, dict) or "model_state_dict" not in checkpoint:
        raise ValueError(f"{path}: no model_state_dict; not a published checkpoint")
    return checkpoint


def read_params(path: Path) -> dict[str, Any]:
    """Read an `experiment_params.json`.

    Raises:
        ValueError: If it is not JSON or describes another model than SAVi.
    """
    try:
        params = json.loads(path.read_text(encoding="utf-8"))
        name = params["model"]["model_name"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a published experiment_params.json ({error!r})") from error
    if name != "SAVi":
        raise ValueError(f"{path}: model_name is {name!r}; only 'SAVi' can be imported")
    return params


def savi_arguments(params: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `SAVi` that a published parameter file describes.

    Args:
        params: Content of an `experiment_params.json`.

    Raises:
        ValueError: If a setting is missing or has a value that this package does not have.
    """
    section = params["model"]["SAVi"]
    fixed = {"in_channels": 3, "encoder_type": "ConvEncoder", "upsample": 2}
    for key, only in fixed.items():
        if section.get(key, only) != only:
            raise ValueError(f"SAVi.{key} is {section[key]!r}; only {only!r} can be imported")
    initializer = _known("SAVi.initializer", section.get("initializer"), INITIALIZER_KINDS)
    try:
        # where its encoder downsamples, the published code needs the size after downsampling here
        strided = min(3, len(section["num_channels"])) if section["downsample_encoder"] else 0
        return {
            "resolution": tuple(side * 2**strided for side in section["resolution"]),
            "num_slots": section["num_slots"],
            "slot_dim": section["slot_dim"],
            "encoder_channels": tuple(section["num_channels"]),
            "encoder_mlp_dim": section["mlp_encoder_dim"],
            "slot_mlp_dim": section["mlp_hidden"],
            # listed from the last convolution to the first
            "decoder_channels": tuple(reversed(section["num_channels_decoder"])),
            "decoder_resolution": tuple(section["decoder_resolution"]),
            "kernel_size": section["kernel_size"],
            "downsample_encoder": section["downsample_encoder"],
            "downsample_decoder": section["downsample_decoder"],
            "num_iterations_first": section["num_iterations_first"],
            "num_iterations": section["num_iterations"],
            "transition": section["use_predictor"],
            "initializer": initializer,
            "box_format": "published_pixels",
            "absent": "published",
        }
    except KeyError as error:
        raise ValueError(f"the parameter file has no SAVi.{error.args[0]}") from error


def predictor_arguments(params: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return a predictor's name in PREDICTORS and the arguments of its class.

    Args:
        params: Content of an `experiment_params.json`.

    Raises:
        ValueError: If a setting is missing or the predictor is not one of the four.
    """
    try:
        name = params["model"]["predictor"]["predictor_name"]
        kind = _known("predictor_name", name, PREDICTOR_KINDS)
        section = params["model"]["predictor"][name]
        arguments = {
            "slot_dim": params["model"]["SAVi"]["slot_dim"],
            "hidden_dim": section["hidden_dim"],
            "residual": section["residual"],
        }
        if kind == "lstm":
            return kind, {**arguments, "num_cells": section["num_cells"]}
        return kind, {
            **arguments,
            "token_dim": section["token_dim"],
            "num_layers": section["num_layers"],
            "num_heads": section["n_heads"],
            "buffer_size": section["input_buffer_size"],
        }
    except KeyError as error:
        raise ValueError(f"the parameter file has no predictor setting {error.args[0]}") from error


def load_savi(params: dict[str, Any], checkpoint: dict[str, Any]) -> SAVi:
    """Make a SAVi with published weights, in evaluation mode.

    Args:
        params: Content of its `experiment_params.json`.
        checkpoint: Content of its checkpoint (`read_checkpoint`).

    Raises:
        ValueError: If the weights are not those of the model that the parameters describe.
    """
    model = SAVi(**savi_arguments(params))
    state = _rename(checkpoint["model_state_dict"], SAVI_NAMES, SAVI_DROPPED)
    _load(model, _squeeze_positions(_number_convolutions(state)))
    return model.eval()


def load_predictor(params: dict[str, Any], checkpoint: dict[str, Any]) -> nn.Module:
    """Make a predictor with published weights, in evaluation mode.

    Args:
        params: Content of its `experiment_params.json`.
        checkpoint: Content of its checkpoint (`read_checkpoint`).

    Raises:
        ValueError: If the weights are not those of the model that the parameters describe.
    """
    kind, arguments = predictor_arguments(params)
    model = PREDICTORS[kind](**arguments)
    # older files lack the prefix
    theirs = {
        name.removeprefix("predictor."): tensor
        for name, tensor in checkpoint["model_state_dict"].items()
    }
    _load(model, _rename(theirs, PREDICTOR_NAMES[kind], PREDICTOR_DROPPED.get(kind, [])))
    return model.eval()


def _refusal(path: Path, error: Exception) -> str:
    """Say why the safe loader refused a file, with the names of the classes that it asks for."""
    if zipfile.is_zipfile(path):
        names = set(torch.serialization.get_unsafe_globals_in_checkpoint(path)) - {WARMUP_CLASS}
    else:  # the older format, which torch lists no names for
        names = set(re.findall(r"GLOBAL (\S+)", str(error))) or {"unknown classes"}
    return (
        f"the file holds objects of {', '.join(sorted(names))}, which are not loaded; besides "
        f"tensors and containers only {WARMUP_CLASS} is"
    )


def _known(key: str, value: Any, kinds: dict[str, str]) -> str:
    """Return our word for one of theirs."""
    if value not in kinds:
        raise ValueError(f"{key} is {value!r}; it must be one of {', '.join(kinds)}")
    return kinds[value]


def _rename(
    theirs: dict[str, Tensor], names: list[tuple[str, str]], dropped: list[str]
) -> dict[str, Tensor]:
    """Return the tensors under our names; of two matching patterns the first counts."""
    ours: dict[str, Tensor] = {}
    for name, tensor in theirs.items():
        if any(re.fullmatch(pattern, name) for pattern in dropped):
            continue
        for pattern, replacement in names:
            if match := re.fullmatch(pattern, name):
                ours[match.expand(replacement)] = tensor
                break
        else:
            raise ValueError(f"the checkpoint's parameter {name} has no place in this model")
    return ours


def _number_convolutions(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Number the decoder's convolutions without gaps."""
    pattern = re.compile(r"decoder\.convolutions\.(\d+)\.(.+)")
    found = {name: match for name in state if (match := pattern.fullmatch(name))}
    order = sorted({int(match[1]) for match in found.values()})
    return {
        f"decoder.convolutions.{order.index(int(found[name][1]))}.{found[name][2]}"
        if name in found
        else name: tensor
        for name, tensor in state.items()
    }


def _squeeze_positions(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Turn the 1x1 convolutions of the position grids into linear layers, which they are."""
    suffix = ".position.projection.weight"
    return {
        name: tensor.flatten(1) if name.endswith(suffix) else tensor
        for name, tensor in state.items()
    }


def _load(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Copy weights into the model, or say which parameter does not fit."""
    expected = model.state_dict()
    for name, tensor in state.items():
        if name not in expected:
            raise ValueError(f"the checkpoint's {name} is not a parameter of the described model")
        if tensor.shape != expected[name].shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)} in the checkpoint and "
                f"{tuple(expected[name].shape)} in the model that the parameters describe"
            )
    if missing := expected.keys() - state.keys():
        raise ValueError(f"the checkpoint has no weights for {', '.join(sorted(missing))}")
    model.load_state_dict(state)
