"""Importing checkpoints: what is recorded, dropped, compared and refused (numbers: test_parity)."""

import json
import shutil

import h5py
import numpy as np
import pytest
import torch
from published_files import (
    CASES,
    MODELS,
    arrays_of,
    checkpoint_of,
    import_case,
    params_of,
    write_experiment,
)
from tiny import (
    Payload,
    assert_one_error,
    call,
    make_savi,
    snapshot,
    write_predictor,
    write_savi,
)

from ocvp.config.predictors import PredictorTraining
from ocvp.config.savi import SaviTraining
from ocvp.data.videos import Video, VideoWriter
from ocvp.extract_slots import main as extract_slots
from ocvp.import_checkpoint import main
from ocvp.models.checkpoint import read_checkpoint, save_checkpoint, weights_digest
from ocvp.models.loading import check_belongs, load_predictor, load_savi, open_predictor, open_savi
from ocvp.records.origins import files_digest, origin_digest
from ocvp.runtime.files import file_digest


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """Return a function from a case to the file that its import made."""
    folder = tmp_path_factory.mktemp("imported")
    return lambda case: import_case(case, folder)


@pytest.fixture
def refused(tmp_path, capfd):
    """Return a function that imports, expects an error, and checks that nothing is written."""

    def check(parts, *arguments):
        output = tmp_path / "product" / "model.pt"
        assert call(main, "--output", output, *arguments) == 1
        assert_one_error(capfd.readouterr().err, *parts)
        assert [path for path in output.parent.rglob("*") if path.is_file()] == []

    return check


def outputs(path, case):
    """Return what an imported model computes on the arrays of a case."""
    arrays = arrays_of(case)
    with torch.no_grad():
        if not case.endswith("savi"):
            predictor = load_predictor(path)
            return [predictor(torch.from_numpy(arrays["slot_history"][:, :5]))]
        initial = torch.from_numpy(arrays["initial_slots"])
        return list(load_savi(path)(torch.from_numpy(arrays["frames"][:, :2]), None, None, initial))


# --- what is written ---------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_a_published_checkpoint_becomes_one_of_ours(imported, case):
    path, params = imported(case), params_of(case)
    content = read_checkpoint(path)
    is_savi = case.endswith("savi")
    training = content["config"]["training"]
    assert content["epoch"] == (7 if is_savi else 3)
    assert content["step"] is None  # the optimisers of the reference are fresh
    assert content["seed"] == 0
    source = checkpoint_of(case)
    settings = source.parent.parent / "experiment_params.json"
    assert content["sources"] == [file_digest(source), file_digest(settings)]
    assert content["imported"]["checkpoint"] == source.name
    assert content["imported"]["params"] == params
    assert training["learning_rate"] == params["training_slots"]["lr"]
    if is_savi:
        assert content["kind"] == "savi"
        assert content["model"]["box_format"] == "published_pixels"
        SaviTraining(**training)
        return
    PredictorTraining(**training)
    assert training["num_context"] == params["training_prediction"]["num_context"]
    assert training["num_preds"] == params["training_prediction"]["num_preds"]
    savi = imported(case.partition("/")[0] + "/savi")
    check_belongs(open_predictor(path), open_savi(savi))
    assert content["weights_digest"] == weights_digest(load_predictor(path).state_dict())


def test_what_accompanies_the_product(imported):
    path = imported("Obj3D/savi")
    assert json.loads((path.parent / "config.json").read_text())["kind"] == "savi"
    script = (path.parent / "command.sh").read_text()
    assert "-m ocvp.import_checkpoint --checkpoint" in script
    origin = json.loads((path.parent / "origin.json").read_text())
    checkpoint = checkpoint_of("Obj3D/savi")
    params = checkpoint.parent.parent / "experiment_params.json"
    assert origin == {
        "named": [str(checkpoint), None],
        "digest": files_digest([checkpoint, params]),
    }


def test_the_same_files_give_the_same_bytes(imported, tmp_path):
    given = ("--checkpoint", checkpoint_of("Obj3D/savi"), "--seed", 0)
    assert call(main, *given, "--output", tmp_path / "other name.pt") == 0
    assert (tmp_path / "other name.pt").read_bytes() == imported("Obj3D/savi").read_bytes()


