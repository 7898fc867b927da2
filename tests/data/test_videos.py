"""Video files: what goes in comes out, the same content gives the same bytes, damage is told."""

import pickle

import h5py
import numpy as np
import pytest

from ocvp.data.videos import FIELDS, Video, VideoFile, VideoWriter

V, T, H, W, K = 3, 4, 6, 8, 2
ATTRIBUTES = {"dataset": "toy", "split": "val", "fps": 12.0, "source": "{}", "config": "{}"}


def toy_video(seed):
    rng = np.random.default_rng(seed)
    return {
        "frames": rng.integers(0, 256, (T, H, W, 3), dtype=np.uint8),
        "masks": rng.integers(0, K + 1, (T, H, W), dtype=np.uint8),
        "boxes": rng.random((T, K, 4), dtype=np.float32),
        "depth": rng.random((T, H, W), dtype=np.float32),
        "sizes": rng.random((K, 2), dtype=np.float32),
    }


def write(path, videos=None, num_videos=None):
    videos = [toy_video(video) for video in range(V)] if videos is None else videos
    num_videos = len(videos) if num_videos is None else num_videos
    with VideoWriter(path, num_videos=num_videos, attributes=ATTRIBUTES) as writer:
        for index, arrays in enumerate(videos):
            writer.append(Video(f"vidéo {index}", arrays))
    return path


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "val.h5")


def test_reads_back_what_was_written(path):
    with VideoFile(path) as videos:
        assert (videos.num_videos, videos.num_frames) == (V, T)
        assert (videos.height, videos.width, videos.max_objects) == (H, W, K)
        assert videos.names == ["vidéo 0", "vidéo 1", "vidéo 2"]
        assert videos.attributes["fps"] == 12.0
        assert videos.fields == ("frames", "masks", "boxes", "depth", "sizes")
        assert videos.has("masks")
        assert not videos.has("flow")
        for video in range(V):
            for field, expected in toy_video(video).items():
                np.testing.assert_array_equal(videos.read(field, video), expected)


def test_reads_a_window_of_frames(path):
    with VideoFile(path) as videos:
        expected = toy_video(1)
        np.testing.assert_array_equal(videos.read("frames", 1, 1, 3), expected["frames"][1:3])
        np.testing.assert_array_equal(videos.read("boxes", 1, 2), expected["boxes"][2:])
        np.testing.assert_array_equal(videos.read("sizes", 1, 2, 3), expected["sizes"])


def test_layout_is_the_documented_one(path):
    with h5py.File(path) as file:
        assert file["frames"].shape == (V, T, H, W, 3)
        assert file["frames"].chunks == (1, T, H, W, 3)
        assert file["frames"].compression is None
        assert file["masks"].compression == "gzip"
        assert h5py.check_string_dtype(file["names"].dtype).encoding == "utf-8"
        assert set(file) - {"names"} <= set(FIELDS)


def test_same_content_gives_the_same_bytes(tmp_path):
    first, second = write(tmp_path / "a.h5"), write(tmp_path / "a longer name.h5")
    assert first.read_bytes() == second.read_bytes()


def test_an_open_file_can_be_pickled(path):
    with VideoFile(path) as videos, pickle.loads(pickle.dumps(videos)) as copy:
        np.testing.assert_array_equal(copy.read("frames", 2), toy_video(2)["frames"])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_file_is_refused(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"val\.h5 is truncated.*delete it and run snakemake"):
        VideoFile(path)


@pytest.mark.parametrize("field", ["frames", "depth"])
def test_changed_bytes_are_told_when_they_are_read(path, field):
    with h5py.File(path) as file:
        start = file[field].id.get_chunk_info(1).byte_offset
    content = bytearray(path.read_bytes())
    content[start + 20] ^= 0xFF
    path.write_bytes(content)
    with VideoFile(path) as videos:
        np.testing.assert_array_equal(videos.read(field, 0), toy_video(0)[field])
        with pytest.raises(ValueError, match=rf"val\.h5 is damaged: {field} of video 1.*delete"):
            videos.read(field, 1)


def test_foreign_files_are_refused(tmp_path):
    text = tmp_path / "text.h5"
    text.write_text("not HDF5")
    with pytest.raises(ValueError, match=r"text\.h5 is truncated, damaged or no HDF5 file"):
        VideoFile(text)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["slots"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"other\.h5 is HDF5 but no video file"):
        VideoFile(other)
    with pytest.raises(FileNotFoundError, match=r"missing\.h5"):
        VideoFile(tmp_path / "missing.h5")


def test_other_format_versions_are_refused(path):
    with h5py.File(path, "a") as file:
        file.attrs["format_version"] = 99
    with pytest.raises(ValueError, match="format_version 99; this program reads 1"):
        VideoFile(path)


def test_fields_that_do_not_fit_each_other_are_refused(path):
    with h5py.File(path, "a") as file:
        del file["masks"]
        file["masks"] = np.zeros((V, T + 1, H, W), np.uint8)
    with pytest.raises(ValueError, match="masks of shape"):
        VideoFile(path)


def test_an_interrupted_write_is_refused(tmp_path):
    def interrupted():
        yield toy_video(0)
        raise RuntimeError("power cut")

    path = tmp_path / "part.h5"
    with pytest.raises(RuntimeError, match="power cut"):
        write(path, interrupted(), num_videos=V)
    with pytest.raises(ValueError, match="was not written to its end"):
        VideoFile(path)


def test_too_few_and_too_many_videos(tmp_path):
    with pytest.raises(ValueError, match="1 videos were written instead of 2"):
        write(tmp_path / "few.h5", [toy_video(0)], num_videos=2)
    with pytest.raises(ValueError, match="vidéo 1 is one more than 1"):
        write(tmp_path / "many.h5", [toy_video(0), toy_video(1)], num_videos=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": np.zeros((T, H, W + 1, 3), np.uint8)}, "frames of video vidéo 1 is uint8"),
        ({"boxes": np.zeros((T, K, 4), np.float64)}, "boxes of video vidéo 1 is float64"),
        ({"flow": np.zeros((T, H, W, 2), np.float32)}, "video vidéo 1 has the fields"),
    ],
)
def test_videos_that_differ_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "x.h5", [toy_video(0), toy_video(1) | change])


def test_questions_outside_the_file(path):
    with VideoFile(path) as videos:
        with pytest.raises(ValueError, match="has no flow; it has frames, masks"):
            videos.read("flow", 0)
        with pytest.raises(ValueError, match="video is 3; it must be below 3"):
            videos.read("frames", V)
        with pytest.raises(ValueError, match="frames 2 to 5 are asked for"):
            videos.read("frames", 0, 2, 5)
