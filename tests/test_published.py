"""Published files: what is read, dropped, reordered and refused (numbers: test_parity)."""

import copy
from pathlib import Path

import pytest
import torch

from ocvp.published import (
    load_predictor,
    load_savi,
    predictor_arguments,
    read_checkpoint,
    read_params,
    savi_arguments,
)

REFERENCE = Path(__file__).parent / "data" / "reference"


@pytest.fixture
def savi_case():
    folder = REFERENCE / "Obj3D" / "savi"
    (path,) = folder.glob("models/*.pth")
    return read_params(folder / "experiment_params.json"), read_checkpoint(path)


def test_warm_up_state_is_kept_as_plain_attributes(savi_case):
    _, checkpoint = savi_case
    assert vars(checkpoint["lr_warmup"])["warmup_steps"] == 4
    assert checkpoint["epoch"] == 7


@pytest.mark.parametrize("zipped", [True, False])
def test_any_other_class_is_refused_by_name(tmp_path, zipped):
    path = tmp_path / "checkpoint.pth"
    content = {"model_state_dict": {}, "lr_warmup": Path("x")}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"checkpoint\.pth: .*objects of pathlib\.P"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 and then nothing"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"not a checkpoint that torch\.save wrote"):
        read_checkpoint(path)


def test_a_file_without_weights_is_refused(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "checkpoint.pth")
    with pytest.raises(ValueError, match="no model_state_dict"):
        read_checkpoint(tmp_path / "checkpoint.pth")


def test_arguments_of_savi(savi_case):
    params, _ = savi_case
    arguments = savi_arguments(params)
    assert arguments["decoder_channels"] == (14, 12, 10, 8)
    assert arguments["encoder_channels"] == (6, 8, 10, 12)
    assert arguments["resolution"] == (64, 64)
    assert arguments["initializer"] == "learned_random"
    assert (arguments["box_format"], arguments["absent"]) == ("published_pixels", "published")


def test_resolution_of_a_downsampling_encoder_is_that_of_its_features(savi_case):
    params, _ = savi_case
    params["model"]["SAVi"] |= {"downsample_encoder": True, "resolution": [8, 8]}
    assert savi_arguments(params)["resolution"] == (64, 64)


def test_arguments_of_predictors():
    params = read_params(REFERENCE / "MOViA" / "predictor_OCVPPar" / "experiment_params.json")
    kind, arguments = predictor_arguments(params)
    assert kind == "ocvp_par"
    assert arguments == {
        "slot_dim": 32, "token_dim": 32, "hidden_dim": 48, "num_layers": 2, "num_heads": 4,
        "residual": True, "buffer_size": 30,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder_type": "ResNet"}, "SAVi.encoder_type is 'ResNet'; only 'ConvEncoder'"),
        ({"upsample": 4}, "SAVi.upsample is 4; only 2"),
        ({"initializer": "Mask"}, "SAVi.initializer is 'Mask'; it must be one of Random"),
    ],
)
def test_settings_that_do_not_exist_here_are_refused(savi_case, changes, message):
    params, _ = savi_case
    params["model"]["SAVi"] |= changes
    with pytest.raises(ValueError, match=message):
        savi_arguments(params)


def test_a_missing_setting_is_named(savi_case):
    params, _ = savi_case
    del params["model"]["SAVi"]["mlp_hidden"]
    with pytest.raises(ValueError, match=r"no SAVi\.mlp_hidden"):
        savi_arguments(params)


def test_unused_tensors_are_dropped(savi_case):
    params, checkpoint = savi_case
    expected = load_savi(params, checkpoint).state_dict()
    checkpoint["model_state_dict"] |= {
        "predictor.dense_o.weight": torch.zeros(32, 32),
        "initializer.dummy_parameter": torch.zeros(1),
    }
    state = load_savi(params, checkpoint).state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


def test_weights_that_do_not_fit_are_named(savi_case):
    params, checkpoint = savi_case
    narrower = copy.deepcopy(params)
    narrower["model"]["SAVi"]["mlp_hidden"] = 16
    message = r"corrector\.mlp\.0\.weight has shape \(32, 32\) in the checkpoint and \(16, 32\)"
    with pytest.raises(ValueError, match=message):
        load_savi(narrower, checkpoint)
    del checkpoint["model_state_dict"]["encoder_mlp.3.bias"]
    with pytest.raises(ValueError, match=r"no weights for encoder\.mlp\.3\.bias"):
        load_savi(params, checkpoint)
    checkpoint["model_state_dict"]["flow_head.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"flow_head\.weight has no place"):
        load_savi(params, checkpoint)


def test_weights_of_another_predictor_are_refused():
    folder = REFERENCE / "Obj3D" / "predictor_LSTM"
    (path,) = (REFERENCE / "Obj3D" / "predictor_OCVPSeq").glob("models/*.pth")
    with pytest.raises(ValueError, match=r"mlp_in\.weight has no place"):
        load_predictor(read_params(folder / "experiment_params.json"), read_checkpoint(path))