def test_the_record_of_the_origin_is_what_the_workflow_expects(tmp_path):
    from ocvp.config.savi import SaviEntry

    path = write_experiment(tmp_path / "exp", "Obj3D/savi")
    output = tmp_path / "savi.pt"
    assert call(main, "--checkpoint", path, "--output", output) == 0
    expected = origin_digest(SaviEntry(pretrained=str(path)), tmp_path / "nowhere")
    shutil.rmtree(tmp_path / "exp")
    assert origin_digest(SaviEntry(pretrained=str(path)), tmp_path) == expected


def test_steps_are_those_that_adam_counted(tmp_path):
    moments = {"state": {0: {"step": torch.tensor(41.0)}, 1: {"step": 42}}, "param_groups": []}
    path = write_experiment(tmp_path, "Obj3D/savi", optimizer_state_dict=moments, epoch="seven")
    assert call(main, "--checkpoint", path, "--output", tmp_path / "savi.pt", "--seed", 5) == 0
    content = read_checkpoint(tmp_path / "savi.pt")
    assert (content["step"], content["epoch"], content["seed"]) == (42, None, 5)


# --- what is accepted and dropped --------------------------------------------------------------


def weight(*shape):
    return torch.full(shape, 3.0)


ATTENTION = "transformer_encoders.1.self_attn"
DROPPED = [
    ("Obj3D/savi", "initializer.dummy_parameter", (1,)),
    ("Obj3D/savi", "predictor.dense_o.weight", (32, 32)),
    ("Obj3D/savi", "predictor.dense_o.bias", (32,)),
    ("MOViA/savi", "initializer.dummy_parameter", (1,)),
    ("MOViA/savi", "predictor.dense_o.weight", (32, 32)),
    ("Obj3D/predictor_OCVPPar", f"predictor.{ATTENTION}.in_proj_weight", (96, 32)),
    ("Obj3D/predictor_OCVPPar", f"predictor.{ATTENTION}.in_proj_bias", (96,)),
    ("Obj3D/predictor_OCVPPar", f"predictor.{ATTENTION}.out_proj.weight", (32, 32)),
    ("Obj3D/predictor_OCVPPar", f"predictor.{ATTENTION}.out_proj.bias", (32,)),
    ("MOViA/predictor_OCVPPar", f"{ATTENTION}.in_proj_weight", (96, 32)),
    ("MOViA/predictor_OCVPPar", f"{ATTENTION}.out_proj.bias", (32,)),
]


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize(("case", "name", "shape"), DROPPED)
def test_unused_tensors_are_dropped(imported, tmp_path, case, name, shape, is_there):
    def change(state):
        state.pop(name, None)
        if is_there:
            state[name] = weight(*shape)

    path = write_experiment(tmp_path, case, state=change)
    output = tmp_path / "model.pt"
    savi = () if case.endswith("savi") else ("--savi", imported(case.partition("/")[0] + "/savi"))
    assert call(main, "--checkpoint", path, "--output", output, *savi) == 0
    expected, found = (read_checkpoint(file) for file in (imported(case), output))
    assert found["weights"].keys() == expected["weights"].keys()
    assert found["weights_digest"] == expected["weights_digest"]
    assert (name in found["imported"]["dropped"]) == is_there
    for ours, theirs in zip(outputs(output, case), outputs(imported(case), case), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    "entries",
    [
        {"optimizer_state_dict": {"state": {0: {"exp_avg": weight(4)}}, "param_groups": [{}]}},
        {"optimizer_state_dict": None},
        {"scheduler_state_dict": ""},
        {"scheduler_state_dict": {"T_max": 9, "_last_lr": [0.1]}},
        {"lr_warmup": None},
        {"lr_warmup": {"warmup_steps": 3}},
        {"something_else": [1, "two", weight(3)]},
    ],
    ids=str,
)
def test_entries_about_the_training_are_dropped(imported, tmp_path, entries):
    path = write_experiment(tmp_path, "Obj3D/savi", **entries)
    assert call(main, "--checkpoint", path, "--output", tmp_path / "savi.pt") == 0
    expected = read_checkpoint(imported("Obj3D/savi"))
    found = read_checkpoint(tmp_path / "savi.pt")
    assert found["weights_digest"] == expected["weights_digest"]
    assert found.keys() == expected.keys()


def test_the_warm_up_object_is_dropped(imported):
    assert b"LRWarmUp" in checkpoint_of("Obj3D/savi").read_bytes()  # stored without compression
    product = imported("Obj3D/savi").read_bytes()
    assert b"LRWarmUp" not in product
    assert b"WarmUpState" not in product


