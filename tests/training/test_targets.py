"""Targets beside the colours: pictures and errors by hand, and trainings that learn them."""

import colorsys
import math

import numpy as np
import pytest
import torch
from tiny import (
    SAVI_TRAINING,
    SIDE,
    assert_one_error,
    call,
    make_savi,
    savi_stage,
    squares,
    write_videos,
)
from trainings import curves, savi_arguments

from ocvp import train_savi
from ocvp.compute.process_group import Group
from ocvp.config.savi import TARGET_FIELDS, SaviTraining, Targets
from ocvp.config.tree import Runtime
from ocvp.models.checkpoint import read_checkpoint
from ocvp.models.decoder import TARGET_CHANNELS
from ocvp.models.loading import load_savi
from ocvp.training.savi_task import SaviTask
from ocvp.training.step import Losses, make_optimizer, parts_of, train_step
from ocvp.training.targets import flow_picture, make_targets, target_fields

ALL = {"flow": 0.5, "depth": 0.1, "difference": 2.0}
STORED = ("frames", "boxes", "backward_flow", "flow", "depth")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_videos(folder / "train.h5", num_videos=5, fields=STORED)
    write_videos(folder / "val.h5", num_videos=3, fields=STORED, first=10)
    return folder


def task_of(data, target, **training):
    savi, _ = make_savi(targets=list(target))
    settings = SaviTraining(**SAVI_TRAINING | {"target": target} | training)
    paths = {"train": data / "train.h5", "validation": data / "val.h5"}
    return SaviTask(savi, settings, Runtime(device="cpu"), **paths, seed=0)


def test_the_tables_name_the_same_targets():
    assert list(Targets.model_fields) == list(TARGET_FIELDS) == list(TARGET_CHANNELS)
    assert Targets().weights == {}
    assert Targets(difference=2, flow=0.5).weights == {"flow": 0.5, "difference": 2.0}


# --- what is to be predicted ----------------------------------------------------------------------


def test_flow_is_a_picture_of_hue_and_saturation():
    """SAVi's: (angle / pi + 1) / 2 of the first component as x, length times 50 / diagonal."""
    flow = np.random.default_rng(0).normal(0, 0.6, (2, 3, 6, 8, 2))
    flow[0, 0, :4, 0] = [[0, 0], [0.1, 0], [-0.1, 0], [0, -0.1]]
    found = flow_picture(torch.from_numpy(flow)).numpy()
    assert found.shape == (2, 3, 3, 6, 8)
    for video, frame, row, column in np.ndindex(2, 3, 6, 8):
        x, y = flow[video, frame, row, column]
        hue, length = (math.atan2(y, x) / math.pi + 1) / 2, math.hypot(x, y) * 50 / 10
        expected = colorsys.hsv_to_rgb(hue, min(length, 1), 1)
        assert found[video, frame, :, row, column] == pytest.approx(expected, abs=1e-6)


def clips(fields=STORED, start=3, length=3):
    """Return frames (1, T, 3, H, W) in [0, 1] and fields of a clip, as they are read."""
    arrays = {name: squares(0)[name][None, start : start + length] for name in fields}
    fields = {name: torch.from_numpy(values) for name, values in arrays.items()}
    return fields["frames"].movedim(-1, -3) / 255.0, fields


def test_targets_are_made_of_the_fields():
    frames, fields = clips()
    found = make_targets(["depth", "difference", "flow"], frames, fields)
    assert list(found) == ["depth", "difference", "flow"]
    assert {name: tuple(target.shape[:3]) for name, target in found.items()} == {
        "depth": (1, 3, 1),
        "difference": (1, 2, 3),
        "flow": (1, 3, 3),
    }
    raw = squares(0)
    metres = raw["depth"][3:6].astype(int)  # 1 or 2
    np.testing.assert_allclose(found["depth"][0, :, 0], np.log([1, 2, 3])[metres], rtol=1e-6)
    expected = np.diff(raw["frames"][3:6].astype(float), axis=0) / 255
    assert np.abs(expected).max() > 0.2
    np.testing.assert_allclose(found["difference"][0].movedim(1, -1), expected, atol=1e-6)
    # One pixel to the left, from the frame before: the angle of (0, -1) is -90 degrees.
    moved = np.array(colorsys.hsv_to_rgb(0.25, 1, 1))
    expected = np.where(raw["masks"][3:6, ..., None] > 0, moved, 1)
    np.testing.assert_allclose(found["flow"][0].movedim(1, -1), expected, atol=1e-6)


def test_forward_flow_stands_in_and_ends_before_the_last_frame():
    frames, fields = clips(("frames", "flow"), start=5)
    (found,) = make_targets(["flow"], frames, fields).values()
    assert found.shape == (1, 2, 3, SIDE, SIDE)
    raw = squares(0)
    moved = np.array(colorsys.hsv_to_rgb(0.75, 1, 1))  # to the right
    expected = np.where(raw["masks"][5:7, ..., None] > 0, moved, 1)
    np.testing.assert_allclose(found[0].movedim(1, -1), expected, atol=1e-6)


