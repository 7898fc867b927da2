"""Published parameter files as configs: every key is accounted for, and what it means is kept."""

import json

import pytest
import yaml
from published_files import CASES, REFERENCE, checkpoint_of, params_of
from tiny import assert_one_error, call

from ocvp.config.whole import read_config
from ocvp.convert_params import main
from ocvp.models.predictors import PREDICTORS
from ocvp.models.savi import SAVi
from ocvp.published.conversion import convert
from ocvp.published.settings import predictor_arguments, savi_arguments


def leaves(value, key=""):
    """Return the keys of all leaves, found otherwise than the conversion does."""
    if isinstance(value, dict):
        return [leaf for name in value for leaf in leaves(value[name], f"{key}.{name}")]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [leaf for i, part in enumerate(value) for leaf in leaves(part, f"{key}.{i}")]
    return [key[1:]]


def changed(case, **changes):
    """Return the parameters of a case with keys changed, `section__key` for `section.key`."""
    params = params_of(case)
    for name, value in changes.items():
        *path, last = name.split("__")
        section = params
        for part in path:
            section = section[part]
        section[last] = value
    return params


def notes(items):
    return {note.key: note.value for note in items}


@pytest.mark.parametrize("case", CASES)
def test_every_key_of_the_file_is_accounted_for(case):
    params = params_of(case)
    conversion = convert(params)
    groups = [
        set(conversion.converted),
        set(notes(conversion.no_effect)),
        set(notes(conversion.not_converted)),
    ]
    keys = leaves(params)
    assert len(keys) == len(set(keys)) > 50
    assert set().union(*groups) == set(keys)
    assert sum(map(len, groups)) == len(keys)  # each in one group
    assert conversion.unknown == []
    assert conversion.not_converted == []


@pytest.mark.parametrize("case", CASES)
def test_converted_keys_name_keys_of_the_config(case):
    conversion = convert(params_of(case))
    for targets in conversion.converted.values():
        for target in targets:
            section = conversion.config
            for part in target.split("."):
                assert part in section, target
                section = section[part]


@pytest.mark.parametrize("case", CASES)
def test_the_config_is_complete_and_builds_the_published_models(case):
    params = params_of(case)
    config = read_config(convert(params).config)
    (dataset,) = config.datasets.values()
    (savi,) = config.savi.values()
    own = SAVi(**savi.model.model_dump(), resolution=dataset.resolution).state_dict()
    published = SAVi(**savi_arguments(params)).state_dict()
    published.update({k: v for k, v in own.items() if k == "initializer.absent_slots"})
    assert {k: v.shape for k, v in own.items()} == {k: v.shape for k, v in published.items()}
    kind, arguments = predictor_arguments(params)
    entry = config.predictors[f"{kind}_{next(iter(config.datasets))}"]
    assert entry.kind == kind
    converted = {**entry.model.model_dump(), "slot_dim": savi.model.slot_dim}
    shapes = [
        {name: tensor.shape for name, tensor in PREDICTORS[kind](**kwargs).state_dict().items()}
        for kwargs in (arguments, converted)
    ]
    assert shapes[0] == shapes[1]


def test_the_file_of_a_savi_on_obj3d():
    config = convert(params_of("Obj3D/savi")).config
    assert config["datasets"] == {
        "obj3d": {
            "kind": "obj3d",
            "root": "data/OBJ3D",
            "num_frames": 50,
            "resolution": [64, 64],
            "resize": "bicubic",
        }
    }
    savi = config["savi"]["savi_obj3d"]
    assert savi["model"]["decoder_channels"] == [14, 12, 10, 8]
    assert savi["model"]["initializer"] == "learned_random"
    assert "box_format" not in savi["model"]
    assert savi["training"] == {
        "clip_length": 10,
        "num_epochs": 2000,
        "batch_size": 64,
        "num_frames": 30,
        "learning_rate": 0.002,
        "warmup_steps": 4,
        "warmup_epochs": 1000,
        "schedule": "cosine",
        "scheduler_steps": 50,
        "gradient_clip": 0.05,
        "precision": "float32",
        "tf32": False,
    }
    names = ["lstm_obj3d", "transformer_obj3d", "ocvp_seq_obj3d", "ocvp_par_obj3d"]
    assert list(config["predictors"]) == config["study"]["predictors"] == names
    assert list(config["evaluation"]) == ["obj3d_5_to_5", "obj3d_5_to_25"]


