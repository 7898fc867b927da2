"""Video files: one HDF5 file for a split, written one video at a time, and read by slices.

Legend: V videos, T frames, H W pixels, K objects.

A file holds `/names` (V,) UTF-8 and, where known, `/metadata` (V,) with labels of each video as
JSON, and the data sets of `FIELDS`, each with one chunk for a video. Frames are stored as they are,
so that training reads them at the disk's speed; annotations are compressed. All has checksums (see
`ocvp.data.hdf5`). Attributes: dataset, split, format_version, first_video (0, but for parts of a
split), source (manifest), config and, where known, fps and camera: source, config and camera as
JSON. The same content gives the same bytes: no times are stored, and everything is written in one
order.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import h5py
from numpy.typing import NDArray

from ocvp.data.hdf5 import (
    TEXT,
    Array,
    Unfit,
    check_arrays,
    check_read,
    create_array,
    create_file,
    create_texts,
    read_attributes,
    read_texts,
    reading,
    write_attribute,
)

FORMAT_VERSION = 1
ENDING = "delete it and run snakemake again"


class FieldSpec(NamedTuple):
    """What a data set of a video file holds: its type, and its axes after V."""

    dtype: str
    axes: str


FIELDS = {
    "frames": FieldSpec("uint8", "THWC"),
    "masks": FieldSpec("uint8", "THW"),
    "boxes": FieldSpec("float32", "TKC"),
    "flow": FieldSpec("float32", "THWC"),
    "backward_flow": FieldSpec("float32", "THWC"),
    "depth": FieldSpec("float32", "THW"),
    "states": FieldSpec("float32", "TKC"),
    "sizes": FieldSpec("float32", "KC"),
    "shapes": FieldSpec("uint8", "K"),
    "colors": FieldSpec("float32", "KC"),
    "contacts": FieldSpec("uint8", "T"),
    "object_contacts": FieldSpec("uint8", "TK"),
}
"""What a file may hold, in the order of writing; C stands for components. All but frames are
optional; `ocvp.data.tabletop.simulation.simulate` says what each means."""

COMPRESSED = ("masks", "flow", "backward_flow", "depth")
CONTENT = {
    **{name: Array(spec.dtype, f"V{spec.axes}") for name, spec in FIELDS.items()},
    **{"names": Array(TEXT, "V"), "metadata": Array(TEXT, "V")},
}
ATTRIBUTES = {"split": str, "format_version": int}
FURTHER_ATTRIBUTES = {
    **{"dataset": str, "source": str, "config": str, "camera": str, "fps": float},
    **{"first_video": int, "complete": bool},
}


class Video(NamedTuple):
    """One video, as a source makes it."""

    name: str
    arrays: Mapping[str, NDArray]
    """Its fields (see `FIELDS`)."""
    metadata: Mapping[str, Any] | None = None
    """What else is known of it: labels, in plain numbers, strings, lists and mappings."""


def least_bytes(video: Video) -> int:
    """Return how much a video takes on disk at least: what is stored as it is."""
    return sum(values.nbytes for field, values in video.arrays.items() if field not in COMPRESSED)


class VideoWriter:
    """Writes a video file; one video is in memory at a time.

    Use it as a context manager. The file is marked as complete only when the block ends without
    an error and all videos were appended.

    Args:
        path: The file to write; an existing one is replaced.
        num_videos: V.
        attributes: The file's attributes, without format_version.
    """

    def __init__(self, path: str | Path, *, num_videos: int, attributes: Mapping[str, Any]) -> None:
        self._path = Path(path)
        self._num_videos = num_videos
        self._names: list[str] = []
        self._metadata: list[Mapping[str, Any] | None] = []
        self._file = create_file(self._path)
        self._file.attrs["format_version"] = FORMAT_VERSION
        for name in sorted(attributes):
            write_attribute(self._file, name, attributes[name])

    def append(self, video: Video) -> None:
        """Write the next video: the same fields, of the same shapes, in every video.

        Raises:
            ValueError: If a field is unknown, missing, of another type or shape than in the first
                video, or if the file is full.
            OSError: If the file cannot be written, or the disk has no space for all videos.
        """
        name, arrays, metadata = video
        index = len(self._names)
        if index == self._num_videos:
            raise ValueError(f"{self._path}: video {name} is one more than {self._num_videos}")
        if index == 0:
            self._create(arrays)
        known = [field for field in FIELDS if field in self._file]
        if set(known) != set(arrays):
            raise ValueError(
                f"{self._path}: video {name} has the fields {sorted(arrays)}; the first video has "
                f"{sorted(known)}"
            )
        for field in known:
            dataset, values = self._file[field], arrays[field]
            if values.shape != dataset.shape[1:] or values.dtype != dataset.dtype:
                raise ValueError(
                    f"{self._path}: {field} of video {name} is {values.dtype} {values.shape}; in "
                    f"the first video it is {dataset.dtype} {dataset.shape[1:]}"
                )
            dataset[index] = values
            self._file.check()
        self._names.append(name)
        self._metadata.append(metadata)

    def _create(self, arrays: Mapping[str, NDArray]) -> None:
        unknown = set(arrays) - set(FIELDS)
        if unknown or "frames" not in arrays:
            raise ValueError(
                f"{self._path}: the fields are {sorted(arrays)}; frames are required, and only "
                f"{', '.join(FIELDS)} are allowed"
            )
        for field, spec in FIELDS.items():
            if field not in arrays:
                continue
            values = arrays[field]
            if values.dtype != spec.dtype or values.ndim != len(spec.axes):
                raise ValueError(
                    f"{self._path}: {field} of a video is {values.dtype} {values.shape}; it must "
                    f"be {spec.dtype} with {len(spec.axes)} axes"
                )
            shape = (self._num_videos, *values.shape)
            create_array(self._file, field, shape, spec.dtype, is_compressed=field in COMPRESSED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._file.close()

    def _finish(self) -> None:
        if len(self._names) != self._num_videos:
            found = f"{len(self._names)} videos were written instead of {self._num_videos}"
            raise ValueError(f"{self._path}: {found}")
        create_texts(self._file, "names", self._names)
        if any(metadata is not None for metadata in self._metadata):
            texts = [json.dumps(metadata or {}, sort_keys=True) for metadata in self._metadata]
            create_texts(self._file, "metadata", texts)
        self._file.attrs["complete"] = True


class VideoFile:
    """Reads a video file.

    Use it as a context manager, or call `close`. It can be pickled: the copy opens the file anew.

    Args:
        path: The file.

    Attributes:
        path: The file.
        num_videos: V.
        num_frames: T.
        height: H.
        width: W.
        max_objects: K, 0 where the file has no boxes and no states.
        names: The videos' names.
        metadata: What else is known of each video; None where the file says nothing.
        attributes: The file's attributes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is truncated, damaged or no video file.
    """

    num_videos: int
    num_frames: int
    height: int
    width: int
    names: list[str]
    metadata: list[dict[str, Any] | None]
    attributes: dict[str, Any]

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.path}: there is no such video file")
        try:
            self._file = h5py.File(self.path, "r")
        except OSError as error:
            raise self._fault(f"is truncated, damaged or no HDF5 file ({error})") from error
        try:
            with reading(self.path, ENDING):
                self._open()
        except BaseException:
            self._file.close()
            raise
        boxes = next((field for field in ("boxes", "states") if self.has(field)), None)
        self.max_objects = int(self._file[boxes].shape[2]) if boxes else 0  # of (V, T, K, C)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that the file holds, in the order of `FIELDS`."""
        return tuple(field for field in FIELDS if self.has(field))

    def has(self, field: str) -> bool:
        """Tell whether the file holds a field of `FIELDS`."""
        return field in FIELDS and field in self._file

    def read(self, field: str, video: int, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Read one field of one video.

        Args:
            field: One of `FIELDS`.
            video: Index from 0.
            start: First frame; ignored for fields without frames.
            stop: Frame after the last; None: to the end.

        Returns:
            The array without its axis V, with stop - start frames.

        Raises:
            ValueError: If the file lacks the field, the video or the frames, or is damaged.
        """
        if not self.has(field):
            raise ValueError(f"{self.path} has no {field}; it has {', '.join(self.fields)}")
        if not 0 <= video < self.num_videos:
            raise ValueError(f"{self.path}: video is {video}; it must be below {self.num_videos}")
        stop = self.num_frames if stop is None else stop
        if not 0 <= start <= stop <= self.num_frames:
            raise ValueError(
                f"{self.path}: frames {start} to {stop} are asked for; a video has "
                f"{self.num_frames}"
            )
        # HDF5 reads the frames that are asked for, where the field has frames at all.
        frames = slice(start, stop) if FIELDS[field].axes.startswith("T") else slice(None)
        try:
            dataset = self._file[field]
            values = dataset[video : video + 1, frames]
            check_read(dataset, video, values)
            return values[0]
        except (OSError, RuntimeError) as error:
            raise self._fault(f"is damaged: {field} of video {video} ({error})") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type["VideoFile"], tuple[Path]]:
        return VideoFile, (self.path,)  # an open file cannot be pickled

    def _open(self) -> None:
        """Read all but the fields, once the file keeps what the module's head promises.

        Raises:
            Unfit: If it does not.
        """
        file = self._file
        if "frames" not in file or "format_version" not in file.attrs:
            raise Unfit("is HDF5 but no video file (no frames or no format_version)")
        self.attributes = read_attributes(file, ATTRIBUTES, FURTHER_ATTRIBUTES)
        version = self.attributes["format_version"]
        if version != FORMAT_VERSION:
            raise Unfit(f"has format_version {version}; this program reads {FORMAT_VERSION}")
        if not self.attributes.get("complete", False):
            raise Unfit("was not written to its end")
        sizes = check_arrays(file, CONTENT, ("frames", "names"))
        self.num_videos, self.num_frames, self.height, self.width = (sizes[a] for a in "VTHW")
        self.names = read_texts(file, "names")
        self.metadata = [None] * self.num_videos
        if "metadata" in file:
            self.metadata = [json.loads(text) for text in read_texts(file, "metadata")]
        if not all(isinstance(labels, dict | None) for labels in self.metadata):
            raise Unfit("holds metadata that are no mappings")

    def _fault(self, what: str) -> ValueError:
        return ValueError(f"{self.path} {what}; {ENDING}")
