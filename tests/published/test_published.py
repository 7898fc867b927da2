"""Published files: what is read, dropped, renamed and refused (numbers: test_parity)."""

import os
import pickle
import sys
import time
import types
from pathlib import Path

import pytest
import torch
from published_files import CASES, checkpoint_of, params_of, read_unsafely
from tiny import Payload

from ocvp.published.checkpoints import (
    WARMUP_CLASS,
    WarmUpState,
    load_published,
    read_checkpoint,
    read_tensors,
)
from ocvp.published.names import kind_of
from ocvp.published.settings import predictor_arguments, read_params, savi_arguments


@pytest.fixture
def savi_case():
    return params_of("Obj3D/savi"), read_checkpoint(checkpoint_of("Obj3D/savi"))


class Called:
    """Calls a function with arguments when it is unpickled by an unsafe loader."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def harm(kind, folder):
    """Return an object that makes `folder` when it is unpickled by an unsafe loader."""
    if kind == "posix.mkdir":
        return Payload(folder)
    if kind == "posix.system":
        return Called(os.system, f"mkdir {folder}")
    return Called(eval, f"__import__('os').mkdir({str(folder)!r})")


@pytest.fixture
def warm_up(monkeypatch):
    """Return a class that is pickled under the name of the published warm-up class."""
    module, _, name = WARMUP_CLASS.rpartition(".")
    warm_up_class = type(name, (), {"__module__": module})
    for part in ("lib", module):
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    setattr(sys.modules[module], name, warm_up_class)
    return warm_up_class


# --- safety ------------------------------------------------------------------------------------


def test_warm_up_state_is_kept_as_plain_attributes(savi_case):
    _, checkpoint = savi_case
    assert type(checkpoint["lr_warmup"]) is WarmUpState
    assert vars(checkpoint["lr_warmup"])["warmup_steps"] == 4
    assert checkpoint["epoch"] == 7


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["posix.mkdir", "posix.system", "builtins.eval"])
def test_code_is_refused_by_name_and_does_not_run(tmp_path, name, zipped, protocol):
    path, folder = tmp_path / "checkpoint.pth", tmp_path / "harm"
    content = {
        "model_state_dict": {"a": torch.zeros(2)},
        "optimizer_state_dict": {"state": {0: {"moments": [({"deep": harm(name, folder)},)]}}},
    }
    torch.save(content, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    with pytest.raises(ValueError, match=rf"checkpoint\.pth asks for {name} and was not loaded"):
        read_checkpoint(path)
    assert not folder.exists()
    torch.load(path, weights_only=False)
    assert folder.exists()  # the payload is a live one


def test_code_in_a_plain_pickle_is_refused_by_name(tmp_path):
    path, folder = tmp_path / "checkpoint.pth", tmp_path / "harm"
    path.write_bytes(pickle.dumps({"weights": harm("builtins.eval", folder)}))
    with pytest.raises(ValueError, match=r"asks for builtins\.eval"):
        read_checkpoint(path)
    assert not folder.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_every_class_that_is_asked_for_is_named(tmp_path, warm_up, zipped):
    path = tmp_path / "checkpoint.pth"
    content = {"a": torch.nn.Identity(), "b": Path("x"), "c": torch.zeros(1), "d": warm_up()}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    names = r"asks for pathlib\.PosixPath, torch\.nn\.modules\.linear\.Identity and was"
    with pytest.raises(ValueError, match=names):
        read_checkpoint(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_payload_in_the_state_of_the_warm_up_is_refused(tmp_path, warm_up, zipped):
    path, folder = tmp_path / "checkpoint.pth", tmp_path / "harm"
    state = warm_up()
    state.init_lr = Payload(folder)
    content = {"model_state_dict": {"a": torch.zeros(2)}, "lr_warmup": state}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"asks for posix\.mkdir and was not loaded"):
        read_checkpoint(path)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"__class__": torch.Tensor}, "has an attribute '__class__'"),
        ({"__setstate__": 1}, "has an attribute '__setstate__'"),
        ((None, {"__class__": torch.Tensor}), "is a tuple, no dict"),
        ({"init_lr": torch.float32}, "the attribute init_lr of .* is a dtype"),
    ],
)
def test_the_state_of_the_warm_up_sets_plain_attributes_only(tmp_path, warm_up, state, reason):
    class Crafted:
        def __reduce__(self):
            return warm_up, (), state

    path = tmp_path / "checkpoint.pth"
    torch.save({"model_state_dict": {"a": torch.zeros(2)}, "lr_warmup": Crafted()}, path)
    with pytest.raises(ValueError, match=reason):
        read_checkpoint(path)


def test_the_stand_in_calls_nothing_that_the_state_names(tmp_path, warm_up):
    state = warm_up()
    vars(state).update({"warmup_steps": 4, "step": 3})
    torch.save({"model_state_dict": {"a": torch.zeros(2)}, "lr_warmup": state}, tmp_path / "c.pth")
    found = read_checkpoint(tmp_path / "c.pth")["lr_warmup"]
    assert type(found) is WarmUpState
    assert vars(found) == {"warmup_steps": 4, "step": 3}


def test_an_old_file_with_a_long_name_is_refused_at_once(tmp_path):
    path = tmp_path / "checkpoint.pth"
    torch.save({"a": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)
    assert read_tensors(path)["a"].tolist() == [0, 0]
    name = b"a" * 200_000
    whole = path.read_bytes()
    spoilt = whole.replace(b"ctorch._utils\n", b"ctorch." + name + b"\n")
    assert len(spoilt) > len(whole)
    path.write_bytes(spoilt)
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"a name of 2000.. characters, 'torch\.aaaa"):
        read_checkpoint(path)
    assert time.monotonic() - start < 5


def test_a_length_that_the_file_does_not_have_takes_no_memory(tmp_path):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(b"\x80\x04\x8d" + (2**62).to_bytes(8, "little") + b"text")
    with pytest.raises(ValueError, match=r"checkpoint\.pth is damaged"):
        read_checkpoint(path)


# --- other files -------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 and then nothing"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"checkpoint\.pth is damaged or no checkpoint: \S"):
        read_checkpoint(path)


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.pth does not exist"):
        read_checkpoint(tmp_path / "gone.pth")
    with pytest.raises(ValueError, match="is a folder"):
        read_checkpoint(tmp_path)
    with pytest.raises(ValueError, match=r"gone\.json does not exist"):
        read_params(tmp_path / "gone.json")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"epoch": 3}, "no model_state_dict"),
        ([1, 2], "holds a list, not a dict"),
        ({"model_state_dict": {}}, "holds no weights"),
        ({"model_state_dict": {"a": 1.0}}, "'a' of its model_state_dict is no tensor"),
        ({"model_state_dict": {"a": torch.zeros(2).long()}}, r"a is torch\.int64"),
        ({"model_state_dict": {"a": torch.zeros(2, 2).to_sparse()}}, r"torch\.sparse_coo"),
    ],
)
def test_a_file_without_weights_is_refused(tmp_path, content, reason):
    torch.save(content, tmp_path / "checkpoint.pth")
    with pytest.raises(ValueError, match=reason):
        read_checkpoint(tmp_path / "checkpoint.pth")


def test_bytes_cut_off_anywhere_are_told(tmp_path):
    whole = checkpoint_of("Obj3D/predictor_LSTM").read_bytes()
    cut = tmp_path / "cut.pth"
    for kept in [*range(0, len(whole), len(whole) // 12), len(whole) - 1]:
        cut.write_bytes(whole[:kept])
        with pytest.raises(ValueError, match=r"cut\.pth"):
            read_checkpoint(cut)


# --- settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model": 3}', '{"dataset": {}}'])
def test_another_parameter_file_is_refused(tmp_path, text):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(ValueError, match=r"p\.json: not a published experiment_params\.json"):
        read_params(tmp_path / "p.json")


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
    kind, arguments = predictor_arguments(params_of("MOViA/predictor_OCVPPar"))
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
        ({"num_slots": "6"}, "SAVi.num_slots is '6'; it must be a positive integer"),
        ({"use_predictor": 1}, "SAVi.use_predictor is 1; it must be true or false"),
        ({"resolution": [64]}, r"SAVi.resolution is \[64\]; it must be two positive integers"),
        ({"num_channels": 32}, "SAVi.num_channels is 32; it must be a list of positive integers"),
    ],
)
def test_settings_that_do_not_exist_here_are_refused(savi_case, changes, message):
    params, _ = savi_case
    params["model"]["SAVi"] |= changes
    with pytest.raises(ValueError, match=message):
        savi_arguments(params)


def test_missing_settings_are_named(savi_case):
    params, _ = savi_case
    del params["model"]["SAVi"]["mlp_hidden"]
    with pytest.raises(ValueError, match=r"no model\.SAVi\.mlp_hidden"):
        savi_arguments(params)
    del params["model"]["predictor"]["Transformer"]
    with pytest.raises(ValueError, match=r"no model\.predictor\.Transformer"):
        predictor_arguments(params)
    params["model"]["predictor"] = {"predictor_name": "GRU"}
    with pytest.raises(ValueError, match=r"predictor_name is 'GRU'; it must be one of LSTM"):
        predictor_arguments(params)


# --- weights -----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_what_a_checkpoint_holds_is_told_from_its_names(case):
    state = read_unsafely(checkpoint_of(case))["model_state_dict"]
    kind = case.partition("/")[2].removeprefix("predictor_").lower().replace("ocvp", "ocvp_")
    assert kind_of(state) == kind
    older = {name.removeprefix("predictor.") for name in state}
    if kind != "savi":
        assert kind_of(older) == kind


def test_names_of_no_model_are_refused():
    with pytest.raises(ValueError, match=r"\(backbone\.0\.weight\) are those of no SAVi"):
        kind_of(["backbone.0.weight"])


def test_weights_that_do_not_fit_are_named(savi_case):
    params, checkpoint = savi_case
    narrower = params_of("Obj3D/savi")
    narrower["model"]["SAVi"]["mlp_hidden"] = 16
    message = (
        r"corrector\.mlp\.0\.weight \(in the file: slot_attention\.mlp\.0\.weight\) has shape "
        r"\(32, 32\) in the checkpoint and \(16, 32\) in the model"
    )
    with pytest.raises(ValueError, match=message):
        load_published(narrower, checkpoint)
    state = checkpoint["model_state_dict"]
    del state["encoder_mlp.3.bias"]
    with pytest.raises(ValueError, match=r"no weights for encoder\.mlp\.3\.bias"):
        load_published(params, checkpoint)
    state["flow_head.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"flow_head\.weight has no place"):
        load_published(params, checkpoint)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(savi_case, value):
    params, checkpoint = savi_case
    checkpoint["model_state_dict"]["encoder_mlp.3.bias"][2] = value
    with pytest.raises(ValueError, match=r"encoder\.mlp\.3\.bias \(in the file: encoder_mlp"):
        load_published(params, checkpoint)


def test_two_tensors_for_one_parameter_are_refused():
    checkpoint = read_checkpoint(checkpoint_of("Obj3D/predictor_LSTM"))
    state = checkpoint["model_state_dict"]
    state["lstm.0.weight_ih"] = state["predictor.lstm.0.weight_ih"] + 1
    with pytest.raises(ValueError, match=r"are both lstm\.weight_ih_l0"):
        load_published(params_of("Obj3D/predictor_LSTM"), checkpoint)


def test_weights_of_another_predictor_are_refused():
    checkpoint = read_checkpoint(checkpoint_of("Obj3D/predictor_OCVPSeq"))
    with pytest.raises(ValueError, match=r"holds the predictor ocvp_seq, the parameters .* lstm"):
        load_published(params_of("Obj3D/predictor_LSTM"), checkpoint)


def test_parameters_of_no_possible_model_are_refused(savi_case):
    params, checkpoint = savi_case
    params["model"]["SAVi"]["slot_dim"] = 30
    with pytest.raises(ValueError, match="cannot be built: slot_dim is 30"):
        load_published(params, checkpoint)
