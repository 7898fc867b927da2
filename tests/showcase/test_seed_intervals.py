"""Intervals over seeds: the cases that scipy knows, and how often they cover the truth."""

import numpy as np
import pytest
from scipy import stats
from seed_intervals import interval_over_seeds

from ocvp.evaluation.intervals import TOO_FEW, mean_interval

NUM_VIDEOS = 40


def test_seeds_that_agree_leave_the_interval_over_videos():
    values = np.random.default_rng(0).normal(0.3, 1.0, NUM_VIDEOS)
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    found = interval_over_seeds([mean_interval(values)] * 3)
    assert found == pytest.approx({"mean": values.mean(), "low": low, "high": high})


def test_videos_that_agree_leave_the_interval_over_seeds():
    means = [0.1, 0.25, 0.4]
    low, high = stats.ttest_1samp(means, 0.0).confidence_interval(0.95)
    found = interval_over_seeds([mean_interval([mean] * NUM_VIDEOS) for mean in means])
    assert found == pytest.approx({"mean": 0.25, "low": low, "high": high})
    same = [mean_interval([0.5] * NUM_VIDEOS)] * 2
    assert interval_over_seeds(same) == {"mean": 0.5, "low": 0.5, "high": 0.5}


@pytest.mark.parametrize("seeds", [0.0, 0.15, 1.0])
@pytest.mark.parametrize("both", [0.0, 1.0])
def test_it_covers_the_truth_where_seeds_and_videos_vary(seeds, both):
    """Videos deviate by 1; seeds by nothing, as much as their mean, by 1; or what both make."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(500):
        values = rng.normal(0, 1, NUM_VIDEOS) + rng.normal(0, seeds, (3, 1))
        values = values + rng.normal(0, both, (3, NUM_VIDEOS))
        found = interval_over_seeds([mean_interval(own) for own in values])
        covered.append(found["low"] <= 0 <= found["high"])
    assert np.mean(covered) >= 0.93


def test_what_has_no_interval():
    few = mean_interval([0.0, 1.0])
    none = {"mean": 0.5, "low": None, "high": None, "reason": TOO_FEW}
    assert interval_over_seeds([few, few]) == none
    with pytest.raises(ValueError, match="at least 2 of them, got 1"):
        interval_over_seeds([few])
