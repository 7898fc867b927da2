"""Weights from outside of the workflow: which files an entry names, and what they hold.

Such files count by their content. Where they lie does not count, and once they were used they may
be gone: what they held is written beside the product.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ocvp.config.entries import Origin
from ocvp.records.contents import OriginRecord
from ocvp.runtime.files import file_digest, write_json
from ocvp.runtime.json_files import read_content

RECORD = "origin.json"
PARAMS = "experiment_params.json"


def origin_files(entry: Origin) -> list[Path]:
    """Return the files that an entry's weights come from: none where it is trained from scratch.

    A published checkpoint needs the parameter file of its experiment as well.

    Raises:
        ValueError: If that file is not named and does not lie where published experiments have it.
    """
    if entry.start_from:
        return [Path(entry.start_from)]
    if not entry.pretrained:
        return []
    checkpoint = Path(entry.pretrained)
    # made here: it says itself what it holds
    if checkpoint.suffix == ".pt":
        return [checkpoint]
    if entry.pretrained_params:
        return [checkpoint, Path(entry.pretrained_params)]
    return [checkpoint, find_params(checkpoint)]


def find_params(checkpoint: Path) -> Path:
    """Return the parameter file that belongs to a published checkpoint.

    Raises:
        ValueError: If it is not there, naming the places.
    """
    folder = checkpoint.absolute().parent
    places = [folder / PARAMS, folder.parent / PARAMS]
    for path in places:
        if path.is_file():
            return path
    raise ValueError(
        f"the {PARAMS} of {checkpoint} is neither {places[0]} nor {places[1]}; say where it is "
        "(--params, or pretrained_params in a config)"
    )


def origin_digest(entry: Origin, folder: Path) -> str:
    """Return a digest of what an entry's weights come from; empty where that is nothing.

    Args:
        entry: An entry of `savi` or `predictors`.
        folder: Folder of the product, which may hold the record of an earlier run. It stands for
            files that are gone, if the entry names the same ones.

    Raises:
        ValueError: If a file is missing and was not used before, naming it.
    """
    try:
        return files_digest(origin_files(entry))
    except ValueError as missing:
        named = _named(entry.pretrained or entry.start_from, entry.pretrained_params)
        try:
            stored = read_origin(folder)
        except ValueError as damage:
            raise ValueError(f"{missing}; what it was is not known, for {damage}") from None
        if stored.get("named") == named:
            return str(stored["digest"])
        raise


def read_origin(folder: Path) -> dict[str, Any]:
    """Return the record of what a model's weights came from; empty where there is none.

    Raises:
        ValueError: If it is damaged, naming it.
    """
    path = folder / RECORD
    return read_content(path, OriginRecord) if os.path.lexists(path) else {}


def files_digest(files: Sequence[Path]) -> str:
    """Return a digest of the contents of files; empty for no files.

    Raises:
        ValueError: If a file does not exist.
    """
    digest = hashlib.sha256()
    for path in files:
        if not path.is_file():
            raise ValueError(f"{path} does not exist; the config names it as the origin of weights")
        digest.update(bytes.fromhex(file_digest(path)))
    return digest.hexdigest() if files else ""


def write_record(
    output: Path, checkpoint: Path | None, params: Path | None = None, digest: str = ""
) -> None:
    """Write, beside a checkpoint, what its weights came from; remove an earlier model's record.

    Args:
        output: The checkpoint.
        checkpoint: The file that the config names; None: the weights are trained from scratch.
        params: The parameter file that the config names, if it names one.
        digest: Of the files, taken before they were read (`files_digest`).
    """
    path = output.parent / RECORD
    if checkpoint is None:
        path.unlink(missing_ok=True)
    else:
        write_json(path, {"named": _named(checkpoint, params), "digest": digest})


def _named(checkpoint: Path | str | None, params: Path | str | None) -> list[str | None]:
    return [None if name is None else str(Path(name)) for name in (checkpoint, params)]
