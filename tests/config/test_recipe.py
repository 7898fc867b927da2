"""The config for videos of one's own follows from what was seen of them."""

from pathlib import Path

import pytest
import yaml

from ocvp.config.recipe import LEAST_STEPS, Seen, recipe, with_budget
from ocvp.config.text import commented_yaml
from ocvp.config.whole import read_config

SEEN = Seen(
    folder="data/discs",
    num_videos=100,
    num_train=None,
    num_frames=24,
    shortest="data/discs/a.mp4",
    size=(96, 96),
    fps=None,
    share=0.1,
    speed=0.03,
    thing=0.25,
    num_things=4,
)


def made(num_objects=None, **changes):
    return recipe(SEEN._replace(**changes), "discs", num_objects)


def dataset(**changes):
    return made(**changes).config.datasets["discs"]


def savi(**changes):
    return made(**changes).config.savi["savi"]


def test_films_of_the_usual_kind_become_a_complete_study():
    config = made().config
    entry = config.datasets["discs"]
    assert (entry.kind, entry.root, entry.frames) == ("folder", "data/discs", ".")
    assert (entry.resolution, entry.num_frames, entry.stride) == ((32, 32), 24, 1)
    assert entry.shares.model_dump() == {"train": 0.7, "val": 0.1, "test": 0.2}
    assert config.savi["savi"].model.num_slots == 5
    assert config.savi["savi"].evaluation.num_frames == 16
    assert config.evaluation["discs_8_to_8"].num_preds == 8
    assert config.study[0].predictors == ["ocvp_seq"]
    assert config.datasets["discs"].mirror  # so few videos are soon known by heart
    assert made().doubts == []
    commented_yaml(config)  # which is as complete as any


def differences(one, other):
    """Return the keys in which two sections of a config differ, with both values."""
    ours, theirs = one.model_dump(), other.model_dump()
    return {key: (value, theirs[key]) for key, value in ours.items() if value != theirs[key]}


def test_savi_is_that_of_the_shipped_recipe_but_for_what_was_not_tried_on_films():
    path = Path(__file__).parents[2] / "config" / "tabletop_unconditional.yaml"
    shipped = read_config(yaml.safe_load(path.read_text(encoding="utf-8")))
    (entry,) = shipped.savi.values()
    assert differences(savi().model, entry.model) == {
        "downsample_encoder": (False, True),
        "downsampled_convolutions": (3, 1),
        "prune_threshold": (None, 0.1),
    }
    full = with_budget(made(), SEEN, 10.0, 30).config
    found = differences(full.savi["savi"].training, entry.training)
    for key in ("num_steps", "curriculum_epochs", "num_threads"):  # of the videos and the machine
        found.pop(key, None)
    assert found == {
        "batch_size": (8, 4),
        "clip_length": (4, 8),
        "background_weight": (3e-3, 1e-3),
        "shared_objects_weight": (0, 1.6e-2),
        "shared_from": (1 / 3, 0.6),
    }
    for key in ("kind", "model"):
        assert getattr(full.predictors["ocvp_seq"], key) == getattr(
            shipped.predictors["ocvp_seq"], key
        )


def test_many_videos_are_not_mirrored():
    assert "mirror" in made().reasons
    many = made(num_train=1000)
    assert not many.config.datasets["discs"].mirror
    assert "mirror" not in many.reasons


def test_folders_of_splits_need_no_shares():
    assert dataset(num_train=80).shares is None


@pytest.mark.parametrize(
    ("size", "resolution"),
    [
        ((720, 1280), (32, 56)),
        ((1280, 720), (56, 32)),
        ((480, 640), (32, 44)),
        ((100, 1000), (32, 64)),  # no longer than twice the other side
        ((17, 17), (32, 32)),
    ],
)
def test_the_shape_of_frames_is_kept(size, resolution):
    entry = made(size=size)
    assert entry.config.datasets["discs"].resolution == resolution
    assert f"{size[0]}x{size[1]}" in entry.reasons["resolution"]
    decoded = [side * 4 for side in entry.config.savi["savi"].model.decoder_resolution]
    assert tuple(decoded) == resolution


