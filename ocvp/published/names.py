"""Names of the tensors in published checkpoints, and ours for them."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

# our parameter <- theirs; patterns match whole names, and the first that matches counts
Names = list[tuple[str, str]]

SAVI_NAMES: Names = [
    # initialisers
    (r"initializer\.slots_mu", "initializer.mean"),
    (r"initializer\.slots_sigma", "initializer.sigma"),
    (r"initializer\.coord_encoder\.(.+)", r"initializer.mlp.\1"),
    # encoder
    (r"encoder\.encoder\.(\d+)\.block\.0\.(.+)", r"encoder.convolutions.\1.\2"),
    (r"encoder_pos_embedding\.(.+)", r"encoder.position.\1"),
    (r"encoder_mlp\.(.+)", r"encoder.mlp.\1"),
    # slot attention
    (r"slot_attention\.norm_input\.(.+)", r"corrector.norm_inputs.\1"),
    (r"slot_attention\.norm_slot\.(.+)", r"corrector.norm_slots.\1"),
    (r"slot_attention\.to_q\.(.+)", r"corrector.query.\1"),
    (r"slot_attention\.to_k\.(.+)", r"corrector.key.\1"),
    (r"slot_attention\.to_v\.(.+)", r"corrector.value.\1"),
    (r"slot_attention\.(norm_mlp|gru|mlp)\.(.+)", r"corrector.\1.\2"),
    # the transition, which the published code calls predictor as well
    (r"predictor\.attn\.q\.(.+)", r"transition.query.\1"),
    (r"predictor\.attn\.k\.(.+)", r"transition.key.\1"),
    (r"predictor\.attn\.v\.(.+)", r"transition.value.\1"),
    (r"predictor\.attn\.out_projection\.0\.(.+)", r"transition.output.\1"),
    (r"predictor\.mlp\.(.+)", r"transition.mlp.\1"),
    (r"predictor\.layernorm_query\.(.+)", r"transition.norm_attention.\1"),
    (r"predictor\.layernorm_mlp\.(.+)", r"transition.norm_mlp.\1"),
    # decoder
    (r"decoder_pos_embedding\.(.+)", r"decoder.position.\1"),
    # numbered below: upsampling layers without parameters stand between the convolutions
    (r"decoder\.decoder\.(\d+)\.block\.0\.(.+)", r"decoder.convolutions.\1.\2"),
    (r"decoder\.decoder\.\d+\.(weight|bias)", r"decoder.output.\1"),
]

_BLOCK_NAMES: Names = [
    (r"self_attn\.(.+)", r"attention.\1"),
    (r"norm1\.(.+)", r"norm.\1"),
    (r"norm2\.(.+)", r"feed_forward.norm.\1"),
    (r"(linear[12]\..+)", r"feed_forward.\1"),
]
_LAYER = r"transformer_encoders\.(\d+)\."


def _block(theirs: str, ours: str) -> Names:
    """Return the names of one transformer block that sits at `theirs` in a layer."""
    return [
        # _LAYER catches the number of the layer first, so what the pattern catches is the second
        (_LAYER + theirs + pattern, rf"layers.\1.{ours}" + name.replace(r"\1", r"\2"))
        for pattern, name in _BLOCK_NAMES
    ]


_TOKEN_NAMES: Names = [(r"mlp_in\.(.+)", r"to_tokens.\1"), (r"mlp_out\.(.+)", r"to_slots.\1")]
NAMES: dict[str, Names] = {
    "savi": SAVI_NAMES,
    # there a list of cells, here the layers of one LSTM
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
DROPPED: dict[str, list[str]] = {
    "savi": [r"initializer\.dummy_parameter", r"predictor\.dense_o\..+"],
    "ocvp_par": [_LAYER + r"self_attn\..+"],
}
"""Tensors that no output depends on."""

_WRAPPERS = re.compile(r"((module|_orig_mod)\.)*")
"""What data-parallel training and torch.compile put before the names of all tensors."""

_TELLTALES = [
    # in this order: the layers of both OCVPs would pass for those of a transformer
    ("savi", r"(encoder|encoder_mlp|slot_attention|decoder)\..+"),
    ("lstm", r"lstm\..+"),
    ("ocvp_seq", _LAYER + r"(object|time)_encoder_block\..+"),
    ("ocvp_par", _LAYER + r"self_attn_(obj|time)\..+"),
    ("transformer", _LAYER + r".+"),
]


class Renamed(NamedTuple):
    """Tensors of a published checkpoint under our names."""

    tensors: dict[str, Tensor]
    """By our name."""
    theirs: dict[str, str]
    """Our name to theirs."""
    dropped: tuple[str, ...]
    """Theirs, of tensors that no output depends on."""


def unwrapped(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Return tensors without what wrappers put before all their names, and what that was."""
    found = [match[0] for name in state if (match := _WRAPPERS.match(name))]  # all match
    wrappers = min(found, key=len)
    if not all(name.startswith(wrappers) for name in state):
        wrappers = ""
    return {name.removeprefix(wrappers): tensor for name, tensor in state.items()}, wrappers


