"""Atomic writes: a failure leaves what stood there before, and one message says what to do."""

import errno
import json
import os
import resource
import signal
import tempfile
from pathlib import Path

import pytest
import torch
from tiny import small_disk, unwritable

from ocvp.checkpoint import save_tensors
from ocvp.files import (
    atomic_path,
    check_writable,
    is_disk_full,
    read_json,
    remove_unfinished,
    write_json,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_under_its_name_and_nothing_else_does(tmp_path):
    final = tmp_path / "new" / "folder" / "file.txt"
    with atomic_path(final) as temporary:
        temporary.write_text("all of it")
        assert not final.exists()
        assert temporary.parent == final.parent
        assert temporary.suffix == ".txt"
        number = temporary.stat().st_ino
    assert final.read_text() == "all of it"
    assert final.stat().st_ino == number  # renamed, which is one step, not copied
    assert names(final.parent) == ["file.txt"]


def test_a_file_gets_the_mode_that_the_umask_asks_for(tmp_path):
    former = os.umask(0o027)
    try:
        write_text(tmp_path / "file.txt", "text")
    finally:
        os.umask(former)
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("failure", [ValueError("bad"), KeyboardInterrupt(), SystemExit(143)])
def test_a_failed_write_leaves_what_stood_there(tmp_path, failure):
    final = tmp_path / "file.txt"
    write_text(final, "before")

    def write():
        with atomic_path(final) as temporary:
            temporary.write_text("half of")
            raise failure

    with pytest.raises(type(failure)) as caught:
        write()
    assert caught.value is failure
    assert final.read_text() == "before"
    assert names(tmp_path) == ["file.txt"]


def test_an_error_about_another_file_is_passed_on_as_it_is(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r"input\.h5") as caught,
        atomic_path(tmp_path / "output.h5"),
    ):
        (tmp_path / "data" / "input.h5").open()
    assert caught.value.__cause__ is None


def test_an_error_that_is_its_own_cause_is_looked_through_once():
    error = OSError("odd")
    error.__cause__ = error
    assert not is_disk_full(error)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (RuntimeError("Can't flush (errno = 28, error message = 'No space left on device')"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_a_full_disk_is_known_by_number_or_text(error, expected):
    assert is_disk_full(error) is expected
    outer = RuntimeError("while writing")
    outer.__cause__ = error
    assert is_disk_full(outer) is expected


def write_tensor(path):
    save_tensors(path, {"weights": torch.ones(1000, 1000)})


def write_lines(path):
    path.write_bytes(bytes(4_000_000))


@pytest.mark.parametrize("write", [write_tensor, write_lines])
def test_a_full_disk_is_named_with_what_is_free(tmp_path, write):
    with small_disk(tmp_path / "disk", kilobytes=512) as disk:
        final = disk / "product.bin"
        write_text(final, "before")
        with pytest.raises(OSError, match="no space left") as caught, atomic_path(final) as path:
            write(path)
        message = str(caught.value)
        assert str(final) in message
        assert "MB are free" in message
        assert final.read_text() == "before"
        assert names(disk) == ["product.bin"]


@pytest.mark.parametrize("write", [write_tensor, write_lines])
def test_a_file_that_may_not_grow_counts_as_a_full_disk(tmp_path, write):
    """The same as above where nothing can be mounted: the process has a limit instead."""
    final = tmp_path / "product.bin"
    write_text(final, "before")
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, most))
    try:
        with pytest.raises(OSError, match="no space left") as caught, atomic_path(final) as path:
            write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        signal.signal(signal.SIGXFSZ, former)
    assert str(final) in str(caught.value)
    assert final.read_text() == "before"
    assert names(tmp_path) == ["product.bin"]


def test_writability_is_known_before_the_work(tmp_path):
    check_writable(tmp_path / "new" / "file.h5")
    assert names(tmp_path / "new") == []
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        check_writable(tmp_path)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match=f"cannot write {tmp_path}/file/product.h5"):
        check_writable(tmp_path / "file" / "product.h5")
    folder = tmp_path / "closed"
    folder.mkdir()
    with unwritable(folder):
        for attempt in (check_writable, lambda path: write_text(path, "text")):
            with pytest.raises(PermissionError, match="no permission to write") as caught:
                attempt(folder / "product.h5")
            assert str(folder / "product.h5") in str(caught.value)
    with small_disk(tmp_path / "disk", kilobytes=64) as disk:
        (disk / "filler").write_bytes(bytes(64 * 1024))
        with pytest.raises(OSError, match="no space left for"):
            check_writable(disk / "product.h5")
        (disk / "filler").unlink()
        check_writable(disk / "product.h5", 50_000)
        with pytest.raises(OSError, match=r"about 1\.0 MB are needed, 0\.1 MB are free"):
            check_writable(disk / "product.h5", 1_000_000)
        assert names(disk) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_of_another_user_is_named():
    """A child process gives up root's rights, so that the folder's mode counts."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        final = Path(folder) / "product.h5"
        reader, writer = os.pipe()
        if (child := os.fork()) == 0:
            try:
                os.setuid(65534)
                check_writable(final)
            except PermissionError as error:
                os.write(writer, str(error).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(writer)
        with os.fdopen(reader) as messages:
            message = messages.read()
    assert message.startswith(f"no permission to write {final} (Permission denied)")


def test_json_that_nobody_else_could_read_is_not_written(tmp_path):
    path = tmp_path / "scores.json"
    write_json(path, {"mean": 1.5})
    assert json.loads(path.read_text()) == {"mean": 1.5}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"mean": float("nan")})
    assert json.loads(path.read_text()) == {"mean": 1.5}


@pytest.mark.parametrize("content", [b'{"mean": ', b"\xff\xfe\x00"])
def test_json_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "scores.json"
    with pytest.raises(ValueError, match=r"scores.json cannot be read as JSON"):
        read_json(path)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"scores.json cannot be read as JSON"):
        read_json(path)


def test_what_killed_processes_left_is_removed_and_what_is_at_work_is_not(tmp_path):
    final = tmp_path / "videos.h5"
    old, new, other = (tmp_path / name for name in (".videos.abc.h5", ".videos.xyz.h5", ".a.b.h5"))
    for path in (old, new, other, final):
        path.write_text("x")
    for path in (old, other, final):
        os.utime(path, (1, 1))
    remove_unfinished(final)
    assert names(tmp_path) == [other.name, new.name, final.name]
