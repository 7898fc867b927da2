"""A video as it lies on disk, and what the listings of all kinds of data sets share.

The workflow lists files while it parses: nothing heavy is imported here.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
"""Endings of the files that count as pictures."""
FILMS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".gif")
"""Endings of the files that count as films."""


class RawVideo(NamedTuple):
    """One video on disk; files are relative to the data set's root, with forward slashes."""

    name: str
    """Empty for a record of a shard, which holds its name itself."""
    files: tuple[str, ...]
    """The pictures that are read, in the order of the frames; or one film, or one shard."""
    record: int = 0
    """Position in its shard."""
    masks: tuple[str, ...] = ()
    """The masks of the pictures, in the same order."""
    mirror: int = 0
    """How it is mirrored (`ocvp.data.folder.videos`); 0: not."""


class MissingDataError(ValueError):
    """The folder of a data set is not there."""


def check_folder(folder: Path, text: str) -> None:
    """Check that a folder is there.

    Raises:
        MissingDataError: If it is not, with a text that says what to do.
    """
    if not folder.is_dir():
        raise MissingDataError(f"{folder} does not exist.\n{text}")


def visible_folders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, without hidden ones and what archives leave."""
    with os.scandir(folder) as entries:  # which know what they are, without asking for each
        names = [entry.name for entry in entries if entry.is_dir()]
    return [name for name in names if is_visible(name)]


def visible(folder: Path) -> list[Path]:
    """Return what lies in a folder, without hidden files and what archives leave."""
    return [path for path in folder.iterdir() if is_visible(path.name)]


def is_visible(name: str) -> bool:
    """Tell whether a name is neither that of a hidden file nor of what archives leave."""
    return not name.startswith((".", "__MACOSX"))


def natural_order(name: str) -> tuple[list[tuple[int, str]], str]:
    """Return a key that sorts test_2 before test_10, and no two names alike."""
    # Digits and what stands between them; -1 sorts text before numbers.
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name
