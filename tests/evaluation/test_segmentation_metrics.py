"""Known scores of hand-made masks; scikit-learn and brute force as references."""

import itertools
import time

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from ocvp.evaluation.segmentation_metrics import (
    adjusted_rand_index,
    ari,
    fg_ari_clip,
    fg_ari_frame,
    id_switches,
    labels_from_masks,
    mbo,
    miou,
    tracks_kept,
)

# Two objects on a background; the second slot has lost a column of object 1 to slot 0.
TRUE = np.array([[1, 1, 0, 2], [1, 1, 0, 2], [0, 0, 0, 0]])
PREDICTED = np.array([[0, 1, 0, 2], [0, 1, 0, 2], [0, 0, 0, 0]])


def random_labels(seed, *shape, num_labels):
    return np.random.default_rng(seed).integers(num_labels, size=shape)


def test_labels_are_the_largest_mask_and_the_lowest_slot_in_a_tie():
    masks = np.zeros((2, 3, 1, 2), dtype=np.float32)
    masks[0, 2, 0, 0] = 0.6
    masks[1, :, 0, 1] = 1 / 3
    labels = labels_from_masks(masks)
    assert labels.dtype == np.uint8
    assert labels.tolist() == [[[2, 0]], [[0, 0]]]


def test_perfect_segmentation_whatever_the_names_of_the_slots():
    renamed = np.array([3, 0, 1])[TRUE]
    for metric in (fg_ari_frame, ari, miou, mbo):
        assert metric(TRUE, renamed) == 1.0
    assert fg_ari_clip(TRUE[None], renamed[None]) == 1.0


def test_known_scores_of_a_small_frame():
    # Foreground contingency table: object 1 is 2 + 2 pixels over two slots, object 2 is 2 in one.
    # Pairs: in cells 3, objects 6 + 1, slots 1 + 1 + 1, all 15; expected 7 * 3 / 15 = 1.4.
    assert fg_ari_frame(TRUE, PREDICTED) == pytest.approx((3 - 1.4) / ((7 + 3) / 2 - 1.4))
    # Object 1 overlaps slot 1 in 2 of 4 pixels, object 2 is perfect.
    assert miou(TRUE, PREDICTED) == pytest.approx((2 / 4 + 1) / 2)
    assert mbo(TRUE, PREDICTED) == pytest.approx((2 / 4 + 1) / 2)


def test_one_segment_over_two_objects_serves_only_one_in_miou_but_both_in_mbo():
    true = np.array([[1, 1, 2, 0]])
    predicted = np.array([[1, 1, 1, 0]])
    # Slot 1 fits object 1 in 2 of 3 pixels; object 2 is left with slot 0, which it does not meet.
    assert miou(true, predicted) == pytest.approx((2 / 3 + 0) / 2)
    assert mbo(true, predicted) == pytest.approx((2 / 3 + 1 / 3) / 2)


def test_an_object_without_a_slot_counts_zero():
    true, predicted = np.array([[1, 1, 2]]), np.array([[0, 0, 0]])
    assert miou(true, predicted) == pytest.approx((2 / 3) / 2)


@pytest.mark.parametrize("num_predicted", [1, 2, 5, 9])
@pytest.mark.parametrize("num_true", [1, 2, 6])
def test_ari_agrees_with_scikit_learn(num_true, num_predicted):
    true = random_labels(0, 3, 4, 5, 6, num_labels=num_true)
    # Related labels, so that the scores are not all near 0.
    predicted = (true + (random_labels(1, 3, 4, 5, 6, num_labels=10) > 6)) % num_predicted
    frames, foreground, clips = ari(true, predicted), fg_ari_frame(true, predicted), []
    for v in range(3):
        object_pixels = true[v] > 0
        clips.append(adjusted_rand_score(true[v][object_pixels], predicted[v][object_pixels]))
        for t in range(4):
            inside = true[v, t] > 0
            pair = true[v, t], predicted[v, t]
            assert frames[v, t] == pytest.approx(adjusted_rand_score(*(x.ravel() for x in pair)))
            assert foreground[v, t] == pytest.approx(
                adjusted_rand_score(*(x[inside] for x in pair))
            )
    assert fg_ari_clip(true, predicted) == pytest.approx(np.array(clips))


