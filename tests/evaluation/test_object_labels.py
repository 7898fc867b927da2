"""What is known of objects: of a simulator's fields, of masks alone, and of MOVi's metadata."""

import numpy as np
import pytest
from raw_movi import movi_root
from tiny import NUM_FRAMES, SQUARE, squares, write_videos

from ocvp.config.datasets import MoviDataset, TabletopDataset
from ocvp.data.movi.files import list_videos
from ocvp.data.movi.videos import MoviVideos
from ocvp.data.tabletop.simulation import simulate
from ocvp.data.videos import Video, VideoFile, VideoWriter
from ocvp.evaluation.object_labels import ObjectLabels

__all__ = ["movi_root"]


def write(path, videos):
    attributes = {"dataset": "toy", "split": "test"}
    with VideoWriter(path, num_videos=len(videos), attributes=attributes) as writer:
        for video in videos:
            writer.append(video)
    return path


def labels_of(path, video=0, num_frames=None):
    with VideoFile(path) as file:
        masks = file.read("masks", video, 0, num_frames)
        return ObjectLabels(file).read(video, masks)


def test_masks_alone_tell_position_and_velocity_in_pixels(tmp_path):
    path = write_videos(tmp_path / "test.h5", num_videos=2)
    labels = labels_of(path, video=1)
    assert list(labels) == ["position", "velocity"]
    corners = squares(1)["boxes"][..., :2] * 16  # rows and columns of the squares' corners
    np.testing.assert_allclose(labels["position"], corners + (SQUARE - 1) / 2, atol=1e-5)
    assert np.isnan(labels["velocity"][0]).all()  # nothing is known before
    np.testing.assert_allclose(labels["velocity"][1:], np.diff(corners, axis=0), atol=1e-5)


def test_a_hidden_object_has_no_place_in_masks(tmp_path):
    arrays = squares(0)
    arrays["masks"][3][arrays["masks"][3] == 1] = 0
    labels = labels_of(write(tmp_path / "test.h5", [Video("a", arrays)]))
    hidden = np.isnan(labels["position"]).any(axis=-1)
    assert hidden[3].tolist() == [True, False]
    assert hidden.sum() == 1
    unknown = np.isnan(labels["velocity"]).any(axis=-1)
    assert [frame for frame in range(NUM_FRAMES) if unknown[frame, 0]] == [0, 3, 4]


def test_a_simulator_tells_all(tmp_path):
    dataset = TabletopDataset.model_validate(
        {
            "kind": "tabletop",
            "resolution": [16, 16],
            "num_frames": 4,
            "num_objects": [2, 3],
            "num_videos": {"train": 1, "val": 1, "test": 1},
        }
    )
    arrays = simulate(dataset, "train", 0)
    labels = labels_of(write(tmp_path / "train.h5", [Video("a", arrays)]), num_frames=3)
    assert list(labels) == ["position", "velocity", "size", "kind", "colour"]
    assert (labels["position"] == arrays["states"][:3, :, :2]).all()
    assert (labels["velocity"] == arrays["states"][:3, :, 7:9]).all()
    # a velocity is where an object gets to: to first order, as it slows down and turns
    moved = np.diff(arrays["states"][..., :2], axis=0) * dataset.fps
    assert np.abs(moved - labels["velocity"]).mean() < 0.3 * np.abs(moved).mean() + 0.05
    for target, field in (("size", "sizes"), ("colour", "colors")):
        assert (labels[target] == arrays[field]).all()
        assert labels[target].shape == (3, 3, arrays[field].shape[-1])
    kinds = [str(shape) if shape else "" for shape in arrays["shapes"]]
    assert labels["kind"].tolist() == [kinds] * 3


@pytest.fixture(scope="module")
def movi_file(movi_root, tmp_path_factory):
    """The fixture's validation videos at 16x16, two objects more than there are."""
    dataset = MoviDataset(
        kind="movi", root=str(movi_root), resolution=(16, 16), num_frames=5, splits="published"
    )
    source = MoviVideos(dataset, "val", list_videos(dataset, "val"))
    path = tmp_path_factory.mktemp("movi") / "val.h5"
    return write(path, list(source.videos(0, source.num_videos)))


def test_movi_tells_classes_by_name(movi_file):
    labels = labels_of(movi_file)
    assert list(labels) == ["position", "velocity", "size", "kind", "colour", "material"]
    with VideoFile(movi_file) as file:
        (objects, num_objects) = (file.metadata[0]["objects"], file.metadata[0]["num_objects"])
    for target, key in {"kind": "shape_label", "colour": "color_label"}.items():
        expected = [*objects[key], *[""] * (10 - num_objects)]
        assert labels[target].tolist() == [expected] * 5
    assert set(labels["kind"].ravel()) <= {"cube", "cylinder", "sphere", ""}
    assert labels["position"].shape == (5, 10, 2)


def test_numbers_of_the_metadata_stay_numbers_and_null_is_unknown(tmp_path):
    objects = [
        {"scale": [0.5, None], "color": [[0.1, 0.2, 0.3], None], "category": ["Shoe", None]},
        {"scale": [2.0], "color": [[1.0, 1.0, 1.0]], "category": ["Toys"]},
    ]
    videos = [Video(str(n), squares(n), {"objects": own}) for n, own in enumerate(objects)]
    path = write(tmp_path / "test.h5", videos)
    first, second = labels_of(path, 0), labels_of(path, 1)
    assert list(first) == list(second) == ["position", "velocity", "size", "kind", "colour"]
    assert first["size"][0].tolist() == [[0.5], [pytest.approx(np.nan, nan_ok=True)]]
    assert first["colour"][0, 0].tolist() == [0.1, 0.2, 0.3]
    assert np.isnan(first["colour"][0, 1]).all()
    assert first["kind"][0].tolist() == ["Shoe", ""]
    assert second["kind"][0].tolist() == ["Toys", ""]
    assert np.isnan(second["size"][0, 1]).all()


def test_a_video_that_knows_no_value_has_labels_of_the_form_of_the_others(tmp_path):
    nothing = {"scale": [None, None], "color": [None, None], "category": [None, None]}
    told = {"scale": [1.0], "color": [[0.1, 0.2, 0.3]], "category": ["Shoe"]}
    videos = [Video(str(n), squares(n), {"objects": own}) for n, own in enumerate((nothing, told))]
    path = write(tmp_path / "test.h5", videos)
    first, second = labels_of(path, 0), labels_of(path, 1)
    assert {t: v.shape for t, v in first.items()} == {t: v.shape for t, v in second.items()}
    assert np.isnan(first["size"]).all()
    assert np.isnan(first["colour"]).all()
    assert (first["kind"] == "").all()


def test_what_some_video_does_not_say_is_no_target(tmp_path):
    videos = [Video("a", squares(0), {"objects": {"scale": [1.0, 2.0]}}), Video("b", squares(1))]
    assert list(labels_of(write(tmp_path / "test.h5", videos))) == ["position", "velocity"]
