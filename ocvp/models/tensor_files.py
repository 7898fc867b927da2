"""Files of tensors and plain containers: the same bytes each time, and no code run by reading."""

import io
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ocvp.models.archive_check import check_archive
from ocvp.models.pickle_names import ZIP_START, refused_names
from ocvp.runtime.files import write_bytes

IMPORT_HINT = "a published checkpoint is imported with python -m ocvp.import_checkpoint"
MOST_NAMES = 6  # in a message
MOST_DEPTH = 50
MOST_ENTRIES = 5_000_000
"""Containers within containers, and what they hold together: far more than any model or state."""
DTYPES = (
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
)
"""What tensors may hold."""


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

    Of a zip archive every record is checked against its checksum; older formats have none.

    Args:
        path: File to read.
        allowed: Further classes, each with the name that the file has for it; making one of them
            and giving it any state must do no harm.
        older_formats: Read files of torch 1.5 and older too.

    Raises:
        ValueError: If the file is missing, damaged, no dict, or holds anything else, such as
            tensors without values of their own, naming it.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}")
    with path.open("rb") as file:
        is_archive = file.read(len(ZIP_START)) == ZIP_START
    # Older formats are pickles through and through; nothing here writes them.
    if not is_archive and not older_formats:
        raise ValueError(f"{path} is damaged or no checkpoint: it is no zip archive")
    further = [name for _, name in allowed]
    try:
        if is_archive:
            check_archive(path)
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
    _check_plain(path, content)
    return content


def _check_plain(path: Path, content: dict[Any, Any]) -> None:
    """Raise ValueError where a file holds tensors that are no plain arrays, or no end of things."""
    for count, (keys, value) in enumerate(_entries((), content)):
        if count == MOST_ENTRIES or len(keys) == MOST_DEPTH:
            raise ValueError(f"{path} holds containers in containers without end")
        if isinstance(value, Tensor) and (fault := _fault(value)):
            name = ".".join(map(str, keys))[:200]
            raise ValueError(f"{path}: {name} is {fault}; only plain tensors are read")


def _entries(keys: tuple[Any, ...], value: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield all that a container holds, on every level, with the keys that lead there."""
    yield keys, value
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple | set):
        items = enumerate(value)
    elif not isinstance(value, Tensor):  # of another class that is allowed
        items = getattr(value, "__dict__", {}).items()
    for key, item in items:
        yield from _entries((*keys, key), item)


def _fault(tensor: Tensor) -> str:
    """Say what keeps a tensor from being a plain array; empty where nothing does."""
    if tensor.is_meta:
        return f"without values (meta), of shape {tuple(tensor.shape)}"
    if tensor.layout != torch.strided:
        return str(tensor.layout)
    if tensor.dtype not in DTYPES or tensor.is_neg():
        return str(tensor.dtype)
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return f"expanded to the shape {tuple(tensor.shape)}, of fewer values"
    return ""


def _reason(error: Exception) -> str:
    """Return what a loader says; torch's wraps it in advice, some of it to load unsafely."""
    text = str(error).strip() or type(error).__name__
    if found := re.search(r"WeightsUnpickler error:\s*(\S.*)", text):
        return found[1][:200]
    return text.splitlines()[-1][:200]
