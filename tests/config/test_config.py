"""The config's models: what they accept, what they refuse and how they say it; generated files."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ocvp.config.descriptions import END, START, schema_text, with_tables
from ocvp.config.predictors import PredictorStage, TransformerModel
from ocvp.config.savi import SaviStage
from ocvp.config.section import canonical_json, validate
from ocvp.config.tree import RESERVED_NAMES, Config
from ocvp.config.whole import read_config, with_name
from ocvp.config_docs import README, SCHEMA, main

PROJECT = Path(__file__).parents[2]
SHIPPED = sorted((PROJECT / "config").glob("*.yaml"))
STUDIES = [
    *SHIPPED,
    PROJECT / "tests/helpers" / "tiny.yaml",
    PROJECT / "tests/helpers" / "staleness.yaml",
]


def tiny() -> dict[str, Any]:
    return yaml.safe_load((PROJECT / "tests/helpers" / "tiny.yaml").read_text(encoding="utf-8"))


def edited(key: str, value: Any) -> dict[str, Any]:
    """Return the tests' config with one key set, and nothing else that shares its mapping."""
    config = yaml.load(yaml.dump(tiny()), yaml.SafeLoader)
    config["predictors"] = {name: dict(entry) for name, entry in config["predictors"].items()}
    *path, last = key.split(".")
    section = config
    for part in path:
        section[part] = dict(section.get(part, {}))
        section = section[part]
    section[last] = value
    return config


def message_of(config: dict[str, Any]) -> str:
    with pytest.raises(ValueError, match="is not valid") as raised:
        read_config(config)
    return str(raised.value)


@pytest.mark.parametrize("key", [32, True, None])
def test_a_key_that_is_no_text_is_refused(key):
    config = tiny() | {key: 1}
    config["predictors"]["lstm"][key] = 1
    text = message_of(config)
    for where in ("the top level", "predictors.lstm"):
        assert f"{where} is given the key {key}, which is no text; in YAML, put it" in text


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_shipped_configs_are_valid_and_complete(path):
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"datasets", "savi", "study"} <= config.keys()
    read_config(config)


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ([], "demo"),
        (["config/config.yaml"], "demo"),
        (["/project/config/config.yaml", "/work/my-Study.v2.yaml"], "my-Study.v2"),
        (["/work/mine.yaml", Path("config/config.yaml")], "mine"),  # as Snakemake merges it
        (["obj3d.yaml", "small/quick.yaml"], "quick"),
    ],
)
def test_a_study_without_a_name_is_named_after_its_last_file(files, name):
    assert with_name({"study": {}}, files) == {"study": {}, "name": name}
    assert with_name({"name": None}, files) == {"name": name}
    assert with_name({"name": "own"}, files) == {"name": "own"}


@pytest.mark.parametrize("file", ["my study.yaml", ".hidden.yaml", "übung.yaml", "{a}.yaml"])
def test_a_file_whose_name_no_study_may_have_is_refused(file):
    with pytest.raises(ValueError, match=r"give `name: \.\.\.` in the config") as raised:
        with_name({}, ["first.yaml", f"/work/{file}"])
    assert f"/work/{file}" in str(raised.value)


@pytest.mark.parametrize("name", ["", "a/b", "..", "-a", "a b", "a\n", "x" * 101])
def test_a_name_that_is_no_folder_s_is_refused(name):
    assert "name is " in message_of(tiny() | {"name": name})


def test_studies_is_the_folder_of_studies_and_no_name_of_an_entry():
    config = tiny()
    config["datasets"]["studies"] = config["datasets"].pop("tiny")
    config["study"]["datasets"] = ["studies"]
    assert "studies is the name of a folder of the results" in message_of(config)


def test_the_default_config_is_shipped():
    assert PROJECT / "config" / "config.yaml" in SHIPPED


# --- refusals: the message names the key, the value and what is right -----------------------------

