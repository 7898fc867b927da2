"""The page on videos of one's own: its commands, its configs, and what is made of its films."""

import subprocess
import sys

import numpy as np
import pytest
import trial
import yaml
from disc_films import GROUND, MOST, NUM_FRAMES, SIDE, bounced, draw, write_films
from PIL import Image
from snakemake_runs import PROJECT
from tiny import call

from ocvp import new_experiment, prepare_data
from ocvp.config.whole import read_config
from ocvp.data.videos import VideoFile

NUM_FILMS = 10
SCORED, TRY, WITH_MASKS = map(yaml.safe_load, trial.blocks("yaml"))


def merged(config, change):
    """Merge as Snakemake does: mappings key by key, everything else is replaced."""
    if not isinstance(config, dict) or not isinstance(change, dict):
        return change
    values = {key: merged(config[key], change[key]) for key in config.keys() & change.keys()}
    return config | change | values


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return a folder in which the page's films and its config lie, and that config."""
    folder = tmp_path_factory.mktemp("page")
    write_films(folder / "data" / "discs", NUM_FILMS)
    (command,) = (line for line in trial.commands() if "new_experiment" in line)
    arguments = command.removeprefix("python -m ocvp.new_experiment ").split()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("ocvp.training.speed.least_seconds", lambda step: 0.1)
        assert call(new_experiment.main, *arguments) == 0
    text = (folder / "config" / "discs.yaml").read_text(encoding="utf-8")
    return folder, yaml.safe_load(text)


def test_a_film_shows_two_to_four_things_that_stay_in_view():
    clips = [draw(number) for number in range(1, 30)]
    assert {int(clip.masks.max()) for clip in clips} == {2, 3, MOST}
    for clip in clips:
        things = np.arange(1, clip.masks.max() + 1)
        areas = (clip.masks == things[:, None, None, None]).sum(axis=(2, 3))  # (things, T)
        assert (areas > 0.7 * areas.max(axis=1, keepdims=True)).all()  # corners may overlap
        assert (clip.frames[clip.masks == 0] == GROUND).all()


def test_things_bounce_off_each_other_and_off_the_borders():
    radii = np.array([10.0, 12.0])
    places = np.array([[48.0, 30.0], [48.0, 51.0]])
    hit = bounced(places, np.array([[0.5, 2.0], [0.0, -1.0]]), radii)
    np.testing.assert_allclose(hit, [[0.5, -1.0], [0.0, 2.0]])  # across the line nothing changes
    np.testing.assert_array_equal(bounced(places, hit, radii), hit)  # they go apart already
    at_borders = bounced(
        np.array([[9.0, 30.0], [48.0, SIDE - 12]]), np.array([[-1.0, 2.0], [3.0, 1.0]]), radii
    )
    np.testing.assert_array_equal(at_borders, [[1.0, 2.0], [3.0, -1.0]])


def test_the_config_fits_the_films(page):
    folder, value = page
    config = read_config(value)
    dataset = config.datasets["discs"]
    assert (dataset.root, dataset.frames) == ("data/discs/films", ".")
    assert (dataset.resolution, dataset.num_frames, dataset.stride) == ((32, 32), NUM_FRAMES, 1)
    assert dataset.masks is None
    assert config.savi["savi"].model.num_slots == MOST + 1
    assert config.savi["savi"].model.initializer != "boxes"
    assert config.study[0].evaluation == ["discs_8_to_8"]
    text = (folder / "config" / "discs.yaml").read_text(encoding="utf-8")
    assert text.startswith("# The experiment discs, made for the 10 videos in data/discs/films.")
    assert f"frames are {SIDE}x{SIDE}" in text


@pytest.mark.parametrize("change", [TRY, WITH_MASKS, merged(TRY, WITH_MASKS)])
def test_the_pages_changes_of_it_are_valid(page, change):
    dataset = read_config(merged(page[1], change)).datasets["discs"]
    assert dataset.has_boxes == ("masks" in change["datasets"]["discs"])


def test_the_scored_data_set_is_that_of_the_models(page):
    """Else frames, splits or slots would be others than those that were trained on."""
    scored, made = read_config(SCORED), read_config(page[1])
    same = ("shares", "resolution", "num_frames", "stride", "start", "fit", "resize")
    for key in same:
        assert getattr(scored.datasets["scored"], key) == getattr(made.datasets["discs"], key)
    assert scored.evaluation["scored_8_to_8"] == made.evaluation["discs_8_to_8"]
    for entry in (scored.savi["found"], scored.predictors["rolled_out"]):
        assert entry.pretrained.startswith("results/discs/savi/seed0/")


