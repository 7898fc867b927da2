"""The curves of a few validation clips, against the same numbers from other sources."""

import itertools
import shutil

import h5py
import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from tiny import (
    NUM_SLOTS,
    PREDICTOR_TRAINING,
    SAVI_TRAINING,
    write_videos,
)
from torch import nn
from trainings import write_data

from ocvp.config.predictors import PredictorTraining
from ocvp.config.savi import SaviTraining
from ocvp.config.tree import Runtime
from ocvp.models.checkpoint import weights_digest
from ocvp.models.loading import load_savi
from ocvp.training import clip_scores
from ocvp.training.predictor_task import PredictorTask
from ocvp.training.savi_task import SaviTask

NUM_CONTEXT, NUM_PREDS = PREDICTOR_TRAINING["num_context"], PREDICTOR_TRAINING["num_preds"]
CLIP_LENGTH = SAVI_TRAINING["clip_length"]
NAMES = {"psnr", "fg_ari_clip", "fg_ari_frame", "miou"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


def savi_task(folder, **runtime):
    savi = load_savi(folder / "savi.pt").eval()
    settings, runtime = SaviTraining(**SAVI_TRAINING), Runtime(device="cpu", **runtime)
    videos = {"train": folder / "train.h5", "validation": folder / "val.h5"}
    return SaviTask(savi, settings, runtime, **videos, seed=0)


def predictor_task(folder):
    """A predictor that holds the last slots."""
    savi = load_savi(folder / "savi.pt")
    return PredictorTask(
        nn.Identity(),
        savi,
        PredictorTraining(**PREDICTOR_TRAINING),
        Runtime(device="cpu"),
        savi_digest=weights_digest(savi.state_dict()),
        train=(folder / "train.h5", folder / "slots" / "train.h5"),
        validation=(folder / "val.h5", folder / "slots" / "val.h5"),
        seed=0,
    )


def by_hand(output, frames, masks):
    """Return what the metrics are defined as, of frames uint8 (V, T, H, W, 3) and masks."""
    shown = output.reconstruction.clamp(0, 1).movedim(2, -1).double().numpy()  # (V, T, H, W, 3)
    errors = ((shown - frames / 255) ** 2).mean(axis=(2, 3, 4))  # (V, T)
    labels = output.masks[:, :, :, 0].argmax(dim=2).numpy()  # (V, T, H, W)
    of_clips = [adjusted_rand_score(m[m > 0], x[m > 0]) for m, x in zip(masks, labels, strict=True)]
    all_masks, all_labels = (array.reshape(-1, *masks.shape[2:]) for array in (masks, labels))
    pairs = list(zip(all_masks, all_labels, strict=True))
    of_frames = [adjusted_rand_score(m[m > 0], x[m > 0]) for m, x in pairs]
    return {
        "psnr": (-10 * np.log10(errors)).mean(),
        "fg_ari_clip": np.mean(of_clips),
        "fg_ari_frame": np.mean(of_frames),
        "miou": np.mean([best_miou(m, x) for m, x in pairs]),
    }


def best_miou(true, found):
    """Return the highest mean IoU of any assignment of slots to objects."""
    objects = [k for k in range(1, true.max() + 1) if (true == k).any()]
    ious = {
        (k, n): ((true == k) & (found == n)).sum() / ((true == k) | (found == n)).sum()
        for k in objects
        for n in range(NUM_SLOTS)
    }
    return max(
        np.mean([ious[pair] for pair in zip(objects, slots, strict=False)])
        for slots in itertools.permutations(range(NUM_SLOTS), len(objects))
    )


def stored(folder, name, length, first=0, file="val.h5"):
    with h5py.File(folder / file) as opened:
        return opened[name][:, first:length]


def decomposition(folder, videos):
    """Return what a SAVi makes of the clips of some videos, by hand: the scores."""
    frames, masks, boxes = (
        stored(folder, name, CLIP_LENGTH)[videos] for name in ("frames", "masks", "boxes")
    )
    with torch.no_grad():
        inputs = torch.from_numpy(frames).movedim(-1, 2) / 255
        output = load_savi(folder / "savi.pt")(inputs, boxes=torch.from_numpy(boxes)[:, 0])
    return by_hand(output, frames, masks)


def test_scores_of_a_savi_are_those_of_its_decomposition(data):
    task = savi_task(data, batch_videos=2)  # a batch and a half
    expected = decomposition(data, [0, 1, 2])
    assert task.scores() == pytest.approx(expected, rel=1e-5)
    assert expected.keys() == NAMES
    assert 0 < expected["miou"] < 1


def test_scores_of_a_predictor_are_those_of_the_predicted_frames(data):
    task, end = predictor_task(data), NUM_CONTEXT + NUM_PREDS
    frames, masks = (stored(data, name, end, NUM_CONTEXT) for name in ("frames", "masks"))
    last = stored(data, "slots", NUM_CONTEXT, NUM_CONTEXT - 1, "slots/val.h5")  # (V, 1, N, D)
    with torch.no_grad():
        output = load_savi(data / "savi.pt").decode(torch.from_numpy(last.repeat(NUM_PREDS, 1)))
    assert task.scores() == pytest.approx(by_hand(output, frames, masks), rel=1e-5)


def test_only_the_first_videos_are_scored(data, monkeypatch):
    every = savi_task(data).scores()
    monkeypatch.setattr(clip_scores, "NUM_VIDEOS", 1)
    task = savi_task(data)
    assert task.scores() == pytest.approx(decomposition(data, [0]), rel=1e-5)
    assert task.scores()["psnr"] != pytest.approx(every["psnr"], rel=1e-5)


@pytest.mark.parametrize("make", [savi_task, predictor_task])
def test_scores_and_pictures_change_nothing(data, make):
    task = make(data)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    weights = weights_digest(task.module.state_dict())
    with torch.no_grad():
        batches = list(task.read_validation(task.validation_plan()))
        losses = [task.validation_losses(batch)["loss"].item() for batch in batches]
    task.scores()
    task.images()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert weights_digest(task.module.state_dict()) == weights
    assert all(parameter.grad is None for parameter in task.module.parameters())
    with torch.no_grad():
        again = [task.validation_losses(batch)["loss"].item() for batch in batches]
    assert again == losses


def copied(data, folder):
    shutil.copytree(data, folder)
    return folder


def test_videos_without_masks_have_a_curve_of_psnr_alone(data, tmp_path):
    folder = copied(data, tmp_path / "data")
    write_videos(folder / "val.h5", num_videos=3, first=10, fields=("frames", "boxes"))
    expected = savi_task(data).scores()["psnr"]
    assert savi_task(folder).scores() == {"psnr": expected}
    assert predictor_task(folder).scores().keys() == {"psnr"}


def test_a_video_without_objects_counts_for_psnr_alone(data, tmp_path):
    folder = copied(data, tmp_path / "data")
    with h5py.File(folder / "val.h5", "r+") as file:
        file["masks"][1] = 0
    expected = decomposition(data, [0, 2]) | {"psnr": savi_task(data).scores()["psnr"]}
    assert savi_task(folder).scores() == pytest.approx(expected, rel=1e-5)
    with h5py.File(folder / "val.h5", "r+") as file:
        file["masks"][...] = 0
    assert savi_task(folder).scores().keys() == {"psnr"}


def test_damaged_masks_are_told_once_and_the_training_goes_on(data, tmp_path, caplog):
    folder = copied(data, tmp_path / "data")
    with h5py.File(folder / "val.h5") as file:
        place = file["masks"].id.get_chunk_info(0).byte_offset
    with (folder / "val.h5").open("r+b") as file:
        file.seek(place)
        file.write(b"\xff" * 8)
    task = savi_task(folder)
    for _ in range(2):
        assert task.scores().keys() == {"psnr"}
    (warning,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert f"{folder / 'val.h5'}" in warning
    assert "no curves of FG-ARI and mIoU" in warning