def test_a_field_is_chosen_that_all_files_have(tmp_path):
    both = write_videos(tmp_path / "both.h5", 1, fields=("frames", "flow", "backward_flow"))
    forward = write_videos(tmp_path / "forward.h5", 1, fields=("frames", "flow"))
    assert target_fields(["difference", "flow"], [both, both]) == ["frames", "backward_flow"]
    assert target_fields(["flow"], [both, forward]) == ["flow"]
    assert target_fields([], [forward]) == []
    with pytest.raises(
        ValueError, match=r"has depth, but .*both\.h5 and .*forward\.h5 do not both"
    ):
        target_fields(["flow", "depth"], [both, forward])


# --- errors ---------------------------------------------------------------------------------------


def test_a_clip_of_one_frame_has_no_motion_but_gradients_all_the_same(data):
    """Processes that train together wait for the gradients of all parameters."""
    early = {"curriculum_epochs": 1, "curriculum_clip_length": 1}
    task = task_of(data, {"difference": 2.0}, **early)
    (batch,) = task.read(task.plan(0))
    losses = task.losses(batch, 0)
    assert losses["difference_mse"].item() == 0
    assert losses["loss"].item() == losses["frame_mse"].item() > 0
    losses["loss"].backward()
    grads = {name: parameter.grad for name, parameter in task.module.named_parameters()}
    assert (grads["decoder.targets.difference.weight"] == 0).all()
    later = task.losses(next(task.read(task.plan(1))), 1)
    assert later["difference_mse"].item() > 0


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_moves_every_target_and_parts_of_a_batch_add_up(data, precision):
    after = []
    for num_parts in (1, 2):
        task = task_of(data, ALL, batch_size=4)
        optimizer = make_optimizer(task.module, task._settings)
        before = {name: p.clone() for name, p in task.module.named_parameters()}
        windows = task.plan(0)[0]
        parts, weights = parts_of(windows, Group(), num_parts)
        losses = Losses(task, precision)
        found, _ = train_step(losses, task.read(parts), weights, 0, optimizer, 1e-3, 0.05)
        assert list(found) == ["loss", "frame_mse", "flow_mse", "depth_mse", "difference_mse"]
        assert all(value.dtype == torch.float32 for value in found.values())
        whole = found["frame_mse"] + sum(ALL[name] * found[f"{name}_mse"] for name in ALL)
        assert found["loss"].item() == pytest.approx(whole.item(), rel=1e-6)
        still = [n for n, p in task.module.named_parameters() if torch.equal(p, before[n])]
        # Some slots start from no object: all have one here.
        assert [name for name in still if name.startswith("decoder.")] == []
        after.append(torch.stack(list(found.values())))
    tolerance = 1e-5 if precision == "float32" else 1e-2
    torch.testing.assert_close(after[0], after[1], rtol=tolerance, atol=0)


def test_without_targets_there_is_one_loss(data):
    task = task_of(data, {})
    batch = next(task.read(task.plan(0)))
    assert sorted(batch[1]) == ["boxes", "frames"]  # nothing else is read
    assert list(task.losses(batch, 0)) == list(task.validation_losses(batch)) == ["loss"]


# --- programs -------------------------------------------------------------------------------------


def test_a_training_goes_on_with_its_targets_and_makes_a_savi_like_any(data, tmp_path):
    stage = savi_stage(target=ALL, schedule="constant")
    for name, lengths in {"whole": [6], "broken": [2, 6]}.items():
        for num_steps in lengths:
            stage["training"]["num_steps"] = num_steps
            words = [*savi_arguments(data, tmp_path / name, stage), "--log", tmp_path / "log"]
            assert call(train_savi.main, *words, *["--extend"][: num_steps != lengths[0]]) == 0
    whole, broken = (read_checkpoint(tmp_path / name / "savi.pt") for name in ("whole", "broken"))
    assert whole["weights_digest"] == broken["weights_digest"]
    assert whole["model"]["targets"] == list(ALL)
    names = {"loss", "frame_mse", *(f"{name}_mse" for name in ALL)}
    assert whole["metrics"].keys() == names
    scalars, _ = curves(tmp_path / "whole")
    for group in ("train", "validation"):
        assert names <= {tag.removeprefix(f"{group}/") for tag in scalars}
    assert f"depth_mse {whole['metrics']['depth_mse']:.6g}" in (tmp_path / "log").read_text()
    savi = load_savi(tmp_path / "whole" / "savi.pt")
    output, targets = savi.decode_with_targets(torch.randn(1, 2, 3, savi.slot_dim))
    assert output.objects.shape == (1, 2, 3, 3, SIDE, SIDE)
    assert {name: target.shape[2] for name, target in targets.items()} == TARGET_CHANNELS
    torch.testing.assert_close(savi.decode(output.slots).reconstruction, output.reconstruction)


def test_videos_without_the_field_are_refused_before_anything_is_written(data, tmp_path, capsys):
    write_videos(tmp_path / "train.h5", num_videos=2)
    words = savi_arguments(data, tmp_path / "out", savi_stage(target={"flow": 1.0}))
    words[words.index("--train") + 1] = tmp_path / "train.h5"
    assert call(train_savi.main, *words) == 1
    said = ["training.target has flow", tmp_path / "train.h5", "hold backward_flow or flow"]
    assert_one_error(capsys.readouterr().err, *said)
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["resume.lock"]
