"""OBJ3D on disk: every episode and frame in the order of the numbers, and no damage unnoticed."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFile
from raw_trees import write_obj3d

from ocvp.config.datasets import Obj3dDataset
from ocvp.data.obj3d.videos import Obj3dVideos
from ocvp.data.raw_files import list_videos

NUM_VIDEOS = {"train": 11, "val": 1, "test": 2}
NUM_FRAMES = 12
# Smaller than the source frames, and of another shape.
RESOLUTION = (32, 32)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("OBJ3D")
    return root, write_obj3d(root, NUM_VIDEOS, NUM_FRAMES)


@pytest.fixture
def own_tree(tmp_path):
    """A tree to damage."""
    write_obj3d(tmp_path, {"train": 1}, 3)
    return tmp_path


def read(root, split="train", **changes):
    dataset = Obj3dDataset(
        **{"kind": "obj3d", "root": str(root), "resolution": RESOLUTION, "num_frames": 3} | changes
    )
    source = Obj3dVideos(dataset, split, list_videos(dataset, split))
    return list(source.videos(0, source.num_videos))


def resized(frames, resample=Image.Resampling.BICUBIC):
    return np.stack(
        [np.asarray(Image.fromarray(frame).resize(RESOLUTION[::-1], resample)) for frame in frames]
    )


def test_every_episode_and_frame_is_read_in_numeric_order(tree):
    root, frames = tree
    for split, num_videos in NUM_VIDEOS.items():
        videos = read(root, split, num_frames=NUM_FRAMES)
        assert [video.name for video in videos] == [str(k + 1) for k in range(num_videos)]
        for video, wanted in zip(videos, frames[split], strict=True):
            assert set(video.arrays) == {"frames"}
            np.testing.assert_array_equal(video.arrays["frames"], resized(wanted))
            assert video.metadata == {"source": f"{split}/{video.name}"}


def test_frames_of_the_stored_size_are_kept_bit_for_bit(tree):
    root, frames = tree
    video = read(root, "val", resolution=(48, 64), num_frames=NUM_FRAMES)[0]
    np.testing.assert_array_equal(video.arrays["frames"], frames["val"][0])


def test_length_stride_and_filter_are_the_configs(tree):
    root, frames = tree
    video = read(root, "val", num_frames=4, stride=3, resize="box")[0]
    wanted = resized(frames["val"][0][[0, 3, 6, 9]], Image.Resampling.BOX)
    np.testing.assert_array_equal(video.arrays["frames"], wanted)


def test_a_range_of_videos_is_the_same_as_in_the_whole(tree):
    root, _ = tree
    dataset = Obj3dDataset(kind="obj3d", root=str(root), resolution=RESOLUTION, num_frames=3)
    source = Obj3dVideos(dataset, "train", list_videos(dataset, "train"))
    part, whole = list(source.videos(4, 7)), list(source.videos(0, 11))
    assert [video.name for video in part] == ["5", "6", "7"]
    for video, wanted in zip(part, whole[4:7], strict=True):
        np.testing.assert_array_equal(video.arrays["frames"], wanted.arrays["frames"])


def test_the_length_of_a_split_and_what_is_known_of_it(tree):
    root, _ = tree
    dataset = Obj3dDataset(kind="obj3d", root=str(root), num_frames=3)
    source = Obj3dVideos(dataset, "train", list_videos(dataset, "train"))
    assert source.num_videos == 11
    assert source.attributes() == {}


def test_a_truncated_frame_is_named_wherever_it_is_cut(own_tree):
    path = own_tree / "train/1/test_2.png"
    content = path.read_bytes()
    cuts = [*range(0, len(content), len(content) // 20), *range(len(content) - 30, len(content))]
    for cut in cuts:
        path.write_bytes(content[:cut])
        with pytest.raises(ValueError, match=r"train/1/test_2\.png cannot be read as a picture"):
            read(own_tree)
    path.write_bytes(content)
    assert len(read(own_tree)) == 1


def test_damage_is_named_wherever_it_is(own_tree):
    path = own_tree / "train/1/test_3.png"
    content = path.read_bytes()
    for position in np.linspace(0, len(content) - 1, 40).astype(int):
        damaged = bytearray(content)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"train/1/test_3\.png cannot be read as a picture"):
            read(own_tree)


def test_truncated_frames_are_refused_where_another_library_lets_them_pass(own_tree, monkeypatch):
    path = own_tree / "train/1/test_2.png"
    frame = io.BytesIO()
    Image.open(path).save(frame, "JPEG")  # what is in the file counts, not its ending
    path.write_bytes(frame.getvalue()[:-200])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(ValueError, match=r"test_2\.png cannot be read as a picture.*truncated"):
        read(own_tree)


def test_a_frame_that_vanished_is_named(own_tree):
    dataset = Obj3dDataset(kind="obj3d", root=str(own_tree), num_frames=3)
    videos = list_videos(dataset, "train")
    (own_tree / "train/1/test_2.png").unlink()
    with pytest.raises(ValueError, match=r"test_2\.png cannot be read.*No such file"):
        list(Obj3dVideos(dataset, "train", videos).videos(0, 1))


def test_a_frame_of_another_size_is_named_with_both_sizes(own_tree):
    path = own_tree / "train/1/test_3.png"
    Image.open(path).resize((64, 50)).save(path)
    with pytest.raises(ValueError, match=r"test_3\.png is 64x50, the pictures before it are 64x48"):
        read(own_tree)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1"])
def test_other_modes_become_rgb(own_tree, mode):
    path = own_tree / "train/1/test_1.png"
    picture = Image.open(path).convert(mode)
    picture.save(path)
    found = read(own_tree, resolution=(48, 64))[0].arrays["frames"][0]
    np.testing.assert_array_equal(found, np.asarray(picture.convert("RGB")))
    assert found.shape == (48, 64, 3)


def test_transparency_is_dropped(own_tree):
    path = own_tree / "train/1/test_1.png"
    picture = Image.open(path)
    wanted = np.asarray(picture).copy()
    picture.putalpha(0)
    picture.save(path)
    found = read(own_tree, resolution=(48, 64))[0].arrays["frames"][0]
    np.testing.assert_array_equal(found, wanted)


def test_gray_values_of_16_bits_are_refused(own_tree):
    path = own_tree / "train/1/test_1.png"
    Image.fromarray(np.full((48, 64), 3000, np.uint16)).save(path)
    with pytest.raises(ValueError, match=r"test_1\.png holds gray values of more than 8 bits"):
        read(own_tree)
