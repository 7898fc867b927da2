"""From a published parameter file to a config: numbers at their bounds."""

import pytest

from ocvp.published.conversion import _dataset
from ocvp.published.training import SOURCES, Account, _limit_epochs


@pytest.mark.parametrize(("num_slots", "max_objects"), [(8, 8), (10, 10), (11, 10)])
def test_a_video_has_at_most_as_many_objects_as_there_are_slots(num_slots, max_objects):
    entry = _dataset(SOURCES["MoviA"], [64, 64], num_slots)
    assert entry["max_objects"] == max_objects


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(151, {"num_steps": 3 * 151}), (152, {"num_epochs": 3}), (153, {"num_epochs": 3})],
)
def test_an_epoch_ends_early_below_its_number_of_batches(limit, expected):
    # 9,703 videos in batches of 64: 151 whole ones, and a rest.
    account = Account({"training_prediction": {"train_iters_per_epoch": limit}})
    settings = {"batch_size": 64, "num_epochs": 3}
    training = _limit_epochs(account, settings, SOURCES["MoviA"], "predictors.x")
    assert training == {"batch_size": 64} | expected
