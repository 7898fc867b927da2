"""What a record of MOVi says of its scene besides frames and annotations, as values for JSON.

K objects. The variants differ: MOVi-A labels shape, size, colour and material, MOVi-C, D and E have
scanned objects with a category and an asset_id. So everything small is taken that is there.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocvp.data.movi.records import MoviRecord

OF_EACH_FRAME = (
    "positions",
    "quaternions",
    "velocities",
    "angular_velocities",
    "bboxes_3d",
    "image_positions",
    "visibility",
)
"""What an object has in each frame, and the metadata leave out."""
CAMERA = ("focal_length", "sensor_width", "field_of_view")


def read_class_names(folder: Path) -> dict[str, list[str]]:
    """Read the names of classes that lie beside the shards, one file for each label.

    Returns:
        Key of a label, for example `instances/color_label`, to the names of its classes.

    Raises:
        ValueError: If a file cannot be read, naming it.
    """
    ending, names = ".labels.txt", {}
    for path in sorted(folder.glob(f"*{ending}")):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} cannot be read as names of classes: {error}") from None
        names[path.name.removesuffix(ending).replace("-", "/")] = lines
    return names


def scene_metadata(record: MoviRecord, class_names: dict[str, list[str]]) -> dict[str, Any]:
    """Return what is known of a scene.

    Args:
        record: The video.
        class_names: Names of the classes of each label that has some.

    Returns:
        `num_objects`; `objects`: for each key a list with one entry for each object, in the order
        of masks and boxes: names of classes (their numbers where there are no names; null where
        unknown), mass, friction, ...; `collisions`: numbers of the frames on disk and the two
        objects, counted from 0, null for floor and background; `camera`: focal length and
        width of the sensor in mm, field of view in radians; `background`: its name, in the variants
        that have one.

    Raises:
        ValueError: If something is damaged, or does not fit the number of objects, naming its key.
    """
    example = record.example
    objects = {
        key.removeprefix("instances/"): _of_objects(record, key, class_names.get(key))
        for key in sorted(example.keys)
        if key.startswith("instances/") and key.count("/") == 1
        if key.removeprefix("instances/") not in OF_EACH_FRAME
    }
    camera = {
        key: _plain(example.floats(f"camera/{key}", 1))[0]
        for key in CAMERA
        if f"camera/{key}" in example
    }
    metadata = {"num_objects": record.num_objects, "objects": objects, "camera": camera}
    if "events/collisions/frame" in example:
        metadata["collisions"] = _collisions(record)
    if "metadata/background" in example:
        metadata["background"] = example.texts("metadata/background", 1)[0]
    return metadata


def _of_objects(record: MoviRecord, key: str, names: list[str] | None) -> list[Any]:
    """Return one value, or one vector, for each object."""
    example, num_objects = record.example, record.num_objects
    kind = example.kind(key)
    if kind is None or kind == "bytes":
        return example.texts(key, num_objects)
    values = example.floats(key) if kind == "float" else example.integers(key)
    if num_objects == 0 or len(values) % num_objects:
        raise ValueError(f"{key} holds {len(values)} values for {num_objects} objects")
    if names is not None:
        return [_class_name(int(value), names, key) for value in values]
    vectors = values.reshape(num_objects, -1)  # (K, components)
    return _plain(values if vectors.shape[1] == 1 else vectors)


def _class_name(value: int, names: list[str], key: str) -> str | None:
    if not -1 <= value < len(names):
        raise ValueError(f"{key} is {value}; there are {len(names)} classes")
    return names[value] if value >= 0 else None  # TensorFlow Datasets writes -1 for unknown


def _collisions(record: MoviRecord) -> dict[str, Any]:
    frames = record.example.integers("events/collisions/frame")
    pairs = record.example.integers("events/collisions/instances", 2 * len(frames))
    objects = [value if 0 <= value < record.num_objects else None for value in pairs.tolist()]
    return {
        "frame": frames.tolist(),
        "objects": [objects[start : start + 2] for start in range(0, len(objects), 2)],
    }


def _plain(values: NDArray) -> list[Any]:
    """Return numbers as Python's: floats in as few digits as tell them apart, NaN as null."""
    if values.ndim > 1:
        return [_plain(row) for row in values]
    if values.dtype.kind != "f":
        return values.tolist()
    return [float(str(value)) if np.isfinite(value) else None for value in values]
