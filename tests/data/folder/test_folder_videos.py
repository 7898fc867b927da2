"""Videos of one's own: frame folders and films alike, with masks whose objects are renumbered."""

import struct

import numpy as np
import pytest
from PIL import Image
from raw_trees import MASK_VALUES, simulated, write_film, write_folder, write_pictures

from ocvp.config.datasets import FolderDataset
from ocvp.data.folder.videos import FolderVideos
from ocvp.data.mask_boxes import mask_boxes
from ocvp.data.raw_files import list_videos
from ocvp.data.raw_videos import RawVideo

NUM_VIDEOS = {"train": 2, "val": 1}
NUM_FRAMES = 12
RESOLUTION = (24, 24)
# The cut 48x48 out of 48x64, halved: what is left of source and masks.
CUT = (slice(None), slice(None), slice(8, 56))
EVEN = (slice(None), slice(0, None, 2), slice(8, 56, 2))


@pytest.fixture(scope="module")
def frame_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    write_folder(root, NUM_VIDEOS, NUM_FRAMES)
    return root


@pytest.fixture(scope="module")
def film_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("films")
    write_folder(root, NUM_VIDEOS, NUM_FRAMES, films=True)
    return root


def dataset_of(root, **changes):
    values = {
        "kind": "folder",
        "root": str(root),
        "frames": "frames",
        "masks": "masks",
        "max_objects": 3,
        "resolution": RESOLUTION,
        "num_frames": NUM_FRAMES,
    }
    return FolderDataset(**values | changes)


def read(root, split="train", **changes):
    dataset = dataset_of(root, **changes)
    source = FolderVideos(dataset, split, list_videos(dataset, split))
    return list(source.videos(0, source.num_videos))


def read_masks(root, masks, **changes):
    """Return the only video of a data set with these mask pictures, and black frames."""
    names = [f"{index}.png" for index in range(len(masks))]
    write_pictures(root / "masks" / "train" / "a", masks, names)
    frames = np.zeros((*np.shape(masks)[:3], 3), np.uint8)
    write_pictures(root / "frames" / "train" / "a", frames, names)
    size = np.shape(masks)[1:3]
    return read(root, num_frames=len(masks), **{"resolution": size} | changes)[0]


def resized(frames, resample=Image.Resampling.BICUBIC):
    pictures = [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]
    return np.stack([np.asarray(p.resize(RESOLUTION[::-1], resample)) for p in pictures])


# --- frames ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["frame_root", "film_root"])
def test_the_middle_of_every_frame_is_read_in_order(kind, request):
    root = request.getfixturevalue(kind)
    for split, num_videos in NUM_VIDEOS.items():
        videos = read(root, split)
        assert [video.name for video in videos] == [f"{split}_{k + 1}" for k in range(num_videos)]
        for index, video in enumerate(videos):
            frames = simulated(split, index, NUM_FRAMES)["frames"]
            np.testing.assert_array_equal(video.arrays["frames"], resized(frames[CUT]))
            ending = ".mp4" if kind == "film_root" else ""
            assert video.metadata["source"] == f"frames/{split}/{video.name}{ending}"
            assert video.metadata["crop"] == [0, 0.125, 1, 0.875]


