"""The training loop against known answers, and that no interruption changes a bit."""

import itertools
import json
import signal
import time

import h5py
import numpy as np
import pytest
import torch
from published_files import checkpoint_of
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny import (
    NUM_FRAMES,
    PREDICTOR_TRAINING,
    SAVI_TRAINING,
    call,
    make_savi,
    predictor_stage,
    savi_stage,
    write_predictor,
    write_savi,
    write_videos,
)
from torch import nn
from trainings import curves, digests, predictor_arguments, savi_arguments, write_data

from ocvp import train_predictor, train_savi
from ocvp.batches.windows import Window, epoch_batches
from ocvp.config.entries import Training
from ocvp.config.predictors import PredictorTraining
from ocvp.config.savi import SaviTraining
from ocvp.config.tree import Runtime
from ocvp.models.checkpoint import read_checkpoint, weights_digest
from ocvp.models.loading import load_savi
from ocvp.models.savi import SaviOutput
from ocvp.training.loop import LOG_EVERY_STEPS, train
from ocvp.training.losses import made_by_slots, shared_background, shared_objects
from ocvp.training.predictor_task import PredictorTask
from ocvp.training.resume import ResumeFolder
from ocvp.training.savi_task import SaviTask
from ocvp.training.setup import Setup
from ocvp.training.state import load_state
from ocvp.training.step import Losses, make_optimizer, train_step, validation_losses


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- a toy whose every step can be computed by hand --------------------------------------------


class Toy:
    """Pulls one weight towards 3 by |weight - 3|, so each gradient is -1 or 1.

    The validation loss is the distance to `valley`, so the weight passes its best on the way.
    """

    def __init__(self, valley=1.0, num_videos=4, scale=1.0):
        self.module = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.module.weight)
        self.valley, self.num_videos, self.scale = valley, num_videos, scale
        self.seen: list[tuple[int, int]] = []
        self.modes: list[tuple[str, bool]] = []
        self.before_step = lambda step: None

    def plan(self, epoch):
        return epoch_batches(
            seed=0, epoch=epoch, num_videos=self.num_videos, num_starts=1, batch_size=2
        )

    def read(self, plan):
        for windows in plan:
            yield windows, {"slots": torch.zeros(len(windows), 1)}

    def losses(self, batch, epoch):
        self.before_step(len(self.seen))
        self.seen.append((epoch, len(batch[0])))
        self.modes.append(("train", self.module.training))
        loss = self.scale * (self.module.weight.sum() - 3).abs()
        return {"loss": loss, "twice": 2 * loss}

    def validation_plan(self):
        return [[Window(0, 0)]]

    def read_validation(self, plan):
        return self.read(plan)

    def validation_losses(self, batch):
        self.modes.append(("validate", self.module.training or torch.is_grad_enabled()))
        return {"loss": (self.module.weight.sum() - self.valley).abs()}

    def doubts(self, epoch):
        return ""

    def scores(self):
        return {"height": 4.0}

    def images(self):
        return {"picture": np.full((4, 6, 3), len(self.seen) % 256, np.uint8)}


def settings(**changes):
    return Training(
        **{"num_steps": 8, "batch_size": 2, "learning_rate": 0.5, "warmup_steps": 0}
        | {"schedule": "constant", "gradient_clip": None}
        | changes
    )


def train_toy(task, folder, changes=None, **runtime):
    chosen = settings(**(changes or {}))
    resume = ResumeFolder(folder / "resume", {"toy": 1})
    return train(
        Setup(
            task,
            chosen,
            Runtime(**{"save_interval_minutes": 1e9} | runtime),
            seed=0,
            folder=folder / "tensorboard",
            resume=resume,
        )
    )


def wait_for_the_next_second():
    """Let a run that goes on name its events later than the broken one, as it does in life.

    Their names hold the second and a number within the process, by which 9 comes after 10.
    """
    time.sleep(1.01 - time.time() % 1)


def test_a_step_moves_the_weight_as_adam_does(tmp_path):
    """With gradients that are always -1, Adam's step is its rate."""
    task = Toy()
    state = train_toy(task, tmp_path, {"num_steps": 4})
    assert task.module.weight.item() == pytest.approx(2.0, abs=1e-4)
    assert (state.step, state.epoch, state.batch, state.examples) == (4, 2, 0, 8)
    assert task.seen == [(0, 2), (0, 2), (1, 2), (1, 2)]


def test_the_best_and_the_last_weights_are_kept_apart(tmp_path):
    """The weight goes 0.5, 1.0 (validated: best), 1.5, 2.0 (validated), 2.5, 3.0 (validated)."""
    task = Toy(valley=1.0)
    state = train_toy(task, tmp_path, {"num_steps": 6})
    assert (state.best_step, state.step) == (2, 6)
    assert state.best_loss == pytest.approx(0.0, abs=1e-4)
    assert state.best_weights["weight"].item() == pytest.approx(1.0, abs=1e-4)
    assert task.module.weight.item() == pytest.approx(3.0, abs=1e-3)
    assert state.metrics["loss"] == pytest.approx(2.0, abs=1e-3)


