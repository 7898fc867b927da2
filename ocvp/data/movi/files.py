"""Which records a MOVi data set consists of, and in which shards they are.

The numbers of records are those of dataset_info.json, where it agrees with the shards' number:
nothing but folders and this file is read.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ocvp.config.datasets import MoviDataset
from ocvp.config.section import Split
from ocvp.data.raw_videos import MissingDataError, RawVideo, natural_order

HELP = """\
The TFRecord files are expected as
{root}/{variant}/{side}x{side}/1.0.0/{variant}-{split}.tfrecord-00000-of-NNNNN
(MOVi-A at 128x128: about 59 GB in 528 files). Get them with
mkdir -p {root}/{variant}
gsutil -m cp -r gs://kubric-public/tfds/{variant}/{side}x{side} {root}/{variant}/
(https://github.com/google-research/kubric/tree/main/challenges/movi), or set `root` of the data set
to where they lie. See docs/data.md."""
SOURCE_SPLITS = {"train": "train", "val": "validation", "test": "validation"}
"""Where the videos of a split lie on disk, but for a test split that a data set has of its own."""


def list_videos(dataset: MoviDataset, split: Split) -> list[RawVideo]:
    """Return every record of one split, in the order of the shards.

    Raises:
        MissingDataError: If the data are not there.
        ValueError: If shards are missing, or are of several downloads.
    """
    videos = [
        RawVideo("", (shard,), record)
        for shard, length in _shard_lengths(dataset, split)
        for record in range(length)
    ]
    if dataset.splits == "divided" and split != "train":
        return videos[{"val": 0, "test": 1}[split] :: 2]
    return videos


def _shard_lengths(dataset: MoviDataset, split: Split) -> Iterator[tuple[str, int]]:
    """Yield each shard of a split, relative to the root, and the number of its records."""
    root = Path(dataset.root)
    source_split = "test" if (dataset.splits, split) == ("own", "test") else SOURCE_SPLITS[split]
    shards = _find_shards(dataset, source_split)
    lengths = _lengths_in_info(shards[0].parent / "dataset_info.json", source_split)
    if len(lengths) != len(shards):  # the file is missing, or of another download
        from ocvp.data.movi.tfrecord import num_records

        lengths = [num_records(shard) for shard in shards]
    for shard, length in zip(shards, lengths, strict=True):
        yield shard.relative_to(root).as_posix(), length


def _find_shards(dataset: MoviDataset, source_split: str) -> list[Path]:
    """Return all shards of a split, in order, from wherever the root points into the tree."""
    root, side = Path(dataset.root), dataset.source_resolution
    pattern = f"{dataset.variant}-{source_split}.tfrecord-*-of-*"
    for level in (f"{dataset.variant}/{side}x{side}/", f"{side}x{side}/", ""):
        for version in ("*/", ""):
            found = sorted(root.glob(f"{level}{version}{pattern}"))
            if found:
                folders = {path.parent for path in found}
                newest = max(folders, key=lambda path: natural_order(path.name))
                return _complete([path for path in found if path.parent == newest])
    text = HELP.format(root=dataset.root, variant=dataset.variant, side=side, split=source_split)
    raise MissingDataError(f"{root} holds no {pattern}.\n{text}")


def _complete(shards: list[Path]) -> list[Path]:
    """Return the shards, once none of them is found to be missing."""
    number = re.compile(r"-(\d+)-of-(\d+)$")
    matches = [number.search(path.name) for path in shards]
    totals = {int(match[2]) for match in matches if match}
    if len(totals) != 1:
        raise ValueError(f"{shards[0].parent} mixes shards of several downloads: of {totals}")
    missing = set(range(*totals)) - {int(match[1]) for match in matches if match}
    if missing:
        names = ", ".join(f"{index:05d}" for index in sorted(missing)[:5])
        raise ValueError(
            f"{shards[0].parent} lacks {len(missing)} of {min(totals)} shards of "
            f"{number.sub('', shards[0].name)} ({names}{', ...' if len(missing) > 5 else ''}); get "
            "them before converting"
        )
    return shards


def _lengths_in_info(path: Path, source_split: str) -> list[int]:
    """Return the shards' numbers of records, which the file holds as text; [] if it does not."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        splits = {split["name"]: split for split in content["splits"]}
        return [int(length) for length in splits[source_split]["shardLengths"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def check_videos(dataset: MoviDataset, split: Split, videos: Sequence[RawVideo]) -> None:
    """Check that no shard of these videos holds records that are not listed.

    The listing trusts dataset_info.json, so that the workflow need not open every shard.

    Raises:
        ValueError: If a shard holds another number of records.
    """
    from ocvp.data.movi.tfrecord import num_records

    listed = dict(_shard_lengths(dataset, split))
    for shard in dict.fromkeys(video.files[0] for video in videos):
        found = num_records(Path(dataset.root) / shard)
        if found != listed[shard]:
            raise ValueError(
                f"{Path(dataset.root) / shard} holds {found} records, but dataset_info.json beside "
                f"it says {listed[shard]}; get both again"
            )