BAD = {
    "unknown at the top": ("colour", 3, ["colour: unknown key (value 3)", "datasets, savi"]),
    "misspelt": (
        "savi.small.training.learning_rat",
        3,
        ["savi.small.training.learning_rat: unknown key (value 3)", "did you mean learning_rate?"],
    ),
    "misspelt, and right in another section": (
        "study.seed",
        [1],
        ["study.seed: unknown key (value [1])", "did you mean seeds?"],
    ),
    "misspelt in an entry with a kind": (
        "predictors.lstm.model.num_cell",
        3,
        ["predictors.lstm.model.num_cell: unknown key", "did you mean num_cells?"],
    ),
    "known, but for another kind": (
        "predictors.lstm.model.num_heads",
        3,
        ["num_heads: unknown key (value 3)", "allowed are hidden_dim, num_cells, residual"],
    ),
    "misspelt resource": ("resources.fit_savi.mem", 3, ["resources.fit_savi.mem", "mem_mb"]),
    "unknown kind": (
        "predictors.lstm.kind",
        "gru",
        ["predictors.lstm.kind is 'gru'", "'lstm', 'transformer', 'ocvp_seq', 'ocvp_par'"],
    ),
    "text for a number": (
        "savi.small.model.slot_dim",
        "wide",
        ["savi.small.model.slot_dim is 'wide'", "valid integer"],
    ),
    "a fraction for a whole number": (
        "savi.small.model.num_slots",
        4.5,
        ["savi.small.model.num_slots is 4.5", "valid integer"],
    ),
    "text for a truth value": (
        "savi.small.model.transition",
        "maybe",
        ["savi.small.model.transition is 'maybe'", "boolean"],
    ),
    "a number for a section": (
        "savi.small.training",
        3,
        ["savi.small.training is 3", "a mapping of keys to values is needed"],
    ),
    "below its range": (
        "savi.small.training.learning_rate",
        -1,
        ["savi.small.training.learning_rate is -1", "greater than 0"],
    ),
    "above its range": (
        "predictors.transformer.model.dropout",
        1.0,
        ["predictors.transformer.model.dropout is 1.0", "less than 1"],
    ),
    "layers beyond all reason": (
        "predictors.transformer.model.num_layers",
        10**12,
        ["predictors.transformer.model.num_layers is 1000000000000", "equal to 4096"],
    ),
    "frames beyond all reason": (
        "datasets.tiny.resolution",
        [16, 5000],
        ["datasets.tiny.resolution.1 is 5000", "equal to 4096"],
    ),
    "none of the choices": (
        "savi.small.model.kernel_size",
        4,
        ["savi.small.model.kernel_size is 4", "3, 5 or 7"],
    ),
    "too short": ("datasets.tiny.resolution", [16], ["datasets.tiny.resolution.1", "missing"]),
    "an element out of range": (
        "datasets.tiny.resolution",
        [4, 16],
        ["datasets.tiny.resolution.0 is 4", "greater than or equal to 8"],
    ),
    "no seeds": ("study.seeds", [], ["study.seeds is []", "at least 1"]),
    "a device that does not exist": ("runtime.device", "gpu", ["runtime.device is 'gpu'", "cuda"]),
    "fewest above most": (
        "datasets.tiny.num_objects",
        [3, 2],
        ["datasets.tiny: num_objects is [3, 2]", "at most 8"],
    ),
    "too many objects": (
        "datasets.tiny.num_objects",
        [3, 9],
        ["datasets.tiny: num_objects is [3, 9]", "at most 8"],
    ),
    "steps and epochs": (
        "savi.small.training.num_epochs",
        2,
        ["savi.small.training: num_steps is 6 and num_epochs is 2", "exactly one"],
    ),
    "neither steps nor epochs": (
        "savi.small.training.num_steps",
        None,
        ["savi.small.training: num_steps is None and num_epochs is None", "exactly one"],
    ),
    "heads that do not divide the width": (
        "predictors.transformer.model.num_heads",
        3,
        ["predictors.transformer.model: token_dim is 16", "multiple of num_heads (3)"],
    ),
    "no loss": (
        "predictors.lstm.training",
        {
            "num_context": 3,
            "num_preds": 2,
            "num_steps": 1,
            "frame_loss_weight": 0,
            "slot_loss_weight": 0,
        },
        ["predictors.lstm.training: frame_loss_weight and slot_loss_weight are both 0"],
    ),
    "a curriculum without a number of steps": (
        "savi.small.training",
        {"num_epochs": 3, "curriculum_epochs": 1},
        ["curriculum_epochs is 1 and num_steps is not given"],
    ),
    "a curriculum with longer clips": (
        "savi.small.training",
        {"num_steps": 3, "clip_length": 3, "curriculum_epochs": 1, "curriculum_clip_length": 4},
        ["curriculum_clip_length is 4; it must not exceed clip_length (3)"],
    ),
    "a weight that is none": (
        "savi.small.training.target",
        {"depth": 0},
        ["savi.small.training.target.depth is 0", "greater than 0"],
    ),
    "a weight beyond all numbers": (
        "savi.small.training.target",
        {"flow": float("inf")},
        ["savi.small.training.target.flow is inf", "finite"],
    ),
    "an unknown target": (
        "savi.small.training.target",
        {"normals": 1},
        ["savi.small.training.target.normals: unknown key", "allowed are flow, depth, difference"],
    ),
    "motion in single frames": (
        "savi.small.training",
        {"num_steps": 3, "clip_length": 1, "target": {"difference": 0.5}},
        ["target.difference is 0.5 and clip_length is 1; a single frame does not move"],
    ),
    "flow of every other frame": (
        "datasets.tiny",
        {"kind": "movi", "resolution": [16, 16], "stride": 2, "num_frames": 8}
        | {"fields": ["backward_flow"]},
        ["fields: they are ['backward_flow'] and stride is 2; flow leads to the next frame"],
    ),
    "a name with a capital": (
        "predictors.Bad-Name",
        {"kind": "lstm", "training": {"num_context": 1, "num_preds": 1, "num_steps": 1}},
        ["predictors.Bad-Name", "lower-case letters, digits and underscores"],
    ),
    "a name that starts with a digit": ("savi.2x", {}, ["savi.2x: a name consists"]),
}


