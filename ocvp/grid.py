"""Variants of a config's entries: each combination of a grid's values becomes an entry of its own.

`ocvp_seq: {..., grid: {num_layers: [2, 4]}}` stands for the entries `ocvp_seq-num_layers2` and
`ocvp_seq-num_layers4`, which differ from `ocvp_seq` in this key only. This is the one case of a
value in the paths of products.
"""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

from ocvp.config import Config, Study
from ocvp.config_models import ModelEntry, PredictorEntry, SaviEntry
from ocvp.config_section import Section, validate

SECTIONS = ("savi", "predictors")
"""Sections whose entries may have a grid."""

NOT_VARIED = ("grid", "pretrained", "pretrained_params", "start_from")
"""Keys of an entry that a grid cannot vary: their values are no part of a name."""

PART_OF_A_NAME = re.compile(r"[A-Za-z0-9_.-]+")


class Variants(Section):
    """The variants of all grids, for one validation."""

    savi: dict[str, SaviEntry]
    """SAVi models by name."""
    predictors: dict[str, PredictorEntry]
    """Slot predictors by name."""


def expand(config: Config) -> Config:
    """Return a config in which variants stand for the entries with a grid.

    A study that names such an entry means all its variants.

    Args:
        config: The validated config, as it is written.

    Raises:
        ValueError: If a grid names a key that the entry does not have or that cannot be varied, if
            a variant is not valid, or if two of them are the same.
    """
    raw: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    paths: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for section in SECTIONS:
        for name, entry in getattr(config, section).items():
            if entry.grid:
                where = f"{section}.{name}.grid"
                paths[section, name] = [key_path(entry, key, where) for key in sorted(entry.grid)]
                raw[section] |= _combinations(name, entry, paths[section, name], where)
    if not paths:
        return config
    variants = validate(Variants, raw)
    changes: dict[str, Any] = {}
    named: dict[tuple[str, str], list[str]] = {}
    for section in SECTIONS:
        entries: dict[str, ModelEntry] = {}
        written = iter(getattr(variants, section).values())
        for name, entry in getattr(config, section).items():
            if not entry.grid:
                entries[name] = entry
                continue
            own = list(itertools.islice(written, num_combinations(entry)))
            names = [_name(name, entry, variant, paths[section, name]) for variant in own]
            named[section, name] = names
            if twice := [known for known in names if names.count(known) > 1]:
                raise ValueError(
                    f"config is not valid:\n  {section}.{name}.grid gives {twice[0]} twice; each "
                    "value may stand in a list once"
                )
            entries |= dict(zip(names, own, strict=True))
        changes[section] = entries
    return config.model_copy(update={**changes, "study": _studies(config.study, named)})


def num_combinations(entry: ModelEntry) -> int:
    """Return how many variants an entry has: 1 without a grid."""
    number = 1
    for values in (entry.grid or {}).values():
        number *= len(values)
    return number


def key_path(entry: ModelEntry, key: str, where: str) -> tuple[str, ...]:
    """Return the path of a grid's key in an entry, for example `("model", "num_layers")`.

    Args:
        entry: The entry.
        key: As written: a key of one of its sections, of the entry itself, or `SECTION.KEY`.
        where: What to call the grid in messages.

    Raises:
        ValueError: If the entry has no such key, or several.
    """
    keys: list[tuple[str, ...]] = []
    for name in type(entry).model_fields:
        part = getattr(entry, name)
        if isinstance(part, Section):
            keys += [(name, inner) for inner in type(part).model_fields]
        elif name not in NOT_VARIED:
            keys.append((name,))
    found = [path for path in keys if key in (path[-1], ".".join(path))]
    if len(found) == 1:
        return found[0]
    if found:
        names = " or ".join(".".join(path) for path in found)
        raise ValueError(f"config is not valid:\n  {where}.{key} could be {names}; write which")
    names = ", ".join(".".join(path) for path in keys)
    raise ValueError(
        f"config is not valid:\n  {where}.{key}: there is no such key to vary; allowed are {names}"
    )


def _combinations(
    name: str, entry: ModelEntry, paths: list[tuple[str, ...]], where: str
) -> dict[str, Any]:
    """Return the variants of an entry as plain mappings.

    Their names are those of `_name`, but with the values as they are written: 1e-4 may be text.
    """
    grid = dict(sorted((entry.grid or {}).items()))
    plain = entry.model_dump(mode="json", exclude_unset=True, exclude={"grid"})
    found = {}
    for values in itertools.product(*grid.values()):
        parts = [f"{key}{_text(value, where)}" for key, value in zip(grid, values, strict=True)]
        variant = json.loads(json.dumps(plain))
        for path, value in zip(paths, values, strict=True):
            part = variant
            for key in path[:-1]:
                part = part.setdefault(key, {})
            part[path[-1]] = value
        found["-".join([name, *parts])] = variant
    return found


def _name(name: str, entry: ModelEntry, variant: ModelEntry, paths: list[tuple[str, ...]]) -> str:
    """Return a variant's name: keys as the grid has them, sorted, and values as validated."""
    parts = []
    for key, path in zip(sorted(entry.grid or {}), paths, strict=True):
        value: Any = variant
        for step in path:
            value = getattr(value, step)
        parts.append(f"{key}{_text(value, key)}")
    return "-".join([name, *parts])


def _text(value: Any, where: str) -> str:
    """Return a value as a part of a name: 4, 0.0002, true, null, cosine, 32x32.

    Raises:
        ValueError: If it is a mapping, or text that does not fit into a path.
    """
    if isinstance(value, list | tuple):
        return "x".join(_text(item, where) for item in value)
    text = value if isinstance(value, str) else json.dumps(value)
    if not PART_OF_A_NAME.fullmatch(text):
        raise ValueError(
            f"config is not valid:\n  {where} holds {value!r}; its values stand in paths: allowed "
            "are numbers, true, false, null, single words, and lists of these"
        )
    return text


def _studies(studies: list[Study], named: dict[tuple[str, str], list[str]]) -> list[Study]:
    """Return studies in which the names of variants stand for those of entries with a grid."""

    def names(study: Study, section: str) -> Iterator[str]:
        for name in getattr(study, section):
            yield from named.get((section, name), [name])

    return [
        study.model_copy(
            update={section: list(dict.fromkeys(names(study, section))) for section in SECTIONS}
        )
        for study in studies
    ]
