"""Which files on disk a data set is converted from: its videos, their names and sizes.

The workflow lists them while it parses, so nothing is read here but folders, and nothing heavy is
imported. What a product depends on is the manifest: names relative to the data set's root, and
sizes. Where the files lie does not count.
"""

import hashlib
import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from ocvp.config.datasets import AnyDataset
from ocvp.config.section import Split
from ocvp.data.raw_videos import MissingDataError, RawVideo
from ocvp.data.sources import files_of
from ocvp.runtime.json_files import Content, read_content


class Manifest(Content):
    """What `manifest` writes down and `listing` reads."""

    num_videos: int = Field(ge=0)
    digest: str


@dataclass(frozen=True)
class Listing:
    """What one split of a data set consists of."""

    num_videos: int
    digest: str
    """Of names and sizes of all files; empty where nothing is read from disk."""
    videos: Sequence[RawVideo] = ()
    """The videos; none where the raw files are gone."""
    sizes: Mapping[str, int] = field(default_factory=dict)

    def part_digest(self, start: int, stop: int) -> str:
        """Return the digest of the videos `start` to `stop` - 1; of all where these are gone."""
        if not self.videos:
            return self.digest
        return videos_digest(self.videos[start:stop], self.sizes)


def list_videos(dataset: AnyDataset, split: Split) -> list[RawVideo]:
    """Return the videos of one split, in a fixed order.

    Raises:
        MissingDataError: If the data are not there, saying what is expected where, how large it
            is, and how to get it.
        ValueError: If there is something else than expected.
    """
    videos: list[RawVideo] = files_of(dataset).list_videos(dataset, split)
    return videos[: getattr(getattr(dataset, "max_videos", None), split, None)]


def check_videos(dataset: AnyDataset, split: Split, videos: Sequence[RawVideo]) -> None:
    """Check, before videos are converted, what their listing took for granted.

    Raises:
        ValueError: If a shard holds another number of records than the file beside it says.
    """
    check = getattr(files_of(dataset), "check_videos", None)  # MOVi has one
    if check is not None:
        check(dataset, split, videos)


def file_sizes(dataset: AnyDataset, videos: Sequence[RawVideo]) -> dict[str, int]:
    """Return the size in bytes of each file that videos consist of.

    Raises:
        ValueError: If a file is missing, naming it.
    """
    root = Path(getattr(dataset, "root", "."))
    sizes: dict[str, int] = {}
    for name in itertools.chain.from_iterable((*video.files, *video.masks) for video in videos):
        if name not in sizes:
            try:
                sizes[name] = (root / name).stat().st_size
            except OSError as error:
                raise ValueError(
                    f"{root / name} cannot be read ({error.strerror}); num_frames and stride of "
                    "the data set ask for it"
                ) from None
    return sizes


def videos_digest(videos: Sequence[RawVideo], sizes: Mapping[str, int]) -> str:
    """Return the digest of names and sizes of the files of videos; empty for no files."""
    digest = hashlib.sha256()
    for video in videos:
        for name in (*video.files, *video.masks):
            # The root may point anywhere into the tree of MOVi: of a shard, its own name counts.
            counted = name if video.name else name.rpartition("/")[2]
            digest.update(f"{video.record}\0{counted}\0{sizes[name]}\n".encode())
    return digest.hexdigest() if sizes else ""  # simulated: no files


def manifest(dataset: AnyDataset, videos: Sequence[RawVideo]) -> dict[str, Any]:
    """Return what is written down of the files that videos consist of.

    Raises:
        ValueError: If a file is missing, naming it.
    """
    sizes = file_sizes(dataset, videos)
    return {
        "num_videos": len(videos),
        "num_files": len(sizes),
        "num_bytes": sum(sizes.values()),
        "digest": videos_digest(videos, sizes),
    }


def listing(dataset: AnyDataset, split: Split, record: Path) -> Listing:
    """Return what a split consists of; where the raw files are gone, as they once were.

    Args:
        dataset: The data set.
        split: The split.
        record: The manifest that was written when the split was converted.

    Raises:
        MissingDataError: If there are neither raw files nor a record.
        ValueError: If the raw files are not as expected.
    """
    try:
        videos = list_videos(dataset, split)
    except MissingDataError as missing:
        if not os.path.lexists(record):
            raise
        try:
            stored = read_content(record, Manifest)
        except ValueError as damage:
            raise MissingDataError(f"{damage}; and {str(missing).splitlines()[0]}") from None
        return Listing(stored["num_videos"], stored["digest"])
    sizes = file_sizes(dataset, videos)
    return Listing(len(videos), videos_digest(videos, sizes), videos, sizes)