@pytest.mark.parametrize(("key", "value", "expected"), BAD.values(), ids=BAD)
def test_a_bad_value_is_refused_with_its_key_and_what_is_right(key, value, expected):
    message = message_of(edited(key, value))
    for part in expected:
        assert part in message


@pytest.mark.parametrize(
    ("dataset", "target", "lacks"),
    [
        ({"kind": "tabletop", "fields": ["depth"]}, {"depth": 1, "difference": 1}, None),
        ({"kind": "tabletop", "fields": ["depth"]}, {"depth": 1, "flow": 0.5}, "flow"),
        ({"kind": "tabletop"}, {"depth": 0.5}, "depth"),
        ({"kind": "movi", "fields": ["backward_flow"]}, {"flow": 1}, None),
        ({"kind": "movi", "fields": ["flow"]}, {"flow": 1}, None),
        ({"kind": "movi", "fields": ["depth"]}, {"flow": 0.5}, "flow"),
        ({"kind": "obj3d"}, {"difference": 1}, None),
        ({"kind": "obj3d"}, {"depth": 0.5, "difference": 1}, "depth"),
        ({"kind": "folder"}, {"flow": 0.5}, "flow"),
    ],
)
def test_a_target_needs_a_field_of_the_data_set(dataset, target, lacks):
    videos = {"num_videos": {"train": 6, "val": 3, "test": 4}, "num_objects": [2, 3]}
    kind = dataset["kind"]
    size = {"resolution": [16, 16], "num_frames": 8}
    further = {"tabletop": videos, "movi": {"max_objects": 3}}.get(kind, {})
    config = edited("savi.small.training.target", target)
    config["savi"]["small"]["model"]["initializer"] = "learned"
    config["datasets"]["tiny"] = size | dataset | further
    if lacks is None:
        assert read_config(config).savi["small"].training.target.weights == target
        return
    fields = {"flow": "backward_flow or flow", "depth": "depth"}[lacks]
    message = message_of(config)
    assert f"small.training.target.{lacks} is 0.5, but tiny (kind {kind}) stores no" in message
    assert f"stores no {fields}; data sets of kind movi and tabletop do" in message
    assert message.count("target.") == 1


@pytest.mark.parametrize("key", ["savi.small.model", "datasets.tiny.num_videos.val", "study.seeds"])
def test_a_missing_key_is_named(key):
    config = tiny()
    *path, last = key.split(".")
    section = config
    for part in path:
        section = section[part]
    del section[last]
    assert f"{key}: this key is required" in message_of(config)


def test_a_missing_kind_is_named():
    config = tiny()
    del config["predictors"]["lstm"]["kind"]
    assert "predictors.lstm.kind: this key is required" in message_of(config)


def test_all_faults_are_told_at_once():
    config = edited("savi.small.model.num_slot", 3)
    config["runtime"] = {"num_workers": -1}
    message = message_of(config)
    assert "num_slot: unknown key" in message
    assert "runtime.num_workers is -1" in message


