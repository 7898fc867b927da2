"""Known centre errors of moving squares, and the assignment behind them."""

import numpy as np
import pytest

from ocvp.evaluation.tracking_metrics import (
    UNASSIGNED,
    assign_slots,
    centre_distances,
    centre_errors,
    constant_velocity_distances,
    count_objects,
    object_motion,
    touched_by,
)


def square(row, column, size=2, height=12, width=12):
    mask = np.zeros((height, width), dtype=bool)
    mask[row : row + size, column : column + size] = True
    return mask


def labels_of(*objects):
    labels = np.zeros((12, 12), dtype=np.uint8)
    for k, mask in enumerate(objects):
        labels[mask] = k + 1
    return labels


def masks_of(*slots):
    """Soft masks with 0.9 where a slot wins and the rest to slot 0, the background."""
    masks = np.zeros((len(slots) + 1, 12, 12), dtype=np.float32)
    for n, mask in enumerate(slots, start=1):
        masks[n] = np.where(mask, 0.9, 0.01)
    masks[0] = 1 - masks[1:].sum(axis=0)
    return masks


def centre_error(true, masks, assignment):
    return centre_errors(centre_distances(true, masks, assignment), None)["centre_error"]


TRUE = labels_of(square(1, 1), square(6, 6))
SWAPPED = masks_of(square(6, 6), square(1, 1))


def test_objects_get_the_slots_that_hold_them():
    assert assign_slots(TRUE[None], SWAPPED[None], 3).tolist() == [[2, 1, UNASSIGNED]]


def test_assignment_is_the_best_of_all_and_not_greedy():
    true = labels_of(square(0, 0, 4), square(0, 4, 4))
    # Slot 1 holds all of object 1 and most of object 2, slot 2 a quarter of object 1: object 1
    # alone prefers slot 1 (16 / 28), but both together are best the other way round.
    lower_quarter = np.zeros((12, 12), dtype=bool)
    lower_quarter[0:4, 0:3] = True
    rest = (true > 0) & ~lower_quarter
    masks = masks_of(rest, lower_quarter)
    assert assign_slots(true[None], masks[None], 2).tolist() == [[2, 1]]


def test_more_objects_than_slots_leave_the_worst_fit_unassigned():
    true = labels_of(square(0, 0, 4), square(0, 6, 3), square(8, 8, 1))
    masks = masks_of(square(0, 0, 4))
    assignment = assign_slots(true[None], masks[None], 3)[0]
    assert assignment[0] == 1
    assert sorted(assignment.tolist()) == [UNASSIGNED, 0, 1]


def test_a_slot_that_wins_no_pixel_anywhere_can_still_be_assigned():
    true = labels_of(square(1, 1), square(6, 6), square(9, 1))
    masks = np.concatenate([masks_of(square(1, 1)), np.zeros((1, 12, 12), dtype=np.float32)])
    # Three objects, of which slots 0 and 1 take two.
    assert sorted(assign_slots(true[None], masks[None], 3)[0].tolist()) == [0, 1, 2]


def test_perfect_tracking_has_no_error_and_a_shift_has_its_length():
    true = np.stack([TRUE, labels_of(square(2, 1), square(6, 7))])[None]
    masks = np.stack([SWAPPED, masks_of(square(6, 7), square(2, 1))])[None]
    assignment = assign_slots(true[:, 0], masks[:, 0], 2)
    assert centre_error(true, masks, assignment).tolist() == [[0.0, 0.0]]
    shifted = np.stack([SWAPPED, masks_of(square(6, 7), square(5, 5))])[None]
    assert centre_distances(true, shifted, assignment).tolist() == [[[0.0, 0.0], [5.0, 0.0]]]
    assert centre_error(true, shifted, assignment).tolist() == [[0.0, 2.5]]


def test_slots_that_swap_after_the_context_are_not_matched_again():
    true = np.stack([TRUE, TRUE])[None]
    masks = np.stack([SWAPPED, masks_of(square(1, 1), square(6, 6))])[None]
    assignment = assign_slots(true[:, 0], masks[:, 0], 2)
    assert centre_error(true, masks, assignment)[0] == pytest.approx([0.0, np.hypot(5, 5)])


def test_objects_count_only_while_seen_and_if_seen_at_assignment():
    late = labels_of(square(1, 1), square(6, 6), square(9, 1))
    hidden = labels_of(np.zeros((12, 12), dtype=bool), square(6, 6))
    true = np.stack([TRUE, late, hidden, np.zeros_like(TRUE)])[None]
    masks = np.repeat(SWAPPED[None], 4, axis=0)[None]
    assignment = assign_slots(true[:, 0], masks[:, 0], 3)
    counted = ~np.isnan(centre_distances(true, masks, assignment))[0]
    assert counted.tolist() == [
        [True, True, False],
        [True, True, False],  # object 3 came after the assignment
        [False, True, False],  # object 1 is hidden
        [False, False, False],
    ]
    assert np.isnan(centre_error(true, masks, assignment)[0]).tolist() == [False] * 3 + [True]


def test_a_slot_without_pixels_is_where_its_soft_mask_is():
    true = labels_of(square(4, 4))[None, None]
    faint = np.zeros((12, 12), dtype=np.float32)
    faint[4, 8], faint[5, 9] = 0.1, 0.3
    masks = np.stack([1 - faint, faint])[None, None]
    # Soft centroid (4.75, 8.75), object's centre (4.5, 4.5).
    expected = np.hypot(0.25, 4.25)
    assert centre_error(true, masks, np.array([[1]]))[0, 0] == pytest.approx(expected)


