"""Where the shards of a MOVi data set lie, among what else downloads leave beside them.

Only a file with the exact name of a shard is one. Second copies (`.1`, ` (1)`), half files
(`.gstmp`, `.part`) and the folders of versions that did not arrive in full (`1.0.0.incomplete...`)
are leftovers: they are told, and nothing is read from them.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ocvp.config.datasets import MoviDataset
from ocvp.data.raw_videos import MissingDataError, natural_order

HELP = """\
The TFRecord files are expected as
{root}/{variant}/{side}x{side}/1.0.0/{variant}-{split}.tfrecord-00000-of-NNNNN
(MOVi-A at 128x128: about 59 GB in 528 files). Get them with
mkdir -p {root}/{variant}
gsutil -m cp -r gs://kubric-public/tfds/{variant}/{side}x{side} {root}/{variant}/
(https://github.com/google-research/kubric/tree/main/challenges/movi), or set `root` of the data set
to where they lie. See docs/data.md."""
SHARD = re.compile(r"(?P<split>[a-z]+)\.tfrecord-(?P<number>\d{5,})-of-(?P<total>\d{5,})", re.ASCII)
"""What follows `movi_a-` in the name of a shard."""
VERSION = re.compile(r"\d+(\.\d+)*", re.ASCII)
UNFINISHED = ".incomplete"
"""In the name of a folder that TFDS has not filled yet."""
CHECKSUMS = (".md5", ".sha1", ".sha256", ".sha512", ".crc32c", ".asc", ".sig")
"""Endings of files that belong beside shards."""
NUM_NAMED = 5  # in a message


class Shard(NamedTuple):
    """What the name of a shard says."""

    number: int
    """From 0."""
    total: int
    """How many shards the split has."""
    path: Path


class Found(NamedTuple):
    """The shards of one split."""

    shards: list[Path]
    """All of them, in order; they lie in one folder."""
    leftovers: list[Path]
    """Files and folders of downloads that are not read."""


class _Folder(NamedTuple):
    """A folder with files of one variant."""

    path: Path
    splits: dict[str, list[Shard]]
    """By their name on disk."""
    others: list[Path]
    """Files that have more or less than the name of a shard."""

    def is_complete(self, split: str) -> bool:
        """Tell whether all shards of a split are here, and no others."""
        shards = self.splits.get(split, [])
        totals = {shard.total for shard in shards}
        wanted = range(max(totals, default=0))
        return len(totals) == 1 and [shard.number for shard in shards] == list(wanted)

    def is_version(self) -> bool:
        """Tell whether the folder is named as a version is."""
        return VERSION.fullmatch(self.path.name) is not None

    def rank(self, split: str) -> tuple[object, ...]:
        """Return how much speaks for taking a split from this folder."""
        return (
            self.is_complete(split) and UNFINISHED not in self.path.name,
            self.is_version(),
            natural_order(self.path.name),
        )


def find_shards(dataset: MoviDataset, split: str) -> Found:
    """Return all shards of a split, from wherever the root points into the tree.

    Args:
        dataset: The data set.
        split: The split's name on disk.

    Raises:
        MissingDataError: If there is no shard.
        ValueError: If shards are missing, or are of several downloads.
    """
    folders = _folders(dataset, split)
    having = [folder for folder in folders if folder.splits.get(split)]
    others = [path for folder in folders for path in folder.others]
    if not having:
        pattern = f"{dataset.variant}-{split}.tfrecord-*-of-*"
        text = HELP.format(
            root=dataset.root, variant=dataset.variant, side=dataset.source_resolution, split=split
        )
        raise MissingDataError(f"{dataset.root} holds no {pattern}{_besides(others)}.\n{text}")
    chosen = max(having, key=lambda folder: folder.rank(split))
    _check(chosen, split, _besides(others))
    passed = [
        folder.path for folder in folders if folder is not chosen and not _stands(folder, split)
    ]
    return Found([shard.path for shard in chosen.splits[split]], [*chosen.others, *passed])


def names_of(paths: Sequence[Path]) -> str:
    """Return the names of some files for a message, the first few of many."""
    more = f", ... ({len(paths)} in all)" if len(paths) > NUM_NAMED else ""
    return ", ".join(path.name for path in paths[:NUM_NAMED]) + more


def _folders(dataset: MoviDataset, split: str) -> list[_Folder]:
    """Return the folders of the variant, as far into the tree as a complete one lies."""
    root, side, found = Path(dataset.root), dataset.source_resolution, []
    for level in (f"{dataset.variant}/{side}x{side}", f"{side}x{side}", "."):
        paths = [root / level, *_subfolders(root / level)]
        found += [_read(path, dataset.variant) for path in paths if path.is_dir()]
        if any(folder.rank(split)[0] for folder in found):
            break
    return [folder for folder in found if folder.splits or folder.others]


def _subfolders(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        # Not those that only the system may read, such as lost+found at the top of a disk.
        yield from sorted(
            path for path in folder.iterdir() if path.is_dir() and os.access(path, os.R_OK)
        )


def _read(folder: Path, variant: str) -> _Folder:
    """Sort the files of a folder that concern a variant by what their names say."""
    splits: dict[str, list[Shard]] = {}
    others = []
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_file())
    for name in names:
        if f"{variant}-" not in name or ".tfrecord" not in name or name.endswith(CHECKSUMS):
            continue
        match = SHARD.fullmatch(name.removeprefix(f"{variant}-"))
        number, total = (int(match["number"]), int(match["total"])) if match else (0, 0)
        # Written again: one shard has one name.
        if match and name == f"{variant}-{match['split']}.tfrecord-{number:05d}-of-{total:05d}":
            splits.setdefault(match["split"], []).append(Shard(number, total, folder / name))
        else:
            others.append(folder / name)
    return _Folder(folder, {split: sorted(splits[split]) for split in splits}, others)


def _stands(folder: _Folder, split: str) -> bool:
    """Tell whether a folder that is not read is another version, and no leftover."""
    return folder.is_version() and (split not in folder.splits or folder.is_complete(split))


def _check(folder: _Folder, split: str, besides: str) -> None:
    """Raise ValueError where a split of a folder cannot be read."""
    shards = folder.splits[split]
    totals = {shard.total for shard in shards}
    if len(totals) != 1:
        raise ValueError(f"{folder.path} mixes shards of several downloads: of {totals}")
    total = totals.pop()
    if missing := set(range(total)) - {shard.number for shard in shards}:
        names = ", ".join(f"{number:05d}" for number in sorted(missing)[:NUM_NAMED])
        raise ValueError(
            f"{folder.path} lacks {len(missing)} of {total} shards of "
            f"{shards[0].path.name.rpartition('-of-')[0][:-6]} "
            f"({names}{', ...' if len(missing) > NUM_NAMED else ''}){besides}; get them before "
            "converting"
        )
    if not folder.is_complete(split):  # a number beyond the number of shards
        raise ValueError(f"{folder.path} holds {shards[-1].path.name}, beyond its {total} shards")
    if UNFINISHED in folder.path.name:
        raise ValueError(
            f"{folder.path} is all that a download left of this version; finish it, or rename the "
            "folder if it is whole"
        )


def _besides(others: Sequence[Path]) -> str:
    """Return a remark on files that might be taken for shards."""
    return f"; no shards are {names_of(others)}" if others else ""