@pytest.mark.parametrize("name", RESERVED_NAMES)
@pytest.mark.parametrize("section", ["datasets", "savi", "predictors", "evaluation"])
def test_names_of_folders_are_reserved(section, name):
    config = tiny()
    config[section][name] = next(iter(config[section].values()))
    assert f"{section}.{name}: {name} is the name of a folder" in message_of(config)


def test_the_folders_that_the_design_reserves_are_reserved():
    assert {"videos", "slots", "evaluation", "figures"} <= set(RESERVED_NAMES)


# --- what counts as the same --------------------------------------------------------------------


def test_numbers_that_yaml_reads_as_text_are_numbers():
    assert yaml.safe_load("1e-4") == "1e-4"
    config = read_config(edited("savi.small.training.learning_rate", "1e-4"))
    assert config.savi["small"].training.learning_rate == 1e-4


def test_defaults_are_filled_in_and_keys_sorted():
    # Written out by hand from the models.
    assert canonical_json(validate(TransformerModel, {"num_layers": 2, "dropout": "1e-1"})) == (
        '{"buffer_size":5,"dropout":0.1,"hidden_dim":256,"num_heads":4,"num_layers":2,'
        '"residual":true,"token_dim":128}'
    )


def test_the_order_of_keys_does_not_count():
    entry = tiny()["savi"]["small"]
    stage = {key: entry[key] for key in ("model", "training")}
    turned = {key: dict(reversed(stage[key].items())) for key in reversed(stage)}
    assert list(turned["model"]) != list(stage["model"])
    texts = {canonical_json(validate(SaviStage, value)) for value in (stage, turned)}
    assert len(texts) == 1


def test_swapped_values_count():
    one = validate(TransformerModel, {"token_dim": 64, "hidden_dim": 32})
    two = validate(TransformerModel, {"token_dim": 32, "hidden_dim": 64})
    assert canonical_json(one) != canonical_json(two)


def test_a_canonical_section_validates_to_itself():
    entry = tiny()["predictors"]["ocvp_par"]
    text = canonical_json(validate(PredictorStage, entry))
    assert canonical_json(validate(PredictorStage, yaml.safe_load(text))) == text


def test_a_validated_config_cannot_be_changed():
    config = validate(Config, tiny())
    with pytest.raises(ValueError, match="frozen"):
        config.figures.upscale = 7


# --- generated files ----------------------------------------------------------------------------


def test_the_committed_schema_is_up_to_date():
    committed = (PROJECT / SCHEMA).read_text(encoding="utf-8")
    assert committed == schema_text(), "run python -m ocvp.config_docs"


def test_the_readme_of_the_config_is_up_to_date():
    committed = (PROJECT / README).read_text(encoding="utf-8")
    assert committed == with_tables(committed), "run python -m ocvp.config_docs"


def test_the_command_writes_both(tmp_path):
    readme, schema = tmp_path / "README.md", tmp_path / "schema.json"
    readme.write_text(f"before\n{START}\nold\n{END}\nafter\n", encoding="utf-8")
    assert main(["--readme", str(readme), "--schema", str(schema)]) == 0
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "\nold\n" not in text
    # A row by hand: type, range, default and description.
    assert "| `dropout` | number ≥ 0 and < 1 | `0.1` | Share of activations dropped" in text
    assert schema.read_text(encoding="utf-8") == schema_text()


def test_a_readme_without_its_marks_is_refused():
    with pytest.raises(ValueError, match="no part between"):
        with_tables("no marks")


def test_every_key_has_a_description():
    rows = [line for line in with_tables(f"{START}{END}").splitlines() if line.startswith("| `")]
    assert len(rows) > 90
    for row in rows:
        assert len(row.split(" | ")[-1].strip(" |")) >= 4, row


def test_every_wildcard_is_explained():
    rules = (PROJECT / "workflow" / "rules").glob("*.smk")
    text = "".join(path.read_text(encoding="utf-8") for path in rules)
    paths = re.findall(r'"((?:logs/)?results/[^"]*)"', text)
    wildcards = {name for path in paths for name in re.findall(r"\{+([a-z_]+)\}+", path)}
    assert {"dataset", "savi", "seed", "predictor", "protocol", "split", "chunk"} <= wildcards
    readme = (PROJECT / README).read_text(encoding="utf-8")
    for wildcard in wildcards:
        assert f"`{{{wildcard}}}`" in readme, f"{README} does not explain {{{wildcard}}}"
