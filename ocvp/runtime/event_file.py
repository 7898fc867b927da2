"""TensorBoard's event files: records of time, step, and values or pictures by name.

Records are framed as in TFRecord files. TensorBoard reads the files of a folder in the order of
their names, and at a record of a session's start forgets all points from its step on.

They are written here and not by `torch.utils.tensorboard`, whose writer computes checksums in
Python (0.2 s for a picture), fails in a thread of its own, and names the tenth file of a second
such that it is read before the ninth.
"""

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog, SourceMetadata
from tensorboard.compat.proto.summary_pb2 import Summary

from ocvp.runtime.tfrecord import FOOTER, HEADER, data_length, footer, framed

PREFIX = "events.out.tfevents."
WRITE_SECONDS = 5.0
"""Points are collected for so long at most before they are written; later ones trigger it."""
LARGE_BYTES = 1 << 14
"""A larger record is a picture, and never a start."""


class EventFile:
    """A new event file, which TensorBoard reads after all others of its folder.

    Args:
        folder: Where it is made.

    Raises:
        OSError: If it cannot be written, later on too.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        # Later than the others by name, also where a clock was put back or another machine's is
        # ahead.
        second = max([int(time.time()), *(_second(path) + 1 for path in event_files(folder))])
        name = f"{PREFIX}{second:010d}.{socket.gethostname()}.{os.getpid()}.0"
        self._file = (folder / name).open("xb", buffering=1 << 16)
        self._written = time.monotonic()
        self.write(
            Event(file_version="brain.Event:2", source_metadata=SourceMetadata(writer="ocvp"))
        )
        self._file.flush()

    def start(self, num_steps: int) -> None:
        """Let TensorBoard forget all points after a step."""
        self.write(Event(step=num_steps + 1, session_log=SessionLog(status=SessionLog.START)))

    def add(self, values: list[Summary.Value], step: int) -> None:
        """Add values or pictures of a step."""
        if values:
            self.write(Event(step=step, summary=Summary(value=values)))

    def write(self, event: Event) -> None:
        """Append an event, with the time as it is now."""
        event.wall_time = time.time()
        self._file.write(framed(event.SerializeToString()))
        if time.monotonic() - self._written >= WRITE_SECONDS:
            self.flush(sync=False)

    def flush(self, sync: bool = True) -> None:
        """Write what was collected to the file.

        Args:
            sync: Wait until it is on the disk, so that not even a power cut loses it.
        """
        self._file.flush()
        if sync:
            os.fsync(self._file.fileno())
        self._written = time.monotonic()

    def close(self) -> None:
        """Write what was collected, and close the file."""
        self._file.close()


def event_files(folder: Path) -> list[Path]:
    """Return a folder's event files, in the order in which TensorBoard reads them."""
    return sorted(folder.glob(f"{PREFIX}*"))


def names_at(folder: Path, step: int) -> set[str]:
    """Return the names that have a value or a picture at a step, as TensorBoard shows them.

    Raises:
        OSError: If a file cannot be read.
    """
    names: set[str] = set()
    for path in event_files(folder):
        for event in _events(path, step):
            if event.session_log.status == SessionLog.START and event.step <= step:
                names.clear()
            elif event.step == step:
                names.update(value.tag for value in event.summary.value)
    return names


def _events(path: Path, step: int) -> Iterator[Event]:
    """Read a file's events, up to where it was cut off; pictures of other steps are left out."""
    # What the data hold after the time, which takes nine bytes.
    mark = Event(step=step).SerializeToString()
    with path.open("rb") as file:
        while len(header := file.read(HEADER.size)) == HEADER.size:
            num_bytes = data_length(header)
            if num_bytes is None:
                return
            data = file.read(min(num_bytes, LARGE_BYTES))
            if num_bytes > LARGE_BYTES and data[9 : 9 + len(mark)] != mark:
                file.seek(num_bytes - len(data) + FOOTER.size, os.SEEK_CUR)
                continue
            data += file.read(num_bytes - len(data))
            if file.read(FOOTER.size) != footer(data):
                return
            yield Event.FromString(data)


def _second(path: Path) -> int:
    found = re.match(r"\d+", path.name.removeprefix(PREFIX))
    return int(found[0]) if found else 0
