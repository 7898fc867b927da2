"""What a training resumes from: a folder of its own, which the workflow does not delete.

Snakemake deletes the declared outputs of a job that failed; the folder is no declared output. It
holds the fingerprint of the run (config, code, inputs): a run that differs starts anew, and moves
the folder aside instead of overwriting it.
"""

import errno
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, TextIO

from pydantic import BaseModel

from ocvp.checkpoint import read_tensors, save_tensors
from ocvp.config_section import canonical_json
from ocvp.files import check_writable, file_digest, read_json, write_json
from ocvp.stages import stage_digest

try:
    import fcntl
except ImportError:  # elsewhere than on Unix
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)


def fingerprint(rule: str, stage: BaseModel, seed: int, inputs: Sequence[Path]) -> dict[str, Any]:
    """Return what a training depends on, by name.

    Args:
        rule: The rule that the program stands behind, whose code counts.
        stage: The stage's config.
        seed: The run's seed.
        inputs: Files that are read; their contents count, not their names.
    """
    return {
        "config": json.loads(canonical_json(stage)),
        "code": stage_digest(rule),
        "seed": seed,
        "inputs": [file_digest(path) for path in inputs],
    }


class ResumeFolder:
    """The resume folder of one training, for one process at a time.

    Use it as a context manager: leaving it lets another process have the folder.

    Args:
        folder: Where it lies.
        fingerprint: What the run depends on, by name, for example `{"config": ..., "seed": ...}`.
        fresh: Whether to start anew even where the folder fits.

    Raises:
        ValueError: If another process has the folder.
        OSError: If the folder cannot be written.
    """

    def __init__(self, folder: Path, fingerprint: dict[str, Any], fresh: bool = False):
        self.folder = folder
        self._state = folder / "state.pt"
        self._fingerprint = json.loads(json.dumps(fingerprint))
        self._lock = _lock(folder)
        reason = "--fresh was given" if fresh else self._difference()
        if reason and self.exists():
            aside = _free_name(folder)
            folder.rename(aside)
            self._lock.close()
            self._lock = _lock(folder)
            logger.info("starting anew (%s); the earlier run's state is in %s", reason, aside)
        # What a process that was killed in the middle of a write could not remove.
        for unfinished in folder.glob(".state.*.pt"):
            unfinished.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.close()

    def exists(self) -> bool:
        """Tell whether there is something to resume from."""
        return self._state.is_file()

    def read(self) -> dict[str, Any] | None:
        """Return what was last written, or None.

        Raises:
            ValueError: If the file is damaged.
        """
        if not self.exists():
            return None
        try:
            return read_tensors(self._state)
        except ValueError as error:
            raise ValueError(f"{error}; delete {self.folder} to train anew") from None

    def write(self, state: dict[str, Any]) -> None:
        """Replace what the run resumes from; an interrupted write leaves the former one."""
        if not self.exists():
            write_json(self.folder / "fingerprint.json", self._fingerprint)
        save_tensors(self._state, state)

    def _difference(self) -> str:
        """Say what the stored run depends on and this one does not, or the other way round."""
        path = self.folder / "fingerprint.json"
        if not path.is_file():
            return "the folder does not say what it belongs to"
        try:
            stored = read_json(path)
        except ValueError:
            return "what it belongs to cannot be read"
        names = sorted(stored.keys() | self._fingerprint.keys())
        changed = [name for name in names if stored.get(name) != self._fingerprint.get(name)]
        return f"changed: {', '.join(changed)}" if changed else ""


def _lock(folder: Path) -> TextIO:
    """Take the folder's lock; closing the file, or the end of the process, gives it back.

    A process that a cluster started twice, or that outlived its workflow, must not write into the
    same folder.
    """
    check_writable(folder / "lock")
    file = (folder / "lock").open("w", encoding="utf-8")
    if fcntl is None:
        return file
    try:
        # A record lock: unlike flock's it is not inherited by the processes that read ahead.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            file.close()
            raise ValueError(
                f"another process is training into {folder.parent}; wait for it or end it"
            ) from None
        # a file system without locks: nothing to be done
        logger.debug("%s cannot be locked: %s", folder, error)
    return file


def _free_name(folder: Path) -> Path:
    number = 1
    while (aside := folder.with_name(f"{folder.name}-old{number}")).exists():
        number += 1
    return aside
