"""What made a product: versions of the software, the device, the commit of the source.

Nothing here changes a product's content; it is written beside it, in plain containers.
"""

import contextlib
import functools
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PACKAGES = (
    *("ocvp", "torch", "torchvision", "torchmetrics", "numpy", "scipy", "scikit-learn"),
    *("h5py", "av", "pillow", "mujoco"),
)
"""Packages that products depend on, whose versions are recorded, besides Python's and CUDA's."""
SOURCES = ("", "../workflow", "../Snakefile")
"""What counts for `dirty`, seen from the package's folder."""
GIT_SECONDS = 10.0
"""Longest that git may take in all; a repository may lie on a disk that does not answer."""


def made_by(device: "torch.device | None" = None) -> dict[str, Any]:
    """Return what this process computes with.

    Call it at the start of a program: the commit is looked up once, and the source may be edited
    while the program runs.

    Args:
        device: Where the program computes; None: it needs no device.

    Returns:
        Plain containers: `versions` (package to version; `python`, and `cuda` and `cudnn` on a
        GPU), `device` (`type` and `name`, or None), `platform`, and `git` (see `source_commit`).
    """
    return {
        "versions": software_versions(device),
        "device": None if device is None else {"type": device.type, "name": device_name(device)},
        "platform": platform.platform(),
        "git": source_commit(Path(__file__).resolve().parents[1]),
    }


def software_versions(device: "torch.device | None" = None) -> dict[str, str]:
    """Return the versions of Python and of packages that are installed.

    Args:
        device: Where the program computes; CUDA's versions count on a GPU only.
    """
    found = {"python": platform.python_version(), **_package_versions()}
    # What is loaded knows its build (2.11.0+cu130) better than what was installed.
    torch = sys.modules.get("torch")
    if torch is not None:
        found["torch"] = str(torch.__version__)
    if torch is not None and device is not None and device.type == "cuda":
        # On AMD's GPUs torch has no CUDA, but HIP.
        of_gpu = {"cuda": torch.version.cuda, "hip": torch.version.hip}
        of_gpu["cudnn"] = torch.backends.cudnn.version()
        found |= {name: str(version) for name, version in of_gpu.items() if version is not None}
    return found


@functools.cache
def _package_versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        # ocvp may be run where it lies.
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def device_name(device: "torch.device") -> str:
    """Return the model of a device, the same for all devices of a kind.

    Args:
        device: A CPU, or a GPU that is there.
    """
    if device.type == "cuda":
        import torch

        return str(torch.cuda.get_device_name(device))
    return processor_name()


@functools.cache
def processor_name() -> str:
    """Return the model of this machine's processor."""
    with contextlib.suppress(OSError):  # elsewhere than on Linux
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        if match := re.search(r"^model name\s*:(.*)$", text, re.MULTILINE):
            return match[1].strip()
    return platform.processor() or platform.machine()


@functools.cache
def source_commit(package: Path) -> dict[str, Any] | None:
    """Return the commit that a package's source belongs to.

    Args:
        package: The package's folder.

    Returns:
        `commit`, 40 hexadecimal digits, and `dirty`: whether tracked files of the package or the
        workflow differ from it. None where the package is not tracked in any repository (an
        installed one may lie within somebody else's), where git is missing, refuses, or takes
        longer than `GIT_SECONDS`.
    """
    deadline = time.monotonic() + GIT_SECONDS
    paths = [str((package / source).resolve()) for source in SOURCES]
    try:
        _git(package, deadline, "ls-files", "--error-unmatch", "__init__.py")
        commit = _git(package, deadline, "rev-parse", "--verify", "HEAD").strip()
        options = ("--porcelain", "--untracked-files=no", "--")
        status = _git(package, deadline, "status", *options, *paths)
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(status.strip())}


def _git(folder: Path, deadline: float, *arguments: str) -> str:
    """Run git for the repository that a folder lies in.

    Raises:
        OSError: If git is missing.
        SubprocessError: If git refuses, or the time is over.
    """
    # A hook sets GIT_DIR and the like to a repository of its own.
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(
        # Not even the index is written: the user's own git may be at work.
        ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=max(deadline - time.monotonic(), 0.01),
        check=True,
    ).stdout
