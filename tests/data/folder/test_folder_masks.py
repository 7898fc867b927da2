"""Masks of one's own: numbers or colours, by what keeps its meaning over a video; and their frames.

Masks are drawn from the objects' true numbers, written in the ways that tools write them.
"""

import numpy as np
import pytest
from PIL import Image
from raw_trees import write_film

from ocvp.config.datasets import FolderDataset
from ocvp.data.folder.masks import read_masks
from ocvp.data.folder.videos import FolderVideos
from ocvp.data.frame_files import read_picture
from ocvp.data.raw_files import list_videos
from ocvp.data.resizing import WHOLE

SIDE = 12
RED, BLUE, GREEN, WHITE, BLACK = (255, 0, 0), (0, 0, 255), (0, 255, 0), (255,) * 3, (0,) * 3
FIXED = [BLACK, RED, BLUE, GREEN]


def truth(*shown):
    """Return masks (T, H, W) in which object k is row k, where a frame shows it."""
    masks = np.zeros((len(shown), SIDE, SIDE), np.uint8)
    for frame, objects in enumerate(shown):
        for number in objects:
            masks[frame, number] = number
    return masks


# The first object comes later and goes, so that who renumbers by file gives 1 to others.
TRUTH = truth((2,), (1, 2), (1, 2, 3), (2, 3), (3,))


def write_palette(path, labels, colours, numbers=None, **options):
    """Write one mask, whose object k has a number and a colour."""
    numbers = list(range(len(colours))) if numbers is None else numbers
    palette = np.zeros((256, 3), np.uint8)
    palette[numbers] = colours
    picture = Image.fromarray(np.array(numbers, np.uint8)[labels], "P")
    picture.putpalette(palette[: max(numbers) + 1].tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return path


def write_renumbered(path, labels, colours):
    """Write one mask as optimisers do: only the colours that it shows, in their order."""
    used = np.unique(labels)
    compact = np.searchsorted(used, labels)
    return write_palette(path, compact, [colours[k] for k in used])


def read(paths, max_objects=3):
    return read_masks(paths, (SIDE, SIDE), (SIDE, SIDE), WHOLE, max_objects)


def assert_true(labels, truth=TRUTH):
    """Check that each object has one number in all frames, and the background 0."""
    pairs = np.unique(np.stack([truth.ravel(), labels.masks.ravel()]), axis=1).T
    assert len({int(a) for a, _ in pairs}) == len({int(b) for _, b in pairs}) == len(pairs)
    assert pairs[0].tolist() == [0, 0]


# --- numbers or colours --------------------------------------------------------------------------


def test_background_alone_is_no_object_whatever_its_number(tmp_path):
    paths = [
        write_palette(tmp_path / "0.png", truth(())[0], [BLACK]),
        write_palette(tmp_path / "1.png", truth(())[0] + 1, [RED, BLACK]),
    ]
    labels = read(paths)
    assert labels.values == []
    assert not labels.masks.any()


def test_a_colour_is_an_object_where_masks_are_numbered_one_by_one(tmp_path):
    paths = [write_renumbered(tmp_path / f"{t}.png", m, FIXED) for t, m in enumerate(TRUTH)]
    assert {Image.open(path).getpixel((0, 2)) for path in paths[:3]} == {1, 2}  # object 2
    labels = read(paths)
    assert_true(labels)
    assert labels.values == ["#0000ff", "#00ff00", "#ff0000"]
    np.testing.assert_array_equal(labels.masks, np.array([0, 3, 1, 2])[TRUTH])


def test_the_background_is_black_where_it_is_no_number(tmp_path):
    """Sorted by how bright they are, or by how often they occur, colours have any number."""
    orders = [[1, 0, 2, 3], [3, 0, 1, 2], [0, 1, 2, 3], [2, 3, 0, 1], [0, 3, 2, 1]]
    paths = [
        write_palette(tmp_path / f"{t}.png", mask, FIXED, order)
        for t, (mask, order) in enumerate(zip(TRUTH, orders, strict=True))
    ]
    assert_true(read(paths))


def test_a_background_of_another_colour_is_number_0(tmp_path):
    colours = [WHITE, RED, BLUE, GREEN]
    paths = [write_renumbered(tmp_path / f"{t}.png", m, colours) for t, m in enumerate(TRUTH)]
    assert_true(read(paths))


def test_one_colour_with_two_numbers_is_one_object_where_palettes_differ(tmp_path):
    first, second = truth((2,), (2,))
    paths = [
        write_palette(tmp_path / "0.png", first, FIXED),
        write_renumbered(tmp_path / "1.png", second, FIXED),
    ]
    labels = read(paths, max_objects=1)
    np.testing.assert_array_equal(labels.masks, (truth((2,), (2,)) > 0).astype(np.uint8))


@pytest.mark.parametrize(
    "colours",
    [FIXED, [BLACK] * 4, [BLACK, RED, RED, RED], [(k,) * 3 for k in range(4)], [WHITE] * 4],
)
@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"bits": 2}])
def test_one_palette_leaves_numbers_whatever_its_colours(tmp_path, colours, options):
    paths = [
        write_palette(tmp_path / f"{t}.png", mask, colours, **options)
        for t, mask in enumerate(TRUTH)
    ]
    labels = read(paths)
    np.testing.assert_array_equal(labels.masks, TRUTH)
    assert labels.values == [1, 2, 3]


