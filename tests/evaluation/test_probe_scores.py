"""R2 and accuracy against scikit-learn and by hand, and the coverage of their intervals."""

import numpy as np
import pytest
from sklearn.metrics import r2_score

from ocvp.evaluation.probe_scores import gain, linearised, probe_metrics, score_reading
from ocvp.evaluation.probes import Probe

VIDEOS, FRAMES, OBJECTS = 12, 3, 4


def noisy_readings(seed=0):
    """Return truths of which some do not count, and what was read."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(VIDEOS, FRAMES, OBJECTS, 2)) * np.array([1.0, 10.0])
    reading = truth + rng.normal(size=truth.shape)
    truth[rng.random(truth.shape[:3]) < 0.3] = np.nan
    return truth, reading


def test_r2_is_that_of_scikit_learn_over_what_counts():
    truth, reading = noisy_readings()
    known = ~np.isnan(truth[..., 0])
    scores = score_reading(truth, reading)
    assert scores["measure"] == "r2"
    weighted = {"multioutput": "variance_weighted"}
    assert scores["mean"] == pytest.approx(r2_score(truth[known], reading[known], **weighted))
    for frame in range(FRAMES):
        own = known[:, frame]
        expected = r2_score(truth[:, frame][own], reading[:, frame][own], **weighted)
        assert scores["per_frame"][frame] == pytest.approx(expected)


def test_r2_by_hand():
    # values 0 and 4 about their mean 2: deviations 4 + 4; errors 1 + 1
    truth = np.array([0.0, 4.0, np.nan]).reshape(3, 1, 1, 1)
    reading = np.array([1.0, 3.0, 9.0]).reshape(3, 1, 1, 1)
    assert score_reading(truth, reading)["mean"] == pytest.approx(1 - 2 / 8)


def test_accuracy_counts_objects_and_not_videos():
    truth = np.array([["box", "box"], ["ball", ""]])[:, None]  # (V, T, K)
    reading = np.array([["box", "ball"], ["ball", "ball"]])[:, None]
    scores = score_reading(truth, reading)
    assert scores["measure"] == "accuracy"
    assert scores["mean"] == pytest.approx(2 / 3)
    assert scores["per_frame"] == [pytest.approx(2 / 3)]


@pytest.mark.parametrize(
    "truth",
    [np.full((3, 2, 1, 1), np.nan), np.full((3, 2, 1, 2), 0.1), np.full((3, 2, 2), "")],
    ids=["nothing is known", "one value", "no class is known"],
)
def test_without_a_value_the_reason_is_given(truth):
    scores = score_reading(truth, truth)
    assert (scores["mean"], scores["per_frame"]) == (None, None)
    assert "no object" in scores["reason"]


def test_a_frame_in_which_nothing_counts_leaves_a_gap():
    truth, reading = noisy_readings()
    truth[:, 1] = np.nan
    curve = score_reading(truth, reading)["per_frame"]
    assert [value is None for value in curve] == [False, True, False]


def test_numbers_of_videos_average_to_the_ratio_of_sums():
    numerators, denominators = np.array([1.0, 6.0, 0.0, 2.0]), np.array([2.0, 6.0, 0.0, 4.0])
    own = linearised(numerators, denominators)
    assert np.isnan(own[2])
    assert np.nanmean(own) == pytest.approx(9 / 12)


def test_numbers_of_videos_vary_as_the_ratio_does():
    """The variance of the ratio over many draws of videos is what one draw estimates."""
    rng = np.random.default_rng(3)
    objects = rng.integers(1, 8, size=(4000, 40))  # of each video, in each draw
    right = rng.binomial(objects, rng.beta(2, 1, size=objects.shape))  # alike within a video
    ratios = right.sum(axis=1) / objects.sum(axis=1)
    estimates = [
        linearised(*pair).var(ddof=1) / 40
        for pair in zip(right[:300] * 1.0, objects[:300] * 1.0, strict=True)
    ]
    assert np.mean(estimates) == pytest.approx(ratios.var(), rel=0.1)


def test_the_interval_is_about_videos_and_not_about_frames():
    truth, reading = noisy_readings()
    once = score_reading(truth, reading)
    # each frame ten times: nothing more is known
    more = score_reading(*(np.repeat(part, 10, axis=1) for part in (truth, reading)))
    for bound in ("mean", "low", "high"):
        assert more[bound] == pytest.approx(once[bound])
    assert once["low"] < once["mean"] < once["high"]


def test_the_gain_is_the_difference_of_two_scores():
    truth, reading = noisy_readings()
    other = reading + 1.0
    found = gain(truth, reading, other)
    scores = [score_reading(truth, part)["mean"] for part in (reading, other)]
    assert found["mean"] == pytest.approx(scores[0] - scores[1])
    assert found["low"] < found["mean"] < found["high"]


def test_an_entry_has_the_other_variants_and_the_constant_beside_the_first():
    truth, reading = noisy_readings()
    mean = np.full_like(truth, np.nanmean(truth, axis=(0, 1, 2)))
    nothing = Probe([], [])
    probes = {"position": {"linear": nothing, "constant": nothing}}
    variants = {"prediction": reading, "copy_last_slots": reading + 3, "ceiling": truth}
    parts = [
        (
            {"position": truth[part]},
            {
                name: {("position", "linear"): read[part], ("position", "constant"): mean[part]}
                for name, read in variants.items()
            },
        )
        for part in (slice(0, 5), slice(5, None))  # two batches
    ]
    metrics = probe_metrics(probes, parts)
    assert list(metrics) == ["probe_position_linear"]
    entry = metrics["probe_position_linear"]
    assert entry["mean"] == score_reading(truth, reading)["mean"]
    assert entry["ceiling"] == 1.0
    assert entry["ceiling_per_frame"] == [1.0] * FRAMES
    assert entry["constant"] == pytest.approx(0.0)
    assert entry["gain"]["mean"] == pytest.approx(entry["mean"] - entry["copy_last_slots"])