@pytest.mark.parametrize("kind", ["frame_root", "film_root"])
def test_start_stride_fit_and_filter_are_the_configs(kind, request):
    root = request.getfixturevalue(kind)
    changes = {"start": 2, "stride": 3, "num_frames": 3, "fit": "stretch", "resize": "lanczos"}
    video = read(root, "val", **changes)[0]
    arrays = simulated("val", 0, NUM_FRAMES)
    wanted = resized(arrays["frames"][[2, 5, 8]], Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(video.arrays["frames"], wanted)
    columns = 64 * np.arange(24) // 24
    labels = MASK_VALUES[arrays["masks"][[2, 5, 8]][:, ::2][:, :, columns]]
    values = np.array([0, *video.metadata["mask_values"]])
    np.testing.assert_array_equal(values[video.arrays["masks"]], labels)


def test_frames_of_the_stored_size_are_kept_bit_for_bit(film_root):
    video = read(film_root, "val", resolution=(48, 64))[0]
    frames = simulated("val", 0, NUM_FRAMES)["frames"]
    np.testing.assert_array_equal(video.arrays["frames"], frames)


def test_without_masks_there_are_frames_only(frame_root):
    video = read(frame_root, masks=None, max_objects=0)[0]
    assert set(video.arrays) == {"frames"}
    assert set(video.metadata) == {"source", "crop"}


def test_a_range_of_videos_is_the_same_as_in_the_whole(frame_root):
    dataset = dataset_of(frame_root)
    source = FolderVideos(dataset, "train", list_videos(dataset, "train"))
    assert source.num_videos == 2
    assert source.attributes() == {}
    (part,), whole = list(source.videos(1, 2)), list(source.videos(0, 2))
    assert part.name == whole[1].name == "train_2"
    np.testing.assert_array_equal(part.arrays["frames"], whole[1].arrays["frames"])


def test_films_are_turned_as_their_rotation_says(tmp_path):
    frames = simulated("train", 0, NUM_FRAMES)["frames"]
    film = write_film(tmp_path / "frames/train/phone.mp4", frames)
    # The matrix of the track: what players turn the film by, here clockwise by a quarter.
    content = bytearray(film.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    one = 1 << 16
    content[start : start + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    film.write_bytes(content)
    video = read(tmp_path, masks=None, max_objects=0, resolution=(64, 48))[0]
    turned = np.rot90(frames, -1, axes=(1, 2))
    np.testing.assert_array_equal(video.arrays["frames"], turned)


def test_a_film_that_is_too_short_is_named_with_its_length(film_root):
    listed = list_videos(dataset_of(film_root), "train")
    dataset = dataset_of(film_root, start=2, stride=4, num_frames=4)  # needs 15 of 12
    reason = (
        r"video train_1 \(.*frames/train/train_1\.mp4\) has 12 frames; start 2, stride 4 and "
        r"num_frames 4 need 15"
    )
    with pytest.raises(ValueError, match=reason):
        list(FolderVideos(dataset, "train", listed).videos(0, 1))
    fits = dataset_of(film_root, start=2, stride=3, num_frames=4, masks=None, max_objects=0)
    assert len(list(FolderVideos(fits, "train", listed).videos(0, 1))) == 1


@pytest.mark.parametrize(("resolution", "num_copies"), [((24, 24), 8), ((24, 20), 4)])
def test_training_videos_are_stored_in_all_ways_to_mirror_them(frame_root, resolution, num_copies):
    asked = {"resolution": resolution, "mirror": True}
    plain = read(frame_root, resolution=resolution)
    videos = read(frame_root, **asked)
    assert [video.name for video in videos[:3]] == ["train_1", "train_2", "train_1/mirror1"]
    assert len(videos) == 2 * num_copies
    of_one = videos[::2]
    assert len({video.arrays["frames"].tobytes() for video in of_one}) == num_copies
    # Every one of them is the first one, flipped and turned, with its masks and their boxes.
    first = plain[0].arrays
    for video in of_one:
        flips = [
            (turned, axes)
            for turned in (False, True)[: num_copies // 4]
            for axes in ((), (1,), (2,), (1, 2))
            if np.array_equal(
                np.flip(first["frames"].swapaxes(1, 2) if turned else first["frames"], axes),
                video.arrays["frames"],
            )
        ]
        ((turned, axes),) = flips
        masks = np.flip(first["masks"].swapaxes(1, 2) if turned else first["masks"], axes)
        np.testing.assert_array_equal(video.arrays["masks"], masks)
        np.testing.assert_array_equal(video.arrays["boxes"], mask_boxes(masks, 3))
        assert video.metadata == plain[0].metadata
    assert len(read(frame_root, "val", **asked)) == NUM_VIDEOS["val"]


def test_a_folder_of_frames_that_is_too_short_is_named(frame_root):
    raw = RawVideo("short", ("frames/train/train_1/00000.png", "frames/train/train_1/00001.png"))
    source = FolderVideos(dataset_of(frame_root), "train", [raw])
    with pytest.raises(ValueError, match=r"video short .* has 2 frames; .* need 12"):
        list(source.videos(0, 1))


def test_damaged_films_are_named(tmp_path):
    film = write_film(
        tmp_path / "frames/train/bad.mp4", simulated("train", 0, NUM_FRAMES)["frames"]
    )
    content = film.read_bytes()
    for damaged in (content[: len(content) // 2], b"no film", b""):
        film.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"bad\.mp4 cannot be read as a video"):
            read(tmp_path, masks=None, max_objects=0)
    film.write_bytes(content)
    assert len(read(tmp_path, masks=None, max_objects=0)) == 1


def test_frames_that_ffmpeg_mends_are_refused(tmp_path):
    film = write_film(
        tmp_path / "frames/train/bad.mp4", simulated("train", 0, NUM_FRAMES)["frames"]
    )
    content, messages = film.read_bytes(), []
    for position in np.linspace(0.2, 0.8, 10) * len(content):
        damaged = bytearray(content)
        part = slice(int(position), int(position) + 40)
        damaged[part] = bytes(255 - byte for byte in damaged[part])
        film.write_bytes(damaged)
        try:
            read(tmp_path, masks=None, max_objects=0)
        except ValueError as error:
            messages.append(str(error))
    refusal = "bad.mp4 cannot be read as a video: "
    assert all(refusal in message for message in messages)
    # Films have no checksums: some damage looks like another picture, some ends the reading.
    assert sum(f"{refusal}frame " in message for message in messages) >= 7


def test_damaged_pictures_and_other_sizes_are_named(tmp_path):
    write_folder(tmp_path, {"train": 1}, NUM_FRAMES)
    path = tmp_path / "frames/train/train_1/00004.png"
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    with pytest.raises(ValueError, match=r"train_1/00004\.png cannot be read as a picture"):
        read(tmp_path)
    Image.new("RGB", (50, 48)).save(path)
    with pytest.raises(ValueError, match=r"00004\.png is 50x48, the pictures before it are 64x48"):
        read(tmp_path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_viewers_do(tmp_path, orientation):
    frame = np.zeros((16, 24, 3), np.uint8)
    frame[:8, :8] = 255  # the corner of row 0 and column 0
    folder = tmp_path / "frames/train/a"
    folder.mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for index in range(2):
        Image.fromarray(frame).save(folder / f"{index}.jpg", quality=95, exif=exif)
    size = (16, 24) if orientation < 5 else (24, 16)
    video = read(tmp_path, masks=None, max_objects=0, num_frames=2, resolution=size)[0]
    # As the EXIF standard says: where row 0 and column 0 are, seen by the viewer.
    is_right, is_below = orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
    corner = np.zeros(size, bool)
    corner[8 * is_below * (size[0] // 8 - 1) :][:8, 8 * is_right * (size[1] // 8 - 1) :][:, :8] = (
        True
    )
    for stored in video.arrays["frames"]:
        np.testing.assert_array_equal(stored.mean(axis=-1) > 128, corner)


def test_pictures_that_are_turned_midway_must_agree_in_size(tmp_path):
    folder = tmp_path / "frames/train/a"
    folder.mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures = [Image.new("RGB", (24, 16), (index, 0, 0)) for index in range(4)]
    for index, picture in enumerate(pictures):
        picture.save(folder / f"{index}.jpg", **({"exif": exif} if index == 2 else {}))
    keys = {"masks": None, "max_objects": 0, "num_frames": 4}
    with pytest.raises(ValueError, match=r"2\.jpg is 16x24, the pictures before it are 24x16"):
        read(tmp_path, **keys)
    pictures[2].transpose(Image.Transpose.ROTATE_90).save(folder / "2.jpg", exif=exif)
    assert len(read(tmp_path, **keys)) == 1  # the camera was turned, and turned back by the viewer


# --- times -------------------------------------------------------------------------------------


def write_gif(path, durations):
    """Write a film of gray frames that are shown for so many milliseconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [Image.new("L", (8, 8), 6 * k) for k in range(len(durations))]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations)


def gray_levels(video):
    return (video.arrays["frames"][:, 0, 0, 0] // 6).tolist()


TIMED = {"masks": None, "max_objects": 0, "num_frames": 6, "resolution": (8, 8)}


def test_uneven_films_are_told_in_one_warning(tmp_path, caplog):
    folder = tmp_path / "frames/train"
    for name, durations in {
        "a": [100] * 8,
        "b": [100, 100, 400, *[100] * 5],
        "c": [50, 50, 50, 200, *[50] * 4],  # with a rate of its own, which is not told again
        "d": [*[100] * 5, 900, 900, 900],  # once the last one that is taken has come
    }.items():
        write_gif(folder / f"{name}.gif", durations)
    assert len(read(tmp_path, **TIMED)) == 4
    (warning,) = caplog.messages
    told = "in 2 of 4 films the time from frame to frame changes (in frames/train/b.gif it is 0.1"
    assert f"{tmp_path}/frames: {told} to 0.4 s)" in warning
    assert "give fps to sample all at one rate" in warning
    assert "frames a second" not in warning
    caplog.clear()
    # Of all frames that pass between those that are taken, and of no other ones.
    read(tmp_path, **TIMED | {"num_frames": 3, "stride": 2})
    assert "in 2 of 4 films" in caplog.text
    caplog.clear()
    videos = read(tmp_path, **TIMED, fps=10)
    assert gray_levels(videos[1]) == [0, 1, 2, 2, 2, 2]
    assert gray_levels(videos[2]) == [0, 2, 3, 3, 5, 7]
    assert caplog.messages == []


def test_films_of_other_rates_are_told_by_each_chunk_and_split(tmp_path, caplog):
    for split, name, duration in (
        ("train", "a", 100),
        ("train", "b", 50),
        ("train", "c", 40),
        ("val", "d", 200),
        ("test", "e", 100),
    ):
        write_gif(tmp_path / f"frames/{split}/{name}.gif", [duration] * 12)

    def warnings_of(split, start, stop):
        caplog.clear()
        dataset = dataset_of(tmp_path, **TIMED)
        list(FolderVideos(dataset, split, list_videos(dataset, split)).videos(start, stop))
        return caplog.messages

    first = "frames/train/a.gif has 10: things move at different speeds"
    (warning,) = warnings_of("train", 0, 3)
    assert (
        f"2 of 3 films have 20 to 25 frames a second (frames/train/b.gif), and {first}" in warning
    )
    assert warnings_of("train", 0, 1) == warnings_of("test", 0, 1) == []
    (warning,) = warnings_of("train", 1, 2)
    assert f"1 of 1 films have 20 frames a second (frames/train/b.gif), and {first}" in warning
    (warning,) = warnings_of("val", 0, 1)
    assert f"1 of 1 films have 5 frames a second (frames/val/d.gif), and {first}" in warning


def test_films_are_sampled_before_start_and_stride(tmp_path, caplog):
    write_gif(tmp_path / "frames/train/a.gif", [100] * 8)
    write_gif(tmp_path / "frames/train/b.gif", [20] * 40)
    keys = TIMED | {"num_frames": 3, "fps": 10, "start": 1, "stride": 2}
    a, b = read(tmp_path, **keys)
    assert gray_levels(a) == [1, 3, 5]
    assert gray_levels(b) == [5, 15, 25]
    assert caplog.messages == []
    dataset = dataset_of(tmp_path, **keys)
    assert FolderVideos(dataset, "train", []).attributes() == {"fps": 5}


def test_a_rate_above_the_films_own_is_told(tmp_path, caplog):
    write_gif(tmp_path / "frames/train/a.gif", [100] * 8)
    (video,) = read(tmp_path, **TIMED, fps=20)
    assert gray_levels(video) == [0, 0, 1, 1, 2, 2]
    (warning,) = caplog.messages
    assert "fps is 20, but 1 of 1 films have 10 frames a second" in warning


def test_a_sampled_film_that_is_too_short_is_named_with_its_length(tmp_path):
    write_gif(tmp_path / "frames/train/a.gif", [100] * 8)
    reason = (
        r"video a \(.*a\.gif\) has 4 frames at fps 5; start 0, stride 1 and num_frames 6 need 6"
    )
    with pytest.raises(ValueError, match=reason):
        read(tmp_path, **TIMED, fps=5)


def test_a_rate_is_for_films_without_masks(tmp_path):
    write_folder(tmp_path, {"train": 1}, NUM_FRAMES)
    with pytest.raises(ValueError, match=r"fps is 10 and masks is 'masks'; masks belong to a film"):
        dataset_of(tmp_path, fps=10)
    with pytest.raises(ValueError, match=r"fps is 10, but .*train_1 is a folder of pictures"):
        read(tmp_path, masks=None, max_objects=0, fps=10)


# --- series ------------------------------------------------------------------------------------


def test_a_pattern_names_the_frames_beside_other_pictures(tmp_path):
    write_folder(tmp_path, {"train": 1}, NUM_FRAMES, masks=False)
    folder = tmp_path / "frames/train/train_1"
    for path in list(folder.iterdir()):
        Image.new("RGB", (64, 48), (7, 7, 7)).save(folder / f"backward_flow_{path.name}")
        path.rename(folder / f"rgba_{path.name}")
    keys = {"masks": None, "max_objects": 0}
    series = r"train_1 holds several series of pictures: backward_flow_\* \(12 pictures\), rgba_\*"
    with pytest.raises(ValueError, match=series):
        read(tmp_path, **keys)
    video = read(tmp_path, **keys, pattern="rgba_*", resolution=(48, 64))[0]
    frames = simulated("train", 0, NUM_FRAMES)["frames"]
    np.testing.assert_array_equal(video.arrays["frames"], frames)


def test_a_lost_picture_is_named_where_it_would_be_taken(tmp_path):
    write_folder(tmp_path, {"train": 1}, NUM_FRAMES, masks=False)
    (tmp_path / "frames/train/train_1/00004.png").unlink()
    keys = {"masks": None, "max_objects": 0}
    with pytest.raises(ValueError, match=r"00005\.png follows 00003\.png"):
        read(tmp_path, **keys, num_frames=5)
    with pytest.raises(ValueError, match=r"00005\.png follows 00003\.png"):
        read(tmp_path, **keys, num_frames=3, stride=2, start=1)
    for part in ({"num_frames": 4}, {"num_frames": 7, "start": 4}):
        assert len(read(tmp_path, **keys, **part)) == 1


def test_two_masks_of_one_frame_are_named(tmp_path):
    write_folder(tmp_path, {"train": 1}, NUM_FRAMES)
    folder = tmp_path / "masks/train/train_1"
    (folder / "00002.bmp").write_bytes((folder / "00002.png").read_bytes())
    with pytest.raises(
        ValueError, match=r"holds two masks of one frame, 00002\.bmp and 00002\.png"
    ):
        read(tmp_path)


# --- masks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["frame_root", "film_root"])
def test_masks_are_the_even_pixels_with_the_objects_renumbered(kind, request):
    root = request.getfixturevalue(kind)
    seen = set()
    for index, video in enumerate(read(root)):
        labels = MASK_VALUES[simulated("train", index, NUM_FRAMES)["masks"][EVEN]]
        values = video.metadata["mask_values"]
        assert values == sorted(set(labels.ravel().tolist()) - {0})
        masks = video.arrays["masks"]
        assert masks.dtype == np.uint8
        assert set(np.unique(masks)) == set(range(len(values) + 1))
        np.testing.assert_array_equal(np.array([0, *values])[masks], labels)
        seen.update(values)
    assert len(seen) >= 2


def test_boxes_are_the_edges_of_the_stored_masks(tmp_path):
    masks = np.zeros((3, 8, 16), np.uint8)
    masks[0, 2:4, 5:9] = 9
    masks[1, 7, 15] = 9
    masks[1, 0:2, 0:3] = 4
    masks[2, 3, 3] = 4
    video = read_masks(tmp_path, masks)
    assert video.metadata["mask_values"] == [4, 9]
    absent = [-1.0] * 4
    wanted = [
        [absent, [2 / 8, 5 / 16, 4 / 8, 9 / 16], absent],
        [[0, 0, 2 / 8, 3 / 16], [7 / 8, 15 / 16, 1, 1], absent],
        [[3 / 8, 3 / 16, 4 / 8, 4 / 16], absent, absent],
    ]
    assert video.arrays["boxes"].dtype == np.float32
    np.testing.assert_allclose(video.arrays["boxes"], wanted, atol=1e-7)


def test_objects_are_numbered_over_the_whole_clip(tmp_path):
    masks = np.zeros((2, 8, 8), np.uint8)
    masks[0, 0] = 200  # the first frame shows only the object with the largest value
    masks[1, 0], masks[1, 1], masks[1, 2] = 30, 200, 5
    video = read_masks(tmp_path, masks)
    assert video.metadata["mask_values"] == [5, 30, 200]
    np.testing.assert_array_equal(video.arrays["masks"][0, 0], 3)
    np.testing.assert_array_equal(video.arrays["masks"][1, :3, 0], [2, 3, 1])


def test_what_the_cut_leaves_out_takes_no_number(tmp_path):
    masks = np.zeros((2, 8, 24), np.uint8)
    masks[:, :, 2], masks[:, :, 12] = 1, 2
    video = read_masks(tmp_path, masks, resolution=(8, 8), max_objects=1)
    assert video.metadata["mask_values"] == [2]
    np.testing.assert_array_equal(video.arrays["masks"], (masks[:, :, 8:16] == 2).astype(np.uint8))


def test_black_and_white_masks_show_one_object(tmp_path):
    masks = np.zeros((2, 8, 8), np.uint8)
    masks[:, 2:4] = 255
    for name, pictures in (("gray", masks), ("bits", masks > 0)):
        video = read_masks(tmp_path / name, pictures)
        np.testing.assert_array_equal(video.arrays["masks"], masks > 0)


def test_masks_of_16_bits_are_read(tmp_path):
    masks = np.zeros((2, 8, 8), np.uint16)
    masks[:, 2:4], masks[:, 5] = 3000, 255
    video = read_masks(tmp_path, masks)
    assert video.metadata["mask_values"] == [255, 3000]
    np.testing.assert_array_equal(video.arrays["masks"][0, :, 0], [0, 0, 2, 2, 0, 1, 0, 0])


def test_a_void_label_is_refused(tmp_path):
    masks = np.zeros((2, 8, 8), np.uint8)
    masks[:, 2:4], masks[1, 5] = 1, 255
    reason = r"the masks in .*masks/train/a hold 255 beside 1; 255 marks an object only in black"
    with pytest.raises(ValueError, match=reason):
        read_masks(tmp_path, masks)


def test_too_many_objects_are_refused_with_their_number(tmp_path):
    masks = np.arange(64, dtype=np.uint8).reshape(1, 8, 8).repeat(2, axis=0)
    reason = r"masks/train/a hold 63 objects \(1, 2, .*\), but max_objects is 3; give at least 63"
    with pytest.raises(ValueError, match=reason):
        read_masks(tmp_path, masks)
    many = np.arange(400, dtype=np.uint16).reshape(1, 20, 20).repeat(2, axis=0)
    with pytest.raises(ValueError, match="hold 399 objects; at most 255 can be stored"):
        read_masks(tmp_path / "many", many, max_objects=400)


def test_pictures_that_are_no_masks_are_named(tmp_path):
    write_folder(tmp_path, {"train": 1}, NUM_FRAMES)
    path = tmp_path / "masks/train/train_1/00003.png"
    mask = Image.open(path)
    cases = {
        r"is a picture in colour \(Pillow's mode RGB\); a mask must be": mask.convert("RGB"),
        "is 32x24, the frames of its video are 64x48": mask.resize((32, 24)),
    }
    for reason, picture in cases.items():
        picture.save(path)
        with pytest.raises(ValueError, match=rf"train_1/00003\.png {reason}"):
            read(tmp_path)
    mask.convert("L").save(path, "JPEG")
    with pytest.raises(ValueError, match=r"train_1/00003\.png is a JPEG picture, which blurs"):
        read(tmp_path)
    mask.save(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"train_1/00003\.png cannot be read as a picture"):
        read(tmp_path)


def test_a_mask_for_each_frame_is_needed(frame_root):
    dataset = dataset_of(frame_root)
    raw = list_videos(dataset, "val")[0]
    source = FolderVideos(dataset, "val", [raw._replace(masks=raw.masks[:-1])])
    with pytest.raises(ValueError, match=r"video val_1 .* has 11 masks; num_frames is 12"):
        list(source.videos(0, 1))