def test_one_colour_with_two_numbers_is_two_objects_in_one_palette(tmp_path):
    masks = truth((1,), (2,), (1,))
    paths = [
        write_palette(tmp_path / f"{t}.png", mask, [BLACK, RED, RED])
        for t, mask in enumerate(masks)
    ]
    labels = read(paths)
    np.testing.assert_array_equal(labels.masks, masks)
    assert labels.values == [1, 2]


def test_two_numbers_of_one_colour_in_a_mask_say_that_colours_mean_nothing(tmp_path):
    masks = truth((1, 2), (1,), (2,))
    paths = [
        write_palette(tmp_path / f"{t}.png", mask, [BLACK, RED, RED, (t, 0, 0)])
        for t, mask in enumerate(masks)
    ]
    labels = read(paths)
    np.testing.assert_array_equal(labels.masks, masks)
    assert labels.values == [1, 2]


def test_a_palette_that_ends_with_the_last_number_of_its_mask_is_the_same(tmp_path):
    paths = [
        write_palette(tmp_path / f"{t}.png", mask, FIXED[: mask.max() + 1])
        for t, mask in enumerate(TRUTH)
    ]
    assert len({len(Image.open(path).getpalette()) for path in paths}) == 2
    labels = read(paths)
    np.testing.assert_array_equal(labels.masks, TRUTH)
    assert labels.values == [1, 2, 3]


def test_colours_of_numbers_that_do_not_occur_mean_nothing(tmp_path):
    paths = []
    for t, mask in enumerate(TRUTH):
        colours = [FIXED[k] if k in mask else (t, t, 9) for k in range(4)]
        paths.append(write_palette(tmp_path / f"{t}.png", mask, colours))
    labels = read(paths)
    np.testing.assert_array_equal(labels.masks, TRUTH)
    assert labels.values == [1, 2, 3]


def test_an_empty_gray_mask_among_palettes_is_background(tmp_path):
    """Optimisers write one colour alone as a gray picture."""
    masks = truth((2,), (1, 2), (), (1,))
    paths = [write_renumbered(tmp_path / f"{t}.png", m, FIXED) for t, m in enumerate(masks)]
    Image.fromarray(masks[2]).convert("1").save(paths[2])
    assert_true(read(paths), masks)


def test_white_is_one_object_with_one_bit_and_with_eight(tmp_path):
    masks = truth((1,), (1,), (1,))
    paths = [tmp_path / f"{t}.png" for t in range(3)]
    for path, mask, mode in zip(paths, masks, ("L", "1", "L"), strict=True):
        Image.fromarray(mask * 255).convert(mode).save(path)
    labels = read(paths)
    np.testing.assert_array_equal(labels.masks, masks)
    assert labels.values == [255]


