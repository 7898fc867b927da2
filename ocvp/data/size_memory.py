"""The sizes of raw files, remembered from one parse of the workflow to the next.

The sizes of a video's pictures are those of the last parse for as long as the times of their
folder, the names that are read from it, and its first file are as they were. So what was made,
deleted or renamed is noticed, and so is a video that was rendered anew. One file that was rewritten
in place, within an untouched folder, is not: a conversion, and `python -m ocvp.provenance
--verify`, look at every file.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ocvp.runtime.files import read_json, write_text

SETTLED_SECONDS = 2.0
"""What was changed more lately may still be written to: its sizes are not kept."""


class SizeMemory:
    """Sizes of the pictures of one split, as they were last seen.

    Args:
        path: The file that keeps them; one that is missing or damaged counts as empty. None:
            nothing is remembered.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stored: dict[str, Any] = {}
        with contextlib.suppress(ValueError, TypeError):
            self._stored = dict(read_json(path)) if path else {}
        self._seen: dict[str, Any] = {}
        self.is_used = False
        """Whether sizes were given without looking at their files."""

    def sizes(self, root: str, names: Sequence[str]) -> list[int]:
        """Return the sizes in bytes of files of one folder, remembered or as they are.

        Args:
            root: Folder of the data set.
            names: The files, at least one; relative to the root.

        Raises:
            OSError: If one of them is missing.
        """
        key, (state, changed) = names[0], _state(root, names)
        match self._stored.get(key):
            case [str(former), *sizes] if former == state and len(sizes) == len(names):
                self._seen[key] = [state, *sizes]
                self.is_used = True
                return sizes
        # After the times: what changes in between is noticed the next time.
        sizes = [size_of(f"{root}/{name}") for name in names]
        if time.time() - changed > SETTLED_SECONDS:
            self._seen[key] = [state, *sizes]
        return sizes

    def forget(self) -> None:
        """Forget all sizes, so that each file is looked at again."""
        self._stored, self._seen, self.is_used = {}, {}, False

    def save(self) -> None:
        """Keep what was seen for the next parse; where that cannot be written, it is not kept."""
        if self._path and self._seen != self._stored:
            with contextlib.suppress(OSError):
                write_text(self._path, json.dumps(self._seen, separators=(",", ":")))


def size_of(path: str) -> int:
    """Return the size of a file in bytes.

    Raises:
        OSError: If it is missing.
    """
    # A data set has more than 100,000 files, and making a Path takes longer than the system's call.
    return os.stat(path).st_size  # noqa: PTH116


def _state(root: str, names: Sequence[str]) -> tuple[str, float]:
    """Return what must be as it was for sizes to hold, and when it last changed, in seconds."""
    folder = names[0].rpartition("/")[0]
    times = []
    for path in (f"{root}/{folder}", f"{root}/{names[0]}"):
        found = os.stat(path)  # noqa: PTH116 - as above
        times += [found.st_mtime_ns, found.st_ctime_ns]
    content = "\0".join([*map(str, times), *names])
    return hashlib.sha256(content.encode()).hexdigest()[:32], max(times) / 1e9
