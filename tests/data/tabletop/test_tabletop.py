"""The embedded data set: its ground truth is checked against the others' and the camera."""

import mujoco
import numpy as np
import pytest

from ocvp.config.datasets import TabletopDataset
from ocvp.data.tabletop.physics import WALL_Y
from ocvp.data.tabletop.scene import PALETTE, camera_of
from ocvp.data.tabletop.simulation import mask_boxes, simulate

SIDE, NUM_FRAMES, NUM_VIDEOS = 64, 12, 6
SPHERE, BOX, CYLINDER = 1, 2, 3


def make(video, split="train", **changes):
    settings = {
        "kind": "tabletop",
        "resolution": (SIDE, SIDE),
        "num_frames": NUM_FRAMES,
        "num_objects": (3, 5),
        "fps": 10.0,
        "fields": ("flow", "depth"),
        "seed": 3,
        "num_videos": {"train": NUM_VIDEOS, "val": 1, "test": 1},
    }
    return simulate(TabletopDataset(**(settings | changes)), split, video)


@pytest.fixture(scope="module")
def videos():
    return [make(video) for video in range(NUM_VIDEOS)]


def rotations(states):
    """Rotation matrices (T, K, 3, 3) of states (T, K, 13)."""
    matrices = np.zeros((*states.shape[:2], 9))
    for index in np.ndindex(states.shape[:2]):
        mujoco.mju_quat2Mat(matrices[index], states[index][3:7].astype(float))
    return matrices.reshape(*states.shape[:2], 3, 3)


def surface_points(arrays):
    """Points (T, H, W, 3) at the pixels' centres, from depth and camera."""
    camera = camera_of((SIDE, SIDE))
    rows, columns = np.indices((SIDE, SIDE)) + 0.5
    rays = camera.directions(rows, columns)
    return np.array(camera.position) + arrays["depth"][..., None].astype(float) * rays


def test_shapes_and_types(videos):
    expected = {
        "frames": ("uint8", (NUM_FRAMES, SIDE, SIDE, 3)),
        "masks": ("uint8", (NUM_FRAMES, SIDE, SIDE)),
        "boxes": ("float32", (NUM_FRAMES, 5, 4)),
        "flow": ("float32", (NUM_FRAMES, SIDE, SIDE, 2)),
        "depth": ("float32", (NUM_FRAMES, SIDE, SIDE)),
        "states": ("float32", (NUM_FRAMES, 5, 13)),
        "sizes": ("float32", (5, 2)),
        "shapes": ("uint8", (5,)),
        "colors": ("float32", (5, 3)),
        "contacts": ("uint8", (NUM_FRAMES,)),
        "object_contacts": ("uint8", (NUM_FRAMES, 5)),
    }
    for arrays in videos:
        found = {name: (str(array.dtype), array.shape) for name, array in arrays.items()}
        assert found == expected


def test_each_contact_counts_for_two_objects_that_are_there(videos):
    assert any(arrays["contacts"].any() for arrays in videos)
    for arrays in videos:
        by_object = arrays["object_contacts"]
        np.testing.assert_array_equal(by_object.sum(axis=1), 2 * arrays["contacts"])
        assert (by_object <= arrays["contacts"][:, None]).all()  # none meets itself
        assert (by_object[:, arrays["shapes"] == 0] == 0).all()


def test_optional_fields_change_nothing_else(videos):
    plain = make(0, fields=())
    assert set(videos[0]) - set(plain) == {"flow", "depth"}
    for name, array in plain.items():
        np.testing.assert_array_equal(array, videos[0][name])


def test_same_seed_gives_the_same_video_and_others_do_not(videos):
    for name, array in make(2).items():
        np.testing.assert_array_equal(array, videos[2][name])
    frames = [make(2, **change)["frames"] for change in ({}, {"seed": 4}, {"split": "val"})]
    assert not np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])


def test_boxes_of_a_hand_made_mask():
    masks = np.zeros((2, 4, 8), np.uint8)
    masks[0, 1:3, 2:5] = 1
    masks[0, 3, 7] = 3
    boxes = mask_boxes(masks, 3)
    np.testing.assert_allclose(boxes[0, 0], [0.25, 0.25, 0.75, 0.625])
    np.testing.assert_allclose(boxes[0, 2], [0.75, 0.875, 1, 1])
    assert (boxes[0, 1] == -1).all()
    assert (boxes[1] == -1).all()


def test_boxes_are_the_edges_of_the_masks(videos):
    for arrays in videos:
        for frame in range(NUM_FRAMES):
            for k in range(5):
                rows, columns = np.nonzero(arrays["masks"][frame] == k + 1)
                expected = [-1] * 4
                if len(rows):
                    edges = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
                    expected = np.array(edges) / SIDE
                np.testing.assert_allclose(arrays["boxes"][frame, k], expected, atol=1e-6)


def test_every_object_starts_in_view_and_is_large_enough(videos):
    for arrays in videos:
        for k in np.flatnonzero(arrays["shapes"]):
            y_min, x_min, y_max, x_max = arrays["boxes"][0, k]
            assert (arrays["masks"][0] == k + 1).sum() >= 20
            assert y_min >= 0
            assert x_min >= 0
            assert 4 < SIDE * max(y_max - y_min, x_max - x_min) < SIDE / 2