def test_a_slot_that_vanished_is_in_the_middle_of_the_frame():
    true = labels_of(square(0, 0))[None, None]
    masks = np.stack([np.ones((12, 12)), np.zeros((12, 12))])[None, None]
    expected = np.hypot(5, 5)  # (0.5, 0.5) to (5.5, 5.5)
    assert centre_error(true, masks, np.array([[1]]))[0, 0] == pytest.approx(expected)


def test_videos_do_not_mix():
    rng = np.random.default_rng(0)
    true = rng.integers(4, size=(5, 3, 12, 12))
    masks = rng.random((5, 3, 4, 12, 12))
    assignment = assign_slots(true[:, 0], masks[:, 0], 3)
    together = centre_distances(true, masks, assignment)
    for v in range(5):
        assert assign_slots(true[v : v + 1, 0], masks[v : v + 1, 0], 3)[0].tolist() == (
            assignment[v].tolist()
        )
        alone = centre_distances(true[v : v + 1], masks[v : v + 1], assignment[v : v + 1])
        assert alone[0] == pytest.approx(together[v], nan_ok=True)


@pytest.mark.parametrize(
    ("shapes", "assignment", "message"),
    [
        (((1, 2, 4, 4), (1, 3, 2, 4, 4)), [[0]], "must have shapes"),
        (((1, 2, 4, 4), (1, 2, 2, 4, 4)), [[0], [0]], "must have shapes"),
        (((1, 2, 4, 4), (1, 2, 2, 4, 4)), [[2]], "slot 2, but there are 2 slots"),
    ],
)
def test_what_does_not_fit_together_is_refused(shapes, assignment, message):
    true, masks = (np.zeros(shape, dtype=np.uint8) for shape in shapes)
    with pytest.raises(ValueError, match=message):
        centre_error(true, masks, np.array(assignment))


def test_motion_is_the_farthest_that_any_object_gets():
    none = np.zeros((12, 12), dtype=bool)
    moving = [
        labels_of(square(1, 1), square(6, 6)),
        labels_of(square(1, 1), square(9, 10)),  # object 2 is 5 pixels away
        labels_of(square(2, 1), square(6, 6)),  # and comes back
    ]
    # Object 1 rests and hides, object 2 comes late: neither is motion.
    resting = [
        labels_of(square(1, 1)),
        labels_of(none, square(6, 6)),
        labels_of(none, square(1, 6)),
    ]
    true = np.stack([np.stack(moving), np.stack(resting), np.zeros((3, 12, 12), np.uint8)])
    assert object_motion(true, 3).tolist() == [5.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="num_objects is 1, but true labels go up to 2"):
        object_motion(true, 1)


def test_labels_above_the_number_of_objects_are_refused():
    with pytest.raises(ValueError, match="go up to 2, but the assignment has 1"):
        centre_error(TRUE[None, None], SWAPPED[None, None], np.array([[0]]))
    with pytest.raises(ValueError, match="num_objects is 1, but true labels go up to 2"):
        assign_slots(TRUE[None], SWAPPED[None], 1)


# --- contacts and constant velocity -------------------------------------------------------------


def test_errors_are_told_apart_by_the_first_contact():
    distances = np.array([[[1.0, 5.0], [2.0, 6.0], [3.0, np.nan], [4.0, 8.0]]])  # (1, 4, 2)
    contacts = np.array([[[0, 0], [2, 0], [0, 0], [0, 1]]], np.uint8)
    touched = touched_by(contacts)
    assert touched[0, :, 0].tolist() == [False, True, True, True]
    assert touched[0, :, 1].tolist() == [False, False, False, True]
    errors = centre_errors(distances, touched)
    nan = np.nan
    np.testing.assert_array_equal(errors["centre_error"], [[3.0, 4.0, 3.0, 6.0]])
    np.testing.assert_array_equal(errors["centre_error_after_contact"], [[nan, 2.0, 3.0, 6.0]])
    np.testing.assert_array_equal(errors["centre_error_without_contact"], [[3.0, 6.0, nan, nan]])
    counts = {name: count.tolist() for name, count in count_objects(distances, touched).items()}
    assert counts == {
        "centre_error": [2],
        "centre_error_after_contact": [2],
        "centre_error_without_contact": [2],
    }
    assert set(centre_errors(distances, None)) == {"centre_error"}
    never = np.full((1, 4, 2), False)
    assert count_objects(distances, never)["centre_error_after_contact"].tolist() == [0]


def test_a_contact_in_the_first_predicted_frame_counts():
    assert touched_by(np.array([[[1], [0]]], np.uint8)).all()


def test_objects_that_keep_their_velocity_have_no_error_and_others_their_turn():
    none = np.zeros((12, 12), dtype=bool)
    frames = [
        labels_of(square(0, 0), none, square(9, 0)),
        labels_of(square(1, 2), square(5, 5), square(9, 1)),  # the last of the context
        labels_of(square(2, 4), square(5, 5), square(9, 0)),  # object 3 turns
        labels_of(square(3, 6), square(5, 8), none),  # object 2, new, starts to move; 3 is hidden
    ]
    true = np.stack(frames)[None]
    distances = constant_velocity_distances(true, np.array([[1, 2, 3]]), 2)
    np.testing.assert_allclose(distances, [[[0, 0, 2], [0, 3, np.nan]]], atol=1e-12)
    unassigned = constant_velocity_distances(true, np.array([[1, UNASSIGNED, 3]]), 2)
    np.testing.assert_array_equal(np.isnan(unassigned[0, :, 1]), [True, True])
    with pytest.raises(ValueError, match="num_context is 1; a velocity needs 2 frames"):
        constant_velocity_distances(true, np.array([[1, 2, 3]]), 1)