def test_labels_with_gaps_score_like_labels_without():
    true, predicted = (
        random_labels(2, 5, 8, 8, num_labels=4),
        random_labels(3, 5, 8, 8, num_labels=3),
    )
    spread_true, spread_predicted = true * 20, predicted * 11 + 1
    for metric in (fg_ari_frame, ari, miou, mbo):
        assert metric(true, predicted) == pytest.approx(metric(spread_true, spread_predicted))


def test_a_swap_of_slots_between_frames_is_seen_by_the_clip_and_not_by_the_frame():
    true = np.array([[[1, 1, 2, 2]], [[1, 1, 2, 2]]])
    swapped = np.array([[[0, 0, 1, 1]], [[1, 1, 0, 0]]])
    assert fg_ari_frame(true, swapped).tolist() == [1.0, 1.0]
    # Each slot holds 2 pixels of each object: pairs in cells 4, objects 12, slots 12, all 28.
    assert fg_ari_clip(true, swapped) == pytest.approx((4 - 144 / 28) / (12 - 144 / 28))


@pytest.mark.parametrize(
    ("true", "predicted", "expected"),
    [
        ([[0, 0, 0]], [[0, 1, 2]], 1.0),  # no foreground
        ([[1, 0, 0]], [[0, 1, 2]], 1.0),  # one foreground pixel
        ([[1, 1, 1]], [[4, 4, 4]], 1.0),  # one cluster on both sides
        ([[1, 2, 3]], [[2, 1, 0]], 1.0),  # single pixels on both sides
        ([[1, 1, 1]], [[0, 1, 2]], 0.0),  # one cluster against single pixels: chance
    ],
)
def test_degenerate_foreground_ari(true, predicted, expected):
    assert fg_ari_frame(np.array(true), np.array(predicted)) == expected


def brute_force_miou(true, predicted, num_slots):
    objects = [k for k in np.unique(true) if k != 0]
    scores = []
    slots = list(range(num_slots)) + [-1] * len(objects)
    for order in set(itertools.permutations(slots, len(objects))):
        total = 0.0
        for k, slot in zip(objects, order, strict=True):
            both = ((true == k) & (predicted == slot)).sum()
            total += both / ((true == k) | (predicted == slot)).sum()
        scores.append(total / len(objects))
    return max(scores)


@pytest.mark.parametrize(("num_objects", "num_slots"), [(3, 4), (4, 2), (2, 2)])
def test_miou_and_mbo_agree_with_brute_force(num_objects, num_slots):
    true = random_labels(4, 6, 5, 5, num_labels=num_objects + 1)
    predicted = np.where(
        random_labels(5, 6, 5, 5, num_labels=3) > 0,
        (true * 2 + 1) % num_slots,
        random_labels(6, 6, 5, 5, num_labels=num_slots),
    )
    true[2][true[2] == 1] = 0
    matched, best = miou(true, predicted), mbo(true, predicted)
    for frame in range(6):
        assert matched[frame] == pytest.approx(
            brute_force_miou(true[frame], predicted[frame], num_slots)
        )
        overlaps = [
            max(
                ((true[frame] == k) & (predicted[frame] == slot)).sum()
                / ((true[frame] == k) | (predicted[frame] == slot)).sum()
                for slot in range(num_slots)
            )
            for k in np.unique(true[frame])
            if k != 0
        ]
        assert best[frame] == pytest.approx(np.mean(overlaps))


