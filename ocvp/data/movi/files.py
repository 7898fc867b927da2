"""Which records a MOVi data set consists of, and in which shards they are.

The numbers of records are those of dataset_info.json, where it agrees with the shards' number:
nothing but folders and this file is read.
"""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ocvp.config.datasets import MoviDataset
from ocvp.config.section import Split
from ocvp.data.movi.shards import find_shards, names_of
from ocvp.data.raw_videos import RawVideo

logger = logging.getLogger(__name__)

SOURCE_SPLITS = {"train": "train", "val": "validation", "test": "validation"}
"""Where the videos of a split lie on disk, but for a test split that a data set has of its own."""
TOLD = "OCVP_TOLD"
"""Environment variable with the warnings that were given."""


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
    source_split = "test" if (dataset.splits, split) == ("own", "test") else SOURCE_SPLITS[split]
    shards, leftovers = find_shards(dataset, source_split)
    if leftovers:
        _warn(
            f"{shards[0].parent.absolute()} is read; downloads left besides, and nothing is read "
            f"from them: {names_of(leftovers)}; delete them once the data are complete"
        )
    lengths = _lengths_in_info(shards[0].parent / "dataset_info.json", source_split)
    if len(lengths) != len(shards):  # the file is missing, or of another download
        from ocvp.data.movi.tfrecord import num_records

        lengths = [num_records(shard) for shard in shards]
    for shard, length in zip(shards, lengths, strict=True):
        yield shard.relative_to(dataset.root).as_posix(), length


def _warn(text: str) -> None:
    """Warn once: what the workflow told while it parsed, its jobs do not tell again."""
    told = os.environ.get(TOLD, "")  # jobs inherit it
    if text not in told:
        os.environ[TOLD] = f"{told}{text}\n"
        logger.warning("%s", text)


MOST_RECORDS = 1_000_000
"""Of a shard; a damaged file may say any number, and the workflow makes a list of them."""


def _lengths_in_info(path: Path, source_split: str) -> list[int]:
    """Return the shards' numbers of records, which the file holds as text; [] if it does not."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        splits = {split["name"]: split for split in content["splits"]}
        lengths = [int(length) for length in splits[source_split]["shardLengths"]]
        return lengths if all(0 <= length <= MOST_RECORDS for length in lengths) else []
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
