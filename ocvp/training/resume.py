"""What a training resumes from: a folder of its own, which the workflow does not delete.

Snakemake deletes the declared outputs of a job that failed; the folder is no declared output. It
holds the fingerprint of the run (config, code, inputs): a run that differs starts anew, and moves
the folder aside instead of overwriting it.

Besides, it holds the last states, each in a file whose name carries a rising number and the digest
of its bytes: one rename makes content, order and digest visible at once, and a state that a disk
damaged is passed over.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ocvp.config.section import canonical_json
from ocvp.models.precision import Precision
from ocvp.models.tensor_files import read_tensors, tensor_bytes
from ocvp.records.changes import changes_between, describe_changes
from ocvp.records.rules import stage_digest
from ocvp.runtime.files import file_digest, read_json, sync_folder, write_bytes, write_json

logger = logging.getLogger(__name__)

NUM_GENERATIONS = 2
"""States that stay, besides the newest milestone."""

EXTENDABLE = tuple(
    f"config training.{key}" for key in ("num_steps", "num_epochs", "scheduler_steps")
)
"""What may differ in a run that is extended."""

PRECISION = "config training.precision"
"""What may differ although the config does not: what `auto` stands for depends on the machine."""

FINGERPRINT = "fingerprint"
"""Where each state keeps it too, in case that the file of that name is damaged."""

WITHOUT_EFFECT = ("recoveries", "recovery_factor")
"""Settings of a training that change nothing until it stops being finite: whoever allows recoveries
then goes on with the same run."""

STATE_NAME = re.compile(
    r"state-(?P<number>\d+)(?P<milestone>-milestone)?-(?P<digest>[0-9a-f]{64})\.pt"
)


def fingerprint(
    rule: str, stage: BaseModel, precision: Precision, seed: int, inputs: Sequence[Path]
) -> dict[str, Any]:
    """Return what a training depends on, by name.

    Args:
        rule: The rule that the program stands behind, whose code counts.
        stage: The stage's config.
        precision: What it is trained in; it stands in the place of the config's, so that a run of
            `auto` and one that names the same precision are one run.
        seed: The run's seed.
        inputs: Files that are read; their contents count, not their names.
    """
    config = json.loads(canonical_json(stage))
    for key in WITHOUT_EFFECT:
        config["training"].pop(key, None)
    config["training"]["precision"] = precision
    return {
        "config": config,
        "code": stage_digest(rule),
        "seed": seed,
        "inputs": [file_digest(path) for path in inputs],  # their order counts
    }


def lock_path(folder: Path) -> Path:
    """Return the lock of a resume folder: beside it, so that it stays when that is moved aside."""
    return folder.with_name(f"{folder.name}.lock")


class ResumeFolder:
    """The resume folder of one training, for a process that has its lock (see `lock_path`).

    Args:
        folder: Where it lies.
        fingerprint: What the run depends on, by name, for example `{"config": ..., "seed": ...}`.
        fresh: Whether to start anew even where the folder fits.
        extend: Whether to go on with a run that differs only in how long it trains (EXTENDABLE).
        must_extend: The same, and to refuse to train anew where it differs in more.
        is_auto: Whether the fingerprint's precision is this machine's choice, and not the config's.

    Raises:
        ValueError: If a run that must be extended cannot be, or the stored one differs only in what
            another machine chose.
        OSError: If the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: dict[str, Any],
        fresh: bool = False,
        extend: bool = False,
        must_extend: bool = False,
        is_auto: bool = False,
    ):
        self.folder = folder
        self._fingerprint = json.loads(json.dumps(fingerprint))  # as it comes back from a file
        self._fingerprint_path = folder / "fingerprint.json"
        self._damaged: set[Path] = set()  # states that were found to be so; they count as none
        self._is_auto = is_auto
        self._take_over(fresh, extend, must_extend)

    def exists(self) -> bool:
        """Tell whether there is something to resume from."""
        return bool(self._generations())

    def num_bytes(self) -> int:
        """Return what the stored states take on disk."""
        return sum(item.path.stat().st_size for item in self._generations())

    def read(self) -> dict[str, Any] | None:
        """Return the last state that is whole, or None where none was written.

        Raises:
            ValueError: If states were written and all of them are damaged.
        """
        generations = self._generations()
        state, _ = self._newest(generations)
        if generations and state is None:
            raise ValueError(
                f"all that {self.folder} holds to resume from is damaged ({len(generations)} "
                f"of {len(generations)} files); delete {self.folder} to train anew"
            )
        return state

    def read_milestone(self) -> dict[str, Any] | None:
        """Return the last milestone that is whole, or None."""
        return self._newest([item for item in self._generations() if item.is_milestone])[0]

    def write(self, state: dict[str, Any], milestone: bool = False) -> None:
        """Add a state to resume from, and remove those that it makes superfluous.

        The two last states stay, and the last milestone. A failed or interrupted write changes
        nothing.

        Args:
            state: Tensors and containers.
            milestone: Whether the run may go back to it later, however often it is saved since.

        Raises:
            OSError: If it cannot be written.
        """
        content = tensor_bytes({**state, FINGERPRINT: self._fingerprint})
        if self._stored_fingerprint() != self._fingerprint:  # it is new, or extended from now on
            write_json(self._fingerprint_path, self._fingerprint)
        # Six digits only line up the names: states are ordered by their numbers.
        number = 1 + max((item.number for item in self._generations()), default=0)
        mark = "-milestone" if milestone else ""
        digest = hashlib.sha256(content).hexdigest()
        write_bytes(self.folder / f"state-{number:06d}{mark}-{digest}.pt", content)
        self._remove_superfluous()

    # --- whose folder it is ----------------------------------------------------------------------

    def _take_over(self, fresh: bool, extend: bool, must_extend: bool) -> None:
        """Remove what killed writers left, and move a folder aside that is of another run."""
        for pattern in (".state*", ".fingerprint.*"):
            for unfinished in self.folder.glob(pattern):
                unfinished.unlink(missing_ok=True)
        if not any(self.folder.glob("state*.pt")):
            return
        if reason := "--fresh was given" if fresh else self._difference(extend, must_extend):
            aside = _free_name(self.folder)
            self.folder.rename(aside)
            sync_folder(aside.parent)  # moved for good, before a new state has its place
            logger.info("starting anew (%s); the earlier run's state is in %s", reason, aside)

    def _difference(self, extend: bool, must_extend: bool) -> str:
        """Say why the stored run is not this one; empty where it is, or can be extended to it."""
        stored = self._stored_fingerprint() or self._fingerprint_of_state()
        if stored is None:
            return "what the folder belongs to is missing there or cannot be read"
        changes = changes_between(stored, self._fingerprint)
        if not changes:
            return ""
        allowed = set(EXTENDABLE) if extend or must_extend else set()
        if self._is_auto and changes.keys() - allowed == {PRECISION}:
            former, now = (text.strip('"') for text in changes[PRECISION])
            raise ValueError(
                f"training.precision is auto, which stands for {now} on this machine, but the run "
                f"in {self.folder} was trained in {former}; set training.precision to {former} to "
                f"go on with it here, or to {now} to train anew"
            )
        difference = f"changed: {describe_changes(changes)}"
        if not (extend or must_extend):
            return difference
        if changes.keys() <= allowed:
            # Nothing is written before more was trained: until then it is the run that it was.
            logger.info("extending the earlier run (%s)", difference)
            return ""
        names = ", ".join(name.removeprefix("config ") for name in EXTENDABLE)
        if must_extend:
            raise ValueError(
                f"--extend allows only {names} to change, but what the run in {self.folder} "
                f"depends on did too ({difference}); without --extend it is trained anew"
            )
        return f"{difference}; only a run that differs in {names} is extended"

    def _stored_fingerprint(self) -> dict[str, Any] | None:
        with contextlib.suppress(ValueError):
            stored = read_json(self._fingerprint_path)
            return stored if isinstance(stored, dict) else None
        return None

    def _fingerprint_of_state(self) -> dict[str, Any] | None:
        """Return what the newest whole state belongs to, where the file that says so is not."""
        state, stored = self._newest(self._generations())
        if state is not None:
            logger.warning(
                "%s is missing or damaged; what the run depends on is taken from its newest state",
                self._fingerprint_path,
            )
        return stored

    # --- the states in it ------------------------------------------------------------------------

    def _generations(self) -> list["_Generation"]:
        """Return the stored states, the last one first."""
        found = [
            _Generation(path, int(match["number"]), match["digest"], bool(match["milestone"]))
            for path in self.folder.glob("state-*.pt")
            if (match := STATE_NAME.fullmatch(path.name))
        ]
        return sorted(found, key=lambda item: (item.number, item.path.name), reverse=True)

    def _newest(
        self, generations: Iterable["_Generation"]
    ) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Read the first of some states that is whole, and what it belongs to; warn of others."""
        faults, used, state = [], "", None
        for item in generations:
            try:
                state = item.read()
                used = f"; {item.path.name} is used instead"
                break
            except PermissionError:  # no damage
                raise
            except (OSError, ValueError) as error:
                self._damaged.add(item.path)
                faults.append(error)
        for fault in faults:
            logger.warning("%s%s", fault, used)
        return state, state and state.pop(FINGERPRINT, None)

    def _remove_superfluous(self) -> None:
        """Leave the last two whole states and the last milestone; a damaged one counts as none."""
        generations = self._generations()
        whole = [item for item in generations if item.path not in self._damaged]
        milestones = [item for item in whole if item.is_milestone]
        for item in generations:
            if item in whole[:NUM_GENERATIONS] or item in milestones[:1]:
                continue
            item.path.unlink(missing_ok=True)
            if item.path in self._damaged:
                logger.info("removed %s, which was damaged", item.path)


@dataclass(frozen=True)
class _Generation:
    """One stored state."""

    path: Path
    number: int
    digest: str
    is_milestone: bool

    def read(self) -> dict[str, Any]:
        """Read the state, after checking its bytes.

        Raises:
            ValueError: If it is damaged.
        """
        found = file_digest(self.path)
        if found != self.digest:
            raise ValueError(
                f"{self.path} is damaged (its bytes have the digest {found[:12]}, its name says "
                f"{self.digest[:12]})"
            )
        return read_tensors(self.path)


def _free_name(folder: Path) -> Path:
    number = 1
    while os.path.lexists(aside := folder.with_name(f"{folder.name}-old{number}")):
        number += 1
    return aside
