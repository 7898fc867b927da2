"""Configs: shipped ones with edits, read the way that the Snakefile reads them.

An edit writes a token, as a person types it, in the place of a value, loses or renames a key, or
comes from the command line. What is accepted must mean what stands there: the number that the token
is in decimals, the text that it is.
"""

import contextlib
import copy
import functools
import json
import random
import re
import shutil
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from children import Outcome, judged
from snakemake.cli import parse_config
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config

from ocvp.config import grid, yaml_files
from ocvp.config.experiments import evaluation_config
from ocvp.config.text import commented_yaml
from ocvp.config.tree import Config
from ocvp.config.whole import read_as_written, read_config, runtime_json
from ocvp.data.sources import SOURCES
from ocvp.records import rules
from ocvp.study.chains import any_of, chains, paths
from ocvp.study.jobs import Jobs
from ocvp.study.products import figures, outside_digest, products, trained_models

PROJECT = Path(__file__).parents[2]
BASES = (*sorted((PROJECT / "config").glob("*.yaml")), PROJECT / "tests/helpers/tiny.yaml")
SECONDS = 60.0

TOKENS = (
    *("0", "1", "2", "7", "16", "-1", "010", "0x10", "1_000", "1e-4", "1.0e-4", "0.5", "-0.5"),
    *(".inf", "-.inf", ".nan", "inf", "nan", "1e999", "1:30", "01.5", "08", "9" * 30, "1.0"),
    *("9" * 12, "9" * 18, "8" * 19),
    *("true", "false", "yes", "off", "null", "~", "Null", "''", '"2024"', '"01"', "2024-01-05"),
    *("text", '"a b"', "results/x.pt", "[]", "{}", "[1, 2]", "[16, 16]", "[010]", "[true, 1]"),
    *("{a: 1}", "{1: 2}", "[[[]]]", "!!binary aGk=", "!!set {a}", "'" + "y" * 5000 + "'"),
)
LIKELY = (
    *("1", "2", "3", "8", "16", "32", "64", "'3'", '"16"', "1e-3", "0.25", "'0.5'", "1_0", "+4"),
    *("true", "false", "null", "'null'", "no", "128.0", "0x20", "cosine", "cpu", "test", "2024"),
    *("'2024'", "'01'", "'08'", "data/01", "'1e3'", "[32, 32]", "['16', '16']", "[64]", "{}"),
)
"""What is right for many a key."""
NAMES = ("null", "nan", "NA", "videos", "x-y", "2x", "Übung", "no", "1", "a" * 300, "ok")
HOW = ("write",) * 6 + ("lose", "rename", "twice", "command line", "command line")
MARK = "token-{}-here"


class Edit(NamedTuple):
    """What is done to one key."""

    how: str
    """`write`, `lose`, `rename`, `twice` or `command line`."""
    keys: tuple[str, ...]
    token: str = ""


class Case(NamedTuple):
    """A config to try."""

    text: str
    arguments: tuple[str, ...]
    """What follows `--config`."""
    edits: tuple[Edit, ...]


def cases(number: int, seed: int) -> list[Case]:
    """Return so many configs, the same for the same seed."""
    return [_case(random.Random(f"config {seed} {index}")) for index in range(number)]


@functools.cache
def _bases() -> list[dict[str, Any]]:
    read = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in BASES)
    return [json.loads(json.dumps(config)) for config in read]  # without anchors


