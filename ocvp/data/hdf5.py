"""HDF5 as data are kept in it: written so that damage shows, and checked whenever a file is opened.

HDF5's newer format (libver v110) has a checksum of all that describes the data, such as shapes,
attributes and where chunks lie, and each chunk has one of its own. Texts have a fixed length: HDF5
keeps others in a heap without a checksum, and a flipped bit there may make it search for ever (HDF5
2.0). Files of the older format are read too: of them, chunks are checked, and that none is missing.
"""

import contextlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from ocvp.data.new_file import NewFile

LIBVER = ("v110", "v110")
TEXT = "text"
TEXTS_PER_CHUNK = 64
ATTRIBUTE_TYPES: dict[type, tuple[type, ...]] = {
    str: (str,),
    int: (int, np.integer),
    float: (float, int, np.floating, np.integer),
    bool: (bool, np.bool_),
}


class Array(NamedTuple):
    """What a data set must be."""

    dtype: str
    """NumPy's name of the type, or TEXT."""
    axes: str
    """A letter for each axis; those of one letter have one length in all data sets, but C."""


class Unfit(ValueError):  # noqa: N818 (it is caught, and named for the file)
    """What is wrong with a file, as words that follow its name."""


def create_file(path: Path) -> NewFile:
    """Create a file, or replace it."""
    return NewFile(path, LIBVER)


def create_array(
    file: h5py.File, name: str, shape: tuple[int, ...], dtype: str, *, is_compressed: bool = False
) -> h5py.Dataset:
    """Create a data set with a chunk, and its checksum, for each entry of the first axis."""
    compression = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    return file.create_dataset(
        name,
        shape,
        dtype,
        chunks=(1, *shape[1:]),  # reading a video touches no other one
        fletcher32=True,  # a damaged chunk is an error, not another picture
        track_times=False,  # they would make other bytes of the same content
        **(compression if is_compressed else {}),
    )


def create_texts(file: h5py.File, name: str, texts: list[str]) -> None:
    """Create a data set of texts, shape (V,)."""
    encoded = [text.encode() for text in texts]
    dtype = h5py.string_dtype("utf-8", max(map(len, encoded), default=0) or 1)
    file.create_dataset(
        name,
        data=np.array(encoded, dtype),
        chunks=(min(len(texts), TEXTS_PER_CHUNK),),
        compression="gzip",  # for the shorter ones
        compression_opts=1,
        fletcher32=True,
        track_times=False,
    )


def write_attribute(file: h5py.File, name: str, value: Any) -> None:
    """Add an attribute, or replace it; h5py by itself returns a text as bytes."""
    if isinstance(value, str):
        encoded = value.encode()
        file.attrs.create(name, encoded, dtype=h5py.string_dtype("utf-8", len(encoded) or 1))
    else:
        file.attrs[name] = value


# --- reading --------------------------------------------------------------------------------------


@contextlib.contextmanager
def reading(path: Path, ending: str) -> Iterator[None]:
    """Turn all that reading a file may raise into one ValueError that names it.

    Args:
        path: The file.
        ending: What to do about it.
    """
    try:
        yield
    except Unfit as error:
        raise ValueError(f"{path} {error}; {ending}") from None
    except MemoryError:
        raise
    except Exception as error:  # HDF5 and h5py fail in many ways on damaged bytes
        reason = (str(error) or type(error).__name__).partition("\n")[0][:300]
        raise ValueError(f"{path} is damaged or no HDF5 file ({reason}); {ending}") from error


def read_attributes(
    file: h5py.File, needed: Mapping[str, type], further: Mapping[str, type]
) -> dict[str, Any]:
    """Return the attributes of a file, after a check of their types.

    Args:
        file: The file.
        needed: Attributes that it must have, by name.
        further: Those that it may have; others are not read.

    Raises:
        Unfit: If one is missing or of another type.
    """
    found = {}
    for name, kind in {**needed, **further}.items():
        if name not in file.attrs and name not in needed:
            continue
        value = file.attrs.get(name)
        if isinstance(value, bytes):
            value = value.decode()
        if not isinstance(value, ATTRIBUTE_TYPES[kind]):
            has = (
                f"has {name} as {type(value).__name__}" if name in file.attrs else f"has no {name}"
            )
            raise Unfit(f"{has}, where an attribute of type {kind.__name__} is expected")
        found[name] = value
    return found


def read_texts(file: h5py.File, name: str) -> list[str]:
    """Return a data set of texts."""
    return list(file[name].asstr()[:])