def test_what_is_unclear_is_refused(tmp_path):
    def written(name, masks):
        paths = [tmp_path / name / f"{t}.png" for t in range(len(masks))]
        for path, mask in zip(paths, masks, strict=True):
            write_palette(path, *mask)
        return paths

    rng = np.random.default_rng(0)
    one, two = truth((1, 2), (1, 2))
    random = [(m, [BLACK, *rng.integers(1, 256, (3, 3))]) for m in TRUTH]
    gray = written("gray", [(m, FIXED) for m in TRUTH])
    Image.fromarray(TRUTH[1]).save(gray[1])
    cases = {
        "several numbers have one colour": written(
            "same", [(one, [BLACK, RED, RED]), (two, [BLACK, BLUE, RED])]
        ),
        "no mask has a colour of another one": written("random", random),
        "not clear which colour is the background": written(
            "back", [(one, [WHITE, RED, BLUE]), (two, [GREEN, BLUE, RED])]
        ),
        "some masks in .* are gray and some have a palette": gray,
    }
    for reason, paths in cases.items():
        with pytest.raises(ValueError, match=reason) as error:
            read(paths, max_objects=20)
        assert str(paths[0].parent) in str(error.value)
    renumbered = [write_renumbered(tmp_path / f"{t}.png", m, FIXED) for t, m in enumerate(TRUTH)]
    with pytest.raises(ValueError, match=r"hold 3 objects \(#0000ff, .*max_objects is 2"):
        read(renumbered, max_objects=2)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_are_turned_like_frames(tmp_path, orientation):
    labels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    colours = np.array([BLACK, RED, BLUE, GREEN, WHITE, (9, 9, 9)], np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    mask = write_palette(tmp_path / "mask.png", labels, colours, exif=exif)
    Image.fromarray(colours[labels]).save(tmp_path / "frame.png", exif=exif)
    frame = np.asarray(read_picture(tmp_path / "frame.png"))
    size = frame.shape[:2]
    found = read_masks([mask], size, size, WHOLE, 5)
    np.testing.assert_array_equal(colours[found.masks[0]], frame)
    # Where row 0 and column 0 are shown, as the EXIF standard says.
    shown = {
        1: labels,
        2: labels[:, ::-1],
        3: labels[::-1, ::-1],
        4: labels[::-1],
        5: labels.T,
        6: labels[::-1].T,
        7: labels[::-1, ::-1].T,
        8: labels[:, ::-1].T,
    }
    np.testing.assert_array_equal(found.masks[0], shown[orientation])


# --- which frame of a film -----------------------------------------------------------------------

NUM_FRAMES = 12
OBJECT = (200, 40, 40)


def moving():
    """Return frames and masks of one object, which is column t of frame t."""
    masks = np.zeros((NUM_FRAMES, 16, 16), np.uint8)
    masks[np.arange(NUM_FRAMES), :, np.arange(NUM_FRAMES)] = 1
    return masks[..., None] * np.array(OBJECT, np.uint8), masks


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_film(tmp_path_factory.mktemp("film") / "train/a.mp4", moving()[0])


def read_film(film, root, numbers, frames, **keys):
    """Convert a film with masks of these numbers, which show these frames."""
    (root / "train").mkdir(parents=True)
    (root / "train/a.mp4").write_bytes(film.read_bytes())
    (root / "masks/train/a").mkdir(parents=True)
    for number, frame in zip(numbers, frames, strict=True):
        Image.fromarray(moving()[1][frame]).save(root / f"masks/train/a/mask_{number}.png")
    dataset = FolderDataset(
        kind="folder", root=str(root), masks="masks", max_objects=1, resolution=(16, 16), **keys
    )
    source = FolderVideos(dataset, "train", list_videos(dataset, "train"))
    (video,) = source.videos(0, 1)
    return video.arrays


@pytest.mark.parametrize(
    ("numbers", "frames", "keys"),
    [
        (range(12), range(12), {"num_frames": 12}),
        (range(1, 13), range(12), {"num_frames": 12}),
        (range(100, 112), range(12), {"num_frames": 5, "start": 2}),
        (range(0, 12, 3), range(0, 12, 3), {"num_frames": 4, "stride": 3}),
        (range(1, 13, 3), range(0, 12, 3), {"num_frames": 3, "stride": 3, "start": 3}),
        ([0, 1, 3, 4, 6], [0, 1, 3, 4, 6], {"num_frames": 3, "stride": 3}),
        (range(6), range(6), {"num_frames": 6}),  # of the first half alone
        (range(1, 7), range(6), {"num_frames": 6}),
        (range(11), range(11), {"num_frames": 6}),
    ],
)
def test_masks_belong_to_the_frames_of_their_numbers(film, tmp_path, numbers, frames, keys):
    arrays = read_film(film, tmp_path, numbers, frames, **keys)
    shown = (np.abs(arrays["frames"].astype(int) - OBJECT).sum(axis=-1) < 30).astype(np.uint8)
    np.testing.assert_array_equal(arrays["masks"], shown)
    assert shown.any(axis=(1, 2)).all()


@pytest.mark.parametrize(
    ("numbers", "frames", "keys", "reason"),
    [
        (
            range(0, 12, 3),
            range(0, 12, 3),
            {"num_frames": 4},
            r"masks/train/a holds no mask of frame 1 \(from 0\) of its film; start 0, stride 1 and "
            r"num_frames 4 ask for it: one frame in 3 has a mask, so give start and stride in "
            r"steps of 3, and with stride 3 a num_frames of at most 4",
        ),
        ([0, 1, 2, 4, 5], [0, 1, 2, 4, 5], {"num_frames": 4}, r"no mask of frame 3 \(from 0\)"),
        (range(3), range(3), {"num_frames": 4}, r"no mask of frame 3 \(from 0\)"),
        (
            range(2, 12, 3),
            range(0, 12, 3),
            {"num_frames": 4},
            r"mask_2\.png is the first mask of its film, and the next is mask_5\.png; where there",
        ),
        (
            range(5, 12),
            range(7),
            {"num_frames": 4},
            r"masks/train/a holds 7 masks, mask_5\.png to mask_11\.png, and .*a\.mp4 has 12 "
            r"frames, so it is not clear which frame each belongs to",
        ),
        # Of all frames but the first, as trackers write them, or but the last?
        (range(1, 12), range(1, 12), {"num_frames": 4}, r"holds 11 masks, .* has 12 frames, so it"),
        (range(1, 14), [*range(12), 0], {"num_frames": 4}, r"holds 13 masks, .* has 12 frames, so"),
        (["1", "2", "2 (1)"], range(3), {"num_frames": 2}, r"several series .*mask_2 \(1\)\.png"),
    ],
)
def test_masks_that_do_not_match_are_refused(film, tmp_path, numbers, frames, keys, reason):
    with pytest.raises(ValueError, match=reason):
        read_film(film, tmp_path, numbers, frames, **keys)
