"""Checkpoints: what a file of a model holds, written and checked when read.

A checkpoint is a dict: `format`, `kind` (savi or a predictor's kind), `model` (the arguments that
build the module), `config` (the stage's config), `weights`, `weights_digest`, `step`, `epoch`,
`seed`, `metrics`, `sources` (digests of what it was trained on), and what made it: `versions`,
`device` and `git` (see `ocvp.runtime.environment`; None where that is not known).
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ocvp.models.tensor_files import IMPORT_HINT, read_tensors, save_tensors
from ocvp.runtime.environment import software_versions

FORMAT = "ocvp checkpoint 1"
ENTRIES = {"kind": str, "model": dict, "weights": dict, "weights_digest": str}
"""What every checkpoint holds that is read again."""
FURTHER_ENTRIES = {
    **{"config": dict, "metrics": dict, "savi_digest": str},
    **{"seed": int, "step": int, "epoch": int},
}
"""What else is read again, where it is there and not None."""


def save_checkpoint(path: str | Path, *, weights: Mapping[str, Tensor], **content: Any) -> None:
    """Write a checkpoint atomically, with the digest of its weights and the software's versions.

    Args:
        path: File to write.
        weights: Parameters and buffers by name.
        content: The other entries (see the module's description), for example all of
            `ocvp.runtime.environment.made_by`.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    made_by = {"versions": software_versions(), "device": None, "git": None}
    digest = weights_digest(weights)
    # what the caller knows wins over the defaults
    content = made_by | content | {"weights": weights, "weights_digest": digest}
    save_tensors(path, {"format": FORMAT, **content})


def read_checkpoint(path: str | Path, kinds: Sequence[str] | None = None) -> dict[str, Any]:
    """Read and check a checkpoint, without running any code from it.

    Args:
        path: File to read.
        kinds: What the checkpoint may hold; None: any model.

    Raises:
        ValueError: If it is missing, damaged, holds code or what no checkpoint holds, or holds
            another kind.
    """
    checkpoint = read_tensors(path)
    if checkpoint.get("format") != FORMAT:
        raise ValueError(
            f"{path} is no checkpoint of this project: its format is "
            f"{checkpoint.get('format')!r:.80}, expected {FORMAT!r}; {IMPORT_HINT}"
        )
    for name, kind in (ENTRIES | FURTHER_ENTRIES).items():
        value = checkpoint.get(name)
        if not isinstance(value, kind) and (name in ENTRIES or value is not None):
            raise ValueError(
                f"{path} is damaged or no checkpoint of this project: its {name} is "
                f"{type(value).__name__}, expected {kind.__name__}"
            )
    for name, tensor in checkpoint["weights"].items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ValueError(f"{path} is damaged: {name!r:.80} of its weights is no named tensor")
    if kinds is not None and checkpoint["kind"] not in kinds:
        raise ValueError(f"{path} holds a {checkpoint['kind']}; expected {' or '.join(kinds)}")
    digest = weights_digest(checkpoint["weights"])
    if digest != checkpoint["weights_digest"]:
        raise ValueError(
            f"{path} is damaged: its weights have the digest {digest[:12]}, the file says "
            f"{checkpoint['weights_digest'][:12]}; delete it and run the workflow again"
        )
    return checkpoint


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Return a sha256 over names, types, shapes and bytes of tensors.

    The bytes of a saved file hold more than the weights; this digest depends on them alone.
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        # as bytes: NumPy has no bfloat16
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
