"""Records: what made a product, written beside it as `provenance.json`.

A record names the rule and the program, config, seed, digests of code and inputs, versions, device,
commit and duration. `python -m ocvp.provenance` follows records from a product to the raw data, and
`ocvp.study.staleness` compares them with a config.
"""

import contextlib
import datetime
import json
import logging
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel

from ocvp.config.section import canonical_json
from ocvp.records.contents import FORMAT, Provenance
from ocvp.records.rules import RULES, stage_digest
from ocvp.runtime.environment import made_by, processor_name
from ocvp.runtime.files import companion, file_digest, write_json, write_text
from ocvp.runtime.json_files import read_content

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

NAME = "provenance.json"
FIGURES = f"figures/*{NAME}"
"""Where records of figures lie."""
COMPANIONS = ("config.json", "command.sh", NAME)
"""What lies beside each product."""
TRAINING_TIME = "training_time.json"
"""Beside a checkpoint: steps, epochs, seconds and device of its training, all sessions together."""

DRAWING, MODELLING = "draw_", ("fit_", "import_")
"""How the names of the rules that make figures, and models, begin."""

Inputs = Mapping[str, Path | Sequence[Path] | None]
"""What a program read, by its role: `{"savi": ..., "videos": ...}`."""


class Making:
    """The run of a program, from its start to the record of what it made.

    Args:
        rule: The rule that the program stands behind.
        argv: The program's arguments; None: those of the command line.
        kind: Kind of the data set whose videos the rule makes (see `stage_digest`).
    """

    def __init__(self, rule: str, argv: Sequence[str] | None, kind: str | None = None):
        self.rule = rule
        self._argv = argv
        self._inputs: list[tuple[str, Path, str]] = []
        self._start = time.monotonic()
        # At the start: the source may be edited while the program runs. The commit is noted too.
        self._code = stage_digest(rule, kind)
        made_by()

    def read(self, inputs: Inputs, known: Mapping[Path, str] = MappingProxyType({})) -> None:
        """Note what the program reads, by its contents now.

        Call it when the files were found to be good, and before a long computation: they may be
        gone after it, or replaced.

        Args:
            inputs: The files, by role.
            known: Digests that were taken already: of files (`ocvp.runtime.files.file_digest`), of
                the weights of checkpoints.

        Raises:
            OSError: If one of them cannot be read.
        """
        self._inputs += [
            (role, path, content_digest(path, known.get(path)))
            for role, paths in inputs.items()
            for path in paths_of(paths)
        ]

    def finish(
        self,
        products: Sequence[Path],
        section: BaseModel | dict[str, Any],
        *,
        seed: int | None = None,
        device: "torch.device | None" = None,
        **more: Any,
    ) -> None:
        """Write what accompanies products: their config, command and record.

        Figures that no longer hold go: those of a model that is replaced, and those that the last
        drawing made besides these.

        Args:
            products: All that the program made, in one folder; the first one names the record.
            section: The validated config of the stage.
            seed: Seed of the run.
            device: Where it was computed; None: without torch.
            more: Further entries, which may replace those that are measured here (`seconds`,
                `made_by`).
        """
        program = RULES[self.rule].program
        write_companions(products[0], program, section, self._argv)
        config = section.model_dump(mode="json") if isinstance(section, BaseModel) else section
        environment = made_by(device)
        if device is None:  # the program needs none but the processor
            environment["device"] = {"type": "cpu", "name": processor_name()}
        record: dict[str, Any] = {
            "format": FORMAT,
            "rule": self.rule,
            "program": program,
            "products": {path.name: content_digest(path) for path in products},
            "inputs": [
                {"role": role, "path": _relative(path, products[0].parent), "digest": digest}
                for role, path, digest in self._inputs
            ],
            "config": config,
            "seed": seed,
            "code": self._code,
            "made_by": environment,
            "host": socket.gethostname(),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._start, 1),
            **more,
        }
        path = companion(products[0], NAME)
        former = _readable(path)
        write_json(path, record)
        if self.rule.startswith(DRAWING) and former:
            _remove(path.parent, former.content["products"].keys() - record["products"].keys())
        elif self.rule.startswith(MODELLING):
            remove_figures(products[0], record["products"][products[0].name])


class Record(NamedTuple):
    """The record of a product, and where it lies."""

    path: Path
    content: dict[str, Any]

    def inputs(self) -> Iterator[tuple[str, Path, str]]:
        """Yield role, path and digest of what the product was made of."""
        for entry in self.content["inputs"]:  # paths are relative to the record's folder
            path = os.path.normpath(self.path.parent / entry["path"])
            yield entry["role"], Path(path), entry["digest"]


