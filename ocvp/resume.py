"""What a training resumes from: a folder of its own, which the workflow does not delete.

Snakemake deletes the declared outputs of a job that failed; the folder is no declared output. It
holds the fingerprint of the run (config, code, inputs): a run that differs starts anew, and moves
the folder aside instead of overwriting it.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from ocvp.checkpoint import file_digest, read_tensors
from ocvp.config import canonical_json
from ocvp.files import atomic_path, write_json
from ocvp.stages import stage_digest

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
    """The resume folder of one training.

    Args:
        folder: Where it lies.
        fingerprint: What the run depends on, by name, for example `{"config": ..., "seed": ...}`.
        fresh: Whether to start anew even where the folder fits.
    """

    def __init__(self, folder: Path, fingerprint: dict[str, Any], fresh: bool = False):
        self.folder = folder
        self._state = folder / "state.pt"
        self._fingerprint = json.loads(json.dumps(fingerprint))
        reason = "--fresh was given" if fresh else self._difference()
        if reason and self.exists():
            aside = _free_name(folder)
            folder.rename(aside)
            logger.info("starting anew (%s); the earlier run's state is in %s", reason, aside)

    def exists(self) -> bool:
        """Tell whether there is something to resume from."""
        return self._state.is_file()

    def read(self) -> dict[str, Any] | None:
        """Return what was last written, or None.

        Raises:
            ValueError: If the file is damaged.
        """
        return read_tensors(self._state) if self.exists() else None

    def write(self, state: dict[str, Any]) -> None:
        """Replace what the run resumes from; an interrupted write leaves the former one."""
        if not self.exists():
            write_json(self.folder / "fingerprint.json", self._fingerprint)
        with atomic_path(self._state) as temporary:
            torch.save(state, temporary)

    def _difference(self) -> str:
        """Say what the stored run depends on and this one does not, or the other way round."""
        path = self.folder / "fingerprint.json"
        if not path.is_file():
            return "the folder does not say what it belongs to"
        stored = json.loads(path.read_text(encoding="utf-8"))
        names = sorted(stored.keys() | self._fingerprint.keys())
        changed = [name for name in names if stored.get(name) != self._fingerprint.get(name)]
        return f"changed: {', '.join(changed)}" if changed else ""


def _free_name(folder: Path) -> Path:
    number = 1
    while (aside := folder.with_name(f"{folder.name}-old{number}")).exists():
        number += 1
    return aside
