"""Checkpoints: plain tensors and containers, checked when read.

A checkpoint is a dict: `format`, `kind` (savi or a predictor's kind), `model` (the arguments that
build the module), `config` (the stage's config), `weights`, `weights_digest`, `step`, `epoch`,
`seed`, `metrics`, `sources` (digests of what it was trained on), and what made it: `versions`,
`device` and `git` (see `ocvp.runtime.environment`; None where that is not known).
"""

import hashlib
import inspect
import io
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ocvp.models.pickle_names import ZIP_START, refused_names
from ocvp.runtime.environment import software_versions
from ocvp.runtime.files import write_bytes

if TYPE_CHECKING:
    from ocvp.models.savi import SAVi

FORMAT = "ocvp checkpoint 1"
ENTRIES = {"kind": str, "model": dict, "weights": dict, "weights_digest": str}
"""What every checkpoint holds that is read again."""
IMPORT_HINT = "a published checkpoint is imported with python -m ocvp.import_checkpoint"
PREDICTOR_KINDS = ("lstm", "transformer", "ocvp_seq", "ocvp_par")
BOXES = ("box_format", "absent")
SAME_FUNCTION = (
    "initializer",
    *BOXES,
    "transition",
    "transition_heads",
    "downsample_encoder",
    "downsample_decoder",
    "num_heads",
    "residual",
)
"""Arguments of SAVi and of predictors that change what weights of the same shapes compute."""
TRAINED = ("seed", "step", "examples", "training_seconds")
"""What a checkpoint says of its training."""
MOST_NAMES = 6  # in a message


def load_savi(path: str | Path, device: str | torch.device = "cpu") -> "SAVi":
    """Load a SAVi, in evaluation mode.

    Raises:
        ValueError: If the file is missing, damaged, holds code, or is no SAVi of this architecture.
    """
    return _load(path, ("savi",), device)


def load_predictor(path: str | Path, device: str | torch.device = "cpu") -> nn.Module:
    """Load a slot predictor, in evaluation mode.

    Raises:
        ValueError: If the file is missing, damaged, holds code, or is no predictor of this
            architecture.
    """
    return _load(path, PREDICTOR_KINDS, device)


def _load(path: str | Path, kinds: tuple[str, ...], device: str | torch.device) -> Any:
    checkpoint = read_checkpoint(path, kinds)
    module = _build(model_class(checkpoint["kind"]), checkpoint, path)
    return load_weights(module, checkpoint, path).to(device).eval()


def model_class(kind: str) -> Callable[..., nn.Module]:
    """Return the class of `savi` or of a predictor's kind.

    It is imported here, by need, so that a change of a model makes only its users stale.
    """
    if kind == "savi":
        from ocvp.models.savi import SAVi

        return SAVi
    from ocvp.models.predictors import PREDICTORS

    return PREDICTORS[kind]


def check_belongs(predictor: str | Path, savi: str | Path) -> str:
    """Return a predictor's weights_digest, after checking that it was trained on a SAVi.

    Raises:
        ValueError: If it was trained on another SAVi, or a file cannot be read.
    """
    content = read_checkpoint(predictor, kinds=PREDICTOR_KINDS)
    given = read_checkpoint(savi, kinds=("savi",))["weights_digest"]
    if content.get("savi_digest") != given:
        raise ValueError(
            f"{predictor} was trained on another SAVi (weights "
            f"{str(content.get('savi_digest'))[:12]}) than {savi} ({given[:12]})"
        )
    return str(content["weights_digest"])


def save_checkpoint(path: str | Path, *, weights: Mapping[str, Tensor], **content: Any) -> None:
    """Write a checkpoint atomically, with the digest of its weights and the software's versions.

    Args:
        path: File to write.
        weights: Parameters and buffers by name.
        content: The other entries (see the module's description), for example all of
            `ocvp.runtime.environment.made_by`.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    checkpoint = {
        "format": FORMAT,
        "versions": software_versions(),
        "device": None,
        "git": None,
        **content,
        "weights": weights,
        "weights_digest": weights_digest(weights),
    }
    save_tensors(path, checkpoint)


def save_tensors(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write tensors and containers atomically; the same content gives the same bytes."""
    write_bytes(path, tensor_bytes(content))


def tensor_bytes(content: Mapping[str, Any]) -> memoryview:
    """Return the bytes of a file of tensors and containers, which `read_tensors` reads."""
    # Through memory: torch's own writer does not say why a write failed, may crash the process
    # later on, and puts the name of the file into the bytes.
    buffer = io.BytesIO()
    torch.save(_rebuilt(dict(content)), buffer)
    return buffer.getbuffer()


def _rebuilt(value: Any) -> Any:
    """Return plain containers in which equal texts are one object, and containers are several.

    A pickle's bytes depend on that, and what is read and written again must have the same bytes:
    else all that was made of a checkpoint would be stale.
    """
    if type(value) is str:
        return sys.intern(value)
    if type(value) is dict:
        return {_rebuilt(key): _rebuilt(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_rebuilt, value))
    return value