def find_record(product: Path) -> Record | None:
    """Return the record of a product; None where nothing says what made it.

    Raises:
        ValueError: If there is none, but one that is damaged and may have been it.
    """
    damage: ValueError | None = None
    for path in dict.fromkeys([companion(product, NAME), *sorted(product.parent.glob(f"*{NAME}"))]):
        if not os.path.lexists(path):
            continue
        try:
            record = read_record(path)
        except ValueError as error:
            damage = damage or error
            continue
        if product.name in record.content["products"]:
            return record
    if damage is not None:
        raise damage
    return None


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        ValueError: If the file is missing, damaged or no record, naming it.
    """
    try:
        return Record(path, read_content(path, Provenance))
    except ValueError as error:
        raise ValueError(f"{error}; make its product again") from None


def _readable(path: Path) -> Record | None:
    """Return a record; None where there is none, or one that is damaged."""
    with contextlib.suppress(ValueError):
        return read_record(path)
    return None


# --- figures that no longer hold -----------------------------------------------------------------


def remove_figures(model: Path, digest: str) -> None:
    """Remove the figures that were made of what a model's file held before, with their records.

    They lie in `figures/` beside the model, beside the predictors that build on it, beside the SAVi
    that it builds on, and beside all seeds of that SAVi.

    Args:
        model: The model's file.
        digest: What it holds now (`content_digest`).
    """
    model = model.absolute()
    beside, *above = model.parents[:3]
    folders = [beside, *beside.iterdir(), *above]
    found = [path for folder in folders for path in folder.glob(FIGURES)]
    for record in filter(None, map(_readable, found)):
        is_figure = record.content["rule"].startswith(DRAWING)
        if is_figure and _is_of_another(record, model, digest):
            stem = record.path.name.removesuffix(NAME)
            companions = [f"{stem}{name}" for name in COMPANIONS]
            _remove(record.path.parent, [*record.content["products"], *companions])


def _is_of_another(record: Record, model: Path, digest: str) -> bool:
    """Tell whether a product was made, directly or not, of another content of a model's file."""
    waiting, seen = [record], {model}
    while waiting:
        for _, path, read in waiting.pop().inputs():
            path = path.absolute()
            if path == model and read != digest:
                return True
            if path not in seen:
                seen.add(path)
                with contextlib.suppress(ValueError):  # what is damaged says nothing
                    waiting += filter(None, [find_record(path)])
    return False


def _remove(folder: Path, names: Iterable[str]) -> None:
    """Remove files of a folder that are there; a record cannot name one elsewhere."""
    for name in sorted(name for name in names if name == Path(name).name):
        with contextlib.suppress(FileNotFoundError):  # another training may remove it too
            (folder / name).unlink()
            logger.debug("removed %s, which showed what was replaced", folder / name)


def content_digest(path: Path, known: str | None = None) -> str:
    """Return the digest of a file: of a checkpoint's weights, of all bytes of others.

    The bytes of a checkpoint also hold when it was made; its weights are what others depend on.

    Args:
        path: The file.
        known: Its digest, where it was taken already; None: read the file.

    Raises:
        ValueError: If a checkpoint is damaged.
        OSError: If the file cannot be read.
    """
    if path.suffix == ".pt":
        # Here, since it takes torch, which few programs need.
        from ocvp.models.checkpoint import read_checkpoint

        return f"weights:{known or read_checkpoint(path)['weights_digest']}"
    return f"sha256:{known or file_digest(path)}"


def paths_of(paths: Path | Sequence[Path] | None) -> list[Path]:
    """Return the files of one role: none, one or several."""
    return [paths] if isinstance(paths, Path) else list(paths or [])


def write_companions(
    output: Path, module: str, section: BaseModel | dict[str, Any], argv: Sequence[str] | None
) -> None:
    """Write, beside a product, the config that made it and a script that makes it again.

    Args:
        output: The product.
        module: The program's module, for example `ocvp.train_savi`.
        section: The validated config of the stage.
        argv: The program's arguments; None: those of the command line.
    """
    write_json(companion(output, "config.json"), json.loads(canonical_json(section)))
    arguments = sys.argv[1:] if argv is None else argv
    command = shlex.join([Path(sys.executable).name, "-m", module, *arguments])
    about = f"Makes {output.name} again; run it in the folder that holds results/."
    write_text(companion(output, "command.sh"), f"#!/bin/sh\n# {about}\n{command}\n")


def _relative(path: Path, folder: Path) -> str:
    """Return a path seen from a folder, so that both can be moved together."""
    return str(path) if path.is_absolute() else os.path.relpath(path, folder)