@pytest.mark.parametrize(
    ("case", "name"),
    [
        ("Obj3D/savi", "initializer.dummy_parameters"),
        ("Obj3D/savi", "initializer.dummy"),
        ("Obj3D/savi", "predictor.dense_out.weight"),
        ("Obj3D/savi", "dense_o.weight"),
        ("Obj3D/savi", "model.encoder_mlp.0.weight"),
        ("Obj3D/savi", "slot_attention.to_qk.weight"),
        ("Obj3D/predictor_OCVPPar", "predictor.transformer_encoders.0.self_attention.bias"),
        ("Obj3D/predictor_OCVPPar", "predictor.transformer_encoders.0.self_attn_slot.bias"),
        ("Obj3D/predictor_OCVPPar", "predictor.transformer_encoders.x.self_attn.bias"),
        ("Obj3D/predictor_OCVPSeq", "predictor.transformer_encoders.0.self_attn.in_proj_bias"),
        ("Obj3D/predictor_Transformer", "predictor.dense_o.weight"),
        ("Obj3D/predictor_LSTM", "predictor.lstms.0.weight_ih"),
    ],
)
def test_names_that_are_nearly_known_are_refused(imported, tmp_path, refused, case, name):
    path = write_experiment(tmp_path, case, state=lambda state: state.update({name: weight(2)}))
    savi = () if case.endswith("savi") else ("--savi", imported("Obj3D/savi"))
    refused([path, name, "no place in this model"], "--checkpoint", path, *savi)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."]
)
@pytest.mark.parametrize("case", ["Obj3D/savi", "Obj3D/predictor_OCVPSeq"])
def test_what_wrappers_put_before_all_names_is_removed(imported, tmp_path, capfd, case, prefix):
    def wrap(state):
        for name in list(state):
            state[prefix + name] = state.pop(name)

    path, output = write_experiment(tmp_path, case, state=wrap), tmp_path / "product/model.pt"
    savi = () if case.endswith("savi") else ("--savi", imported("Obj3D/savi"))
    assert call(main, "--checkpoint", path, "--output", output, *savi) == 0
    found, expected = read_checkpoint(output), read_checkpoint(imported(case))
    assert found["weights_digest"] == expected["weights_digest"]
    told = [line for line in capfd.readouterr().err.splitlines() if "names of all tensors" in line]
    assert told == [f"the names of all tensors start with {prefix}, which was removed"]


def test_a_prefix_of_some_names_is_no_wrapper(tmp_path, refused):
    def wrap_one(state):
        state["module.encoder_mlp.1.bias"] = state.pop("encoder_mlp.1.bias")

    path = write_experiment(tmp_path, "Obj3D/savi", state=wrap_one)
    refused([path, "module.encoder_mlp.1.bias has no place in this model"], "--checkpoint", path)


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("value", [True, None, "false"])
def test_a_predictor_that_skips_the_first_context_frame_is_refused(
    imported, tmp_path, refused, value
):
    def skip(params):
        params["training_prediction"]["skip_first_slot"] = value

    path = write_experiment(tmp_path, "Obj3D/predictor_OCVPSeq", params=skip)
    parts = [path, f"training_prediction.skip_first_slot is {value!r}", "must be false"]
    refused(parts, "--checkpoint", path, "--savi", imported("Obj3D/savi"))


def test_code_in_a_checkpoint_does_not_run(tmp_path, refused):
    harm = tmp_path / "harm"
    state = {"state": {0: {"exp_avg": [Payload(harm)]}}}
    path = write_experiment(tmp_path, "Obj3D/savi", optimizer_state_dict=state)
    refused([path, "posix.mkdir", "was not loaded"], "--checkpoint", path)
    assert not harm.exists()


def test_weights_that_do_not_fit_the_parameters_are_told(tmp_path, refused):
    def narrow(params):
        params["model"]["SAVi"]["mlp_encoder_dim"] = 8

    path = write_experiment(tmp_path, "Obj3D/savi", params=narrow)
    parts = ["encoder.mlp.1.weight", "in the file: encoder_mlp.1.weight", "(16, 12)", "(8, 12)"]
    refused([path, path.parent.parent / "experiment_params.json", *parts], "--checkpoint", path)