def test_the_file_of_a_predictor_on_movi_a():
    conversion = convert(params_of("MOViA/predictor_OCVPPar"))
    config = conversion.config
    dataset = config["datasets"]["movi_a"]
    assert (dataset["variant"], dataset["splits"], dataset["resize"]) == (
        "movi_a",
        "published",
        "box",
    )
    assert dataset["max_objects"] == 5  # of at most 10: the reference has 5 slots
    assert any("up to 10 objects" in remark for remark in conversion.remarks)
    assert list(config["predictors"]) == ["ocvp_par_movi_a"]
    training = config["predictors"]["ocvp_par_movi_a"]["training"]
    # sample_length 14 is the predictor's window; SAVi's clips were 10 frames long
    assert config["savi"]["savi_movi_a"]["training"]["clip_length"] == 10
    assert (training["num_context"], training["num_preds"]) == (6, 8)
    assert training["gradient_clip"] == 0.05  # the predictor's own section says no clipping
    assert notes(conversion.no_effect)["training_prediction.gradient_clipping"] is False
    assert training["warmup_epochs"] == 200
    assert list(config["evaluation"]) == ["movi_a_6_to_8", "movi_a_6_to_18"]


def test_what_is_said_of_protocols_is_true():
    """The file of SAVi on MOVi-A holds the window of Obj3D, which no published run had."""
    for case in CASES:
        conversion = convert(params_of(case))
        protocols = list(conversion.config["evaluation"])
        training = next(iter(conversion.config["predictors"].values()))["training"]
        window = (training["num_context"], training["num_preds"])
        dataset = next(iter(conversion.config["datasets"]))
        rest = 30 - window[0] if dataset == "obj3d" else 24 - window[0]
        assert protocols == [f"{dataset}_{window[0]}_to_{n}" for n in (window[1], rest)]
        remarks = [text for text in conversion.remarks if "num_context" in text]
        assert "Protocols are not in the file: they are num_context and" in remarks[0]
        if case == "MOViA/savi":
            assert window == (5, 5)
            assert remarks[1].startswith(
                "training_prediction says num_context 5 and num_preds 5; the published predictors "
                "of movi_a were trained with 6 and 8"
            )
        else:
            assert window == ((5, 5) if dataset == "obj3d" else (6, 8))
            assert len(remarks) == 1
        assert not any("published experiments" in text and "rotocol" in text for text in remarks)


def test_movi_c_and_enough_slots():
    params = changed("MOViA/savi", dataset__dataset_name="MoviC", model__SAVi__num_slots=11)
    conversion = convert(params)
    assert conversion.config["datasets"]["movi_c"]["variant"] == "movi_c"
    assert conversion.config["datasets"]["movi_c"]["max_objects"] == 10
    assert list(conversion.config["savi"]) == ["savi_movi_c"]
    assert not any("up to 10 objects" in remark for remark in conversion.remarks)


def training_of(section="savi", **changes):
    conversion = convert(changed("Obj3D/predictor_LSTM", **changes))
    (entry,) = conversion.config[section].values()
    return entry["training"], notes(conversion.no_effect)


def test_switched_off_warm_up_schedule_and_clipping():
    slots = "training_slots__"
    training, without = training_of(**{f"{slots}lr_warmup": False})
    assert training["warmup_steps"] == 0
    assert "warmup_epochs" not in training
    assert {"training_slots.warmup_steps", "training_slots.warmup_epochs"} <= without.keys()
    for scheduler in ("", None, "none"):
        training, without = training_of("predictors", **{f"{slots}scheduler": scheduler})
        assert training["schedule"] == "constant"
        assert "scheduler_steps" not in training
        assert "training_slots.scheduler_steps" in without
    training, without = training_of("predictors", **{f"{slots}gradient_clipping": False})
    assert training["gradient_clip"] is None
    assert "training_slots.clipping_max_value" in without


