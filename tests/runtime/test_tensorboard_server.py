"""Which runs TensorBoard is shown, and under which names."""

import pytest

from ocvp.runtime.tensorboard_server import find_runs, short_names, show
from ocvp.runtime.training_log import TrainingLog


def write_run(results, place):
    """Write a point of a training that is at `results/place`."""
    folder = results / place / "tensorboard"
    with TrainingLog(folder, 0) as log:
        log.scalars("train", {"loss": 1.0}, 1)
    return folder


@pytest.mark.parametrize(
    ("places", "names"),
    [
        ("t/savi/seed0 t/savi/seed0/lstm t/savi/seed0/ocvp-a2", "savi lstm ocvp-a2"),
        # what differs stays: the seed, the SAVi, the data set
        ("t/savi/seed0 t/savi/seed1/lstm", "savi-seed0 seed1-lstm"),
        ("t/a/seed0 t/b/seed0 t/a/seed0/lstm t/b/seed0/lstm", "a b a-lstm b-lstm"),
        ("t/a/seed0 u/a/seed0/lstm", "t-a u-lstm"),
        ("t/a/seed0", "a"),
        ("t/a/seed0 runs/mine x", "a runs-mine x"),  # no study's places
        ("", ""),
        # a SAVi and a predictor of one name; what is one name in another way as well
        ("t/lstm/seed0 t/lstm/seed0/lstm", "t-lstm-seed0 t-lstm-seed0-lstm"),
        ("a/b-c a-b/c", "a,b-c a-b,c"),
    ],
)
def test_names_tell_runs_apart_without_what_all_share(places, names):
    found = short_names([tuple(place.split("/")) for place in places.split()])
    assert found == names.split()


def test_runs_are_found_and_chosen_by_their_place(tmp_path):
    results = tmp_path / "results"
    places = {"b-seed0": "a/b/seed0", "seed1-c": "a/b/seed1/c", "results": ".", "x": "x"}
    folders = {name: write_run(results, place) for name, place in places.items()}
    (results / "a/b/seed2/tensorboard").mkdir(parents=True)  # no point yet
    write_run(results, "a/b/seed0/c/d/e")  # no place of a run
    assert find_runs(results) == {name: path.resolve() for name, path in folders.items()}
    # of those that are shown, all have one seed
    assert find_runs(results, ["a-*-c", "x"]).keys() == {"c", "x"}
    assert find_runs(results, ["a-b"]) == {}
    assert find_runs(tmp_path / "missing") == {}


def test_links_follow_the_runs(tmp_path):
    links, one, two = (tmp_path / name for name in ("links", "one", "two"))
    for path in (links, one, two):
        path.mkdir()
    assert show(links, {"first": one}) == ["first"]
    assert show(links, {"first": one, "second": two}) == ["second"]
    assert (links / "second").resolve() == two
    assert show(links, {"second": two}) == []
    assert [path.name for path in links.iterdir()] == ["second"]
    assert show(links, {"second": one}) == ["second"]  # another run of that name
    assert (links / "second").resolve() == one
    assert two.is_dir()
