"""Files of tensors and plain containers: the same bytes each time, and no code run by reading."""

import io
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ocvp.models.pickle_names import ZIP_START, refused_names
from ocvp.runtime.files import write_bytes

IMPORT_HINT = "a published checkpoint is imported with python -m ocvp.import_checkpoint"
MOST_NAMES = 6  # in a message


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
        # told before loading: nothing of a refused file runs
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


def _reason(error: Exception) -> str:
    """Return what a loader says; torch's wraps it in advice, some of it to load unsafely."""
    text = str(error).strip() or type(error).__name__
    if found := re.search(r"WeightsUnpickler error:\s*(\S.*)", text):
        return found[1][:200]
    return text.splitlines()[-1][:200]