def test_weights_that_are_not_finite_are_told(tmp_path, refused):
    def spoil(state):
        state["slot_attention.gru.bias_hh"][3] = float("nan")

    path = write_experiment(tmp_path, "Obj3D/savi", state=spoil)
    parts = ["corrector.gru.bias_hh", "slot_attention.gru.bias_hh", "not finite"]
    refused([path, *parts], "--checkpoint", path)


def test_missing_tensors_are_told(tmp_path, refused):
    path = write_experiment(
        tmp_path, "Obj3D/savi", state=lambda state: state.pop("encoder_mlp.1.bias")
    )
    refused([path, "no weights for encoder.mlp.1.bias"], "--checkpoint", path)


def test_parameters_are_found_beside_and_above_and_told_where_they_are_missing(tmp_path, refused):
    above = write_experiment(tmp_path / "exp", "Obj3D/savi")
    beside = above.parent.parent / above.name
    shutil.copy(above, beside)
    assert call(main, "--checkpoint", beside, "--output", tmp_path / "a.pt") == 0
    params = tmp_path / "elsewhere.json"
    (tmp_path / "exp" / "experiment_params.json").rename(params)
    places = [tmp_path / f"exp/{part}experiment_params.json" for part in ("models/", "")]
    refused(places, "--checkpoint", above)
    assert call(main, "--checkpoint", above, "--params", params, "--output", tmp_path / "b.pt") == 0
    refused(["gone.json does not exist"], "--checkpoint", above, "--params", tmp_path / "gone.json")


def test_parameters_are_found_from_the_folder_of_the_checkpoint(tmp_path, monkeypatch):
    path = write_experiment(tmp_path / "exp", "Obj3D/savi")
    monkeypatch.chdir(path.parent)
    assert call(main, "--checkpoint", path.name, "--output", tmp_path / "savi.pt") == 0


def test_a_missing_checkpoint_is_told(tmp_path, refused):
    refused(["gone.pth does not exist"], "--checkpoint", tmp_path / "gone.pth")


def test_a_failed_import_leaves_the_former_product(tmp_path, capfd):
    output = write_savi(tmp_path / "product" / "savi.pt")
    write_savi(tmp_path / "product" / "savi.best.pt", seed=1)
    before = snapshot(tmp_path / "product")
    path = write_experiment(tmp_path, "Obj3D/savi", state=lambda state: state.popitem())
    assert call(main, "--checkpoint", path, "--output", output) == 1
    assert snapshot(tmp_path / "product") == before


@pytest.mark.parametrize("given", ["beside", "named"])
def test_a_published_checkpoint_with_the_name_of_ours_is_refused(tmp_path, refused, given):
    path = write_experiment(tmp_path / "exp", "Obj3D/savi")
    named = path.rename(path.with_suffix(".pt"))
    params = ("--params", path.parent.parent / "experiment_params.json") if given == "named" else ()
    parts = [named, "its name ends in .pt", "rename it to checkpoint_epoch_final.pth"]
    refused(parts, "--checkpoint", named, *params)


def test_weights_of_an_earlier_training_do_not_stay_beside_the_import(imported, tmp_path):
    kept = [tmp_path / name for name in ("savi.best.json", "predictor.best.pt", "savi.best.pt.bak")]
    for path in (*kept, tmp_path / "savi.best.pt", tmp_path / "savi.last.pt"):
        path.write_text("of another model")
    given = ("--checkpoint", checkpoint_of("Obj3D/savi"), "--output", tmp_path / "savi.pt")
    assert call(main, *given) == 0
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {path.name for path in kept} | {
        "savi.pt", "origin.json", "config.json", "command.sh", "provenance.json"
    }  # fmt: skip
    (tmp_path / "predictor.last.pt").write_text("of another model")
    case = "Obj3D/predictor_LSTM"
    given = ("--checkpoint", checkpoint_of(case), "--savi", imported("Obj3D/savi"))
    assert call(main, *given, "--output", tmp_path / "predictor.pt") == 0
    assert not list(tmp_path.glob("predictor.*.pt"))


def test_the_file_that_is_imported_stays(tmp_path):
    best = write_savi(tmp_path / "savi.best.pt")
    write_savi(tmp_path / "savi.last.pt", seed=1)
    assert call(main, "--checkpoint", best, "--output", tmp_path / "savi.pt") == 0
    assert sorted(tmp_path.glob("*.pt")) == [best, tmp_path / "savi.pt"]