def check_read(dataset: h5py.Dataset, first: int, values: np.ndarray) -> None:
    """Check that zeros that were read are in the file.

    In a damaged older file the way that reading takes through the index may lead to no chunk,
    though all of them are there; HDF5 then gives zeros.

    Args:
        dataset: The data set.
        first: Index of the first entry of its first axis that was read.
        values: What was read, with this axis.

    Raises:
        RuntimeError: If there is no chunk.
    """
    if dataset.chunks != (1, *dataset.shape[1:]):  # not of this project
        return
    for index, entry in enumerate(values, first):
        if not entry.any():
            dataset.id.read_direct_chunk((index, *(0 for _ in dataset.shape[1:])))


def check_arrays(
    file: h5py.File, arrays: Mapping[str, Array], needed: Sequence[str]
) -> dict[str, int]:
    """Check that the data sets of a file are what they must be, and that all of them are there.

    Args:
        file: The file.
        arrays: What each data set must be, by name.
        needed: Those that the file must have.

    Returns:
        The length of each axis.

    Raises:
        Unfit: If one is something else, naming it.
    """
    sizes: dict[str, int] = {}  # of each axis, where it is met first
    for name, wanted in arrays.items():
        link = file.get(name, getlink=True)
        if link is None and name in needed:
            raise Unfit(f"holds no {name}")
        if link is None:
            continue
        dataset = file[name] if isinstance(link, h5py.HardLink) else None
        if not isinstance(dataset, h5py.Dataset):
            kind = type(link if dataset is None else dataset).__name__
            raise Unfit(f"holds {name} as a {kind}, where a data set of its own is expected")
        _check_type(name, dataset, wanted)
        for axis, size in zip(wanted.axes, dataset.shape, strict=True):
            if axis != "C" and sizes.setdefault(axis, size) != size:
                raise Unfit(f"holds {name} of shape {dataset.shape}; {axis} differs")
        _check_stored(name, dataset)
    return sizes


def _check_type(name: str, dataset: h5py.Dataset, wanted: Array) -> None:
    """Raise Unfit where a data set is not of its type, or has other axes, or is empty."""
    is_text = h5py.check_string_dtype(dataset.dtype) is not None
    fits = is_text if wanted.dtype == TEXT else dataset.dtype == wanted.dtype
    shape = dataset.shape
    if not fits or shape is None or len(shape) != len(wanted.axes) or 0 in shape[:1]:
        raise Unfit(
            f"holds {name} as {dataset.dtype} {shape}; it must be {wanted.dtype} with the axes "
            f"{', '.join(wanted.axes)}, and not empty"
        )


def _check_stored(name: str, dataset: h5py.Dataset) -> None:
    """Raise Unfit where a data set is not wholly stored in its file: HDF5 reads zeros there."""
    creation = dataset.id.get_create_plist()
    layout = creation.get_layout()
    if layout == h5py.h5d.VIRTUAL or creation.get_external_count():
        raise Unfit(f"keeps {name} in other files")
    if layout == h5py.h5d.CHUNKED:
        _check_chunks(name, dataset)
    elif dataset.id.get_storage_size() < dataset.size * dataset.dtype.itemsize:
        raise Unfit(f"is damaged: {name} is not stored")


def _check_chunks(name: str, dataset: h5py.Dataset) -> None:
    """Raise Unfit where the chunks of a data set are not those of its shape, each in its place."""
    grid = [-(-size // side) for size, side in zip(dataset.shape, dataset.chunks, strict=True)]
    wanted, found = math.prod(grid), dataset.id.get_num_chunks()
    if found != wanted:
        raise Unfit(f"is damaged: {found} of {wanted} chunks of {name} are there")
    chunks: list[Any] = []
    dataset.id.chunk_iter(chunks.append)
    places = {chunk.chunk_offset for chunk in chunks}
    is_inside = all(
        start % side == 0 and start < size
        for place in places
        for start, side, size in zip(place, dataset.chunks, dataset.shape, strict=True)
    )
    stretches = sorted((chunk.byte_offset, chunk.size) for chunk in chunks)
    is_apart = all(
        start + length <= following
        for (start, length), (following, _) in itertools.pairwise(stretches)
    )
    is_filtered = not any(chunk.filter_mask for chunk in chunks)  # with its checksum
    if not (len(places) == wanted and is_inside and is_apart and is_filtered):
        raise Unfit(f"is damaged: the chunks of {name} are not where they must be")