def test_depth_lies_on_the_surfaces(videos):
    for arrays in videos:
        points, turned = surface_points(arrays), rotations(arrays["states"])
        background = points[arrays["masks"] == 0]
        to_table, to_wall = np.abs(background[:, 2]), np.abs(background[:, 1] - WALL_Y)
        assert np.minimum(to_table, to_wall).max() < 1e-5
        for k in np.flatnonzero(arrays["shapes"]):
            radius, half_height = arrays["sizes"][k]
            for frame in range(NUM_FRAMES):
                offset = points[frame][arrays["masks"][frame] == k + 1]
                offset = offset - arrays["states"][frame, k, :3]
                local = np.abs(offset @ turned[frame, k])
                across = np.hypot(local[:, 0], local[:, 1])
                outside = {
                    SPHERE: np.linalg.norm(local, axis=-1) - radius,
                    BOX: (local - [radius, radius, half_height]).max(axis=-1),
                    CYLINDER: np.maximum(across - radius, local[:, 2] - half_height),
                }[arrays["shapes"][k]]
                np.testing.assert_allclose(outside, 0, atol=1e-5)


def test_flow_is_the_rigid_motion_of_the_surface(videos):
    camera = camera_of((SIDE, SIDE))
    rows, columns = np.indices((SIDE, SIDE)) + 0.5
    for arrays in videos:
        points, turned = surface_points(arrays), rotations(arrays["states"])
        places = arrays["states"][..., :3].astype(float)
        assert (arrays["flow"][arrays["masks"] == 0] == 0).all()
        assert (arrays["flow"][-1] == 0).all()
        for frame in range(NUM_FRAMES - 1):
            for k in np.flatnonzero(arrays["shapes"]):
                shown = arrays["masks"][frame] == k + 1
                local = (points[frame][shown] - places[frame, k]) @ turned[frame, k]
                moved = local @ turned[frame + 1, k].T + places[frame + 1, k]
                start = np.stack([rows[shown], columns[shown]], axis=-1)
                expected = camera.project(moved) - start
                np.testing.assert_allclose(arrays["flow"][frame][shown], expected, atol=2e-3)


def test_flow_warps_masks_onto_the_next_frame(videos):
    """An object's pixels land on it, but for its outline; where they stand they would not."""
    pixels = np.indices((SIDE, SIDE)).transpose(1, 2, 0) + 0.5
    hits, near_hits, still_hits = [], [], []
    for arrays in videos:
        for frame in range(NUM_FRAMES - 1):
            landing = np.floor(pixels + arrays["flow"][frame]).astype(int)
            inside = ((landing >= 0) & (landing < SIDE)).all(axis=-1)
            for k in np.flatnonzero(arrays["shapes"]):
                before = arrays["masks"][frame] == k + 1
                after = arrays["masks"][frame + 1] == k + 1
                # Left out is what gets hidden, and what hardly moves.
                moving = np.abs(arrays["flow"][frame][before]).max(initial=0) > 1
                if not moving or not 0.9 < after.sum() / before.sum() < 1.1:
                    continue
                rows, columns = landing[before & inside].T
                hits.append(after[rows, columns].mean())
                near_hits.append(grown(after)[rows, columns].mean())
                still_hits.append(after[before].mean())
    assert len(hits) > 60
    assert np.mean(hits) > 0.93
    assert np.mean(near_hits) > 0.99
    assert np.mean(still_hits) < np.mean(hits) - 0.08


def grown(mask):
    """A mask (H, W) with a border of one pixel around it."""
    padded = np.pad(mask, 1)
    return np.any(
        [np.roll(padded, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)], axis=0
    )[1:-1, 1:-1]


def test_objects_do_not_overlap_at_the_start(videos):
    for arrays in videos:
        present = np.flatnonzero(arrays["shapes"])
        assert 3 <= len(present) <= 5
        places = arrays["states"][0, :, :3]
        # The corner of a box reaches further than its half side.
        reach = arrays["sizes"][:, 0] * np.where(arrays["shapes"] == BOX, 2**0.5, 1)
        np.testing.assert_allclose(places[present, 2], arrays["sizes"][present, 1])
        for i in present:
            for j in present[present > i]:
                assert np.linalg.norm(places[i] - places[j]) > reach[i] + reach[j] + 0.1


def test_absent_objects_are_zero(videos):
    counts = set()
    for arrays in videos:
        absent = arrays["shapes"] == 0
        counts.add(int(absent.sum()))
        assert (arrays["states"][:, absent] == 0).all()
        assert (arrays["sizes"][absent] == 0).all()
        assert (arrays["boxes"][:, absent] == -1).all()
    assert counts == {0, 1, 2}


def test_colours_of_a_video_are_distinct(videos):
    palette = np.array(list(PALETTE.values()))
    for arrays in videos:
        colors = arrays["colors"][arrays["shapes"] > 0]
        nearest = np.linalg.norm(colors[:, None] - palette, axis=-1).argmin(axis=1)
        assert len(set(nearest)) == len(colors)


def test_objects_show_their_own_colours(videos):
    """The hue of a mask's pixels is its object's: masks, colours and frames agree."""
    for arrays in videos:
        frame, mask = arrays["frames"][0].astype(float), arrays["masks"][0]
        for k in np.flatnonzero(arrays["shapes"]):
            seen = np.median(frame[mask == k + 1], axis=0)
            cosine = seen @ arrays["colors"][k] / np.linalg.norm(seen)
            assert cosine / np.linalg.norm(arrays["colors"][k]) > 0.97


def test_any_shape_of_frame():
    arrays = make(0, resolution=(24, 40), num_frames=3, num_objects=(2, 2))
    assert arrays["frames"].shape == (3, 24, 40, 3)
    assert set(np.unique(arrays["masks"][0])) == {0, 1, 2}


def test_too_many_objects_for_a_narrow_frame():
    with pytest.raises(ValueError, match=r"8 objects do not fit.*fewer objects"):
        make(0, resolution=(64, 16), num_objects=(8, 8))