def test_a_predictor_needs_its_savi(imported, tmp_path, refused):
    case = "Obj3D/predictor_LSTM"
    given = ("--checkpoint", checkpoint_of(case))
    refused(["--savi is missing", "holds a predictor"], *given)
    other = write_savi(tmp_path / "other.pt")
    refused(["slot_dim 32", "have 8", other], *given, "--savi", other)
    refused(["holds a lstm; expected savi"], *given, "--savi", imported(case))
    refused(
        ["holds a SAVi, which needs no other"],
        *("--checkpoint", checkpoint_of("Obj3D/savi"), "--savi", imported("Obj3D/savi")),
    )


def test_training_settings_without_an_equivalent_are_no_reason_to_refuse(imported, tmp_path, capfd):
    def change(params):
        params["training_slots"]["optimizer"] = "sgd"
        params["dataset"]["dataset_name"] = "Robots"

    path = write_experiment(tmp_path, "MOViA/predictor_LSTM", params=change)
    given = ("--checkpoint", path, "--savi", imported("MOViA/savi"))
    assert call(main, *given, "--output", tmp_path / "predictor.pt") == 0
    assert "training settings are not recorded (dataset.dataset_name" in capfd.readouterr().err
    content = read_checkpoint(tmp_path / "predictor.pt")
    assert content["config"]["training"] == {"num_context": 6, "num_preds": 8}


# --- settings that must agree ------------------------------------------------------------------


def test_settings_that_agree_are_accepted(imported, tmp_path):
    model = {
        "num_slots": 4,
        "decoder_channels": [14, 12, 10, 8],
        "decoder_resolution": [8, 8],
        "transition_heads": 4,  # the class's default: published files do not say it
        "box_format": "yxyx_fraction",
        "absent": "learned",
    }
    stage = {"kind": "savi", "model": model}
    given = ("--checkpoint", checkpoint_of("Obj3D/savi"), "--config", stage)
    assert call(main, *given, "--output", tmp_path / "savi.pt") == 0
    assert json.loads((tmp_path / "config.json").read_text())["model"] == model
    stage = {"kind": "ocvp_seq", "model": {"num_heads": 4, "dropout": 0.1, "buffer_size": 5}}
    given = ("--checkpoint", checkpoint_of("Obj3D/predictor_OCVPSeq"), "--config", stage)
    given = (*given, "--savi", imported("Obj3D/savi"), "--output", tmp_path / "predictor.pt")
    assert call(main, *given) == 0


def test_every_setting_that_differs_is_told(tmp_path, refused):
    model = {"num_slots": 6, "initializer": "boxes", "transition_heads": 2, "depth": 3}
    parts = [
        "model.num_slots is 4 in the checkpoint and 6 in the config",
        "model.initializer is learned_random in the checkpoint and boxes in the config",
        "model.transition_heads is 4 in the checkpoint and 2 in the config",
        "model.depth is 3, but a savi has no such setting",
    ]
    config = {"kind": "savi", "model": model}
    refused(parts, "--checkpoint", checkpoint_of("Obj3D/savi"), "--config", config)


def test_another_kind_than_the_config_wants_is_refused(imported, refused):
    path = checkpoint_of("Obj3D/predictor_OCVPSeq")
    given = ("--checkpoint", path, "--savi", imported("Obj3D/savi"))
    parts = [path, "holds a model of kind ocvp_seq; the config wants ocvp_par"]
    refused(parts, *given, "--config", {"kind": "ocvp_par"})
    refused(["kind is 'gru'"], *given, "--config", {"kind": "gru"})


# --- checkpoints of this project ---------------------------------------------------------------


def test_a_checkpoint_of_ours_is_taken_over_unchanged(tmp_path):
    savi = write_savi(tmp_path / "in" / "savi.pt")
    predictor = write_predictor(tmp_path / "in" / "predictor.pt", savi)
    for path, kind, more in ((savi, "savi", ()), (predictor, "lstm", ("--savi", savi))):
        output = tmp_path / "out" / path.name
        stage = {"kind": kind, "model": {"slot_dim": 8}}
        given = ("--checkpoint", path, "--seed", 7, "--config", stage, *more)
        assert call(main, *given, "--output", output) == 0
        before, after = (torch.load(file, weights_only=True) for file in (path, output))
        origin = after.pop("imported")
        assert origin == {"checkpoint": path.name, "digest": file_digest(path)}
        assert weights_digest(before.pop("weights")) == weights_digest(after.pop("weights"))
        assert before == after
    predictor = open_predictor(tmp_path / "out" / "predictor.pt")
    check_belongs(predictor, open_savi(tmp_path / "out" / "savi.pt"))