def test_frames_without_an_object_have_no_overlap_score():
    true = np.stack([TRUE, np.zeros_like(TRUE)])
    predicted = np.stack([PREDICTED, PREDICTED])
    for metric in (miou, mbo):
        assert np.isnan(metric(true, predicted)).tolist() == [False, True]
        assert np.isnan(metric(true[1:], predicted[1:])).all()


def test_scores_do_not_depend_on_the_batch():
    true, predicted = (
        random_labels(7, 6, 8, 8, num_labels=5),
        random_labels(8, 6, 8, 8, num_labels=4),
    )
    true[0][true[0] > 1] = 0
    for metric in (fg_ari_frame, ari, miou, mbo):
        one_by_one = [metric(t, p) for t, p in zip(true, predicted, strict=True)]
        assert metric(true, predicted).tolist() == [float(score) for score in one_by_one]


def test_large_clips_do_not_overflow():
    true = np.zeros((1, 40, 400, 400), dtype=np.uint8)
    true[..., 200:] = 1
    assert adjusted_rand_index(true, 1 - true, num_dimensions=3, foreground_only=False) == 1.0


def test_a_validation_set_is_scored_in_a_moment():
    masks = np.random.default_rng(9).random((60, 16, 5, 32, 32), dtype=np.float32)
    true = random_labels(10, 60, 16, 32, 32, num_labels=6).astype(np.uint8)
    start = time.process_time()
    predicted = labels_from_masks(masks)
    for metric in (fg_ari_clip, fg_ari_frame, ari, miou, mbo):
        metric(true, predicted)
    # About 0.3 s; the margin is for busy machines, and a loop over pixels or pairs exceeds it.
    assert time.process_time() - start < 3


# --- identity -----------------------------------------------------------------------------------


def clip(*frames):
    """Return labels (T, 1, W) of frames that are written as digits."""
    return np.array([[[int(digit) for digit in frame]] for frame in frames])


FOUR = clip(*["11102220"] * 4)
"""Two objects that rest for four frames."""


@pytest.mark.parametrize(
    ("frames", "kept", "switches"),
    [
        (["11102220"] * 4, 1.0, 0),
        (["22203330"] * 4, 1.0, 0),  # whatever the slots are called, the background's too
        (["11102220"] * 2 + ["22201110"] * 2, 0.0, 2),  # a swap is a switch of both
        (["11102220"] * 3 + ["11103330"], 0.5, 1),
        # 2 of 3 pixels hold an object, 1 of 3 does not
        (["11002220"] * 4, 1.0, 0),
        (["10002220"] * 4, 0.5, 0),
        # lost in between: the same slot again is kept, another one is a switch
        (["11102220", "45602220", "45602220", "11102220"], 1.0, 0),
        (["11102220", "45602220", "33302220", "33302220"], 0.5, 1),
        (["11102220", "45602220", "45602220", "45602220"], 0.5, 0),  # held too seldom
        (["11111111"] * 4, 0.0, 0),  # one slot over both holds neither
        (["11222233"] * 4, 0.5, 0),  # by place: 2 of 3 of one, 2 of 5 of the other
    ],
)
def test_tracks_and_switches_by_hand(frames, kept, switches):
    predicted = clip(*frames)
    assert tracks_kept(FOUR, predicted) == kept
    assert id_switches(FOUR, predicted) == switches


def test_frames_in_which_an_object_is_hidden_do_not_count_against_its_slot():
    true = clip("11100", "00000", "00000", "00000", "11100")
    assert tracks_kept(true, true + 1) == 1.0
    assert id_switches(true, clip("11100", *["22222"] * 3, "33300")) == 1


def test_half_an_object_holds_it_not():
    # IoU is 2 / 4: two segments may fit that well
    assert tracks_kept(clip("1111"), clip("2233")) == 0.0
    assert tracks_kept(clip("11111"), clip("22233")) == 1.0


