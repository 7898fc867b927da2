"""Read `experiment_params.json`, the parameter file of a published experiment."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ocvp.records.origins import PARAMS

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
SAVI_FIXED = {"in_channels": 3, "encoder_type": "ConvEncoder", "upsample": 2}
"""Settings of SAVi that have one value here."""
SAVI_KEYS = {
    "num_slots": "num_slots",
    "slot_dim": "slot_dim",
    "num_channels": "encoder_channels",
    "mlp_encoder_dim": "encoder_mlp_dim",
    "mlp_hidden": "slot_mlp_dim",
    "num_channels_decoder": "decoder_channels",
    "decoder_resolution": "decoder_resolution",
    "kernel_size": "kernel_size",
    "downsample_encoder": "downsample_encoder",
    "downsample_decoder": "downsample_decoder",
    "num_iterations_first": "num_iterations_first",
    "num_iterations": "num_iterations",
    "use_predictor": "transition",
    "initializer": "initializer",
    "resolution": "resolution",
}
"""Their settings of SAVi to arguments of ours."""
LSTM_KEYS = {"hidden_dim": "hidden_dim", "num_cells": "num_cells", "residual": "residual"}
TRANSFORMER_KEYS = {
    "token_dim": "token_dim",
    "hidden_dim": "hidden_dim",
    "num_layers": "num_layers",
    "n_heads": "num_heads",
    "residual": "residual",
    "input_buffer_size": "buffer_size",
}
_PAIR = ("resolution", "decoder_resolution")
_CHANNELS = ("num_channels", "num_channels_decoder")
_SWITCHES = ("downsample_encoder", "downsample_decoder", "use_predictor", "residual")


def read_params(path: Path) -> dict[str, Any]:
    """Read an `experiment_params.json`.

    Raises:
        ValueError: If it is missing, is not JSON, or describes another model than SAVi.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    try:
        params = json.loads(path.read_text(encoding="utf-8"))
        name = params["model"]["model_name"]
    except (ValueError, KeyError, TypeError) as error:
        # Of a file that is no text, the error's own words would be the whole file.
        reason = "it is no text" if isinstance(error, UnicodeDecodeError) else repr(error)
        raise ValueError(f"{path}: not a published {PARAMS} ({reason})") from error
    if name != "SAVi":
        raise ValueError(f"{path}: model.model_name is {name!r}; only 'SAVi' can be imported")
    return params


def savi_arguments(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `SAVi` that a published parameter file describes.

    Args:
        params: Content of an `experiment_params.json`.

    Raises:
        ValueError: If a setting is missing or has a value that this package does not have.
    """
    section = subsection(params, "model", "SAVi")
    for key, only in SAVI_FIXED.items():
        if section.get(key, only) != only:
            raise ValueError(f"model.SAVi.{key} is {section[key]!r}; only {only!r} can be imported")
    arguments = {ours: _setting(section, "model.SAVi", key) for key, ours in SAVI_KEYS.items()}
    # where its encoder downsamples, the published code needs the size after downsampling here
    strides = min(3, len(arguments["encoder_channels"])) if arguments["downsample_encoder"] else 0
    arguments["resolution"] = tuple(side * 2**strides for side in arguments["resolution"])
    # listed from the last convolution to the first
    arguments["decoder_channels"] = tuple(reversed(arguments["decoder_channels"]))
    arguments["initializer"] = _known(
        "model.SAVi.initializer", arguments["initializer"], INITIALIZER_KINDS
    )
    return {**arguments, "box_format": "published_pixels", "absent": "published"}


def predictor_arguments(
    params: Mapping[str, Any], name: str | None = None
) -> tuple[str, dict[str, Any]]:
    """Return a predictor's name in PREDICTORS and the arguments of its class.

    Args:
        params: Content of an `experiment_params.json`.
        name: Which of the predictors in the file; None: the one that its predictor_name names.

    Raises:
        ValueError: If a setting is missing, the predictor is not one of the four, or it was not
            shown every context frame.
    """
    where = "model.predictor"
    section = subsection(params, "model", "predictor")
    if name is None:
        if "predictor_name" not in section:
            raise ValueError(f"the parameter file has no {where}.predictor_name")
        name = section["predictor_name"]
    kind = _known(f"{where}.predictor_name", name, PREDICTOR_KINDS)
    own = subsection(params, "model", "predictor", str(name))
    _check_context(params)
    keys = LSTM_KEYS if kind == "lstm" else TRANSFORMER_KEYS
    arguments = {ours: _setting(own, f"{where}.{name}", key) for key, ours in keys.items()}
    slot_dim = _setting(subsection(params, "model", "SAVi"), "model.SAVi", "slot_dim")
    return kind, {"slot_dim": slot_dim, **arguments}


def _check_context(params: Mapping[str, Any]) -> None:
    """Raise ValueError where the published code drops the first context frame."""
    training = params.get("training_prediction")
    skipped = training.get("skip_first_slot", False) if isinstance(training, dict) else False
    if skipped is not False:
        raise ValueError(
            f"training_prediction.skip_first_slot is {skipped!r}; a predictor here sees every "
            "context frame, so it must be false"
        )


def subsection(params: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return a mapping within the parameters.

    Raises:
        ValueError: If there is none, naming it.
    """
    value: Any = params
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, dict):
        raise ValueError(f"the parameter file has no {'.'.join(keys)}")
    return value


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as JSON gives them, with lists for tuples."""
    return dict(json.loads(json.dumps(dict(settings), default=str)))


def _setting(section: Mapping[str, Any], where: str, key: str) -> Any:
    """Return a setting, lists as tuples, after a check of its type."""
    if key not in section:
        raise ValueError(f"the parameter file has no {where}.{key}")
    value = section[key]
    if key in _SWITCHES:
        needed, fits = "true or false", isinstance(value, bool)
    elif key == "initializer":
        needed, fits = "a name", isinstance(value, str)
    elif key in _PAIR:
        needed, fits = "two positive integers", _are_counts(value) and len(value) == 2
    elif key in _CHANNELS:
        needed, fits = "a list of positive integers", _are_counts(value)
    elif key == "input_buffer_size" and value is None:
        return None
    else:
        needed, fits = "a positive integer", _is_count(value)
    if not fits:
        raise ValueError(f"{where}.{key} is {value!r}; it must be {needed}")
    return tuple(value) if isinstance(value, list) else value


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0  # True is an int


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_count, value))


def _known(key: str, value: Any, kinds: Mapping[str, str]) -> str:
    """Return our word for one of theirs."""
    if not isinstance(value, str) or value not in kinds:
        raise ValueError(f"{key} is {value!r}; it must be one of {', '.join(kinds)}")
    return kinds[value]
