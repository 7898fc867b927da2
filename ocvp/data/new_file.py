"""New HDF5 files, also on a disk that turns out to be full."""

import io
from pathlib import Path
from typing import Any

import h5py


class NewFile(h5py.File):
    """An HDF5 file that is written anew.

    HDF5 2.0.0 keeps what it could not write, tries again whenever an object is closed, and crashes
    the interpreter. So it never learns that a write failed: the first error is raised by `check`
    and by `close` instead.

    Args:
        path: The file; an existing one is replaced.
        libver: The versions of the format that it may use, as h5py takes them.
    """

    def __init__(self, path: Path, libver: tuple[str, str]):
        self._target = _Target(path, "w+")
        super().__init__(self._target, "w", libver=libver)

    def check(self) -> None:
        """Raise the error of a write up to now.

        Raises:
            OSError: If one failed.
        """
        if self._target.error is not None:
            raise self._target.error

    def close(self) -> None:
        """Write what is left, and close the file.

        Raises:
            OSError: If a write failed.
        """
        super().close()
        self._target.close()
        self.check()


class _Target(io.FileIO):
    """What HDF5 writes to: whatever goes wrong there is kept, a signal that comes included."""

    error: BaseException | None = None

    def write(self, content: Any) -> int:
        try:
            done = 0
            while done < len(content):  # the system may take a part
                done += super().write(content[done:])
        except BaseException as error:
            self.error = self.error or error
        return len(content)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except BaseException as error:
            self.error = self.error or error
            return self.tell()