def test_losses_become_weights():
    losses = [{"type": "pred_slot_mse", "weight": 0.5}]
    training, _ = training_of("predictors", predictor_loss=losses)
    assert (training["frame_loss_weight"], training["slot_loss_weight"]) == (0, 0.5)


def test_epochs_that_end_early_become_steps():
    key = "training_prediction__train_iters_per_epoch"
    training, without = training_of("predictors", **{key: 46})  # 2920 / 64 = 45.6
    assert training["num_epochs"] == 1500
    assert "training_prediction.train_iters_per_epoch" in without
    for limit in (20, 45):
        training, without = training_of("predictors", **{key: limit})
        assert training["num_steps"] == 1500 * limit
        assert "num_epochs" not in training
        assert "training_prediction.train_iters_per_epoch" not in without


def test_a_batch_size_that_the_published_runs_did_not_have_is_remarked():
    found = convert(params_of("Obj3D/predictor_OCVPSeq")).remarks
    assert any("batches of 64" in text for text in found)
    assert not any("batches of 64" in text for text in convert(params_of("Obj3D/savi")).remarks)


def test_a_file_without_predictors():
    params = params_of("Obj3D/savi")
    del params["model"]["predictor"], params["training_prediction"], params["predictor_loss"]
    conversion = convert(params)
    assert conversion.config["predictors"] == {}
    assert not any("rotocol" in text for text in conversion.remarks)
    assert conversion.config["savi"]["savi_obj3d"]["training"]["clip_length"] == 10
    assert read_config(conversion.config).study[0].predictors == []


@pytest.mark.parametrize("key", ["dataset__random_start", "dataset__shuffle_train"])
def test_values_that_cannot_be_had_are_told(key):
    params = changed("Obj3D/savi")
    section, _, name = key.partition("__")
    params[section][name] = not params[section][name]
    conversion = convert(params)
    assert notes(conversion.not_converted) == {key.replace("__", "."): params[section][name]}
    assert key.replace("__", ".") not in notes(conversion.no_effect)


def test_unknown_keys_are_told():
    params = changed("Obj3D/savi", dataset__fps=12, extra={"deep": [1, 2]}, training_slots__ema={})
    params["loss"][0]["reduction"] = "mean"
    assert notes(convert(params).unknown) == {
        "dataset.fps": 12,
        "extra.deep": [1, 2],
        "training_slots.ema": {},
        "loss.0.reduction": "mean",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training_slots__optimizer": "sgd"}, "training_slots.optimizer is 'sgd'; only 'adam'"),
        ({"training_slots__scheduler": "plateau"}, "training_slots.scheduler is 'plateau'; only"),
        ({"dataset__target": "flow"}, "dataset.target is 'flow'; only 'rgb'"),
        ({"loss": [{"type": "l1", "weight": 1}]}, "loss is .* only one 'mse' of weight 1"),
        ({"loss": [{"type": "mse", "weight": 2}]}, "loss is .* only one 'mse' of weight 1"),
        ({"predictor_loss": [{"type": "ssim", "weight": 1}]}, r"predictor_loss.0.type is 'ssim'"),
        ({"dataset__dataset_name": "Robots"}, "dataset_name is 'Robots'; only OBJ3D, MoviA"),
        ({"training_slots__lr": "fast"}, "training_slots.lr is 'fast'; it must be a number"),
        (
            {"training_slots__lr_warmup": 1},
            "training_slots.lr_warmup is 1; it must be true or false",
        ),
        ({"training_prediction__train_iters_per_epoch": "all"}, "is 'all'; it must be a number"),
        ({"training_slots__scheduler": ["step"]}, r"scheduler is \['step'\]; only"),
        ({"predictor_loss": [{"type": None, "weight": 1}]}, r"predictor_loss.0.type is None"),
        ({"dataset__dataset_name": 3}, "dataset.dataset_name is 3; it must be a name"),
        ({"training_prediction__skip_first_slot": True}, "skip_first_slot is True; a predictor"),
        (
            {"training_prediction__skip_first_slot": 1},
            "skip_first_slot is 1; a predictor here sees",
        ),
        ({"predictor_loss": 1}, "predictor_loss is 1; it must be a list of losses"),
        ({"model__predictor__predictor_name": "OCVP-Seq"}, r"no model\.predictor\.OCVP-Seq"),
    ],
)
def test_what_has_no_equivalent_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        convert(changed("Obj3D/predictor_LSTM", **changes))