def _places(value: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the keys of each value below mappings."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*keys, key)
            yield from _places(inner, (*keys, key))


OPTIONAL = (
    *(("datasets", "own", "root"), ("datasets", "own", "frames"), ("datasets", "own", "start")),
    *(("figures", "gif_fps"), ("figures", "num_videos"), ("runtime", "batch_videos")),
    *(("runtime", "device"), ("runtime", "save_interval_minutes"), ("runtime", "processes")),
    *(("resources", "fit_savi", "mem_mb"), ("resources", "every_rule", "max_runtime")),
)
"""Keys that the shipped configs leave to their defaults."""
OF_A_MODEL = (
    *(("training", "gradient_clip"), ("training", "weight_decay"), ("training", "tf32")),
    *(("pretrained",), ("start_from",), ("grid",), ("grid", "learning_rate"), ("unknown",)),
)


def _case(chance: random.Random) -> Case:
    """Draw a config."""
    config = copy.deepcopy(chance.choice(_bases()))
    config["datasets"]["own"] = {"kind": "folder", "num_frames": 8}
    models = [(part, name) for part in ("savi", "predictors") for name in config.get(part, {})]
    extra = [*OPTIONAL, *((*model, *keys) for model in models for keys in OF_A_MODEL)]
    places = [*_places(config), *extra]
    leaves = [keys for keys in places if not isinstance(_at(config, keys), dict)]
    edits, arguments, tokens = [], [], {}
    for index in range(chance.choice((1, 1, 2, 3))):
        how = chance.choice(HOW)
        keys = chance.choice(places if chance.random() < 0.1 else leaves)
        edit = Edit(how, keys, _token(chance, _at(config, keys)))
        if how == "rename":
            edit = edit._replace(token=chance.choice(NAMES))
        if how == "command line":
            # as a person writes it for a shell: one mapping in braces
            inner = edit.token
            for key in reversed(edit.keys[1:]):
                inner = f"{{{key}: {inner}}}"
            arguments.append(f"{edit.keys[0]}={inner}")
        elif not _apply(config, edit, MARK.format(index)):
            continue
        tokens[MARK.format(index)] = edit.token
        edits.append(edit)
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    for mark, written in tokens.items():
        text = text.replace(mark, written.replace("\n", " "))
    return Case(text, tuple(arguments), tuple(edits))


def _token(chance: random.Random, value: Any) -> str:
    """Draw what a person may type in the place of a value."""
    draw = chance.random()
    if draw < 0.35 and isinstance(value, int | float) and not isinstance(value, bool):
        number = str(value * chance.choice((1, 2, 0.5)) if chance.random() < 0.3 else value)
        return chance.choice((number, f"'{number}'", f"{number}.0", f"0{number}", f"+{number}"))
    if draw < 0.75:
        return chance.choice(LIKELY)
    if draw < 0.95:
        return chance.choice(TOKENS)
    letters = "".join(chr(chance.choice((chance.randrange(1, 256), 0x1F600))) for _ in range(9))
    return json.dumps(letters)


def _apply(config: dict[str, Any], edit: Edit, mark: str) -> bool:
    """Make an edit; where it writes a token, a mark stands for it. False: there is no such key."""
    *path, last = edit.keys
    part: Any = config
    for key in path:
        if edit.how == "write" and isinstance(part, dict) and part.get(key) is None:
            part[key] = {}
        if not isinstance(part, dict) or key not in part:
            return False
        part = part[key]
    # of a list, the token is the whole
    if not isinstance(part, dict) or (edit.how != "write" and last not in part):
        return False
    if edit.how == "write":
        part[last] = mark
    elif edit.how == "lose":
        del part[last]
    elif edit.how == "rename":
        part[edit.token] = part.pop(last)
    else:
        part[mark] = part[last]
        return True
    return True


# --- reading --------------------------------------------------------------------------------------


def read_code() -> None:
    """Take the digests of the code of all rules, which every try asks for."""
    for rule in rules.RULES:
        for kind in (None, *SOURCES):
            rules.stage_digest(rule, kind)


def tried(case: Case) -> Outcome:
    """Read a config as the Snakefile does, with all that it computes from it at once."""
    folder = Path(tempfile.mkdtemp(prefix="ocvp-fuzz-config-"))
    try:
        with contextlib.chdir(folder):
            return _tried(case, folder / "config.yaml")
    finally:
        shutil.rmtree(folder)


def _tried(case: Case, path: Path) -> Outcome:
    path.write_text(case.text, encoding="utf-8")
    try:
        config = load_configfile(path)
        update_config(config, parse_config(list(case.arguments)))
    except Exception as error:  # Snakemake's own refusal
        return Outcome("refused", f"Snakemake: {error!r}"[:200])
    given = copy.deepcopy(config)
    if "datasets" not in config:
        config = load_configfile(PROJECT / "config/config.yaml")
        update_config(config, given)
    outcome = judged(
        lambda: _whole(config, path),
        lambda text: _names(text, case, path),
        lambda c: _worth(c, case),
    )
    left = [found.name for found in path.parent.iterdir() if found != path]
    return Outcome("leftover", f"{left}") if left else outcome


def _whole(config: dict[str, Any], path: Path) -> Config:
    """Do what `common.smk` and the rules do while they are parsed."""
    yaml_files.check_files([path])
    written = read_as_written(config)
    found = grid.expand(written)
    rules.check_rules(found)
    json.loads(written.model_dump_json(exclude_unset=True), parse_constant=_refuse)
    json.loads(runtime_json(found), parse_constant=_refuse)
    for chain in chains(found):
        any_of(chain.predictors)
    Jobs(found)
    made = list(products(found))
    for product in made:
        json.loads(product.config, parse_constant=_refuse)
        if product.rule != "make_videos":
            outside_digest(found, product)
    figures(found)
    trained_models(found)
    paths(found, "results/{dataset}/{savi}/seed{seed}/{predictor}/{protocol}_video0.png")
    for rule in rules.RULES:
        for kind in ("threads", "mem_mb", "runtime", "gpu"):
            rules.resource(found, rule, kind, 3)
    return written


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} passed validation")


