"""Shipped configs: valid, the published hyper-parameters, models of the published sizes, overrides.

The tables below are written by hand, from the published experiment files and logs: they share
nothing with the configs.
"""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config

from ocvp.config.datasets import MoviDataset
from ocvp.config.savi import SaviEntry
from ocvp.config.tree import Config
from ocvp.config.whole import read_config
from ocvp.data.raw_files import list_videos
from ocvp.data.raw_videos import MissingDataError
from ocvp.models.predictors import PREDICTORS
from ocvp.models.savi import SAVi
from ocvp.study.chains import chains

CONFIGS = Path(__file__).parents[2] / "config"
SHIPPED = sorted(CONFIGS.glob("*.yaml"))
SMALL = sorted((CONFIGS / "small").glob("*.yaml"))
PUBLISHED = ["obj3d", "movi_a", "movi_c"]
SECTIONS = ("datasets", "savi", "predictors", "evaluation")
KINDS = ("lstm", "transformer", "ocvp_seq", "ocvp_par")


def load(name: str, *overrides: str) -> dict[str, Any]:
    """Return a config with overrides merged over it, as Snakemake merges `--configfile` files."""
    merged: dict[str, Any] = {}
    for file in (name, *overrides):
        update_config(merged, load_configfile(str(CONFIGS / f"{file}.yaml")))
    return merged


def config_of(name: str, *overrides: str) -> Config:
    return read_config(load(name, *overrides))


