"""Writing files so that an interrupted write is never taken for a finished one."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where a disk or a quota is full, or a file may not grow."""

NO_FOLDER_SYNC = (
    *(errno.EINVAL, errno.EBADF, errno.ENOSYS, errno.EOPNOTSUPP, errno.EISDIR),
    *(errno.EACCES, errno.EPERM),
)
"""What the system says where folders cannot be synced, or not be opened for it."""

UNFINISHED_SECONDS = 60.0
"""A temporary file that was not written to for so long belongs to a process that is gone."""


@contextlib.contextmanager
def atomic_path(final: str | Path, num_bytes: int | None = None) -> Iterator[Path]:
    """Yield a temporary path that becomes `final` when the block ends without an error.

    The temporary file lies in the folder of `final` (a rename is atomic only within one file
    system), is synced before it is renamed, and is removed when the block fails: what stood at
    `final` before is then untouched. The folder is synced after it, so that a power cut does not
    undo the rename.

    Args:
        final: Path of the file to write; its folder is made where it is missing.
        num_bytes: How much will be written, where that is known; for the message on a full disk.

    Raises:
        OSError: If the folder cannot be written or the disk is full, naming `final`, and for a
            full disk the space that is needed and left.
    """
    final = Path(final)
    temporary = final
    try:
        _make_folder(final.parent)
        descriptor, name = tempfile.mkstemp(
            prefix=f".{final.stem}.", suffix=final.suffix, dir=final.parent
        )
        os.close(descriptor)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        # mkstemp makes files private; the product gets the mode that the user's umask asks for.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(final)
        sync_folder(final.parent)
    except Exception as error:
        # HDF5 and torch report a full disk as errors of other types too.
        named = _named(error, final, temporary, num_bytes)
        if named is None:
            raise
        raise named from error
    finally:
        if temporary != final:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def all_or_none(products: Sequence[Path]) -> Iterator[None]:
    """Remove the products that the block wrote, should it fail before all are there.

    One that stands without the others, or without the record that the block writes after it, would
    be taken for whole.
    """
    before = [_identity(path) for path in products]
    try:
        yield
    except BaseException:
        for path, earlier in zip(products, before, strict=True):
            if _identity(path) != earlier:
                path.unlink(missing_ok=True)
        raise


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def remove_unfinished(final: str | Path) -> None:
    """Remove what processes that were killed left of `final` (see `atomic_path`).

    What was written to in the last minute is left alone: another process may be at work on it.
    """
    final = Path(final)
    for path in final.parent.glob(f".{final.stem}.*{final.suffix}"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > UNFINISHED_SECONDS:
                path.unlink()


def check_writable(path: str | Path, num_bytes: int = 0) -> None:
    """Check that `path` can be written, before the work that makes its content is done.

    What processes that were killed left of it is removed first (see `remove_unfinished`).

    Args:
        path: File to write.
        num_bytes: About how much will be written, where that is known.

    Raises:
        OSError: If it is a folder, its folder cannot be written, or no space is left there.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder; give the name of a file")
    try:
        _make_folder(path.parent)
        remove_unfinished(path)
        with tempfile.NamedTemporaryFile(prefix=f".{path.stem}.", dir=path.parent) as file:
            file.write(bytes(4096))  # a full disk may still take an empty file
    except OSError as error:
        raise _named(error, path, path, num_bytes or None) or error from None
    free = shutil.disk_usage(path.parent).free
    if free < num_bytes:
        raise OSError(
            f"no space left for {path}: about {num_bytes / 1e6:.1f} MB are needed, "
            f"{free / 1e6:.1f} MB are free on its disk; free some space and run the same command "
            "again"
        )


def write_bytes(path: str | Path, content: bytes | memoryview) -> None:
    """Write `content` to `path`, atomically (see `atomic_path`)."""
    with atomic_path(path, len(content)) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` in UTF-8, atomically (see `atomic_path`)."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` to `path` as indented, valid JSON (no NaN or infinity), atomically."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: If the file is missing or no JSON, naming it.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from None


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def file_digest(path: str | Path) -> str:
    """Return the sha256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def companion(output: Path, name: str) -> Path:
    """Return where a file that accompanies a product lies.

    A checkpoint has its folder to itself (`config.json`); other products share theirs
    (`train.config.json` beside `train.h5`).
    """
    return output.parent / (name if output.suffix == ".pt" else f"{output.stem}.{name}")


def sync_folder(folder: Path) -> None:
    """Make what was last made, renamed or removed in a folder outlast a power cut.

    Nothing happens where the system cannot do it (elsewhere than on Unix; some file systems).
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise


def _make_folder(folder: Path) -> None:
    """Make a folder, and those above it, so that they outlast a power cut."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)


def _umask() -> int:
    mask = os.umask(0)  # it can only be read by setting it
    os.umask(mask)
    return mask


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an error of any library means that no space is left.

    HDF5 reports a full disk as text within errors of its own, so the chain of causes and the
    messages are searched as well as `errno`.
    """
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:  # a chain may lead back to itself
        if isinstance(cause, OSError) and cause.errno in FULL:
            return True
        if "No space left" in str(cause) or "File too large" in str(cause):
            return True
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
    return False


def describe_full_disk(final: Path, num_written: int, num_needed: int | None = None) -> str:
    """Say that no space is left for `final`, what is needed and free, and what to do.

    Args:
        final: The file that cannot be written.
        num_written: Bytes that were written before there was no more space.
        num_needed: Bytes of the whole file, where that is known.
    """
    free = shutil.disk_usage(_existing(final)).free
    limit = ""
    if num_needed is None:
        size = f"{num_written / 1e6:.1f} MB were written before the disk or the quota was full"
    else:
        size = f"{num_needed / 1e6:.1f} MB are needed"
        if free >= num_needed:
            limit = ", but a quota or a limit on the size of files (ulimit -f) forbids it"
    return (
        f"no space left for {final}: {size}, {free / 1e6:.1f} MB are free on its disk{limit}; free "
        "some space and run the same command again (what stood there before is untouched)"
    )


def _existing(path: Path) -> Path:
    """Return the nearest folder above `path` that exists."""
    return next(folder for folder in path.absolute().parents if folder.is_dir())


def _named(
    error: Exception, final: Path, temporary: Path, num_bytes: int | None = None
) -> OSError | None:
    """Return an error that names the product and what can be done; None for any other fault."""
    if is_disk_full(error):
        size = 0
        if temporary != final and temporary.exists():
            size = temporary.stat().st_size
            temporary.unlink()  # what it takes is free again
        return OSError(describe_full_disk(final, size, num_bytes))
    if not isinstance(error, OSError) or not _concerns(error, final):
        return None
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return PermissionError(
            f"no permission to write {final} ({error.strerror}); change the permissions of "
            f"{_existing(final)}, or write elsewhere"
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return OSError(f"cannot write {final}: {error.strerror} ({error.filename})")
    return None


def _concerns(error: OSError, final: Path) -> bool:
    """Tell whether an error is about the product and not about a file that the block reads."""
    if not isinstance(error.filename, str):
        return True
    path, final = Path(error.filename).absolute(), final.absolute()
    is_temporary = path.parent == final.parent and path.name.startswith(f".{final.stem}.")
    return is_temporary or path == final or path in final.parents
