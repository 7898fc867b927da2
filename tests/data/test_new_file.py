"""New HDF5 files: whatever the disk says comes out as it is, and the interpreter survives it."""

import errno
import gc
import resource

import h5py
import numpy as np
import pytest

from ocvp.data.hdf5 import create_file

VALUES = np.random.default_rng(0).integers(0, 256, (20, 600), np.uint8)  # does not compress


def write(path, early=False):
    with create_file(path) as file:
        file.attrs["format"] = "numbers"
        stored = file.create_dataset("stored", VALUES.shape, "u1", chunks=(1, 600), fletcher32=True)
        packed = file.create_dataset("packed", VALUES.shape, "u1", chunks=(1, 600), compression=1)
        for row, values in enumerate(VALUES):
            stored[row] = packed[row] = values
            if early:
                file.flush()
                file.check()


def test_a_file_holds_what_was_written_and_has_the_same_bytes_again(tmp_path):
    write(tmp_path / "a.h5")
    write(tmp_path / "b.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert (file["stored"][:] == VALUES).all()
        assert (file["packed"][:] == VALUES).all()
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize("early", [False, True])
def test_a_disk_that_is_full_at_any_moment(tmp_path, early, recwarn):
    """A limit of the size of files stands for the disk; nothing is left for a later clean-up."""
    path = tmp_path / "full.h5"
    write(path)
    size, num_failed = path.stat().st_size, 0
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in range(1, size, 1013):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
        try:
            with pytest.raises(OSError, match="File too large") as caught:
                write(path, early)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        assert caught.value.errno == errno.EFBIG
        num_failed += 1
        del caught
    gc.collect()
    assert num_failed > 20
    uncaught = pytest.PytestUnraisableExceptionWarning
    assert not [str(told) for told in recwarn if issubclass(told.category, uncaught)]
    write(path)
    assert path.stat().st_size == size


def test_a_signal_within_a_write_comes_out_after_it(tmp_path):
    class Content(bytes):
        def __getitem__(self, part):
            raise KeyboardInterrupt

    file = create_file(tmp_path / "x.h5")
    assert file._target.write(Content(b"abc")) == 3
    file.attrs["format"] = "numbers"  # HDF5 goes on as if nothing had been
    with pytest.raises(KeyboardInterrupt):
        file.close()