def test_small_things_need_twice_the_pixels():
    assert dataset(thing=3.1 / 32).resolution == (32, 32)
    assert dataset(thing=2.9 / 32, size=(720, 1280)).resolution == (64, 112)
    assert len(savi(thing=2.9 / 32).model.decoder_channels) == 4


@pytest.mark.parametrize(
    ("speed", "num_frames", "stride", "stored"),
    [
        (1 / 32, 24, 1, 24),
        (0.5 / 32, 24, 1, 24),
        (0.25 / 32, 100, 4, 25),
        (0.25 / 32, 32, 2, 16),  # with stride 4 the windows would not fit
        (0.25 / 32, 20, 1, 20),
        (1 / 32, 300, 1, 50),
        (None, 30, 1, 30),
    ],
)
def test_frames_are_left_out_where_things_hardly_move(speed, num_frames, stride, stored):
    entry = dataset(speed=speed, num_frames=num_frames)
    assert (entry.stride, entry.num_frames) == (stride, stored)


def test_short_videos_get_shorter_windows():
    config = made(num_frames=7).config
    assert config.datasets["discs"].num_frames == 7
    assert list(config.evaluation) == ["discs_3_to_4"]
    assert config.predictors["ocvp_seq"].training.num_preds == 4
    assert config.savi["savi"].evaluation.num_frames == 7


def test_slots_are_as_many_as_things_and_one():
    assert savi(num_things=2).model.num_slots == 3
    assert savi(num_things=2, num_objects=6).model.num_slots == 7
    assert savi(num_things=0, speed=None).model.num_slots == 5
    assert savi(num_things=99).model.num_slots == 16


def test_doubts_are_told():
    assert "60%" in made(share=0.6).doubts[0]
    assert "nothing was seen moving" in made(speed=None).doubts[0]
    assert "cannot be told" in made(num_things=0).doubts[0]
    assert made(3, num_things=0).doubts == []
    assert "nothing was seen moving" in made(speed=0.0).doubts[0]
    assert "slots for 15" in made(num_things=99).doubts[0]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"num_videos": 9}, ["data/discs holds 9 videos", "at least 10"]),
        ({"num_frames": 5}, ["data/discs/a.mp4 has 5 frames", "at least 6"]),
        ({"num_objects": 0}, ["--num-objects is 0", "1 to 15"]),
        ({"num_objects": 16}, ["--num-objects is 16", "1 to 15"]),
    ],
)
def test_what_cannot_work_is_refused(changes, parts):
    with pytest.raises(ValueError, match=".*".join(parts)):
        made(**changes)


# --- the budget ----------------------------------------------------------------------------------


def lengths(steps_per_second, minutes, **changes):
    seen = SEEN._replace(**changes)
    full = with_budget(recipe(seen, "discs"), seen, steps_per_second, minutes)
    return full, full.config.savi["savi"].training, full.config.predictors["ocvp_seq"].training


def test_steps_grow_with_time_and_speed():
    full, savi_training, predictor_training = lengths(10.0, 30)
    assert savi_training.num_steps == 11_000  # of 10,800
    assert predictor_training.num_steps == 5400
    assert full.doubts == []
    assert lengths(20.0, 30)[1].num_steps == 22_000
    assert lengths(10.0, 60)[1].num_steps == 22_000


def test_a_share_of_the_steps_is_on_single_frames():
    _, training, _ = lengths(10.0, 30)
    # 70 videos in eight ways are 18 steps of at most 32 frames
    assert training.curriculum_clip_length == 1
    assert 18 * training.curriculum_epochs / training.num_steps == pytest.approx(0.3, abs=0.01)
    _, training, _ = lengths(10.0, 30, num_train=320)
    assert 80 * training.curriculum_epochs / training.num_steps == pytest.approx(0.3, abs=0.01)


def test_a_short_budget_is_told_and_taken():
    full, training, predictor_training = lengths(10.0, 2)
    assert training.num_steps == 720 < LEAST_STEPS
    assert (training.warmup_steps, predictor_training.warmup_steps) == (72, 36)
    assert "--budget 9" in full.doubts[0]
    assert lengths(0.001, 1)[1].num_steps == 1


def test_reasons_name_the_speed():
    full, *_ = lengths(7.3, 30)
    assert "30 minutes" in full.reasons["savi training.num_steps"]
    assert "7.3 steps a second" in full.reasons["savi training.num_steps"]
