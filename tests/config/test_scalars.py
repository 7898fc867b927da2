"""What a scalar of a config means, and config files whose numbers YAML would misread."""

import io

import pandas as pd
import pytest
import yaml
from pandas._libs.parsers import STR_NA_VALUES
from snakemake_runs import run_snakemake, smallest_study

from ocvp.config.grid import expand
from ocvp.config.messages import MOST_CHARACTERS, MOST_LINES
from ocvp.config.section import NAME_PATTERN, validate
from ocvp.config.tree import NOT_TEXT, Config
from ocvp.config.whole import read_as_written, read_config
from ocvp.config.yaml_files import check_files, load


def edited(key, value):
    """Return a small config with one key set."""
    config = smallest_study()
    config["datasets"]["own"] = {"kind": "folder", "num_frames": 8}
    *path, last = key.split(".")
    section = config
    for part in path:
        section[part] = dict(section.get(part) or {})
        section = section[part]
    section[last] = value
    return config


def found(key, value):
    """Return what a key is after the config was validated with this value."""
    part = read_config(edited(key, value))
    for name in key.split("."):
        part = part[name] if isinstance(part, dict) else getattr(part, name)
    return part


def message(key, value):
    with pytest.raises(ValueError, match="is not valid") as raised:
        read_config(edited(key, value))
    return str(raised.value)


STEPS = "savi.small.training.num_steps"
RATE = "savi.small.training.learning_rate"

# --- the type of the key decides ------------------------------------------------------------------


@pytest.mark.parametrize("text", ["2024", "01", "08", "1e3", "1_000", "true", "null", "~", "-5"])
def test_text_stays_text(text):
    assert found("datasets.own.root", text) == text


def test_halves_of_letters_are_no_text():
    read = yaml.safe_load('"\\ud83d\\ude00"')  # JSON's way to write a letter
    assert "datasets.own.root: it is '\\ud83d\\ude00'" in message("datasets.own.root", read)
    assert found("datasets.own.root", "\U0001f600 ü") == "\U0001f600 ü"


def test_a_whole_number_is_text_where_text_is_meant():
    assert found("datasets.own.root", 2024) == "2024"
    assert found("datasets.own.frames", 7) == "7"


@pytest.mark.parametrize("value", [1.10, True, yaml.safe_load("2024-01-05")])
def test_what_yaml_made_something_else_of_is_no_text(value):
    text = message("datasets.own.root", value)
    assert "datasets.own.root is" in text
    assert "put it into quotes" in text


@pytest.mark.parametrize(
    ("key", "text", "number"),
    [
        (STEPS, "5", 5),
        (RATE, "1e-4", 1e-4),
        (RATE, "2", 2.0),
        ("savi.small.model.kernel_size", "3", 3),  # a choice
        ("datasets.tiny.resolution", ["16", "16"], (16, 16)),
        ("savi.small.training.gradient_clip", "null", None),
        ("savi.small.pretrained", "null", None),
        ("savi.small.training.tf32", "false", False),
        ("study", {**smallest_study()["study"], "seeds": ["1", "2"]}, None),
    ],
)
def test_numbers_may_be_given_as_text(key, text, number):
    value = found(key, text)
    if key == "study":
        assert value[0].seeds == [1, 2]
    else:
        assert value == number
        assert type(value) is type(number)


@pytest.mark.parametrize("key", [STEPS, RATE, "savi.small.model.num_slots", "figures.gif_fps"])
@pytest.mark.parametrize("value", [True, False])
def test_a_truth_value_is_no_number(key, value):
    assert f"{key}: it is {value}; a number is needed" in message(key, value)


def test_a_truth_value_in_a_list_is_no_number():
    assert "study.0.seeds: it is True" in message("study", [smallest_study()["study"] | SEEDS])
    assert "resolution: it is True" in message("datasets.tiny.resolution", [16, True])


SEEDS = {"seeds": [1, True]}