def _names(message: str, case: Case, path: Path) -> bool:
    """Tell whether a message is short, and names a key that was edited, or the file."""
    keys = {
        str(path),
        "study",
        "the top level is",
        *(key for edit in case.edits for key in edit.keys),
    }
    keys |= {edit.token for edit in case.edits if edit.how == "rename"}
    is_short = message.count("\n") <= 21 and all(len(line) < 700 for line in message.split("\n"))
    return is_short and any(key in message for key in keys)


def _worth(config: Config, case: Case) -> Outcome:
    """Compare an accepted config with what stands in it."""
    again = read_as_written(yaml_files.load(commented_yaml(config), "text"))
    if again != config:
        return Outcome("wrong", "as commented text it is another config")
    if read_as_written(json.loads(config.model_dump_json(exclude_unset=True))) != config:
        return Outcome("wrong", "as JSON it is another config")
    read_config(evaluation_config(grid.expand(config), "x"))
    for edit in case.edits[-1:]:  # an earlier one may be written over
        found = _at(config, edit.keys)
        if edit.how in ("write", "command line") and not _means(edit.token, found):
            return Outcome("wrong", f"{edit} gave {found!r}")
    return Outcome("right")


_NONE = object()


def _at(config: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        if isinstance(config, list) and len(config) == 1:  # one study may stand by itself
            config = config[0]
        config = config.get(key, _NONE) if isinstance(config, dict) else getattr(config, key, _NONE)
    return config


def _means(token: str, value: Any) -> bool:
    """Tell whether a scalar is what a person means by a token; True for all that is no scalar."""
    if token == "{}":  # on the command line Snakemake merges it: nothing changes
        return True
    bare = token[1:-1] if token[:1] in "'\"" and token[-1:] == token[:1] else token
    if value is None:
        return bare.lower() in ("null", "~", "")
    if isinstance(value, bool):
        truths = {"true", "yes", "on", "1", "t", "y", "1.0"}
        return value == (bare.lower() in truths)
    if isinstance(value, int | float):
        is_hex = re.fullmatch(r"0x[0-9a-f]+", bare)
        meant = int(bare, 16) if is_hex else float(Decimal(bare.replace("_", "").strip()))
        return float(value) == meant
    if isinstance(value, str):
        text = json.loads(token) if token.startswith('"') else bare
        return value == text or text == "!!binary aGk="
    return True
