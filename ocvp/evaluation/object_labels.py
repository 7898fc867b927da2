"""What is known of the objects of a video besides their masks: what probes are to read off slots.

T frames, H W pixels, K objects, C components.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocvp.data.videos import VideoFile
from ocvp.evaluation.tracking_metrics import object_centres

Labels = Mapping[str, NDArray[Any]]
"""Target to its values, float64 (T, K, C), NaN where unknown; of classes their names, (T, K), empty
where unknown."""

TARGETS = ("position", "velocity", "size", "kind", "colour", "material")
"""In the order of tables."""
FIELDS = {"size": "sizes", "kind": "shapes", "colour": "colors"}
"""Target to the field of a video file that holds it."""
METADATA = {
    "size": ("size_label", "scale"),
    "kind": ("shape_label", "category"),
    "colour": ("color_label", "color"),
    "material": ("material_label",),
}
"""Target to the keys of a video's `objects` that may hold it, the first of which counts (MOVi)."""


class ObjectLabels:
    """Reads the labels of the objects of a file's videos.

    Position and velocity are those of the simulator on the ground, x and y in metres and metres a
    second, where the file has `states`. Else they are those of the true masks: row and column of
    the centroid in pixels, and how far it moved since the frame before. Names of classes and
    numbers come from the fields and the metadata.

    Args:
        file: The file, which has masks; it stays open.
    """

    def __init__(self, file: VideoFile):
        self._file = file
        self._fields = {target: field for target, field in FIELDS.items() if file.has(field)}
        objects = [(metadata or {}).get("objects", {}) for metadata in file.metadata]
        self._objects = objects
        self._keys = {
            target: key
            for target, keys in METADATA.items()
            for key in reversed(keys)  # the first one stays
            if target not in self._fields and all(key in video for video in objects)
        }
        # one form for all videos: some may know it of no object
        self._widths = {
            target: _width(value for video in objects for value in video[key])
            for target, key in self._keys.items()
        }

    def read(self, video: int, masks: NDArray[np.uint8]) -> Labels:
        """Return the labels of a video, the same targets for each video of the file.

        Args:
            video: Index of the video.
            masks: Its true labels, from its first frame on, (T, H, W).

        Raises:
            ValueError: If the file is damaged.
        """
        lasting = {t: _values(self._file.read(field, video)) for t, field in self._fields.items()}
        for target, key in self._keys.items():
            values = self._objects[video][key]
            lasting[target] = _listed(values, self._widths[target], self._file.max_objects)
        num_frames = len(masks)
        found = self._motion(video, masks) | {
            target: np.broadcast_to(values, (num_frames, *values.shape))
            for target, values in lasting.items()
        }
        return {target: found[target] for target in TARGETS if target in found}

    def _motion(self, video: int, masks: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Return position and velocity."""
        if self._file.has("states"):
            states = self._file.read("states", video, 0, len(masks)).astype(np.float64)
            return {"position": states[..., 0:2], "velocity": states[..., 7:9]}
        centres = object_centres(masks[None], self._file.max_objects)[0]  # (T, K, 2)
        return {
            "position": centres,
            "velocity": np.diff(centres, axis=0, prepend=np.full_like(centres[:1], np.nan)),
        }


def _values(field: NDArray[Any]) -> NDArray[Any]:
    """Return a field as numbers (K, C), or as names of classes (K,)."""
    if field.ndim > 1:
        return field.astype(np.float64)
    return np.where(field > 0, field.astype(str), "")  # 0 stands for no object


def _width(values: Iterable[Any]) -> int:
    """Return how many components the numbers of the metadata have; 0: they are names of classes."""
    sizes = (len(v) if isinstance(v, list) else 1 for v in values if isinstance(v, float | list))
    return max(sizes, default=0)


def _listed(values: Sequence[Any], width: int, num_objects: int) -> NDArray[Any]:
    """Return a list of the metadata as numbers (K, C), or as names of classes (K,)."""
    if not width:
        names = ["" if value is None else str(value) for value in values]
        return np.array([*names, *[""] * (num_objects - len(names))], dtype=str)
    numbers = np.full((num_objects, width), np.nan)
    for index, value in enumerate(values):
        row = np.atleast_1d(np.array(value, np.float64))  # null: NaN
        if len(row) == width:
            numbers[index] = row
    return numbers
