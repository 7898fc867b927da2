"""Atomic writes: a failure leaves what stood there before, and one message says what to do."""

import errno
import json
import os
import re
import resource
import signal
import stat
import tempfile
from pathlib import Path

import pytest
import torch
from tiny import small_disk, unwritable

from ocvp.models.tensor_files import save_tensors
from ocvp.runtime import files
from ocvp.runtime.files import (
    all_or_none,
    atomic_path,
    check_writable,
    is_disk_full,
    read_json,
    sync_folder,
    write_bytes,
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


def test_a_file_outlasts_a_power_cut(tmp_path, monkeypatch):
    """Content, name and new folders are synced, each after it was made."""
    synced = []
    final = tmp_path / "new" / "folder" / "file.txt"

    def fsync(descriptor, former=os.fsync):
        status = os.fstat(descriptor)
        is_folder = stat.S_ISDIR(status.st_mode)
        synced.append((is_folder, status.st_ino, final.exists()))
        former(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(final, "all of it")
    folders = [path.stat().st_ino for path in (final.parent, final.parent.parent, tmp_path)]
    assert synced[:2] == [(True, number, False) for number in folders[1:]]
    assert synced[2:] == [(False, final.stat().st_ino, False), (True, folders[0], True)]
    synced.clear()
    write_text(final, "again")
    assert [is_folder for is_folder, *_ in synced] == [False, True]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EACCES, errno.EBADF])
def test_a_system_that_syncs_no_folders_is_no_fault(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "fsync", refuse)
    sync_folder(tmp_path)
    monkeypatch.undo()
    opened = os.open
    monkeypatch.setattr(
        files.os, "open", lambda path, *rest: refuse() if path == tmp_path else opened(path, *rest)
    )
    write_text(tmp_path / "file.txt", "all of it")
    assert (tmp_path / "file.txt").read_text() == "all of it"


def test_a_folder_that_a_fault_keeps_from_being_synced_is_a_fault(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        sync_folder(tmp_path)


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


def write_numbers(path):
    write_bytes(path, bytes(4_000_000))


def write_lines(path):
    """As a library does that does not say how much it will write."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(bytes(4_000_000))


NEEDED = [
    (write_tensor, r"4\.0 MB are needed, {free} MB are free on its disk"),
    (write_numbers, r"4\.0 MB are needed, {free} MB are free on its disk"),
    (write_lines, r"{written} MB were written before the disk or the quota was full, {free} MB"),
]


@pytest.mark.parametrize(("write", "expected"), NEEDED)
def test_a_full_disk_is_named_with_what_is_needed_and_free(tmp_path, write, expected):
    with small_disk(tmp_path / "disk", kilobytes=1024) as disk:
        final = disk / "product.bin"
        write_text(final, "before")
        with pytest.raises(OSError, match="no space left") as caught:
            write(final)
        # what the failed write took is free again
        assert re.search(expected.format(free=r"1\.0", written=r"1\.0"), str(caught.value))
        assert str(final) in str(caught.value)
        assert "ulimit" not in str(caught.value)
        assert final.read_text() == "before"
        assert names(disk) == ["product.bin"]


@pytest.mark.parametrize(("write", "expected"), NEEDED)
def test_a_file_that_may_not_grow_counts_as_a_full_disk(tmp_path, write, expected):
    """The same as above where nothing can be mounted: the process has a limit instead."""
    final = tmp_path / "product.bin"
    write_text(final, "before")
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, most))
    try:
        with pytest.raises(OSError, match="no space left") as caught:
            write(final)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        signal.signal(signal.SIGXFSZ, former)
    assert re.search(expected.format(free=r"\d+\.\d", written=r"0\.2"), str(caught.value))
    assert ("a limit on the size of files (ulimit -f)" in str(caught.value)) is (
        write is not write_lines
    )
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
    check_writable(final)  # as each program does first
    assert names(tmp_path) == [other.name, new.name, final.name]


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_products_that_belong_together_are_all_there_or_none(tmp_path, error):
    table, picture, untouched = paths = [tmp_path / name for name in ("a.csv", "b.png", "c.json")]
    write_text(table, "earlier")
    write_text(untouched, "earlier")

    def write_two():
        with all_or_none(paths):
            write_text(table, "now")
            write_text(picture, "now")
            raise error

    with pytest.raises(type(error)):
        write_two()
    assert names(tmp_path) == ["c.json"]
    with all_or_none(paths):
        write_text(table, "now")
    assert names(tmp_path) == ["a.csv", "c.json"]