def num_parameters(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# --- the published recipes ----------------------------------------------------------------------

SAVI_MODEL = {
    "obj3d": {
        "num_slots": 6,
        "encoder_mlp_dim": 64,
        "slot_mlp_dim": 128,
        "num_iterations_first": 2,
        "num_iterations": 2,
        "initializer": "learned_random",
    },
    "movi_a": {
        "num_slots": 11,
        "encoder_mlp_dim": 128,
        "slot_mlp_dim": 256,
        "num_iterations_first": 3,
        "num_iterations": 1,
        "initializer": "boxes",
    },
}
SAME_SAVI_MODEL = {
    "slot_dim": 128,
    "encoder_channels": (32, 32, 32, 32),
    "kernel_size": 5,
    "downsample_encoder": False,
    "decoder_channels": (64, 64, 64, 64),
    "decoder_resolution": (8, 8),
    "downsample_decoder": True,
    "transition": True,
    "box_format": "yxyx_fraction",
    "absent": "learned",
}
SAVI_TRAINING = {
    "obj3d": {
        "num_epochs": 2000,
        "num_steps": None,
        "num_frames": 30,
        "learning_rate": 1e-4,
        "scheduler_steps": 100_000,
    },
    "movi_a": {
        "num_epochs": None,
        "num_steps": 150_000,
        "num_frames": None,
        "learning_rate": 1e-4,
        "scheduler_steps": 400_000,
    },
}
PREDICTOR_TRAINING = {
    "obj3d": {
        "num_context": 5,
        "num_preds": 5,
        "num_epochs": 1500,
        "num_steps": None,
        "num_frames": 30,
        "learning_rate": 1e-4,
        "scheduler_steps": 100_000,
    },
    "movi_a": {
        "num_context": 6,
        "num_preds": 8,
        "num_epochs": None,
        "num_steps": 50_000,
        "num_frames": None,
        "learning_rate": 2e-4,
        "scheduler_steps": 400_000,
    },
}
SAME_TRAINING = {
    "batch_size": 64,
    "warmup_steps": 2500,
    "warmup_epochs": None,
    "schedule": "cosine",
    "gradient_clip": 0.05,
    "weight_decay": 0.0,
    "select": "last",
    "precision": "float32",
    "tf32": False,
}
TRANSFORMER = {
    "obj3d": {"token_dim": 128, "hidden_dim": 256, "num_heads": 4, "buffer_size": 5},
    "movi_a": {"token_dim": 256, "hidden_dim": 512, "num_heads": 8, "buffer_size": 30},
}
SAME_TRANSFORMER = {"num_layers": 4, "residual": True, "dropout": 0.1}
PROTOCOLS = {
    "obj3d": {"obj3d_5_to_25": (5, 25, "test", False), "obj3d_6_to_44": (6, 44, "val", True)},
    "movi_a": {"movi_a_6_to_8": (6, 8, "test", False), "movi_a_6_to_18": (6, 18, "test", False)},
    "movi_c": {"movi_c_6_to_8": (6, 8, "test", False), "movi_c_6_to_18": (6, 18, "test", False)},
}
# MOVi-C has no published experiment file: the recipe is that of MOVi-A.
RECIPE = {"obj3d": "obj3d", "movi_a": "movi_a", "movi_c": "movi_a"}


def assert_holds(section: Any, *expected: dict[str, Any]) -> None:
    for values in expected:
        found = section.model_dump(include=set(values))
        assert found == values


@pytest.mark.parametrize("name", PUBLISHED)
def test_savi_is_the_published_one(name):
    savi = config_of(name).savi[f"savi_{name}"]
    assert_holds(savi.model, SAVI_MODEL[RECIPE[name]], SAME_SAVI_MODEL)
    assert_holds(savi.training, SAVI_TRAINING[RECIPE[name]], SAME_TRAINING, {"clip_length": 10})
    assert_holds(savi.training, {"curriculum_epochs": 0})
    assert not savi.pretrained


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("kind", KINDS)
def test_predictors_are_the_published_ones(name, kind):
    predictor = config_of(name).predictors[f"{kind}_{name}"]
    assert predictor.kind == kind
    assert_holds(predictor.training, PREDICTOR_TRAINING[RECIPE[name]], SAME_TRAINING)
    assert_holds(
        predictor.training,
        {"frame_loss_weight": 1.0, "slot_loss_weight": 1.0, "teacher_forcing": False},
    )
    if kind == "lstm":
        assert_holds(predictor.model, {"hidden_dim": 128, "num_cells": 2, "residual": True})
    else:
        assert_holds(predictor.model, TRANSFORMER[RECIPE[name]], SAME_TRANSFORMER)


@pytest.mark.parametrize("name", PUBLISHED)
def test_protocols_are_the_published_ones(name):
    config = config_of(name)
    found = {
        key: (protocol.num_context, protocol.num_preds, protocol.split, protocol.cut_context)
        for key, protocol in config.evaluation.items()
    }
    assert found == PROTOCOLS[name]


def test_data_sets_are_read_as_the_published_loaders_read_them():
    obj3d = config_of("obj3d").datasets["obj3d"]
    assert_holds(obj3d, {"kind": "obj3d", "resolution": (64, 64), "resize": "bicubic"})
    assert_holds(obj3d, {"num_frames": 50, "stride": 1, "root": "data/OBJ3D"})
    same = {"kind": "movi", "source_resolution": 128, "resolution": (64, 64), "resize": "box"}
    for name, splits in (("movi_a", "divided"), ("movi_c", "own")):
        movi = config_of(name).datasets[name]
        assert_holds(movi, same, {"variant": name, "splits": splits, "root": "data/tfds"})
        assert_holds(movi, {"num_frames": 24, "stride": 1, "max_objects": 10})


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_study_builds_everything_with_three_seeds(name):
    found = chains(config_of(name))
    assert [chain[:3] for chain in found] == [(name, f"savi_{name}", seed) for seed in range(3)]
    for chain in found:
        assert set(chain.predictors) == {f"{kind}_{name}" for kind in KINDS}
        assert set(chain.protocols) == PROTOCOLS[name].keys()
        assert len(chain.scored) == 8


# --- the published numbers of parameters ---------------------------------------------------------

# Without parameters that the published models hold and never use: a layer of SAVi's transition, a
# dummy of the box initializer, and one attention module in each layer of OCVP-Par.
PARAMETERS = {
    "obj3d": {
        "savi": 899_140,
        "lstm": 264_192,
        "transformer": 562_944,
        "ocvp_seq": 1_092_864,
        "ocvp_par": 1_091_328 - 264_192,
    },
    "movi_a": {
        "savi": 996_933 - 1,
        "lstm": 264_192,
        "transformer": 2_174_336,
        "ocvp_seq": 4_282_752,
        "ocvp_par": 4_279_680 - 1_052_672,
    },
}


def build_savi(entry: SaviEntry, **changes: Any) -> SAVi:
    return SAVi(resolution=(64, 64), **(entry.model.model_dump() | changes))


@pytest.mark.parametrize("name", PUBLISHED)
def test_models_have_the_published_numbers_of_parameters(name):
    config, expected = config_of(name), PARAMETERS[RECIPE[name]]
    savi = config.savi[f"savi_{name}"]
    assert num_parameters(build_savi(savi, absent="published")) == expected["savi"]
    for kind in KINDS:
        model = config.predictors[f"{kind}_{name}"].model.model_dump()
        predictor = PREDICTORS[kind](slot_dim=savi.model.slot_dim, **model)
        assert num_parameters(predictor) == expected[kind], kind


def test_learned_vectors_of_absent_objects_are_all_that_savi_has_more():
    obj3d, movi_a = (config_of(name).savi[f"savi_{name}"] for name in ("obj3d", "movi_a"))
    assert num_parameters(build_savi(obj3d)) == PARAMETERS["obj3d"]["savi"]
    num_slots, slot_dim = 11, 128
    expected = PARAMETERS["movi_a"]["savi"] + num_slots * slot_dim
    assert num_parameters(build_savi(movi_a)) == expected


# --- several data sets, overrides ----------------------------------------------------------------


def test_published_is_obj3d_and_movi_a():
    both = config_of("published")
    parts = [config_of("obj3d"), config_of("movi_a")]
    for section in SECTIONS:
        entries = {**getattr(parts[0], section), **getattr(parts[1], section)}
        assert getattr(both, section) == entries, section
    assert both.study == [*parts[0].study, *parts[1].study]
    assert chains(both) == [*chains(parts[0]), *chains(parts[1])]
    for rule, given in both.resources.items():
        for part in parts:
            asked = part.resources[rule].model_dump()
            assert all((getattr(given, key) or 0) >= (asked[key] or 0) for key in asked), rule


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configs_are_valid_as_snakemake_reads_them(path):
    assert chains(config_of(path.stem))


def test_every_published_config_has_an_override():
    assert [path.stem for path in SMALL] == sorted([*PUBLISHED, "published"])


@pytest.mark.parametrize("name", [*PUBLISHED, "published"])
def test_overrides_shrink_everything(name):
    whole, small = config_of(name), config_of(name, f"small/{name}")
    for section in SECTIONS:
        assert getattr(whole, section).keys() == getattr(small, section).keys(), section
    assert [study.seeds for study in small.study] == [[0]] * len(whole.study)
    for before, after in zip(whole.study, small.study, strict=True):
        assert after == before.model_copy(update={"seeds": [0]})
    for key, dataset in small.datasets.items():
        assert max(dataset.resolution) <= 32
        assert dataset.num_frames < whole.datasets[key].num_frames
        assert max(dataset.max_videos.model_dump().values()) <= 6
    for entry in [*small.savi.values(), *small.predictors.values()]:
        assert entry.training.num_epochs is None
        assert entry.training.num_steps <= 6
        assert entry.training.num_threads == 1
    for key, protocol in small.evaluation.items():
        assert protocol.num_preds < whole.evaluation[key].num_preds
    for key, savi in small.savi.items():
        assert savi.model.num_slots == whole.savi[key].model.num_slots
        assert savi.model.initializer == whole.savi[key].model.initializer
    for rule, given in small.resources.items():
        assert given.gpu == 0, rule
    assert small.runtime.device == "cpu"


def test_small_published_is_small_obj3d_and_small_movi_a():
    both = load("small/published")
    for section in SECTIONS:
        parts = [load(f"small/{name}")[section] for name in ("obj3d", "movi_a")]
        assert both[section] == {**parts[0], **parts[1]}, section


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_seed_by_itself_is_a_short_override(name):
    # What `--config 'study={seeds: [0]}'` does, which the head of each file names.
    value = load(name)
    update_config(value, {"study": {"seeds": [0]}})
    assert [chain.seed for chain in chains(read_config(value))] == [0]


# --- the study behind docs/results.md -----------------------------------------------------------


def entries_of(config, section):
    """Return the entries by name; two SAVis train side by side, with one thread each."""
    threads = {"training": {"num_threads"}} if section == "savi" else None
    entries = getattr(config, section)
    return {name: entry.model_dump(exclude=threads) for name, entry in entries.items()}


def test_the_results_are_those_with_boxes_and_without():
    names = ("tabletop_boxes", "tabletop_unconditional")
    parts, study = [config_of(name) for name in names], config_of(*names, "studies/results")
    for section in SECTIONS:
        first, second, both = (entries_of(part, section) for part in (*parts, study))
        assert both == {**first, **second}, section
        assert section == "savi" or first == second
    found = chains(study)
    assert [chain[:3] for chain in found] == [
        ("tabletop", savi, seed) for savi in ("boxes", "unconditional") for seed in (17, 18, 19)
    ]
    for chain in found:
        assert chain.scored == chains(parts[0])[0].scored
        assert chain.probed
    assert study.name == "results"


# --- the page on their data ----------------------------------------------------------------------

PAGE = (CONFIGS.parent / "docs" / "data.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_page_says_what_messages_about_missing_data_say(name, tmp_path):
    dataset = config_of(name).datasets[name]
    assert f"{dataset.root}/" in PAGE
    with pytest.raises(MissingDataError) as raised:
        list_videos(dataset.model_copy(update={"root": str(tmp_path / "nowhere")}), "train")
    links = re.findall(r"(?:https|gs)://[^\s()]*[^\s().,]", str(raised.value))
    assert links
    for link in links:
        assert link.replace("movi_c", "movi_a") in PAGE
    for command in re.findall(r"^gsutil .*", str(raised.value), flags=re.MULTILINE):
        command = command.replace(str(tmp_path / "nowhere"), dataset.root)
        assert command.replace("movi_c", "movi_a") in PAGE.splitlines()


def test_the_page_links_to_files_that_exist():
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE):
        assert link.startswith("https://") or (CONFIGS.parent / "docs" / link).is_file(), link
    for path in re.findall(r"`((?:config|benchmarks)/[\w/]+\.\w+)`", PAGE):
        assert (CONFIGS.parent / path).is_file(), path


def test_the_page_names_values_that_the_config_accepts():
    (override,) = re.findall(r"--config '([\w]+=.*)'`", PAGE)
    key, _, value = override.partition("=")
    whole = load("obj3d")
    update_config(whole, {key: yaml.safe_load(value)})
    assert read_config(whole).datasets["obj3d"].root == "/mnt/data/OBJ3D"
    names = set(re.findall(r"^\| `(\w+)`", PAGE, flags=re.MULTILINE))
    assert names - {"splits"} == set(get_args(MoviDataset.model_fields["splits"].annotation))