def test_clips_without_objects_have_no_identity():
    true, predicted = np.zeros((2, 1, 8), int), clip(*["11223344"] * 2)
    assert np.isnan(tracks_kept(true, predicted))
    assert np.isnan(id_switches(true, predicted))
    both = np.stack([FOUR[:2], true]), np.stack([FOUR[:2], predicted])
    np.testing.assert_array_equal(tracks_kept(*both), [1.0, np.nan])
    np.testing.assert_array_equal(id_switches(*both), [0.0, np.nan])


def clear_mot(true, predicted):
    """Return mismatches and the matches of each frame, by CLEAR MOT's own procedure."""
    latest, matches, mismatches = {}, [], 0
    for now_true, now_predicted in zip(true, predicted, strict=True):
        objects = {k: set(np.flatnonzero(now_true == k)) for k in np.unique(now_true) if k}
        segments = {n: set(np.flatnonzero(now_predicted == n)) for n in np.unique(now_predicted)}

        def iou(k, n, objects=objects, segments=segments):
            return len(objects[k] & segments[n]) / len(objects[k] | segments[n])

        # 1. what corresponded goes on doing so while it is close enough
        pairs = {
            k: n for k, n in latest.items() if k in objects and n in segments and iou(k, n) > 0.5
        }
        # 2. the others are assigned
        free = [k for k in objects if k not in pairs]
        rest = [n for n in segments if n not in pairs.values()]
        cost = np.array([[1 - iou(k, n) for n in rest] for k in free]).reshape(-1, len(rest))
        cost[cost >= 0.5] = 10.0
        for i, j in zip(*linear_sum_assignment(cost), strict=True):
            if cost[i, j] < 0.5:
                pairs[free[i]] = rest[j]
        # 3. a mismatch is another correspondence than the latest
        mismatches += sum(latest.get(k, n) != n for k, n in pairs.items())
        latest |= pairs
        matches.append(pairs)
    return mismatches, matches


def test_identity_agrees_with_clear_mot():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(100):
        columns = rng.integers(0, 4, size=3)
        true = np.zeros((6, 3, 12), int)
        for t, k in itertools.product(range(6), range(3)):
            width = rng.integers(0, 6)  # 0: hidden
            true[t, k, columns[k] + t // 2 : columns[k] + t // 2 + width] = k + 1
        names = rng.permutation(5)[true]
        for t in np.flatnonzero(rng.random(6) < 0.3):
            names[t:] = rng.permutation(5)[names[t:]]
        spoilt = np.where(rng.random(true.shape) < 0.15, rng.integers(0, 5, true.shape), names)
        mismatches, matches = clear_mot(true, spoilt)
        assert id_switches(true, spoilt) == mismatches
        tracks = [k for k in (1, 2, 3) if (true == k).any()]
        kept = 0
        for k in tracks:
            holders = [pairs[k] for pairs in matches if k in pairs]
            visible = (true == k).any(axis=(1, 2)).sum()
            kept += len(set(holders)) == 1 and len(holders) >= visible / 2
        assert tracks_kept(true, spoilt) == pytest.approx(kept / len(tracks))
        found.append((mismatches, kept))
    assert len(set(found)) > 10  # the clips differ


@pytest.mark.parametrize(
    ("true", "predicted", "message"),
    [
        (np.zeros((2, 4, 4), int), np.zeros((4, 4), int), "must be the same"),
        (np.zeros((4, 4)), np.zeros((4, 4), int), "true labels are float64"),
        (np.zeros((4, 4), int), np.full((4, 4), -1), "predicted labels hold -1"),
        (np.zeros(4, int), np.zeros(4, int), "2 or more dimensions"),
    ],
)
def test_wrong_labels_are_refused(true, predicted, message):
    for metric in (fg_ari_frame, ari, miou, mbo):
        with pytest.raises(ValueError, match=message):
            metric(true, predicted)


def test_masks_without_a_slot_dimension_are_refused():
    with pytest.raises(ValueError, match=r"\(\.\.\., N, H, W\)"):
        labels_from_masks(np.zeros((4, 4)))
