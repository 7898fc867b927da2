"""New experiments: commented configs that read back, names of their own, shared data and SAVi."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from raw_trees import write_film
from tiny import assert_one_error, call

from ocvp.config.experiments import find_template, new_experiment, read_template
from ocvp.config.parts import imported
from ocvp.config.text import WIDTH, commented_yaml, flow_yaml
from ocvp.config.tree import Config
from ocvp.config.whole import read_config
from ocvp.new_experiment import main
from ocvp.study.chains import chains, slot_splits

PROJECT = Path(__file__).parents[2]
SHIPPED = sorted((PROJECT / "config").glob("*.yaml"))
TINY = PROJECT / "tests/helpers" / "tiny.yaml"


def write_new(*arguments: Any, like: str | Path = "obj3d", name: str = "mine") -> Config:
    """Write an experiment into the working folder and read it."""
    assert call(main, name, "--like", like, *arguments) == 0
    return read_template(Path("config") / f"{name}.yaml")


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Go to an empty folder: shipped configs are then those beside the package."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- the text ------------------------------------------------------------------------------------


NUMBERS = [1e-4, 1.5e-5, 0.05, 2.0, 0.0, 1e22, float("inf"), 3, -1]
WORDS = ["text", "yes", "null", "1", "1.0e-4", "a: b", "# no", "", "two\nlines", "ü", "long " * 60]
VALUES = [*NUMBERS, *WORDS, None, True, False, [], [1, 2], ["a"], {}, {"a": [1], "b": None}]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_values_read_back_from_one_line(value):
    text = flow_yaml(value)
    assert "\n" not in text
    assert yaml.safe_load(text) == value
    assert type(yaml.safe_load(text)) is type(value)


def test_small_floats_have_a_point_and_a_sign():
    assert [flow_yaml(value) for value in (1e-4, 2e-4, 1.25e-5)] == ["1.0e-4", "2.0e-4", "1.25e-5"]
    assert [flow_yaml(value) for value in (0.05, 0.001, 10.0)] == ["0.05", "0.001", "10.0"]


@pytest.mark.parametrize("path", [*SHIPPED, TINY], ids=lambda path: path.stem)
def test_whole_configs_read_back(path):
    config = read_template(path)
    assert read_config(yaml.safe_load(commented_yaml(config))) == config


def keys_of(value: Any) -> list[str]:
    """Return every key of nested mappings, with repetitions."""
    if isinstance(value, list):
        return [key for item in value for key in keys_of(item)]
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in (key, *keys_of(item))]
    return []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_key_stands_there_after_its_meaning(path):
    config = read_template(path)
    lines = commented_yaml(config).splitlines()
    keys = [i for i, line in enumerate(lines) if re.match(r" *[a-z_0-9]+:", line)]
    written = yaml.safe_load("\n".join(lines))
    assert len(keys) == len(keys_of(written))
    whole = yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json")))
    if len(config.study) == 1:
        whole["study"] = whole["study"][0]
    assert written == whole  # no key was left out
    for i in keys:
        indent = len(lines[i]) - len(lines[i].lstrip())
        assert re.match(rf" {{{indent}}}# \S", lines[i - 1]), lines[i]
    assert max(len(line) for line in lines if line.lstrip().startswith("#")) <= WIDTH


def test_comments_say_type_range_default_and_meaning():
    text = commented_yaml(read_template(PROJECT / "config" / "obj3d.yaml"), ["a title", "", "more"])
    assert text.startswith("# a title\n#\n# more\n\n# Data sets by name.\ndatasets:\n")
    assert "    # Where the videos come from. (`obj3d`; required)\n    kind: obj3d\n" in text
    learning_rate = (
        "      # Adam's rate at the end of the warm-up. (number > 0; default 1.0e-4)\n"
        "      learning_rate: 1.0e-4\n"
    )
    assert text.count(learning_rate) == 5
    assert (
        "      # Largest norm of all gradients together; null: no clipping. (number > 0 or `null`; "
        "default\n      # 0.05)\n      gradient_clip: 0.05\n"
    ) in text
    assert "^(auto|cpu|mps|cuda(:\\d+)?)$" in text


def test_pretrained_entries_ask_no_more_of_their_checkpoint():
    value = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    value["savi"]["small"] = {"pretrained": "a.pt", "model": {"num_slots": 4}}
    value["predictors"]["lstm"] = {"kind": "lstm", "pretrained": "b.pt"}
    value["predictors"]["ocvp_seq"] = {
        "kind": "ocvp_seq",
        "pretrained": "c.pt",
        "model": {"num_layers": 1},
    }
    value["study"]["predictors"] = ["lstm", "ocvp_seq"]
    config = read_config(value)
    text = commented_yaml(config)
    again = read_config(yaml.safe_load(text))
    for kind in ("lstm", "ocvp_seq"):
        expected = imported(config, {"predictor": kind})
        assert imported(again, {"predictor": kind}) == expected
    assert imported(again, {"savi": "small"}).model == {"num_slots": 4}
    assert imported(again, {"predictor": "ocvp_seq"}).model == {"num_layers": 1}
    assert "      # buffer_size: as in the checkpoint." in text


# --- names ---------------------------------------------------------------------------------------


def test_a_new_experiment_is_the_template_under_new_names(work):
    config = write_new()
    template = read_template(PROJECT / "config" / "obj3d.yaml")
    names = {
        "savi": {"savi_obj3d": "savi_mine"},
        "predictors": {
            f"{kind}_obj3d": f"{kind}_mine"
            for kind in ("lstm", "transformer", "ocvp_seq", "ocvp_par")
        },
        "evaluation": {
            "obj3d_5_to_25": "mine_5_to_25",
            "obj3d_6_to_44": "mine_6_to_44",
        },
    }
    for section, new in names.items():
        entries = getattr(template, section)
        assert getattr(config, section) == {new[old]: entries[old] for old in entries}
        assert getattr(config.study[0], section) == [*new.values()]
    for section in ("datasets", "figures", "runtime", "resources"):
        assert getattr(config, section) == getattr(template, section)
    assert config.study[0].seeds == [0, 1, 2]
    assert config.study[0].datasets == ["obj3d"]  # the videos are shared


@pytest.mark.parametrize("path", [*SHIPPED, TINY], ids=lambda path: path.stem)
def test_no_product_but_videos_is_shared(work, path):
    config, template = write_new(like=path), read_template(path)
    new, old = chains(config), chains(template)
    assert [chain.dataset for chain in new] == [chain.dataset for chain in old]
    assert [len(chain.scored) for chain in new] == [len(chain.scored) for chain in old]
    assert not {chain[:2] for chain in new} & {chain[:2] for chain in old}
    for section in ("savi", "predictors", "evaluation"):
        assert not getattr(config, section).keys() & getattr(template, section).keys()
        assert len(getattr(config, section)) == len(getattr(template, section))


def test_names_without_the_template_s_get_the_new_one_appended(work):
    config = write_new(like="config")
    assert list(config.savi) == ["savi_mine"]
    assert "ocvp_seq_mine" in config.predictors
    assert list(config.evaluation) == ["short_mine", "long_mine"]


def test_names_that_would_fall_together_are_all_appended_to():
    template = read_template(TINY)
    entry = template.predictors["lstm"]
    twice = template.model_copy(update={"predictors": {**template.predictors, "lstm_tiny": entry}})
    config = new_experiment(twice, template="tiny", name="mine")
    assert {"lstm_mine", "lstm_tiny_mine"} <= config.predictors.keys()
    assert len(config.predictors) == 5


def test_an_experiment_like_another_new_one_takes_its_place(work):
    write_new()
    assert list(write_new(like="mine", name="next").savi) == ["savi_next"]


# --- a part of the template ----------------------------------------------------------------------


def test_a_predictor_experiment_builds_on_a_savi_that_is_there(work):
    config = write_new("--savi", "savi_obj3d", "--predictors", "ocvp_seq", "lstm_obj3d")
    template = read_template(PROJECT / "config" / "obj3d.yaml")
    assert config.savi == template.savi  # the same name and settings: nothing to train again
    assert list(config.predictors) == ["lstm_mine", "ocvp_seq_mine"]
    assert config.study[0].savi == ["savi_obj3d"]
    assert config.study[0].predictors == ["lstm_mine", "ocvp_seq_mine"]


def test_a_savi_experiment_has_no_predictors(work):
    config = write_new("--predictors")
    assert config.study[0].predictors == []
    assert [(chain.savi, chain.predictors) for chain in chains(config)] == [("savi_mine", ())] * 3


@pytest.mark.parametrize("like", ["obj3d", TINY], ids=["shipped", "own"])
def test_savi_first_and_predictors_later(work, like):
    """What both steps build is what one step builds, on the SAVi of the first."""
    at_once, first = write_new(like=like, name="once"), write_new("--predictors", like=like)
    assert not first.study[0].predictors
    (savi,) = first.savi
    later = write_new("--savi", savi, like="mine", name="later")
    assert later.savi == first.savi
    names = [name.replace("_once", "_later") for name in at_once.study[0].predictors]
    assert later.study[0].predictors == names
    assert [*later.predictors.values()] == [*at_once.predictors.values()]
    # stays the same to Snakemake: nothing of the SAVi is trained again
    before, after = chains(first)[0], chains(later)[0]
    assert after[:3] == before[:3]
    assert {*slot_splits(first, before)} <= {*slot_splits(later, after)}
    some = write_new("--savi", savi, "--predictors", "ocvp_seq", like="mine", name="some")
    (predictor,) = some.study[0].predictors
    assert some.predictors[predictor].kind == "ocvp_seq"


def test_a_new_experiment_does_not_take_its_template_s_name(work):
    assert read_template(TINY).name == "tiny"
    assert write_new(like=TINY).name is None


def test_of_several_studies_those_about_others_are_left_out(work):
    config = write_new("--savi", "savi_movi_a", "--predictors", "lstm", like="published")
    assert list(config.datasets) == ["movi_a"]
    assert list(config.savi) == ["savi_movi_a"]
    assert list(config.predictors) == ["lstm_movi_a_mine"]
    assert list(config.evaluation) == ["movi_a_6_to_8_mine", "movi_a_6_to_18_mine"]
    assert len(config.study) == 1


def test_several_studies_stay_several(work):
    config = write_new(like="published")
    template = read_template(PROJECT / "config" / "published.yaml")
    assert len(config.study) == len(template.study) == 2
    assert [study.datasets for study in config.study] == [["obj3d"], ["movi_a"]]


# --- files ---------------------------------------------------------------------------------------


def test_the_working_folder_s_configs_come_first(work):
    shutil.copytree(PROJECT / "config", work / "config")
    assert find_template("obj3d") == Path("config/obj3d.yaml")
    (work / "config" / "obj3d.yaml").unlink()
    assert find_template("obj3d") == PROJECT / "config" / "obj3d.yaml"
    assert find_template(str(TINY)) == TINY


def test_output_says_what_to_run_next(work, capsys):
    assert call(main, "mine", "--like", "obj3d", "--output", "elsewhere/my.yaml") == 0
    assert read_template(work / "elsewhere" / "my.yaml").savi.keys() == {"savi_mine"}
    assert not (work / "config").exists()
    assert "snakemake --cores 2 --configfile elsewhere/my.yaml" in capsys.readouterr().err
    text = (work / "elsewhere" / "my.yaml").read_text(encoding="utf-8")
    assert text.startswith("# The experiment mine, like obj3d")
    assert str(PROJECT) not in text


REFUSED = {
    "capital letters": (["Mine", "--like", "obj3d"], ["NAME is 'Mine'", "lower-case"]),
    "a path": (["a/b", "--like", "obj3d"], ["NAME is 'a/b'", "lower-case"]),
    "the template's name": (["obj3d", "--like", "obj3d"], ["NAME is 'obj3d'", "savi_obj3d"]),
    "unknown template": (["mine", "--like", "obj"], ["'obj'", "movi_a, movi_c, obj3d, published"]),
    "an override": (
        ["mine", "--like", PROJECT / "config" / "small" / "movi_a.yaml"],
        ["small/movi_a.yaml", "datasets.movi_a.kind: this key is required"],
    ),
    "no config": (["mine", "--like", PROJECT / "README.md"], ["README.md is neither valid YAML"]),
    "unknown SAVi": (
        ["mine", "--like", "obj3d", "--savi", "savi"],
        ["--savi is 'savi'", "the template has savi_obj3d"],
    ),
    "unknown predictor": (
        ["mine", "--like", "obj3d", "--predictors", "lstm", "gru"],
        ["--predictors names 'gru'", "the template has lstm_obj3d"],
    ),
    "predictors of another SAVi": (
        ["mine", "--like", "published", "--savi", "savi_obj3d", "--predictors", "lstm_movi_a"],
        ["savi_obj3d", "lstm_movi_a", "no study"],
    ),
}


@pytest.mark.parametrize(("arguments", "parts"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals_name_what_there_is(work, capsys, arguments, parts):
    assert call(main, *arguments) == 1
    assert_one_error(capsys.readouterr().err, *parts)
    assert not (work / "config").exists()


def test_files_are_not_overwritten(work, capsys):
    write_new()
    before = (work / "config" / "mine.yaml").read_text(encoding="utf-8")
    assert call(main, "mine", "--like", "movi_a") == 1
    assert_one_error(capsys.readouterr().err.split("config/mine.yaml\n")[-1], "exists already")
    assert (work / "config" / "mine.yaml").read_text(encoding="utf-8") == before


def test_grids_stay_grids_and_their_variants_follow_the_new_names(work):
    value = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    value["predictors"]["ocvp_seq"]["grid"] = {"num_layers": [1, 2], "dropout": [0.1]}
    variant = "ocvp_seq-dropout0.1-num_layers2"
    value["study"]["predictors"] = ["lstm", variant]
    (work / "swept.yaml").write_text(yaml.safe_dump(value), encoding="utf-8")
    config = write_new("--predictors", "ocvp_seq", like=work / "swept.yaml")
    assert list(config.predictors) == ["ocvp_seq_mine"]
    assert config.predictors["ocvp_seq_mine"].grid == {"num_layers": [1, 2], "dropout": [0.1]}
    assert config.study[0].predictors == ["ocvp_seq_mine-dropout0.1-num_layers2"]
    text = (work / "config" / "mine.yaml").read_text(encoding="utf-8")
    assert "grid: {dropout: [0.1], num_layers: [1, 2]}" in text


# --- for a folder of films -----------------------------------------------------------------------


def write_moving_films(folder, number=10):
    for film in range(number):
        frames = np.full((16, 32, 48, 3), 60, np.uint8)
        for t in range(16):
            frames[t, 4 + film : 12 + film, 2 * t : 2 * t + 8] = (220, 20 * film, 90)
        write_film(folder / f"film_{film}.mp4", frames)


def test_a_config_for_films_says_why(work, capsys, monkeypatch):
    monkeypatch.setattr("ocvp.training.speed.least_seconds", lambda step: 0.1)
    write_moving_films(work / "films")
    assert call(main, "mine", "--videos", "films", "--budget", "60") == 0
    path = Path("config/mine.yaml")
    config = read_template(path)
    assert config.datasets["mine"].root == "films"
    assert config.datasets["mine"].resolution == (32, 48)
    assert config.savi["savi"].model.num_slots == 2
    assert config.savi["savi"].training.num_steps == 22_000  # of 36,000 in an hour
    text = path.read_text(encoding="utf-8")
    head = text.partition("\n\n")[0]
    assert "# - resolution: frames are 32x48" in head
    assert "10.0 steps a second" in " ".join(head.split())
    assert "snakemake --cores 2 --configfile config/mine.yaml" in head
    assert max(map(len, head.splitlines())) <= WIDTH
    said = capsys.readouterr().err
    assert "- num_slots: up to 1 things were seen at once" in said


def test_the_same_films_and_speed_give_the_same_config(work, monkeypatch):
    monkeypatch.setattr("ocvp.training.speed.least_seconds", lambda step: 0.1)
    write_moving_films(work / "films")
    for name in ("a", "b"):
        assert call(main, "mine", "--videos", "films", "--output", f"{name}.yaml") == 0
    texts = [Path(f"{name}.yaml").read_text(encoding="utf-8") for name in "ab"]
    assert texts[0].replace("a.yaml", "") == texts[1].replace("b.yaml", "")


def test_doubts_are_warned_of_and_written(work, capsys, monkeypatch):
    monkeypatch.setattr("ocvp.training.speed.least_seconds", lambda step: 1.0)
    write_moving_films(work / "films")
    assert call(main, "mine", "--videos", "films", "--num-objects", "3") == 0
    text = " ".join(Path("config/mine.yaml").read_text(encoding="utf-8").split())
    assert read_template(Path("config/mine.yaml")).savi["savi"].model.num_slots == 4
    assert "# - Beware: 30 minutes are 1100 steps of SAVi" in text
    assert "objects are seldom found in fewer than" in capsys.readouterr().err


FOR_VIDEOS = {
    "no such folder": (["--videos", "films"], "films does not exist"),
    "too few": (["--videos", "few"], "few holds 3 videos"),
    "no time": (["--videos", "few", "--budget", "0"], "--budget is 0"),
    "endless": (["--videos", "few", "--budget", "inf"], "--budget is inf"),
    "neither": ([], "one of the arguments --like --videos is required"),
    "both": (["--videos", "few", "--like", "obj3d"], "not allowed with argument"),
    "of the other kind": (["--videos", "few", "--savi", "savi"], "--savi is not for --videos"),
    "of this kind": (["--like", "obj3d", "--budget", "3"], "--budget is not for --like"),
}


@pytest.mark.parametrize(("arguments", "part"), FOR_VIDEOS.values(), ids=FOR_VIDEOS.keys())
def test_folders_and_options_that_do_not_fit_are_refused(work, capsys, arguments, part):
    write_moving_films(work / "few", 3)
    assert call(main, "mine", *arguments) in (1, 2)
    assert_one_error(capsys.readouterr().err, part)
    assert not (work / "config").exists()