def kind_of(names: Iterable[str]) -> str:
    """Return what tensors with these names are: `savi`, or a predictor's name in PREDICTORS.

    Raises:
        ValueError: If no model has such names.
    """
    names = list(names)
    for kind, pattern in _TELLTALES:
        # a predictor's older files lack the prefix
        if any(re.fullmatch(r"(predictor\.)?" + pattern, name) for name in names):
            return kind
    raise ValueError(f"its tensors ({listed(names)}) are those of no SAVi and no predictor")


def rename(state: Mapping[str, Tensor], kind: str) -> Renamed:
    """Give the tensors of a published checkpoint our names.

    Args:
        state: Its model_state_dict.
        kind: What it holds (`kind_of`).

    Raises:
        ValueError: If a tensor has no place in such a model, or two have the same.
    """
    found: dict[str, str] = {}  # theirs to ours
    dropped, unknown = [], []
    for name in state:
        bare = name if kind == "savi" else name.removeprefix("predictor.")
        if any(re.fullmatch(pattern, bare) for pattern in DROPPED.get(kind, [])):
            dropped.append(name)
        elif ours := _our_name(bare, NAMES[kind]):
            found[name] = ours
        else:
            unknown.append(name)
    if unknown:
        raise ValueError(f"the checkpoint's {listed(unknown)} has no place in this model ({kind})")
    found = _number_convolutions(found)
    # Two of theirs for one of ours: older and newer names in one file.
    theirs: dict[str, str] = {}
    for name, ours in found.items():
        if ours in theirs:
            raise ValueError(f"the checkpoint's {theirs[ours]} and {name} are both {ours}")
        theirs[ours] = name
    tensors = {ours: _squeezed(ours, state[name]) for ours, name in theirs.items()}
    return Renamed(tensors, theirs, tuple(dropped))


def listed(names: Iterable[str], most: int = 6) -> str:
    """Return names for a message, the first few of many."""
    names = sorted(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _our_name(name: str, names: Names) -> str | None:
    for pattern, replacement in names:
        if match := re.fullmatch(pattern, name):
            return match.expand(replacement)
    return None


def _number_convolutions(found: dict[str, str]) -> dict[str, str]:
    """Number the decoder's convolutions without gaps."""
    pattern = re.compile(r"decoder\.convolutions\.(\d+)\.(.+)")
    matches = {name: match for name, ours in found.items() if (match := pattern.fullmatch(ours))}
    order = sorted({int(match[1]) for match in matches.values()})
    numbered = {
        name: f"decoder.convolutions.{order.index(int(match[1]))}.{match[2]}"
        for name, match in matches.items()
    }
    return found | numbered


def _squeezed(ours: str, tensor: Tensor) -> Tensor:
    """Turn the 1x1 convolutions of the position grids into linear layers, which they are."""
    is_convolution = ours.endswith(".position.projection.weight") and tensor.dim() == 4
    return tensor.flatten(1) if is_convolution and tensor.shape[2:] == (1, 1) else tensor
