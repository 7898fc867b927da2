"""From a config to what is built: cross-checks, chains, and each rule's part of the config."""

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from snakemake_runs import run_snakemake
from staleness_rows import KEYS, set_key

from ocvp.config import Config, validate
from ocvp.stages import STAGES
from ocvp.study import chains, read_config, runtime_json, stage_config

TESTS = Path(__file__).parent


def load(name: str) -> dict[str, Any]:
    """Return a config of the tests, without mappings that several entries share."""
    text = (TESTS / name).read_text(encoding="utf-8")
    return json.loads(json.dumps(yaml.safe_load(text)))


def tiny(**edits: Any) -> dict[str, Any]:
    """Return tests/tiny.yaml with some keys set; `__` stands for the dots between keys."""
    config = load("tiny.yaml")
    for key, value in edits.items():
        set_key(config, key.replace("__", "."), value)
    return config


# --- cross-checks: one bad config each ----------------------------------------------------------

BAD = {
    "undefined data set": (
        {"study__datasets": ["tiny", "movi"]},
        ["study.datasets names movi", "datasets defines only tiny"],
    ),
    "undefined SAVi": ({"study__savi": ["big"]}, ["study.savi names big", "only small"]),
    "undefined predictor": (
        {"study__predictors": ["gru"]},
        ["study.predictors names gru", "only lstm, transformer, ocvp_seq, ocvp_par"],
    ),
    "undefined protocol": (
        {"study__evaluation": ["long"]},
        ["study.evaluation names long", "only short, validation"],
    ),
    "more objects than slots": (
        {"datasets__tiny__num_objects": [2, 5]},
        ["savi.small.model.num_slots is 4", "tiny holds up to 5 objects", "at least 5 slots"],
    ),
    "clips longer than the videos": (
        {"savi__small__training__clip_length": 9},
        ["savi.small.training.clip_length is 9", "the videos of tiny have 8 frames"],
    ),
    "scored frames beyond the videos": (
        {"savi__small__evaluation__num_frames": 9},
        ["savi.small.evaluation.num_frames is 9", "the videos of tiny have 8 frames"],
    ),
    "a width that the transition's heads do not divide": (
        {"savi__small__model__slot_dim": 18, "predictors__lstm__model__hidden_dim": 18},
        ["savi.small.model.slot_dim is 18", "multiple of 4"],
    ),
    "a decoder that misses the frames' size": (
        {"savi__small__model__decoder_resolution": [4, 8]},
        ["savi.small.model decodes to [8, 16]", "the frames of tiny are [16, 16]"],
    ),
    "an LSTM whose width is not the slots'": (
        {"predictors__lstm__model__hidden_dim": 32},
        ["predictors.lstm.model.hidden_dim is 32", "slot_dim of savi.small, 16"],
    ),
    "a buffer smaller than the context of training": (
        {"predictors__ocvp_seq__model__buffer_size": 2},
        ["predictors.ocvp_seq.model.buffer_size is 2", "training.num_context, 3", "at least 3"],
    ),
    "a buffer smaller than the context of a protocol": (
        {"evaluation__short__num_context": 4, "evaluation__short__num_preds": 2},
        ["predictors.ocvp_par.model.buffer_size is 3", "evaluation.short.num_context, 4"],
    ),
    "training windows longer than the videos": (
        {"predictors__lstm__training__num_preds": 6},
        ["predictors.lstm.training: num_context + num_preds is 3 + 6 = 9", "tiny have 8 frames"],
    ),
    "evaluation windows longer than the videos": (
        {"evaluation__validation__num_preds": 7},
        ["evaluation.validation: num_context + num_preds is 2 + 7 = 9", "tiny have 8 frames"],
    ),
}


@pytest.mark.parametrize(("edits", "expected"), BAD.values(), ids=BAD)
def test_a_study_that_does_not_fit_is_refused(edits, expected):
    with pytest.raises(ValueError, match="is not valid") as raised:
        read_config(tiny(**edits))
    for part in expected:
        assert part in str(raised.value)


def test_each_fault_is_told_once():
    config = tiny(savi__small__training__clip_length=9, study__seeds=[1, 2])
    config["study"] = [config["study"], copy.deepcopy(config["study"])]
    with pytest.raises(ValueError, match="clip_length") as raised:
        read_config(config)
    assert str(raised.value).count("clip_length is 9") == 1


def test_what_no_study_names_is_not_checked_against_others():
    config = tiny()
    config["predictors"]["wide"] = {
        "kind": "lstm",
        "model": {"hidden_dim": 512},
        "training": {"num_context": 100, "num_preds": 100, "num_steps": 1},
    }
    read_config(config)


def test_a_config_without_a_study_says_how_to_give_one():
    config = tiny()
    del config["study"]
    with pytest.raises(ValueError, match=r"--configfile config/config\.yaml mine\.yaml"):
        read_config(config)


def test_a_transition_that_is_off_needs_no_heads():
    read_config(
        tiny(
            savi__small__model__slot_dim=18,
            savi__small__model__transition=False,
            predictors__lstm__model__hidden_dim=18,
        )
    )


