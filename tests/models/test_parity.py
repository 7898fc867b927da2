"""Agreement with the numbers that the published implementation gave (tests/files/reference).

Every case goes through `ocvp.import_checkpoint` and the loaders of the public API.
"""

import numpy as np
import pytest
import torch
from published_files import DATASETS, PREDICTORS, arrays_of, import_case, params_of

from ocvp.models.loading import load_predictor, load_savi
from ocvp.models.rollout import rollout
from ocvp.training.losses import savi_loss
from ocvp.training.schedule import learning_rate

FORWARD_BOUND = 2e-5  # of the largest value; the reference's README allows 1e-4


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """Return a function from a case to its params, its imported model and its arrays."""
    folder = tmp_path_factory.mktemp("imported")

    def read(case):
        load = load_savi if case.endswith("savi") else load_predictor
        return params_of(case), load(import_case(case, folder)), arrays_of(case)

    return read


def assert_close(actual, expected):
    """Compare to within the bound, relative to the largest value."""
    assert tuple(actual.shape) == expected.shape
    error = np.abs(actual.detach().numpy() - expected).max()
    assert error <= FORWARD_BOUND * np.abs(expected).max()


def conditions(arrays, published_initial_slots):
    """Return what the first frame's slots come from: the given slots, or the boxes."""
    if "bbox_coords" in arrays and not published_initial_slots:
        return {"boxes": torch.from_numpy(arrays["bbox_coords"])}
    return {"initial_slots": torch.from_numpy(arrays["initial_slots"])}


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("dataset", DATASETS)
def test_savi_forward(read, dataset, fast):
    _, savi, arrays = read(f"{dataset}/savi")
    savi.decoder.fast = fast
    with torch.no_grad():
        out = savi(torch.from_numpy(arrays["frames"]), **conditions(arrays, True))
    assert_close(out.slots, arrays["slots"])
    assert_close(out.reconstruction, arrays["reconstruction"])
    assert_close(out.masks, arrays["masks"])
    assert_close(out.objects[:1, :2], arrays["object_images"])


def test_initial_slots_from_boxes(read):
    _, savi, arrays = read("MOViA/savi")
    assert_close(savi.initializer(torch.from_numpy(arrays["bbox_coords"])), arrays["initial_slots"])


@pytest.mark.parametrize("dataset", DATASETS)
def test_savi_training(read, dataset):
    params, savi, arrays = read(f"{dataset}/savi")
    training = params["training_slots"]
    savi.train()
    frames = torch.from_numpy(arrays["frames"])
    optimizer = torch.optim.Adam(savi.parameters(), lr=training["lr"])
    losses, rates, norms = [], [], []
    for step in range(8):
        rate = learning_rate(
            step,
            target=training["lr"],
            warmup_steps=training["warmup_steps"],
            scheduler_steps=training["scheduler_steps"],
        )
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss = savi_loss(savi(frames, **conditions(arrays, False)).reconstruction, frames)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(savi.parameters(), training["clipping_max_value"])
        optimizer.step()
        losses.append(loss.item())
        rates.append(rate)
        norms.append(norm.item())
    np.testing.assert_allclose(rates, arrays["train_lrs"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(losses[:3], arrays["train_losses"][:3], rtol=1e-5)
    np.testing.assert_allclose(losses, arrays["train_losses"], rtol=5e-3)
    np.testing.assert_allclose(norms[:3], arrays["train_grad_norms"][:3], rtol=1e-3)
    np.testing.assert_allclose(norms, arrays["train_grad_norms"], rtol=5e-2)


@pytest.mark.parametrize("name", PREDICTORS)
@pytest.mark.parametrize("dataset", DATASETS)
def test_predictor(read, dataset, name):
    params, predictor, arrays = read(f"{dataset}/predictor_{name}")
    num_context = params["training_prediction"]["num_context"]
    num_preds = params["training_prediction"]["num_preds"]
    history = torch.from_numpy(arrays["slot_history"])
    context, future = history.split([num_context, num_preds], dim=1)

    predicted = rollout(predictor, context, num_preds)
    assert_close(predicted, arrays["pred_slots"])
    loss = torch.nn.functional.mse_loss(predicted, future)
    np.testing.assert_allclose(loss.item(), arrays["slot_mse"], rtol=1e-5)
    loss.backward()
    # an infinite bound: measure, clip nothing
    norm = torch.nn.utils.clip_grad_norm_(predictor.parameters(), float("inf"))
    np.testing.assert_allclose(norm.item(), arrays["grad_norm"], rtol=1e-4)


@pytest.mark.parametrize("name", PREDICTORS[1:])
@pytest.mark.parametrize("dataset", DATASETS)
def test_predictor_at_every_time_step(read, dataset, name):
    params, predictor, arrays = read(f"{dataset}/predictor_{name}")
    context = torch.from_numpy(arrays["slot_history"])
    context = context[:, : params["training_prediction"]["num_context"]]
    assert_close(predictor(context), arrays["one_step_all"])