@pytest.mark.parametrize("text", ["010", "-007", "00.5", "0_1", " 01"])
def test_a_number_as_text_has_no_zeros_in_front(text):
    assert f"{RATE}: it is {text!r}; a number is needed, without zeros" in message(RATE, text)


@pytest.mark.parametrize("value", [10**30, "1" + "0" * 30, -(10**5000)], ids=["1", "2", "3"])
def test_a_number_that_no_library_holds_is_refused_briefly(value):
    text = message("datasets.tiny.seed", value)
    assert "datasets.tiny" in text
    assert len(text) < 300


# --- finite numbers -------------------------------------------------------------------------------


def float_keys():
    """Return the keys of all numbers that may be fractions, of the entries of a small study."""
    config = read_config(edited("datasets.own.shares", {"train": 0.6, "val": 0.2, "test": 0.2}))
    config = config.model_dump()
    config["predictors"] = {"transformer": config["predictors"]["transformer"]}

    def walk(part, path):
        for key, value in part.items() if isinstance(part, dict) else ():
            if isinstance(value, float):
                yield ".".join((*path, key))
            yield from walk(value, (*path, key))

    return list(walk(config, ()))


@pytest.mark.parametrize("text", [".inf", "-.inf", ".nan"])
def test_no_number_is_infinite(text):
    keys = float_keys()
    assert {RATE, "figures.gif_fps", "datasets.own.shares.train"} < set(keys)
    assert len(keys) > 15
    for key in keys:
        for value in (yaml.safe_load(text), text.replace(".", "")):
            assert key in message(key, value)


def test_no_number_of_a_grid_is_infinite():
    config = edited("predictors.lstm.grid", {"learning_rate": [1e-3, float("inf")]})
    with pytest.raises(ValueError, match="learning_rate"):
        expand(validate(Config, config))


# --- names ----------------------------------------------------------------------------------------


def test_all_that_pandas_reads_as_missing_is_no_name():
    pattern = pd.Series(sorted({text.lower() for text in STR_NA_VALUES}))
    names = pattern[pattern.str.fullmatch(NAME_PATTERN)]
    assert {"nan", "null", "na", "none"} <= set(names)
    assert set(names) <= set(NOT_TEXT)


@pytest.mark.parametrize("name", NOT_TEXT)
@pytest.mark.parametrize("section", ["datasets", "savi", "predictors", "evaluation"])
def test_a_name_that_tables_misread_is_refused(section, name):
    spellings = (name, name.upper(), name.capitalize(), "NaN")
    tables = [pd.read_csv(io.StringIO(f"savi\n{spelling}\n")) for spelling in spellings]
    assert any(not isinstance(table["savi"][0], str) for table in tables), "no table misreads it"
    config = smallest_study()
    config[section][name] = next(iter(config[section].values()))
    with pytest.raises(ValueError, match=f"{section}.{name}: tables would read the name {name}"):
        read_config(config)


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "read"),
    [("010", 8), ("-010", -8), ("0_10", 8), ("00", 0), ("01.5", 1.5), ("1:30", 90), ("0_7.5", 7.5)],
)
@pytest.mark.parametrize("form", ["savi:\n  a: {{b: {}}}", "savi: {{a: {{b: [1, {}]}}}}"])
def test_a_number_that_yaml_misreads_is_refused_by_key(tmp_path, token, read, form):
    text = form.format(token)
    assert yaml.safe_load(token) == read
    path = tmp_path / "config.yaml"
    path.write_text(text)
    for refusing in (lambda: load(text, str(path)), lambda: check_files([path])):
        with pytest.raises(ValueError, match=f"is {token}, which YAML reads as {read}") as raised:
            refusing()
        assert str(raised.value).startswith(f"{path} is not valid:\n  savi.a.b")


