"""Writing files so that an interrupted write is never taken for a finished one."""

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def atomic_path(final: str | Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `final` when the block ends without an error.

    The temporary file lies in the folder of `final` (a rename is atomic only within one file
    system), is synced before it is renamed, and is removed when the block fails: what stood at
    `final` before is then untouched.

    Args:
        final: Path of the file to write; its folder is made where it is missing.

    Raises:
        OSError: If the folder cannot be written or the disk is full, naming `final`, and for a
            full disk the space that is left.
    """
    final = Path(final)
    temporary = final
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(
            prefix=f".{final.stem}.", suffix=final.suffix, dir=final.parent
        )
        os.close(descriptor)
        temporary = Path(name)
        yield temporary
        _sync(temporary)
        # mkstemp makes files private; the product gets the mode that the user's umask asks for.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(final)
    except OSError as error:
        raise _named(error, final, temporary) from error
    finally:
        if temporary != final:
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` in UTF-8, atomically (see `atomic_path`)."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` to `path` as indented, valid JSON (no NaN or infinity), atomically."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an error of any library means that no space is left.

    HDF5 and torch report a full disk as text within errors of their own, so the chain of causes
    and the messages are searched as well as `errno`.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        text = str(seen)
        # torch's zip writer knows only that fewer bytes arrived than it wrote.
        if "No space left" in text or "File too large" in text or "PytorchStreamWriter" in text:
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _named(error: OSError, final: Path, temporary: Path) -> OSError:
    """Return `error` with the product's name and what can be done in its message."""
    if is_disk_full(error):
        written = temporary.stat().st_size if temporary != final and temporary.exists() else 0
        free = shutil.disk_usage(final.parent).free
        return OSError(
            f"no space left for {final}: {written / 1e6:.1f} MB were written before the disk was "
            f"full, {free / 1e6:.1f} MB are free in {final.parent}; free some space and run the "
            "same command again (what stood there before is untouched)"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OSError(f"no permission to write {final} ({error.strerror})")
    return error