def test_a_buffer_without_limit_fits_every_context():
    config = tiny(evaluation__short__num_context=4, evaluation__short__num_preds=2)
    for name in ("transformer", "ocvp_seq", "ocvp_par"):
        config["predictors"][name]["model"]["buffer_size"] = None
    read_config(config)


def test_snakemake_stops_before_anything_runs(tmp_path):
    path = tmp_path / "bad.yaml"
    config = tiny(savi__small__training__clip_length=9, resources__fit_saavi__threads=1)
    path.write_text(yaml.dump(config), encoding="utf-8")
    run = run_snakemake("--cores", "1", "--configfile", path, folder=tmp_path)
    assert run.status == 1
    assert "savi.small.training.clip_length is 9, but the videos of tiny have 8 frames" in run.text
    assert "Traceback" not in run.text
    assert not (tmp_path / "results").exists()


def test_resources_of_an_unknown_rule_are_refused(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.dump(tiny(resources__fit_saavi__threads=1)), encoding="utf-8")
    run = run_snakemake("--dry-run", "--configfile", path, folder=tmp_path)
    assert run.status == 1
    assert "resources names fit_saavi; the rules are" in run.text


# --- chains -------------------------------------------------------------------------------------


def test_a_mapping_and_a_list_of_one_are_the_same_study():
    one, listed = tiny(), tiny()
    listed["study"] = [listed["study"]]
    assert chains(read_config(one)) == chains(read_config(listed))


def test_a_study_is_a_cross_product():
    config = tiny(study__seeds=[1, 2])
    found = chains(read_config(config))
    assert [chain[:3] for chain in found] == [("tiny", "small", 1), ("tiny", "small", 2)]
    for chain in found:
        assert chain.predictors == ("lstm", "transformer", "ocvp_seq", "ocvp_par")
        assert chain.protocols == ("short", "validation")
        assert len(set(chain.scored)) == 4 * 2


def test_a_list_is_the_union_of_its_products_and_nothing_more():
    config = tiny()
    common = {"datasets": ["tiny"], "savi": ["small"], "seeds": [1]}
    config["study"] = [
        {**common, "predictors": ["lstm"], "evaluation": ["short"]},
        {**common, "predictors": ["ocvp_par", "lstm"], "evaluation": ["validation"]},
        {**common, "seeds": [2], "evaluation": ["short"]},
    ]
    first, second = chains(read_config(config))
    assert first.predictors == ("lstm", "ocvp_par")
    assert set(first.scored) == {
        ("lstm", "short"),
        ("lstm", "validation"),
        ("ocvp_par", "validation"),
    }
    # Without a predictor there is nothing that a protocol could score.
    assert second[:3] == ("tiny", "small", 2)
    assert second.predictors == second.scored == second.protocols == ()


# --- each rule's part of the config -------------------------------------------------------------

WILDCARDS = SimpleNamespace(
    dataset="first", savi="small", seed="1", predictor="ocvp", protocol="short"
)
LSTM_WILDCARDS = SimpleNamespace(**{**vars(WILDCARDS), "predictor": "lstm"})
RULES_WITHOUT_CONFIG = {"summarize"}


def parts(config: Config, wildcards: SimpleNamespace) -> dict[str, str]:
    return {
        rule: stage_config(config, rule, wildcards)
        for rule in STAGES
        if rule not in RULES_WITHOUT_CONFIG
    }


NOT_IN_PARAMS = ("Runtime.", "RuleResources.", "Study.")
EDITED = [name for name in KEYS if not name.startswith(NOT_IN_PARAMS)]


@pytest.mark.parametrize("name", EDITED)
def test_a_key_by_itself_changes_the_part_of_a_rule_that_it_makes_stale(name):
    # A valid study lets some keys change only together with others; here each changes alone.
    edit, before, after = KEYS[name], load("staleness.yaml"), load("staleness.yaml")
    section, _, key = edit.key.rpartition(".")
    if key == "num_epochs":  # excludes the steps of the same section
        for config in (before, after):
            set_key(config, f"{section}.num_steps", None)
        set_key(before, edit.key, 2)
    set_key(after, edit.key, edit.value)
    wildcards = LSTM_WILDCARDS if ".lstm." in edit.key else WILDCARDS
    one, two = (parts(validate(Config, config), wildcards) for config in (before, after))
    changed = {rule for rule in one if one[rule] != two[rule]}
    assert changed
    assert changed <= edit.rules


@pytest.mark.parametrize("name", [name for name in KEYS if name.startswith(NOT_IN_PARAMS)])
def test_runtime_resources_and_study_are_in_no_part(name):
    edit, config = KEYS[name], load("staleness.yaml")
    before = parts(validate(Config, config), WILDCARDS)
    set_key(config, edit.key, edit.value)
    assert parts(validate(Config, config), WILDCARDS) == before


def test_the_runtime_is_handed_over_whole():
    config = read_config(tiny(runtime__num_workers=3))
    assert json.loads(runtime_json(config)) == {
        "device": "auto",
        "data": "memory",
        "num_workers": 3,
        "batch_videos": 16,
        "save_interval_minutes": 10.0,
    }
