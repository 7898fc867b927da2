"""What MOVi says of its scenes: labels by name, and the keys that only some variants have."""

import hashlib
import json

import numpy as np
import pytest
from raw_movi import (
    DATA,
    VERSION,
    VIDEOS,
    bytes_feature,
    edited,
    float_feature,
    int_feature,
    movi_root,
    raw_record,
)

from ocvp.data.movi.metadata import read_class_names, scene_metadata
from ocvp.data.movi.records import MoviRecord

__all__ = ["movi_root"]

SHAPES = ["cube", "cylinder", "sphere"]


@pytest.fixture(scope="module")
def class_names(movi_root):
    return read_class_names(movi_root / VERSION)


@pytest.fixture(scope="module")
def data(movi_root):
    return raw_record(movi_root)


def metadata_of(data, class_names):
    """Return the metadata of a record, once they are found to be JSON."""
    metadata = scene_metadata(MoviRecord(data, side=128), class_names)
    assert json.loads(json.dumps(metadata, allow_nan=False)) == metadata
    return metadata


def test_class_names_lie_beside_the_shards(class_names, tmp_path):
    assert set(class_names) == {
        f"instances/{key}_label" for key in ("color", "material", "shape", "size")
    }
    assert class_names["instances/shape_label"] == SHAPES
    assert class_names["instances/size_label"] == ["small", "large"]
    assert read_class_names(tmp_path) == {}
    (tmp_path / "instances-category.labels.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(
        ValueError, match=r"instances-category\.labels\.txt cannot be read as names"
    ):
        read_class_names(tmp_path)


@pytest.mark.parametrize(("split", "shard", "position", "name"), VIDEOS)
def test_labels_and_collisions_of_every_video(movi_root, class_names, split, shard, position, name):
    digests = json.loads((DATA / "ground_truth.json").read_text(encoding="utf-8"))[name]
    metadata = metadata_of(raw_record(movi_root, split, shard, position), class_names)
    num_objects = metadata["num_objects"]
    assert num_objects == digests["bboxes"][1][1]
    for label in ("shape", "color", "size", "material"):
        names = class_names[f"instances/{label}_label"]
        numbers = [names.index(value) for value in metadata["objects"][f"{label}_label"]]
        assert_digest(np.array(numbers), digests[f"{label}_label"])
    collisions = metadata["collisions"]
    assert_digest(np.array(collisions["frame"]), digests["collision_frame"])
    pairs = [[65535 if k is None else k for k in pair] for pair in collisions["objects"]]
    assert_digest(np.array(pairs).reshape(-1, 2), digests["collision_instances"])


def assert_digest(values, expected):
    dtype, shape, digest = expected
    assert list(values.shape) == shape
    assert hashlib.sha256(values.astype(dtype).tobytes()).hexdigest() == digest


def test_the_metadata_of_one_video(data, class_names):
    metadata = metadata_of(data, class_names)
    objects = metadata.pop("objects")
    collisions = metadata.pop("collisions")
    assert metadata == {
        "num_objects": 4,
        "camera": {"focal_length": 35.0, "sensor_width": 32.0, "field_of_view": 0.85755605},
    }
    assert set(objects) == {
        *("color", "friction", "mass", "restitution"),
        *("color_label", "material_label", "shape_label", "size_label"),
    }
    assert objects["shape_label"] == ["cylinder", "cube", "sphere", "sphere"]
    assert objects["friction"] == [0.4, 0.4, 0.4, 0.8]  # three of metal, one of rubber
    assert [len(colour) for colour in objects["color"]] == [3] * 4
    assert len(collisions["frame"]) == len(collisions["objects"]) == 10
    assert all(0 <= k < 4 for pair in collisions["objects"] for k in pair if k is not None)
    assert any(None in pair for pair in collisions["objects"])


def test_another_variant_has_other_keys(data):
    changes = {f"instances__{key}_label": None for key in ("color", "material", "shape", "size")}
    changes |= {"events__collisions__frame": None, "camera__focal_length": None}
    changed = edited(
        data,
        **changes,
        instances__category=int_feature(0, 2, -1, 1),
        instances__asset_id=bytes_feature(b"toy", b"shoe", b"mug", "Öl".encode()),
        instances__scale=float_feature(1, 2, 3, float("nan")),
        instances__is_dynamic=int_feature(0, 1, 1, 0),
        instances__color=float_feature(*[0.5] * 12),
        metadata__background=bytes_feature(b"meadow"),
    )
    names = {"instances/category": SHAPES, "instances/shape_label": SHAPES}
    metadata = metadata_of(changed, names)
    objects = metadata["objects"]
    assert objects["category"] == ["cube", "sphere", None, "cylinder"]
    assert objects["asset_id"] == ["toy", "shoe", "mug", "Öl"]
    assert objects["scale"] == [1, 2, 3, None]
    assert objects["is_dynamic"] == [0, 1, 1, 0]
    assert objects["color"] == [[0.5] * 3] * 4
    assert "shape_label" not in objects
    assert metadata["background"] == "meadow"
    assert "collisions" not in metadata
    assert set(metadata["camera"]) == {"sensor_width", "field_of_view"}


def test_without_names_labels_are_numbers(data):
    assert metadata_of(data, {})["objects"]["shape_label"] == [1, 0, 2, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"instances__shape_label": int_feature(0, 1, 3, 0)}, "instances/shape_label is 3; .* 3"),
        ({"instances__shape_label": int_feature(0, 1, -2, 0)}, "instances/shape_label is -2"),
        ({"instances__shape_label": int_feature(0)}, "instances/shape_label holds 1 values"),
        ({"instances__mass": float_feature(1, 2, 3)}, "instances/mass holds 3 values for 4 obj"),
        ({"instances__asset_id": bytes_feature(b"a")}, "instances/asset_id holds 1 values"),
        ({"events__collisions__instances": int_feature(1)}, "collisions/instances holds 1 values"),
        ({"camera__focal_length": float_feature()}, "camera/focal_length holds 0 values"),
    ],
)
def test_what_does_not_fit_names_its_key(data, class_names, changes, message):
    with pytest.raises(ValueError, match=message):
        metadata_of(edited(data, **changes), class_names)