def test_skipping_the_first_slot_concerns_predictors_only():
    params = changed("Obj3D/savi", training_prediction__skip_first_slot=True)
    if params["model"].pop("predictor", None):
        with pytest.raises(ValueError, match=r"training_prediction\.skip_first_slot is True"):
            convert(changed("Obj3D/savi", training_prediction__skip_first_slot=True))
    assert "training_prediction.skip_first_slot" in notes(convert(params).not_converted)


def test_all_that_has_no_equivalent_is_told_at_once():
    params = changed(
        "Obj3D/savi", training_slots__optimizer="sgd", training_slots__scheduler="step"
    )
    with pytest.raises(ValueError, match=r"(?s)optimizer is 'sgd'.*scheduler is 'step'") as raised:
        convert(params)
    assert str(raised.value).count("optimizer") == 1


@pytest.mark.parametrize("key", ["training_slots__lr", "training_prediction__num_context"])
def test_missing_keys_are_named(key):
    params = changed("Obj3D/savi")
    section, _, name = key.partition("__")
    del params[section][name]
    with pytest.raises(ValueError, match=rf"has no {section}\.{name}"):
        convert(params)


# --- the program -------------------------------------------------------------------------------


def path_of(case):
    return REFERENCE / case / "experiment_params.json"


@pytest.mark.parametrize("case", CASES)
def test_the_printed_config_is_valid_yaml(case, capsys):
    assert call(main, path_of(case)) == 0
    text = capsys.readouterr().out
    config = yaml.safe_load(text)
    read_config(config)
    assert config == convert(params_of(case)).config  # 2.0e-3 is a number again
    assert all(len(line) <= 100 for line in text.splitlines())


def test_each_key_without_effect_stands_at_the_head_and_on_stderr(tmp_path, capsys):
    output = tmp_path / "mine.yaml"
    params = changed("MOViA/savi", dataset__fps=12, dataset__random_start=False)
    (tmp_path / "params.json").write_text(json.dumps(params))
    assert call(main, tmp_path / "params.json", "--output", output) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    head = output.read_text().partition("\ndatasets:")[0]
    assert all(line.startswith("#") for line in head.splitlines() if line)
    head = " ".join(head.replace("\n#  ", " ").split())
    for note in convert(params).no_effect:
        for text in (head, printed.err):
            assert f"{note.key}: {json.dumps(note.value)} ({note.reason})" in text
    for text in (head, printed.err):
        assert "dataset.fps: 12 (not a key of published files)" in text
        assert "dataset.random_start: false (training windows always start" in text
        assert "box_format: yxyx_fraction" in text
    assert yaml.safe_load(output.read_text()) == convert(params).config


def test_a_config_that_cannot_work_is_refused_with_the_file_named(tmp_path, capsys):
    params = changed("Obj3D/savi", model__predictor__LSTM={"num_cells": 1, "hidden_dim": 16})
    params["model"]["predictor"]["LSTM"]["residual"] = True
    path = tmp_path / "params.json"
    path.write_text(json.dumps(params))
    assert call(main, path, "--output", tmp_path / "mine.yaml") == 1
    assert_one_error(capsys.readouterr().err, path, "lstm_obj3d.model.hidden_dim is 16")
    assert not (tmp_path / "mine.yaml").exists()
    assert call(main, tmp_path / "gone.json") == 1
    assert_one_error(capsys.readouterr().err, "gone.json does not exist")


def test_a_checkpoint_given_as_a_parameter_file_is_not_printed(tmp_path, capsys):
    assert call(main, checkpoint_of("Obj3D/savi"), "--output", tmp_path / "x.yaml") == 1
    message = capsys.readouterr().err
    assert "not a published experiment_params.json (it is no text)" in message
    assert len(message) < 500