def read_checkpoint(path: str | Path, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Read and check a checkpoint, without running any code from it.

    Args:
        path: File to read.
        kinds: What the checkpoint may hold.

    Raises:
        ValueError: If it is missing, damaged, holds code, or holds another kind.
    """
    checkpoint = read_tensors(path)
    if checkpoint.get("format") != FORMAT:
        raise ValueError(
            f"{path} is no checkpoint of this project: its format is "
            f"{checkpoint.get('format')!r}, expected {FORMAT!r}; {IMPORT_HINT}"
        )
    for name, kind in ENTRIES.items():
        if not isinstance(checkpoint.get(name), kind):
            raise ValueError(
                f"{path} is damaged or no checkpoint of this project: its {name} is "
                f"{type(checkpoint.get(name)).__name__}, expected {kind.__name__}"
            )
    if not all(isinstance(tensor, Tensor) for tensor in checkpoint["weights"].values()):
        raise ValueError(f"{path} is damaged: its weights hold something else than tensors")
    if checkpoint["kind"] not in kinds:
        raise ValueError(f"{path} holds a {checkpoint['kind']}; expected {' or '.join(kinds)}")
    found = weights_digest(checkpoint["weights"])
    if found != checkpoint["weights_digest"]:
        raise ValueError(
            f"{path} is damaged: its weights have the digest {found[:12]}, the file says "
            f"{checkpoint['weights_digest'][:12]}; delete it and run the workflow again"
        )
    return checkpoint


def read_tensors(
    path: str | Path, *, allowed: Sequence[tuple[type, str]] = (), older_formats: bool = False
) -> dict[str, Any]:
    """Read a file of tensors and containers; refuse anything that would run code.

    Args:
        path: File to read.
        allowed: Further classes, each with the name that the file has for it; making one of them
            and giving it any state must do no harm.
        older_formats: Read files of torch 1.5 and older too.

    Raises:
        ValueError: If the file is missing, damaged, no dict, or holds anything else, naming it.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}")
    with path.open("rb") as file:
        # Older formats are pickles through and through; nothing here writes them.
        if file.read(len(ZIP_START)) != ZIP_START and not older_formats:
            raise ValueError(f"{path} is damaged or no checkpoint: it is no zip archive")
    further = [name for _, name in allowed]
    try:
        names = sorted(refused_names(path).difference(further))
        if not names:
            with torch.serialization.safe_globals(list(allowed)), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about formats that are refused anyway
                content = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # the loader fails in many ways on damaged bytes
        raise ValueError(f"{path} is damaged or no checkpoint: {_reason(error)}") from None
    if names:
        hint = f"besides tensors and containers only {', '.join(further)} is allowed"
        raise ValueError(
            f"{path} asks for {', '.join(names[:MOST_NAMES])}"
            f"{', ...' * (len(names) > MOST_NAMES)} and was not loaded: such a file can run code; "
            f"{hint if further else IMPORT_HINT}"
        )
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a dict of tensors")
    return content


def how_trained(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a checkpoint's weights were trained, for records; None for what it does not say.

    It does not, where the weights were imported.
    """
    return {name: checkpoint.get(name) for name in TRAINED}


def load_weights(module: nn.Module, checkpoint: Mapping[str, Any], path: str | Path) -> Any:
    """Load a checkpoint's weights into a module, naming the first that does not fit.

    Raises:
        ValueError: If a parameter is missing, unknown, or of another shape.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in checkpoint["weights"].items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ValueError(
                f"{path} does not fit this architecture: {name} has the shape "
                f"{found.get(name, 'missing')}, expected {expected.get(name, 'no such parameter')}"
            )
    module.load_state_dict(checkpoint["weights"])
    return module


def start_from(module: nn.Module, path: str | Path, kind: str, arguments: Mapping[str, Any]) -> str:
    """Give a module the weights of a checkpoint, to train them further.

    Shapes alone do not tell: weights of four attention heads fit two. Arguments that change what
    the same weights compute must be those that they were trained with; numbers of slots, frames
    and iterations, the resolution and dropout may differ.

    Args:
        module: The module, of the architecture that is to be trained.
        path: The checkpoint.
        kind: What it must hold.
        arguments: The arguments that made the module.

    Returns:
        The checkpoint's weights_digest.

    Raises:
        ValueError: If the weights do not fit, or were trained as part of another function, naming
            the argument and both values.
    """
    checkpoint = read_checkpoint(path, kinds=(kind,))
    parameters = inspect.signature(model_class(kind)).parameters
    wanted, found = (
        {key: model.get(key, parameters[key].default) for key in parameters}
        for model in (arguments, checkpoint["model"])
    )
    for key in filter(wanted.__contains__, SAME_FUNCTION):
        if key in BOXES and wanted["initializer"] not in ("boxes", "centres"):
            continue
        if key == "transition_heads" and not wanted["transition"]:
            continue
        if wanted[key] != found[key]:
            raise ValueError(
                f"model.{key} is {wanted[key]!r}, but the weights of {path} were trained with "
                f"{found[key]!r}; give the same"
            )
    load_weights(module, checkpoint, path)
    return str(checkpoint["weights_digest"])


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Return a sha256 over names, types, shapes and bytes of tensors.

    The bytes of a saved file hold more than the weights; this digest depends on them alone.
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _build(
    module_class: Callable[..., nn.Module], checkpoint: Mapping[str, Any], path: str | Path
) -> nn.Module:
    """Build the module that a checkpoint describes."""
    try:
        return module_class(**checkpoint["model"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} does not fit this architecture: {error}") from None


def _reason(error: Exception) -> str:
    """Return what a loader says; torch's wraps it in advice, some of it to load unsafely."""
    text = str(error).strip() or type(error).__name__
    if found := re.search(r"WeightsUnpickler error:\s*(\S.*)", text):
        return found[1][:200]
    return text.splitlines()[-1][:200]