def test_validation_follows_each_epoch_and_the_end_without_gradients_or_dropout(tmp_path):
    task = Toy(num_videos=6)  # three batches an epoch
    train_toy(task, tmp_path, {"num_steps": 7})
    kinds = [kind for kind, _ in task.modes]
    assert kinds == [*3 * ["train"], "validate", *3 * ["train"], "validate", "train", "validate"]
    assert all(flag == (kind == "train") for kind, flag in task.modes)


def test_doubts_are_warned_of_once_from_half_of_the_steps_on(tmp_path, caplog):
    task = Toy(num_videos=2)  # a step an epoch
    asked = []

    def doubts(epoch):
        asked.append(epoch)
        return "" if epoch < 5 else "the toy is bored"

    task.doubts = doubts
    train_toy(task, tmp_path, {"num_steps": 8})
    assert asked == [3, 4, 5]  # until it doubts
    (record,) = (record for record in caplog.records if record.levelname == "WARNING")
    assert record.getMessage() == "step 6 of 8: the toy is bored"


def test_epochs_can_be_given_instead_of_steps(tmp_path):
    task = Toy(num_videos=6)
    state = train_toy(task, tmp_path, {"num_steps": None, "num_epochs": 2})
    assert (state.step, state.epoch) == (6, 2)


def test_the_rate_warms_up_and_falls_along_a_cosine(tmp_path):
    task = Toy()
    train_toy(task, tmp_path, {"schedule": "cosine", "warmup_steps": 2, "num_steps": 8})
    scalars, _ = curves(tmp_path)
    # logged at steps done 1, at each epoch's end, and every tenth: rates of step index 0, 1, 3, ...
    found = dict(scalars["train/learning_rate"])
    cosine = {index: 0.25 * (1 + np.cos(np.pi * (index - 3) / 6)) for index in (3, 5, 7)}
    expected = {1: 0.0, 2: 0.25, **{index + 1: rate for index, rate in cosine.items()}}
    assert found == pytest.approx(expected, abs=1e-6)


def test_gradients_are_clipped_to_the_norm_and_the_norm_before_is_logged(tmp_path):
    task = Toy(scale=10.0)
    optimizer = torch.optim.SGD(task.module.parameters(), lr=1.0)

    def step(gradient_clip):
        batches = iter([([Window(0, 0)], {})])
        losses = Losses(task, "float32")
        return train_step(losses, batches, [1.0], 0, optimizer, 1.0, gradient_clip)

    _, norm = step(0.05)
    assert norm.item() == pytest.approx(10.0)
    assert task.module.weight.item() == pytest.approx(0.05, rel=1e-4)
    step(None)
    assert task.module.weight.item() == pytest.approx(10.05, rel=1e-4)


def test_weight_decay_is_decoupled_and_frozen_parameters_stay_out():
    module = nn.ModuleList([nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)])
    module[1].requires_grad_(False)
    optimizer = make_optimizer(module, settings(weight_decay=0.1))
    assert optimizer.param_groups[0]["params"] == [module[0].weight]
    with torch.no_grad():
        module[0].weight.fill_(2.0)
    module[0].weight.grad = torch.zeros(1, 1)
    optimizer.step()
    assert module[0].weight.item() == pytest.approx(2.0 * (1 - 0.5 * 0.1))


def test_curves_and_pictures_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr("ocvp.training.loop.LOOK_EVERY_STEPS", 10)
    train_toy(Toy(), tmp_path, {"num_steps": 24})
    scalars, images = curves(tmp_path)
    assert set(scalars) == {
        f"train/{name}" for name in ("loss", "twice", "gradient_norm", "learning_rate")
    } | {"validation/loss", "validation/height"}
    losses = dict(scalars["train/loss"])
    assert set(losses) == {1, *range(2, 25, 2)}  # the first, each epoch's last, every tenth
    assert LOG_EVERY_STEPS == 10
    assert losses[1] == pytest.approx(3.0)
    assert losses[4] == pytest.approx(1.5, abs=1e-3)
    assert dict(scalars["train/twice"])[4] == pytest.approx(3.0, abs=1e-3)
    assert [step for step, _ in scalars["validation/loss"]] == list(range(2, 25, 2))
    looks = [2, 10, 20, 24]  # the first validation, the first of each ten steps, the last
    assert scalars["validation/height"] == [(step, 4.0) for step in looks]
    assert images == {"validation/picture": looks}
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    picture = events.Images("validation/picture")[-1]
    assert (picture.height, picture.width) == (4, 6)


# --- interruptions -----------------------------------------------------------------------------


class BrokenError(Exception):
    """What stops a run in a test."""


def stop_at(number, action):
    def before_step(step):
        if step == number:
            action()

    return before_step


def fail():
    raise BrokenError