def test_an_imported_checkpoint_can_be_imported_again(imported, tmp_path):
    path = imported("Obj3D/savi")
    assert call(main, "--checkpoint", path, "--output", tmp_path / "savi.pt") == 0
    again = read_checkpoint(tmp_path / "savi.pt")["imported"]
    assert again["imported"] == read_checkpoint(path)["imported"]


def test_a_checkpoint_of_ours_is_checked(imported, tmp_path, refused):
    savi, other = write_savi(tmp_path / "savi.pt"), write_savi(tmp_path / "other.pt", seed=1)
    predictor = write_predictor(tmp_path / "predictor.pt", savi)
    refused(["was trained on another SAVi"], "--checkpoint", predictor, "--savi", other)
    refused(["--savi is missing"], "--checkpoint", predictor)
    refused(["holds a SAVi, which needs no other"], "--checkpoint", savi, "--savi", other)
    refused(["--params is"], "--checkpoint", savi, "--params", tmp_path / "params.json")
    config = {"kind": "lstm"}
    refused(
        ["holds a model of kind savi; the config wants lstm"],
        "--checkpoint",
        savi,
        "--config",
        config,
    )

    content = torch.load(savi, weights_only=True)
    content["weights"]["encoder.mlp.1.bias"][0] += 1
    torch.save(content, tmp_path / "changed.pt")
    refused(["changed.pt is damaged"], "--checkpoint", tmp_path / "changed.pt")
    torch.save(content | {"format": "ocvp checkpoint 9"}, tmp_path / "newer.pt")
    refused(["its format is 'ocvp checkpoint 9'"], "--checkpoint", tmp_path / "newer.pt")

    model, arguments = make_savi()
    weights = model.state_dict()
    weights["encoder.mlp.1.bias"][0] = float("inf")
    save_checkpoint(tmp_path / "inf.pt", weights=weights, kind="savi", model=arguments, config={})
    refused(["encoder.mlp.1.bias is not finite"], "--checkpoint", tmp_path / "inf.pt")
    wider = arguments | {"slot_mlp_dim": 16}
    save_checkpoint(tmp_path / "w.pt", weights=weights, kind="savi", model=wider, config={})
    refused(["does not fit this architecture: corrector.mlp"], "--checkpoint", tmp_path / "w.pt")


# --- boxes from files --------------------------------------------------------------------------


def test_boxes_of_files_reach_an_imported_savi_as_published_pixels(imported, tmp_path):
    arrays = arrays_of("MOViA/savi")
    frames = np.rint(arrays["frames"] * 255).astype(np.uint8)  # (B, T, 3, H, W)
    pixels = arrays["bbox_coords"]  # (B, T, N, 4): x_min, y_min, x_max, y_max of 64 pixels
    pixels[1, :, 2] = -0.5  # absent
    fractions = np.where(pixels < 0, -1, pixels[..., [1, 0, 3, 2]] / 64).astype(np.float32)
    attributes = {"dataset": "movi_a", "split": "test", "source": "{}"}
    with VideoWriter(tmp_path / "test.h5", num_videos=2, attributes=attributes) as writer:
        for video in range(2):
            content = {"frames": frames[video].transpose(0, 2, 3, 1), "boxes": fractions[video]}
            writer.append(Video(f"video {video}", content))
    savi = imported("MOViA/savi")
    given = ("--savi", savi, "--videos", tmp_path / "test.h5", "--runtime", {"device": "cpu"})
    assert call(extract_slots, *given, "--output", tmp_path / "slots.h5") == 0
    model = load_savi(savi)
    with torch.no_grad():
        initial = model.initializer.mlp(torch.from_numpy(pixels[:, 0]))
        expected = model.encode(torch.from_numpy(frames) / 255, initial_slots=initial)
    with h5py.File(tmp_path / "slots.h5") as file:
        found = file["slots"][:]
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=2e-5)


def test_every_case_of_the_reference_is_tested():
    assert len(CASES) == 2 * len(MODELS) == 10
