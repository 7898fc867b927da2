"""The interval against scipy, how often it covers the truth, and its corner cases."""

import numpy as np
import pytest
from scipy import stats

from ocvp.evaluation.intervals import MIN_VIDEOS, mean_interval


@pytest.mark.parametrize("number", [10, 11, 200])
def test_agrees_with_scipy(number):
    values = np.random.default_rng(number).normal(0.3, 1.0, size=number)
    result = mean_interval(values)
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert result == pytest.approx({"mean": values.mean(), "low": low, "high": high})


@pytest.mark.parametrize("number", [10, 25])
@pytest.mark.parametrize(
    ("kind", "truth", "least"), [("normal", 0, 0.93), ("exponential", 1, 0.89)]
)
def test_interval_covers_the_truth_about_as_often_as_it_says(number, kind, truth, least):
    samples = getattr(np.random.default_rng(0), kind)(size=(2000, number))
    intervals = [mean_interval(sample) for sample in samples]
    covered = np.mean([interval["low"] <= truth <= interval["high"] for interval in intervals])
    assert least <= covered <= 0.97


def test_pairing_leaves_out_what_both_models_share():
    rng = np.random.default_rng(4)
    difficulty = rng.normal(0, 10, size=50)
    first, second = difficulty + 0.2 + rng.normal(0, 0.1, 50), difficulty
    assert mean_interval(first - second)["low"] > 0
    assert mean_interval(first)["low"] < 0


def test_undefined_videos_are_dropped():
    values = np.random.default_rng(5).normal(size=12)
    assert mean_interval(np.insert(values, [0, 3], np.nan)) == mean_interval(values)


def test_few_videos_give_no_interval_and_say_so():
    few = {"mean": 0.5, "low": None, "high": None}
    reason = "fewer than 10 videos, too few for an interval"
    assert mean_interval([0.5]) == few | {"reason": reason}
    assert mean_interval([0.25, 0.75] * 4 + [0.5, np.nan]) == few | {"reason": reason}
    assert mean_interval([0.25, 0.75] * 5)["low"] < 0.5
    assert MIN_VIDEOS == 10


def test_equal_videos_have_no_width():
    assert mean_interval([0.25] * 10) == {"mean": 0.25, "low": 0.25, "high": 0.25}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "no number"),
        ([np.nan, np.nan], "undefined for every video"),
        ([1.0, np.inf], "infinity"),
        ([[1.0, 2.0]], r"shape \(V,\)"),
    ],
)
def test_wrong_input_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        mean_interval(values)