@pytest.mark.parametrize(
    "text",
    [
        *("a: '010'", 'a: "1:30"', "a: 0", "a: 0.5", "a: -0.0", "a: 1.0e-4", "a: 0x1f", "a: 1_000"),
        *("a: 10", "a: 00001-of-00002", "a: 2024-01-05", "a: 07b", '{"a": 0.10}', "a: &a [*a]"),
    ],
)
def test_what_means_one_thing_is_read(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(f"savi: {{{text}}}" if not text.startswith("{") else text)
    check_files([path])


@pytest.mark.parametrize("token", ["0x20", "1_000", "+4", "0b11"])
def test_a_number_that_text_would_not_be_the_same_as_is_refused(token):
    with pytest.raises(ValueError, match=r"datasets\.own\.root is .*put it into quotes"):
        load(f"datasets: {{own: {{root: {token}}}}}", "config")
    load(f"savi: {{small: {{training: {{num_steps: {token}}}}}}}", "config")
    load(f"datasets: {{own: {{root: '{token}'}}}}", "config")


def test_a_key_that_stands_twice_is_refused():
    with pytest.raises(ValueError, match=r"savi\.a stands there twice"):
        load("savi: {a: 1, b: 2, a: 3}", "config")
    assert load("x: &x {a: 1}\ny: {<<: *x, a: 2}", "config")["y"] == {"a": 2}


def test_sections_of_an_importing_workflow_are_its_own(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("samples: {id: 007}")
    check_files([path])
    path.write_text("ocvp: {savi: {small: {training: {num_steps: 010}}}}")
    with pytest.raises(ValueError, match=r"ocvp\.savi\.small\.training\.num_steps is 010"):
        check_files([path])


def test_the_workflow_refuses_a_misread_number_by_file_and_key(tmp_path):
    path = tmp_path / "config.yaml"
    text = yaml.safe_dump(smallest_study()).replace("num_steps: 6", "num_steps: 010")
    path.write_text(text)
    run = run_snakemake("--dry-run", "--configfile", path, folder=tmp_path)
    assert run.status == 1
    assert f"{path} is not valid:\n  {STEPS} is 010, which YAML reads as 8" in run.text
    assert "Traceback" not in run.text


def test_the_command_line_gives_numbers_and_text(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(smallest_study()))
    given = "savi={small: {training: {num_steps: 0, gradient_clip: null}, pretrained: 01}}"
    run = run_snakemake("-n", "--configfile", path, "--config", given, folder=tmp_path)
    assert f"{STEPS} is 0: input should be greater" in run.text
    given = "savi={small: {pretrained: 01, training: {gradient_clip: null}}}"
    run = run_snakemake("-n", "--configfile", path, "--config", given, folder=tmp_path)
    assert "experiment_params.json of 01 is neither" in run.text


# --- messages -------------------------------------------------------------------------------------

DEEP = "x"
for _ in range(900):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "value",
    ["x" * 100_000, ["x"] * 10_000, DEEP, {"x" * 100_000: 1}],
    ids=["text", "list", "deep", "mapping"],
)
@pytest.mark.parametrize("key", [STEPS, "datasets.own.start", "study", "savi.small.start_from"])
def test_a_message_is_short_whatever_the_value(key, value):
    text = message(key, value)
    assert key in text or "nested too deeply" in text
    assert len(text) < 2 * MOST_CHARACTERS


def test_long_keys_and_many_faults_are_cut():
    assert len(message("savi.small.training." + "x" * 100_000, 1)) < 2 * MOST_CHARACTERS
    many = {f"x{number}": number for number in range(1000)}
    lines = message("savi.small.training", {"num_steps": 1, **many}).splitlines()
    assert len(lines) == MOST_LINES + 2
    assert lines[-1] == f"  and {1000 - MOST_LINES} more"
    names = read_as_written(smallest_study()).study[0].model_copy(update={"datasets": list(many)})
    config = smallest_study() | {"study": names.model_dump()}
    with pytest.raises(ValueError, match=r"study\.datasets names x0") as raised:
        read_config(config)
    assert len(str(raised.value).splitlines()) == MOST_LINES + 2
