"""From a config to what is built: cross-checks, chains, and each rule's part of the config."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake_runs import run_snakemake
from staleness_rows import KEYS, set_key

from ocvp.config.section import validate
from ocvp.config.tree import Config, Runtime
from ocvp.config.whole import read_config, runtime_json
from ocvp.records.rules import RULES, stage_config
from ocvp.study.chains import chains

TESTS = Path(__file__).parents[1] / "helpers"


def load(name: str) -> dict[str, Any]:
    """Return a config of the tests, without mappings that several entries share."""
    text = (TESTS / name).read_text(encoding="utf-8")
    return json.loads(json.dumps(yaml.safe_load(text)))


def tiny(**edits: Any) -> dict[str, Any]:
    """Return tests/helpers/tiny.yaml with some keys set; `__` stands for the dots between keys."""
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
    "more objects than the slots of a pretrained SAVi": (
        {"savi__small__pretrained": "x.pt", "datasets__tiny__num_objects": [2, 5]},
        ["savi.small.model.num_slots is 4", "tiny holds up to 5 objects"],
    ),
    "a published checkpoint to start from": (
        {"savi__small__start_from": "x.pth"},
        ["savi.small.start_from: it is 'x.pth'", "import_checkpoint"],
    ),
    "more frames than OBJ3D has": (
        {"datasets__tiny": {"kind": "obj3d", "num_frames": 50, "stride": 3}},
        ["datasets.tiny.num_frames: it is 50 with stride 3, which takes 148 frames", "has 100"],
    ),
    "flow with a stride": (
        {"datasets__tiny": {"kind": "movi", "num_frames": 8, "stride": 2, "fields": ["flow"]}},
        ["datasets.tiny.fields: they are ['flow'] and stride is 2", "stride 1"],
    ),
    "boxes where there are none": (
        {
            "datasets__tiny": {"kind": "obj3d", "resolution": [16, 16], "num_frames": 8},
        },
        ["savi.small.model.initializer is boxes", "tiny (kind obj3d) has no boxes"],
    ),
    "frames to train on beyond the videos": (
        {"savi__small__training__num_frames": 9},
        ["savi.small.training.num_frames is 9", "the videos of tiny have 8 frames"],
    ),
    "clips longer than the frames to train on": (
        {"savi__small__training__num_frames": 2},
        ["savi.small.training.clip_length is 3", "tiny have 2 frames to train on"],
    ),
    "windows longer than the frames to train on": (
        {"predictors__lstm__training__num_frames": 4},
        ["predictors.lstm.training: num_context + num_preds is 3 + 2 = 5", "have 4 frames"],
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

WILDCARDS = {
    "dataset": "first",
    "savi": "small",
    "seed": "1",
    "predictor": "ocvp",
    "protocol": "short",
}
SECTIONS = {"datasets": "dataset", "savi": "savi", "predictors": "predictor"}


def wildcards_of(key: str) -> dict[str, str]:
    """Return the wildcards of a job that the entry with this key concerns."""
    section, name = key.split(".")[:2]
    own = {SECTIONS[section]: name} if section in SECTIONS else {}
    return WILDCARDS | own


def parts(config: Config, wildcards: dict[str, str]) -> dict[str, str]:
    entries = {
        "savi": config.savi[wildcards["savi"]],
        "predictor": config.predictors[wildcards["predictor"]],
    }
    others = {
        f"{'fit' if entry.pretrained else 'import'}_{name}" for name, entry in entries.items()
    }
    return {
        rule: stage_config(config, rule, wildcards)
        for rule, row in RULES.items()
        if row.part is not None and rule not in others
    }


NOT_IN_PARAMS = ("Runtime.", "RuleResources.", "Study.", "Extraction.", "Config.name")
# They become entries of their own (tests/config/test_grid.py).
GRIDS = (".grid",)
# Files from outside of the workflow: their contents are params of their own.
OUTSIDE = (".root", ".pretrained", ".pretrained_params", ".start_from")
# Keys that are not valid by themselves, ever or in this study.
JOINT = (
    "SplitShares.",
    "FolderDataset.fps",
    "LstmEntry.pretrained_params",
    "TransformerEntry.pretrained_params",
)
EDITED = [n for n in KEYS if not n.startswith(NOT_IN_PARAMS) and not n.endswith(OUTSIDE + GRIDS)]


@pytest.mark.parametrize("name", EDITED)
def test_a_key_by_itself_changes_the_part_of_a_rule_that_it_makes_stale(name):
    # A valid study lets some keys change only together with others; here each changes alone.
    edit, before, after = KEYS[name], load("staleness.yaml"), load("staleness.yaml")
    section, _, key = edit.key.rpartition(".")
    if key == "num_epochs":  # excludes the steps of the same section
        for config in (before, after):
            set_key(config, f"{section}.num_steps", None)
        set_key(before, edit.key, 2)
    for joint, value in edit.also.items() if name.startswith(JOINT) else ():
        set_key(after, joint, value)
    set_key(after, edit.key, edit.value)
    wildcards = wildcards_of(edit.key)
    one, two = (parts(validate(Config, config), wildcards) for config in (before, after))
    changed = {rule for rule in one if one[rule] != two[rule]}
    assert changed
    assert changed <= edit.rules


@pytest.mark.parametrize("name", [n for n in KEYS if n.endswith(OUTSIDE)])
def test_where_files_lie_changes_no_part_but_that_of_what_replaces_the_training(name):
    edit, before, after = KEYS[name], load("staleness.yaml"), load("staleness.yaml")
    for joint, value in edit.also.items() if name.startswith(JOINT) else ():
        set_key(after, joint, value)
    set_key(after, edit.key, edit.value)
    wildcards = wildcards_of(edit.key)
    one, two = (parts(validate(Config, config), wildcards) for config in (before, after))
    assert {rule for rule in one.keys() & two.keys() if one[rule] != two[rule]} == set()


@pytest.mark.parametrize("name", [name for name in KEYS if name.startswith(NOT_IN_PARAMS)])
def test_runtime_resources_and_study_are_in_no_part(name):
    edit, config = KEYS[name], load("staleness.yaml")
    before = parts(validate(Config, config), WILDCARDS)
    set_key(config, edit.key, edit.value)
    assert parts(validate(Config, config), WILDCARDS) == before


def test_the_runtime_is_handed_over_whole():
    config = read_config(tiny(runtime__num_workers=3))
    expected = Runtime(num_workers=3).model_dump(mode="json")
    assert json.loads(runtime_json(config)) == expected
    assert expected["processes"] is None


def test_a_training_has_as_many_processes_as_its_job_has_gpus_or_as_the_config_says():
    config = read_config(tiny())
    assert json.loads(runtime_json(config, processes=2))["processes"] == 2
    config = read_config(tiny(runtime__processes=3))
    assert json.loads(runtime_json(config, processes=2))["processes"] == 3


def test_numbers_null_and_switches_of_the_command_line_are_no_text():
    # Snakemake leaves them as text within the mappings of its option --config.
    config = tiny(
        savi__small__model__kernel_size="3",
        savi__small__model__downsample_encoder="false",
        savi__small__evaluation__num_frames="null",
    )
    savi = read_config(config).savi["small"]
    assert savi.model.kernel_size == 3
    assert savi.model.downsample_encoder is False
    assert savi.evaluation.num_frames is None
