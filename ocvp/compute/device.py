"""Where a program computes, and how the machine is set up for it."""

import ctypes
import logging
import os
import shutil
import sys
from collections.abc import Callable
from typing import TypeVar

import torch

from ocvp.runtime.gpus import take_gpus
from ocvp.runtime.logs import is_rank

Result = TypeVar("Result")
logger = logging.getLogger(__name__)

MOST_GRAPHS = 32
"""Shapes of batches for which a function is compiled; others run as it is."""

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
_KEPT_BYTES = {_M_MMAP_THRESHOLD: 1 << 30, _M_TRIM_THRESHOLD: 1 << 30, _M_TOP_PAD: 1 << 26}


def prepare_device(name: str, num_threads: int, *, tf32: bool = False) -> torch.device:
    """Set up threads and memory, and return the device to compute on.

    Args:
        name: `auto` (a GPU where there is one), `cpu`, `mps`, `cuda` or `cuda:N`.
        num_threads: Threads of CPU operators, at least 1.
        tf32: Whether an NVIDIA GPU may round the factors of float32 products (see
            `set_tf32`).

    Raises:
        ValueError: If the device is not there.
    """
    torch.set_num_threads(num_threads)
    keep_large_buffers()
    set_tf32(tf32)
    if name in ("auto", "cuda") and not is_rank():
        # Before anything asks CUDA: then it has seen all GPUs, and goes on to see them.
        take_gpus(1, torch.cuda.device_count())
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"runtime.device is {name}, but torch sees {torch.cuda.device_count()} CUDA devices; "
            "choose one of them, cpu, or auto"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("runtime.device is mps, but torch sees no such device; choose cpu or auto")
    logger.info("computing on %s, %d threads", device, num_threads)
    return device


def set_tf32(enabled: bool) -> None:
    """Let NVIDIA GPUs multiply float32 matrices and convolve in TF32, or not.

    TF32 rounds the factors to 11 significant bits; sums are float32. CPUs compute as before.
    """
    # The setters of each backend (fp32_precision) leave torch's common settings behind, and these
    # then refuse to be read, which torch.compile does. Here both agree, and nothing warns.
    on_cpu = torch.backends.mkldnn.matmul.fp32_precision  # type: ignore[attr-defined]
    torch.set_float32_matmul_precision("high" if enabled else "highest")
    torch.backends.mkldnn.matmul.fp32_precision = on_cpu  # type: ignore[attr-defined]
    torch.backends.cudnn.allow_tf32 = enabled


def keep_large_buffers() -> None:
    """Let glibc keep large freed buffers instead of giving them back to the system.

    The tensors of a step are freed and allocated again in the next one; asking the system for the
    pages each time costs up to half of a large step on a CPU. Elsewhere than on Linux: nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return
    for option, num_bytes in _KEPT_BYTES.items():
        mallopt(ctypes.c_int(option), ctypes.c_int(num_bytes))


def compiled(function: Callable[..., Result], is_wanted: bool) -> Callable[..., Result]:
    """Return a function of tensors as torch.compile makes it, or as it is.

    Args:
        function: The function; the first call with each shape takes up to minutes.
        is_wanted: `runtime.compile`.

    Raises:
        ValueError: If there is no C++ compiler.
    """
    if not is_wanted:
        return function
    names = [os.environ.get("CXX", "g++"), "g++", "clang++", "c++"]
    if not any(map(shutil.which, names)):
        raise ValueError(
            f"runtime.compile is true, but no C++ compiler ({', '.join(dict.fromkeys(names))}) is "
            "on the path; install one, or set runtime.compile: false"
        )
    # Whole and last batches of training and validation, of two clip lengths, and their parts.
    torch._dynamo.config.recompile_limit = MOST_GRAPHS
    # Not dynamic: which kernel a batch meets must not depend on what came before, as a run that
    # was interrupted is to end with the same weights.
    return torch.compile(function, dynamic=False)