@pytest.mark.parametrize("last_step", range(1, 10))
def test_a_broken_run_goes_on_to_the_same_end_without_double_points(tmp_path, last_step):
    expected = train_toy(Toy(num_videos=6), tmp_path / "whole", {"num_steps": 10})
    task = Toy(num_videos=6)
    task.before_step = stop_at(last_step, fail)
    with pytest.raises(BrokenError):
        train_toy(task, tmp_path / "broken", {"num_steps": 10})
    wait_for_the_next_second()
    again = Toy(num_videos=6)
    found = train_toy(again, tmp_path / "broken", {"num_steps": 10})
    when = {"seconds": 0, "sessions": []}  # how often and how long, not what
    assert vars(found) | when == vars(expected) | when
    whole, broken = curves(tmp_path / "whole"), curves(tmp_path / "broken")
    assert broken == whole
    # saved at the ends of epochs, so what came after the last of them was done again
    assert len(again.seen) == 10 - last_step // 3 * 3


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_signal_waits_for_the_step_and_what_is_done_is_kept(tmp_path, caplog, number, error):
    caplog.set_level("INFO", "ocvp")
    former = signal.signal(signal.SIGTERM, lambda number, frame: (_ for _ in ()).throw(SystemExit))
    try:
        task = Toy(num_videos=20)
        task.before_step = stop_at(4, lambda: signal.raise_signal(number))
        with pytest.raises(error):
            train_toy(task, tmp_path, {"num_steps": 10})
    finally:
        signal.signal(signal.SIGTERM, former)
    assert len(task.seen) == 5  # the step in which the signal came was finished
    assert "stopped after step 5 of 10; the same command goes on from step 5" in caplog.text
    again = Toy(num_videos=20)
    state = train_toy(again, tmp_path, {"num_steps": 10})
    assert (len(again.seen), state.step) == (5, 10)
    expected = Toy(num_videos=20)
    train_toy(expected, tmp_path / "whole", {"num_steps": 10})
    assert torch.equal(again.module.weight, expected.module.weight)