def convert(folder, name, split, entry):
    """Convert one split in chunks of 3 videos, and join them."""
    root = folder / entry["root"]
    entry = entry | {"videos_per_chunk": 3}
    videos = folder / "results" / name / "videos"
    options = ["--config", entry, "--dataset", name, "--split", split, "--root", root]
    number = {"train": 8 * 7 if entry.get("mirror") else 7, "val": 1, "test": 2}[split]
    chunks = [videos / split / f"chunk{chunk}.h5" for chunk in range(-(-number // 3))]
    for chunk, path in enumerate(chunks):
        arguments = ["--chunk", chunk, "--output", path]
        assert call(prepare_data.main, "chunk", *options, *arguments) == 0
    output = videos / f"{split}.h5"
    arguments = ["--chunks", *chunks, "--output", output]
    assert call(prepare_data.main, "merge", *options, *arguments) == 0
    return output


def test_the_pages_films_are_converted(page, monkeypatch, capsys):
    folder, value = page
    names = []
    for split in ("train", "val", "test"):
        with VideoFile(convert(folder, "discs", split, value["datasets"]["discs"])) as videos:
            assert videos.fields == ("frames",)
            assert (videos.num_frames, videos.height, videos.width) == (NUM_FRAMES, 32, 32)
            names += videos.names
    films = sorted(name for name in names if "/" not in name)
    assert films == [f"film_{number:03d}" for number in range(1, NUM_FILMS + 1)]
    assert len(names) - len(films) == 7 * 7  # those of training, mirrored in seven ways
    monkeypatch.chdir(folder)
    (code,) = trial.blocks("python")
    exec(compile(code, "own_videos.md", "exec"), {})
    assert "56 videos of 24 frames" in capsys.readouterr().out
    with Image.open("discs.png") as picture:
        assert picture.size == (5 * 32, 32)


def test_the_masks_are_those_of_the_films(page):
    path = convert(page[0], "scored", "test", SCORED["datasets"]["scored"])
    with VideoFile(path) as videos:
        assert videos.fields == ("frames", "masks", "boxes")
        assert videos.max_objects == MOST
        for video in range(videos.num_videos):
            clip = draw(int(videos.names[video].removeprefix("film_")))
            masks = videos.read("masks", video)
            np.testing.assert_array_equal(masks, clip.masks[:, ::3, ::3])  # of 96 pixels, 32
            # what is masked as the same thing has the same colour, about, after H.264
            frames = videos.read("frames", video).astype(float)
            for k in range(1, masks.max() + 1):
                assert np.median(frames[masks == k].std(axis=0)) < 40


def test_figures_are_missed_where_they_are_not_above_their_limits(capsys):
    assert trial.Figure("a", 0.76, 0.75).is_met
    missed = trial.Figure("clip-level FG-ARI", 0.75, 0.75)
    assert not missed.is_met
    assert str(missed).endswith("MISSED")
    assert not trial.Figure("a", float("nan"), 0).is_met


def test_make_trial_runs_it():
    rule = (PROJECT / "Makefile").read_text(encoding="utf-8").partition("\ntrial: ")[2]
    assert "tests/helpers/trial.py" in rule.partition("\n\n")[0]
    program = PROJECT / "tests/helpers/trial.py"
    shown = subprocess.run(
        [sys.executable, program, "--help"], capture_output=True, text=True, check=True
    )
    assert "make trial" in shown.stdout


ONE = " figures='{num_videos: 1}'"
"""Fewer rollouts to draw, as the end of `--config`."""
SHORT = """\
--config savi='{savi: {training: \
{num_steps: 200, curriculum_epochs: 200, warmup_steps: 50, schedule: constant}}}' \
predictors='{ocvp_seq: {training: {num_steps: 30}}}'"""
"""Steps enough for slots to begin to part, on single frames."""


@pytest.mark.slow
def test_the_page_in_two_minutes(tmp_path):
    """All of its commands, with short trainings: frame by frame, slots begin to part."""
    further = {
        "disc_films": "--num-films 20",
        "config/discs.yaml": SHORT + ONE,
        "config/scored.yaml": "--config" + ONE,
    }
    trial.run_page(tmp_path / "project", further)
    figure = trial.decomposition(tmp_path / "project", "fg_ari_frame", 0.1)  # chance is 0
    assert figure.is_met, figure
    assert len(trial.rollout(tmp_path / "project")) == 4
