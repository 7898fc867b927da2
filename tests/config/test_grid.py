"""Grids: variants of entries, their names, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from staleness_rows import set_key

from ocvp.config.grid import expand, key_path
from ocvp.config.predictors import TransformerEntry
from ocvp.config.savi import SaviEntry
from ocvp.config.whole import read_as_written, read_config
from ocvp.study.chains import chains

TINY = Path(__file__).parents[1] / "helpers" / "tiny.yaml"


def tiny(**edits: Any) -> dict[str, Any]:
    """Return tests/helpers/tiny.yaml with some keys set; `__` stands for the dots between keys."""
    config = json.loads(json.dumps(yaml.safe_load(TINY.read_text(encoding="utf-8"))))
    for key, value in edits.items():
        set_key(config, key.replace("__", "."), value)
    return config


def names(config: dict[str, Any], section: str = "predictors") -> list[str]:
    return list(getattr(read_config(config), section))


def test_each_combination_is_an_entry_named_after_its_values():
    grid = {"num_layers": [1, 3], "learning_rate": [1e-3, 2e-5]}
    config = read_config(tiny(predictors__ocvp_seq__grid=grid))
    expected = {
        f"ocvp_seq-learning_rate{rate}-num_layers{layers}": (float(rate), layers)
        for rate in ("0.001", "2e-05")
        for layers in (1, 3)
    }
    assert list(config.predictors) == ["lstm", "transformer", *expected, "ocvp_par"]
    for name, (rate, layers) in expected.items():
        entry = config.predictors[name]
        assert isinstance(entry, TransformerEntry)
        assert (entry.training.learning_rate, entry.model.num_layers) == (rate, layers)
        assert entry.grid is None


def test_a_variant_differs_from_its_entry_in_the_grids_keys_only():
    entry = read_config(tiny()).predictors["ocvp_seq"]
    config = read_config(tiny(predictors__ocvp_seq__grid={"num_layers": [3]}))
    variant = config.predictors["ocvp_seq-num_layers3"]
    expected = entry.model_dump()
    expected["model"]["num_layers"] = 3
    assert variant.model_dump() == expected
    # Also in what was written, which decides what a pretrained checkpoint must have.
    assert variant.model.model_fields_set == entry.model.model_fields_set


def test_a_study_that_names_an_entry_means_all_its_variants():
    grid = {"num_layers": [1, 2]}
    config = tiny(predictors__ocvp_seq__grid=grid, savi__small__grid={"num_slots": [4, 5]})
    found = chains(read_config(config))
    assert [chain.savi for chain in found] == ["small-num_slots4", "small-num_slots5"]
    variants = ("ocvp_seq-num_layers1", "ocvp_seq-num_layers2")
    assert found[0].predictors == ("lstm", "transformer", *variants, "ocvp_par")


def test_a_study_may_name_one_variant_and_no_other():
    config = tiny(
        predictors__ocvp_seq__grid={"num_layers": [1, 2]},
        study__predictors=["ocvp_seq-num_layers2"],
    )
    assert chains(read_config(config))[0].predictors == ("ocvp_seq-num_layers2",)
    config["study"]["predictors"] = ["ocvp_seq-num_layers3"]
    with pytest.raises(ValueError, match=r"study.predictors names ocvp_seq-num_layers3, but"):
        read_config(config)


def test_the_order_of_keys_changes_no_name():
    grid = {"num_layers": [1], "dropout": [0.2], "buffer_size": [3]}
    expected = "ocvp_par-buffer_size3-dropout0.2-num_layers1"
    assert expected in names(tiny(predictors__ocvp_par__grid=grid))
    backwards = dict(reversed(grid.items()))
    assert expected in names(tiny(predictors__ocvp_par__grid=backwards))


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("learning_rate", "1e-4", "lstm-learning_rate0.0001"),  # YAML 1.1 reads it as text
        ("training.learning_rate", 1, "lstm-training.learning_rate1.0"),
        ("residual", False, "lstm-residualfalse"),
        ("schedule", "constant", "lstm-scheduleconstant"),
        ("gradient_clip", None, "lstm-gradient_clipnull"),
    ],
)
def test_values_in_names_are_the_validated_ones(key, value, name):
    assert name in names(tiny(predictors__lstm__grid={key: [value]}))


def test_lists_and_kinds_may_be_varied():
    grid = {"encoder_channels": [[4, 4], [8, 4, 4]]}
    found = names(tiny(savi__small__grid=grid), "savi")
    assert found == ["small-encoder_channels4x4", "small-encoder_channels8x4x4"]
    found = names(tiny(predictors__ocvp_seq__grid={"kind": ["ocvp_seq", "transformer"]}))
    assert {"ocvp_seq-kindocvp_seq", "ocvp_seq-kindtransformer"} <= set(found)


def test_a_key_of_a_section_in_a_section_may_be_varied():
    found = read_config(tiny(savi__small__grid={"depth": [None, 0.5]})).savi
    assert {name: entry.training.target.depth for name, entry in found.items()} == {
        "small-depthnull": None,
        "small-depth0.5": 0.5,
    }
    assert key_path(found["small-depth0.5"], "training.target.flow", "")[1:] == ("target", "flow")


def test_a_key_of_several_sections_is_written_with_its_section():
    entry = read_config(tiny()).savi["small"]
    assert isinstance(entry, SaviEntry)
    assert key_path(entry, "training.num_frames", "") == ("training", "num_frames")
    with pytest.raises(
        ValueError, match=r"grid.num_frames could be training.num_frames or evaluation.num_frames"
    ):
        key_path(entry, "num_frames", "savi.small.grid")


def test_without_a_grid_the_config_stays_as_it_is():
    config = read_as_written(tiny())
    assert expand(config) is config


BAD = {
    "an unknown key": (
        {"num_heds": [1]},
        "predictors.ocvp_seq.grid.num_heds: there is no such key to vary; allowed are kind, model.",
    ),
    "a path": ({"start_from": ["a.pt"]}, "predictors.ocvp_seq.grid.start_from: there is no such"),
    "a value out of range": (
        {"num_layers": [0]},
        "predictors.ocvp_seq-num_layers0.model.num_layers is 0: input should be greater",
    ),
    "values that do not go together": (
        {"token_dim": [17]},
        "predictors.ocvp_seq-token_dim17.model: token_dim is 17; it must be even",
    ),
    "the same value twice": (
        {"learning_rate": ["1e-3", 0.001]},
        "predictors.ocvp_seq.grid gives ocvp_seq-learning_rate0.001 twice",
    ),
    "the same number twice": (
        {"num_layers": [2, 2]},
        "predictors.ocvp_seq.grid gives ocvp_seq-num_layers2 twice",
    ),
    "one key under two names": (
        {"num_layers": [1, 2], "model.num_layers": [3]},
        "predictors.ocvp_seq.grid holds one key under two names: model.num_layers, num_layers",
    ),
    "no value": ({"num_layers": []}, "predictors.ocvp_seq.grid.num_layers is []"),
    "no key": ({}, "predictors.ocvp_seq.grid is {}"),
    "no list": ({"num_layers": 2}, "predictors.ocvp_seq.grid.num_layers is 2"),
    "text that is no word": ({"kind": ["a/b"]}, "predictors.ocvp_seq.grid holds 'a/b'"),
    "what the study forbids": (
        {"buffer_size": [2]},
        "predictors.ocvp_seq-buffer_size2.model.buffer_size is 2, smaller than its "
        "training.num_context, 3",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_told(name):
    grid, message = BAD[name]
    with pytest.raises(ValueError, match="is not valid") as error:
        read_config(tiny(predictors__ocvp_seq__grid=grid))
    assert message in str(error.value)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_variant_does_not_take_the_name_of_another_entry(is_first):
    config = tiny(predictors__ocvp_seq__grid={"num_layers": [1, 2]})
    other = {"ocvp_seq-num_layers2": {"kind": "ocvp_seq", "pretrained": "x.pt"}}
    predictors = config["predictors"]
    config["predictors"] = {**other, **predictors} if is_first else {**predictors, **other}
    with pytest.raises(ValueError, match=r"ocvp_seq.grid gives ocvp_seq-num_layers2, which stands"):
        read_config(config)


def test_pretrained_entries_have_no_grid():
    config = tiny(predictors__lstm__grid={"num_cells": [1]}, predictors__lstm__pretrained="a.pt")
    with pytest.raises(ValueError, match=r"predictors.lstm.grid: it varies num_cells, but pretr"):
        read_config(config)


def test_data_sets_have_no_grid():
    with pytest.raises(ValueError, match=r"datasets.tiny.grid: unknown key"):
        read_config(tiny(datasets__tiny__grid={"seed": [1, 2]}))


def test_the_names_of_a_job_are_filled_into_the_paths_of_its_entry():
    config = tiny(predictors__lstm__pretrained="kept/{dataset}/{savi}/seed{seed}/{predictor}.pt")
    entry = read_config(config).predictors["lstm"]
    filled = entry.of_job(dataset="tiny", savi="small", seed="1", predictor="lstm")
    assert filled.pretrained == "kept/tiny/small/seed1/lstm.pt"
    assert filled.model == entry.model
    assert entry.pretrained.startswith("kept/{dataset}")