def test_validations_are_as_far_apart_as_asked_wherever_the_run_was_interrupted(tmp_path):
    """Epochs end at 2, 4, 6, 8; multiples of three are reached in those that end at 4 and 6."""

    def validated(*tasks):
        kinds = [kind for task in tasks for kind, _ in task.modes]
        return [kinds[:n].count("train") for n, kind in enumerate(kinds) if kind == "validate"]

    settings = {"num_steps": 9, "validation_interval": 3}
    whole = Toy()
    state = train_toy(whole, tmp_path / "whole", settings)
    assert (validated(whole), state.epoch, state.batch) == ([4, 6, 9], 4, 1)
    for steps in range(1, 9):
        first, rest = Toy(), Toy()
        first.before_step = stop_at(steps - 1, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            train_toy(first, tmp_path / str(steps), settings)
        again = train_toy(rest, tmp_path / str(steps), settings)
        assert (len(first.seen), validated(first, rest)) == (steps, [4, 6, 9])
        assert (again.best_step, again.epoch, again.batch) == (state.best_step, 4, 1)


def test_a_signal_in_the_last_validation_costs_no_step(tmp_path):
    task = Toy()

    def interrupted(batch):
        signal.raise_signal(signal.SIGINT)
        return Toy.validation_losses(task, batch)

    task.validation_losses = interrupted
    with pytest.raises(KeyboardInterrupt):
        train_toy(task, tmp_path, {"num_steps": 2})
    again = Toy()
    state = train_toy(again, tmp_path, {"num_steps": 2})
    assert again.seen == []
    assert [kind for kind, _ in again.modes] == ["validate"]
    assert (state.step, state.validated_step, state.best_step) == (2, 2, 2)


def test_a_finished_run_is_not_trained_again(tmp_path):
    first, again = Toy(), Toy()
    train_toy(first, tmp_path)
    state = train_toy(again, tmp_path)
    assert (state.step, again.seen, again.modes) == (8, [], [])
    assert torch.equal(again.module.weight, first.module.weight)


def test_the_state_is_saved_as_often_as_asked(tmp_path):
    task = Toy(num_videos=20)
    task.before_step = stop_at(7, fail)
    with pytest.raises(BrokenError):
        train_toy(task, tmp_path, save_interval_minutes=1e-9)
    again = Toy(num_videos=20)
    train_toy(again, tmp_path)
    assert len(again.seen) == 1


@pytest.mark.parametrize("bad", ["loss", "gradient", "validation"])
def test_what_is_not_finite_ends_the_run_and_is_not_saved(tmp_path, bad):
    task = Toy()

    def spoil():
        if bad == "loss":
            task.scale = float("nan")
        else:
            task.module.weight.register_hook(lambda gradient: gradient * float("inf"))

    if bad == "validation":
        task.validation_losses = lambda batch: {"loss": torch.tensor(float("inf"))}
    else:
        task.before_step = stop_at(3, spoil)
    where = "the validation after step 2" if bad == "validation" else "step 4, learning rate 0.5"
    with pytest.raises(ValueError, match=f"stopped being finite .{where}: ") as caught:
        train_toy(task, tmp_path)
    assert "a lower learning_rate" in str(caught.value)
    resume = ResumeFolder(tmp_path / "resume", {"toy": 1})
    stored = resume.read()
    if bad == "validation":
        assert stored["state"]["step"] == 0
    else:
        assert stored["state"]["step"] == 2
        assert torch.isfinite(stored["weights"]["weight"]).all()


def test_another_runs_points_do_not_stand_beside_those_of_a_new_one(tmp_path):
    train_toy(Toy(), tmp_path, {"num_steps": 8})
    (tmp_path / "resume").rename(tmp_path / "resume-old1")
    train_toy(Toy(valley=2.0), tmp_path, {"num_steps": 4})
    scalars, _ = curves(tmp_path)
    assert [step for step, _ in scalars["validation/loss"]] == [2, 4]
    assert scalars["validation/loss"][-1][1] == pytest.approx(0.0, abs=1e-3)


# --- SAVi and predictors -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Videos, a SAVi, and slots in its name."""
    return write_data(tmp_path_factory.mktemp("data"))


def savi_task(data, savi=None, **training):
    return SaviTask(
        savi or make_savi()[0],
        SaviTraining(**SAVI_TRAINING | training),
        Runtime(device="cpu"),
        train=data / "train.h5",
        validation=data / "val.h5",
        seed=0,
    )


def predictor_task(data, predictor=None, savi=None, **training):
    savi = savi or load_savi(data / "savi.pt")
    return PredictorTask(
        predictor or nn.Identity(),
        savi,
        PredictorTraining(**PREDICTOR_TRAINING | training),
        Runtime(device="cpu"),
        savi_digest=weights_digest(savi.state_dict()),
        train=(data / "train.h5", data / "slots" / "train.h5"),
        validation=(data / "val.h5", data / "slots" / "val.h5"),
        seed=0,
    )


@pytest.mark.parametrize(("make", "length"), [(savi_task, 3), (predictor_task, 5)])
def test_every_video_is_used_and_every_start_that_fits(data, make, length):
    task = make(data)
    windows = [w for epoch in range(120) for batch in task.plan(epoch) for w in batch]
    for epoch in range(120):
        assert sorted(w.video for batch in task.plan(epoch) for w in batch) == list(range(5))
    assert {window.start for window in windows} == set(range(NUM_FRAMES - length + 1))
    batches = list(task.read(task.plan(0)))
    assert [len(windows) for windows, _ in batches] == [2, 2, 1]
    assert batches[0][1]["frames"].shape[1] == length


@pytest.mark.parametrize(
    ("gradient", "is_short"), [({}, False), ({"attention_gradient": "last"}, True)]
)
def test_gradients_flow_through_all_iterations_or_the_last(data, gradient, is_short):
    torch.manual_seed(0)
    task = savi_task(
        data, make_savi(initializer="learned_random", num_iterations_first=3)[0], **gradient
    )
    assert task.module.corrector.last_gradient_only == is_short
    batch = next(iter(task.read(task.plan(0))))
    task.losses(batch, 0)["loss"].backward()
    # the start is learned either way
    assert all(p.grad is not None for p in task.module.initializer.parameters())


@pytest.mark.parametrize(("make", "length"), [(savi_task, 3), (predictor_task, 5)])
def test_only_the_first_frames_are_trained_on(data, make, length):
    task = make(data, num_frames=6)
    starts = {w.start for epoch in range(60) for batch in task.plan(epoch) for w in batch}
    assert starts == set(range(6 - length + 1))
    for message, changes in {
        "num_frames is 9, but the videos of .* have 8 frames": {"num_frames": 9},
        "is .*, but 2 of the frames of .* are trained on": {"num_frames": 2},
    }.items():
        with pytest.raises(ValueError, match=message):
            make(data, **changes)


def test_a_curriculum_starts_with_shorter_clips_of_more_videos(data):
    early = {"num_epochs": None, "num_steps": 9, "curriculum_epochs": 2}
    task = savi_task(data, **early, curriculum_clip_length=1)
    for epoch in range(120):
        plan = task.plan(epoch)
        # 2 videos of 3 frames are 6 of 1 frame: all 5 videos fit into one batch.
        assert [len(batch) for batch in plan] == ([5] if epoch < 2 else [2, 2, 1])
        assert sorted(w.video for batch in plan for w in batch) == list(range(5))
    ((_, batch),) = task.read(task.plan(0))
    assert batch["frames"].shape[:2] == (5, 1)
    _, batch = next(iter(task.read(task.plan(2))))
    assert batch["frames"].shape[:2] == (2, 3)


def test_the_loss_of_a_savi_is_the_error_of_its_reconstruction(data):
    task = savi_task(data)
    batch = next(iter(task.read(task.plan(0))))
    frames = batch[1]["frames"].movedim(-1, -3) / 255.0
    boxes = batch[1]["boxes"][:, 0]
    output = task.module(frames, boxes=boxes)
    expected = (output.reconstruction.clamp(0, 1) - frames).square().mean()
    torch.testing.assert_close(task.losses(batch, 0)["loss"], expected)


@pytest.mark.parametrize(
    ("settings", "first"),
    [
        # Epochs of 3 steps, or of 1 in the curriculum.
        ({"num_steps": None, "num_epochs": 3}, 1),
        ({"num_steps": 18}, 2),
        ({"num_steps": 19}, 3),
        ({"num_steps": 24, "curriculum_epochs": 1}, 4),
        ({"num_steps": 8, "curriculum_epochs": 6}, 6),
        ({"num_steps": 18, "shared_from": 0.0}, 0),
        ({"num_steps": 18, "shared_from": 0.5}, 3),
    ],
)
@pytest.mark.parametrize(
    ("weight", "name", "shared"),
    [
        ("background_weight", "background_mse", shared_background),
        ("shared_objects_weight", "shared_objects_mse", shared_objects),
    ],
)
def test_what_slots_share_counts_after_a_share_of_the_steps(
    data, settings, first, weight, name, shared
):
    """A third by default. And always in the validation, whose losses are compared."""
    task = savi_task(data, curriculum_clip_length=1, **{weight: 2.0}, **settings)
    batch = next(iter(task.read(task.plan(first))))
    assert all(task.losses(batch, epoch).keys() == {"loss"} for epoch in range(first))
    (early,) = task.read_validation([[Window(0, 0)]])
    for (_, fields), losses in [
        (batch, task.losses(batch, first)),
        (early, task.validation_losses(early)),
    ]:
        frames = fields["frames"].movedim(-1, -3) / 255.0
        output = task.module(frames, boxes=fields["boxes"][:, 0])
        flat = SaviOutput(*(part.flatten(0, 1) for part in output))
        made = made_by_slots(flat, frames.flatten(0, 1))
        expected = shared(flat, made).square().mean().detach()
        assert expected > 0
        assert losses.keys() == {"loss", "frame_mse", name}
        torch.testing.assert_close(losses[name], expected)
        error = (output.reconstruction.clamp(0, 1) - frames).square().mean().detach()
        torch.testing.assert_close(losses["frame_mse"], error)
        torch.testing.assert_close(losses["loss"].detach(), error + 2 * expected)


def test_the_empty_slot_learns_to_have_no_mask(data):
    torch.manual_seed(0)
    savi, _ = make_savi(prune_threshold=1e6)  # all slots but one, where they are pruned
    with torch.no_grad():  # masks of fresh weights hardly depend on slots
        for parameter in savi.decoder.parameters():
            parameter.mul_(3)
    task = savi_task(data, savi)
    batch = next(iter(task.read(task.plan(0))))
    losses = task.losses(batch, 0)
    assert losses.keys() == {"loss", "frame_mse", "empty_mse"}
    frames = batch[1]["frames"].movedim(-1, -3) / 255.0
    slots = savi.encode(frames, boxes=batch[1]["boxes"][:, 0], prune=False)
    error = (savi.decode(slots).reconstruction.clamp(0, 1) - frames).square().mean()
    torch.testing.assert_close(losses["frame_mse"], error.detach())
    torch.testing.assert_close(task.validation_losses(batch)["frame_mse"], error.detach())
    beside = torch.stack([*slots[0, 0], savi.empty_slot])
    expected = savi.decode(beside).masks[-1].square().mean()
    torch.testing.assert_close(losses["empty_mse"], expected)
    torch.testing.assert_close(losses["loss"], losses["frame_mse"] + 0.01 * expected)
    optimizer = torch.optim.Adam([savi.empty_slot], lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        task.losses(batch, 0)["loss"].backward()
        optimizer.step()
    assert task.losses(batch, 0)["empty_mse"] < expected / 2


def test_validation_of_a_savi_is_the_mean_over_its_videos(data):
    """Batches of unequal size must not count alike."""
    means = []
    for batch_videos in (1, 2, 3):
        task = savi_task(data)
        task._runtime = Runtime(device="cpu", batch_videos=batch_videos)
        with torch.no_grad():
            means.append(validation_losses(task)["loss"])
    assert means[0] == pytest.approx(means[1], rel=1e-5)
    assert means[0] == pytest.approx(means[2], rel=1e-5)


class Spy(nn.Module):
    """Predicts the last frame it sees plus one weight, and notes what it sees."""

    buffer_size = None

    def __init__(self):
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(0.5))
        self.seen = []

    def forward(self, slots):
        self.seen.append((self.training, slots.detach().clone()))
        return slots + self.offset


def test_loss_weights_do_what_they_say(data):
    batch = None
    parts = {}
    for weights in [(1.0, 1.0), (2.0, 0.0), (0.0, 3.0), (0.5, 4.0)]:
        frame_weight, slot_weight = weights
        task = predictor_task(
            data, Spy(), frame_loss_weight=frame_weight, slot_loss_weight=slot_weight
        )
        batch = batch or next(iter(task.read(task.plan(0))))
        losses = task.losses(batch, 0)
        # frames without weight are not decoded
        assert ("frame_mse" in losses) == (frame_weight > 0)
        frame_mse = losses.get("frame_mse", torch.tensor(0.0))
        expected = frame_weight * frame_mse + slot_weight * losses["slot_mse"]
        torch.testing.assert_close(losses["loss"], expected)
        parts[weights] = (frame_mse.item(), losses["slot_mse"].item())
        losses["loss"].backward()
        assert task.module.offset.grad.abs() > 0
    assert len({frame for frame, _ in parts.values()} - {0.0}) == 1
    assert len({slot for _, slot in parts.values()}) == 1
    frame_mse, slot_mse = parts[(1.0, 1.0)]
    # by hand: the spy adds 0.5 for each step from the last context frame on
    slots, frames = batch[1]["slots"], batch[1]["frames"]
    predicted = torch.stack([slots[:, 2] + 0.5, slots[:, 2] + 1.0], dim=1)
    assert slot_mse == pytest.approx((predicted - slots[:, 3:]).square().mean().item(), rel=1e-5)
    decoded = load_savi(data / "savi.pt").decode(predicted).reconstruction
    truth = frames[:, 3:].movedim(-1, -3) / 255.0
    assert frame_mse == pytest.approx((decoded - truth).square().mean().item(), rel=1e-5)


def test_the_frozen_savi_gets_no_gradient_and_keeps_its_weights(data, tmp_path):
    savi = load_savi(data / "savi.pt")
    before = weights_digest(savi.state_dict())
    task = predictor_task(data, Spy(), savi=savi, slot_loss_weight=0.0)
    train_toy(task, tmp_path, {"num_steps": 3, "learning_rate": 0.1})
    assert weights_digest(savi.state_dict()) == before
    assert all(p.grad is None and not p.requires_grad for p in savi.parameters())
    assert not savi.training
    # the loss was of the frames alone, so what moved the predictor went through the SAVi
    assert task.module.offset.item() != 0.5


def test_teacher_forcing_is_for_training_only(data):
    for teacher_forcing in (False, True):
        spy = Spy()
        task = predictor_task(data, spy, teacher_forcing=teacher_forcing)
        batch = next(iter(task.read(task.plan(0))))
        spy.train()
        task.losses(batch, 0)
        newest = spy.seen[-1][1][:, -1]  # what the second prediction starts from
        truth, own = batch[1]["slots"][:, 3], batch[1]["slots"][:, 2] + 0.5
        torch.testing.assert_close(newest, truth if teacher_forcing else own)

        spy.eval()
        spy.seen.clear()
        with torch.no_grad():
            validation_losses(task)
            task.images()
        assert len(spy.seen) == 4
        for training, window in spy.seen:
            assert not training
            if window.shape[1] == 4:  # the second prediction of a rollout
                torch.testing.assert_close(window[:, 3], window[:, 2] + 0.5)


def test_pictures_show_slots_and_rollouts(data):
    with torch.no_grad():
        pictures = savi_task(data).images() | predictor_task(data, Spy()).images()
    assert pictures.keys() == {"clip", "slots", "rollout"}
    for picture in pictures.values():
        assert picture.dtype == np.uint8
        assert picture.shape[1:] == (350, 3)
        assert len(np.unique(picture)) > 10


@pytest.mark.parametrize(
    ("main", "arguments", "stage"),
    [
        (train_savi.main, savi_arguments, savi_stage({"initializer": "learned_random"})),
        (train_predictor.main, predictor_arguments, predictor_stage("ocvp_seq")),
    ],
    ids=["savi", "ocvp_seq"],
)
def test_the_programs_resume_bit_for_bit_however_data_are_read(
    data, tmp_path, monkeypatch, main, arguments, stage
):
    """Noise, dropout and the order of the data are functions of where a run is."""
    assert call(main, *arguments(data, tmp_path / "whole", stage)) == 0
    expected = digests(tmp_path / "whole")
    assert len(expected) == 2

    calls = itertools.count()
    with monkeypatch.context() as patch:

        def step(*arguments):
            if next(calls) == 4:  # in the middle of the second epoch
                raise BrokenError
            return train_step(*arguments)

        patch.setattr("ocvp.training.loop.train_step", step)
        assert call(main, *arguments(data, tmp_path / "broken", stage)) == 1
    assert digests(tmp_path / "broken") == {}
    wait_for_the_next_second()
    runtime = {"residency": "disk", "num_workers": 2}
    assert call(main, *arguments(data, tmp_path / "broken", stage, **runtime)) == 0
    assert digests(tmp_path / "broken") == expected
    assert curves(tmp_path / "broken") == curves(tmp_path / "whole")

    other = [*arguments(data, tmp_path / "other", stage), "--seed", 8]
    assert call(main, *other) == 0
    assert not set(digests(tmp_path / "other").values()) & set(expected.values())


@pytest.mark.parametrize("residency", ["device", "memory", "disk"])
def test_where_the_data_are_kept_does_not_matter(data, tmp_path, capsys, residency):
    assert call(train_savi.main, *savi_arguments(data, tmp_path / "auto")) == 0
    assert "kept in memory" in capsys.readouterr().err
    arguments = savi_arguments(data, tmp_path / residency, residency=residency)
    assert call(train_savi.main, *arguments) == 0
    assert digests(tmp_path / residency) == digests(tmp_path / "auto")


SWITCHES = {
    "bfloat16": ({"precision": "bfloat16"}, {}, 0.02),
    "not fused": ({}, {"fused_adam": False}, 1e-5),
}


@pytest.mark.parametrize(
    ("kind", "changes", "runtime", "tolerance"),
    [
        *(
            pytest.param(kind, *SWITCHES[name], id=f"{kind}-{name}")
            for kind in ("savi", "predictor")
            for name in SWITCHES
        ),
        # SAVi's kernels take minutes to build, and are compared in tests/models/test_precision.py.
        pytest.param(
            *("predictor", {}, {"compile": True}, 1e-4),
            id="predictor-compiled",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_switches_change_how_a_training_computes_and_hardly_what(
    data, tmp_path, kind, changes, runtime, tolerance, monkeypatch
):
    optimizers = []

    def recorded(*args, **options):
        optimizers.append(make_optimizer(*args, **options))
        return optimizers[-1]

    monkeypatch.setattr("ocvp.training.loop.make_optimizer", recorded)
    main, arguments, stage_of = {
        "savi": (train_savi.main, savi_arguments, savi_stage),
        "predictor": (train_predictor.main, predictor_arguments, predictor_stage),
    }[kind]
    stage = stage_of(num_steps=9, learning_rate=1e-3)
    assert call(main, *arguments(data, tmp_path / "plain", stage)) == 0
    stage = stage_of(num_steps=9, learning_rate=1e-3, **changes)
    assert call(main, *arguments(data, tmp_path / "other", stage, **runtime)) == 0
    if "fused_adam" in runtime:  # some processors compute the same bits both ways
        assert [optimizer.param_groups[0]["fused"] for optimizer in optimizers] == [True, False]
    else:
        assert digests(tmp_path / "plain") != digests(tmp_path / "other"), "the switch did nothing"
    plain, other = (curves(tmp_path / name)[0] for name in ("plain", "other"))
    for tag in ("train/loss", "validation/loss"):
        assert [step for step, _ in other[tag]] == [step for step, _ in plain[tag]]
        for (_, value), (_, expected) in zip(other[tag], plain[tag], strict=True):
            assert value == pytest.approx(expected, rel=tolerance)
    checkpoint = read_checkpoint(tmp_path / f"other/{kind}.pt", ("savi", "lstm"))
    assert checkpoint["sessions"][0]["precision"] == changes.get("precision", "float32")


def test_what_auto_stood_for_is_recorded_and_another_machine_refuses_to_go_on(
    data, tmp_path, capsys, monkeypatch
):
    def train(precision):
        stage = savi_stage(precision=precision, num_steps=2)
        return call(train_savi.main, *savi_arguments(data, tmp_path, stage))

    def record():
        return json.loads((tmp_path / "provenance.json").read_text())

    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("ocvp.training.setup.resolve_precision", lambda name, device: "bfloat16")
        assert train("auto") == 0
    assert record()["precision"] == "bfloat16"
    assert record()["config"]["training"]["precision"] == "auto"
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert train("auto") == 1
    told = capsys.readouterr().err
    assert "error: training.precision is auto, which stands for float32 on this machine" in told
    assert f"the run in {tmp_path / 'resume'} was trained in bfloat16; set" in told
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    log = tmp_path / "training.log"  # of all sessions; it tells of this one too
    assert after | {log: before[log]} == before
    # What it says to do: the same precision by name goes on with the run, another trains anew.
    weights = digests(tmp_path)
    assert train("bfloat16") == 0
    assert "complete already" in capsys.readouterr().err
    assert digests(tmp_path) == weights
    assert train("float32") == 0
    assert "starting anew (changed: config training.precision" in capsys.readouterr().err
    assert record()["precision"] == "float32"
    assert digests(tmp_path) != weights


def test_the_optimiser_is_fused_as_this_process_says(tmp_path):
    """Not as it was when the run was saved."""
    train_toy(Toy(), tmp_path, {"num_steps": 4})
    for fused in (False, True):
        module = Toy().module
        optimizer = make_optimizer(module, settings(), fused=fused)
        resume = ResumeFolder(tmp_path / "resume", {"toy": 1})
        load_state(resume.read(), module, optimizer)
        assert optimizer.param_groups[0]["fused"] is fused
        module.weight.grad = torch.ones(1, 1)
        optimizer.step()


def test_the_chosen_weights_reproduce_their_validation_loss(tmp_path):
    """Best and last: what is learned from bright videos is wrong for black ones."""
    write_videos(tmp_path / "train.h5", num_videos=5)
    with h5py.File(write_videos(tmp_path / "val.h5", num_videos=3), "r+") as file:
        file["frames"][...] = 0
    stage = savi_stage(num_steps=8, learning_rate=0.01, schedule="constant", select="best")
    assert call(train_savi.main, *savi_arguments(tmp_path, tmp_path, stage)) == 0
    found = {}
    for name in ("savi.pt", "savi.last.pt"):
        checkpoint = read_checkpoint(tmp_path / name, ("savi",))
        savi = load_savi(tmp_path / name)
        task = savi_task(tmp_path, savi)
        task._seed = 7
        with torch.no_grad():
            assert validation_losses(task)["loss"] == pytest.approx(
                checkpoint["metrics"]["loss"], rel=1e-4
            )
        found[name] = checkpoint
    best, last = found["savi.pt"], found["savi.last.pt"]
    assert best["metrics"]["loss"] < last["metrics"]["loss"]
    assert best["step"] < last["step"] == 8
    scalars, images = curves(tmp_path)
    assert min(value for _, value in scalars["validation/loss"]) == pytest.approx(
        best["metrics"]["loss"], rel=1e-5
    )
    assert images["validation/slots"][-1] == 8


def test_clips_and_windows_that_do_not_fit_are_refused(data, tmp_path):
    with pytest.raises(ValueError, match=r"clip_length is 9, but the videos of .* have 8 frames"):
        savi_task(data, clip_length=9)
    with pytest.raises(ValueError, match=r"num_context \+ num_preds is 9, but .* have 8 frames"):
        predictor_task(data, num_preds=6)
    spy = Spy()
    spy.buffer_size = 2
    with pytest.raises(ValueError, match="buffer_size is 2, smaller than num_context, 3"):
        predictor_task(data, spy)
    other = write_savi(tmp_path / "other.pt", seed=5)
    with pytest.raises(ValueError, match="was made by another SAVi"):
        predictor_task(data, savi=load_savi(other))


# --- starting from given weights ----------------------------------------------------------------

NO_STEP = {"num_steps": 1, "warmup_steps": 5}  # the first step has rate 0


def test_a_training_starts_from_given_weights_and_with_a_schedule_of_its_own(data, tmp_path):
    given = write_savi(tmp_path / "given.pt", seed=9)
    arguments = savi_arguments(data, tmp_path / "tuned", savi_stage(**NO_STEP))
    assert call(train_savi.main, *arguments, "--checkpoint", given) == 0
    tuned = read_checkpoint(tmp_path / "tuned/savi.pt", ("savi",))
    assert tuned["weights_digest"] == read_checkpoint(given, ("savi",))["weights_digest"]
    assert tuned["step"] == 1
    scratch = savi_arguments(data, tmp_path / "scratch", savi_stage(**NO_STEP))
    assert call(train_savi.main, *scratch) == 0
    assert digests(tmp_path / "scratch") != digests(tmp_path / "tuned")


def test_a_predictor_starts_from_given_weights(data, tmp_path):
    given = write_predictor(tmp_path / "given.pt", data / "savi.pt", seed=9)
    arguments = predictor_arguments(data, tmp_path / "tuned", predictor_stage(**NO_STEP))
    assert call(train_predictor.main, *arguments, "--checkpoint", given) == 0
    tuned = read_checkpoint(tmp_path / "tuned/predictor.pt", ("lstm",))
    assert tuned["weights_digest"] == read_checkpoint(given, ("lstm",))["weights_digest"]


def test_other_given_weights_are_another_run_and_the_same_ones_resume(data, tmp_path, capsys):
    arguments = savi_arguments(data, tmp_path / "tuned")
    for seed, name in ((1, "one.pt"), (2, "two.pt")):
        write_savi(tmp_path / name, seed=seed)
    assert call(train_savi.main, *arguments, "--checkpoint", tmp_path / "one.pt") == 0
    first = digests(tmp_path / "tuned")
    capsys.readouterr()
    (tmp_path / "one.pt").rename(tmp_path / "moved.pt")
    assert call(train_savi.main, *arguments, "--checkpoint", tmp_path / "moved.pt") == 0
    assert "complete already" in capsys.readouterr().err
    assert digests(tmp_path / "tuned") == first
    assert call(train_savi.main, *arguments, "--checkpoint", tmp_path / "two.pt") == 0
    assert "starting anew (changed: start)" in capsys.readouterr().err
    assert digests(tmp_path / "tuned") != first


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"slot_mlp_dim": 16}, "corrector.mlp.0.bias has the shape (16,), expected (8,)"),
        ({"box_format": "published_pixels"}, "model.box_format is 'yxyx_fraction', but"),
    ],
)
def test_given_weights_that_do_not_fit_are_refused(data, tmp_path, capsys, model, message):
    given = write_savi(tmp_path / "given.pt", **model)
    arguments = savi_arguments(data, tmp_path / "tuned")
    assert call(train_savi.main, *arguments, "--checkpoint", given) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "tuned/savi.pt").exists()


def test_a_published_checkpoint_must_be_imported_first(data, tmp_path, capsys):
    arguments = savi_arguments(data, tmp_path / "tuned")
    given = checkpoint_of("Obj3D/savi")
    assert call(train_savi.main, *arguments, "--checkpoint", given) == 1
    assert "import_checkpoint" in capsys.readouterr().err
