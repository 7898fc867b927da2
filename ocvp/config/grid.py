"""Variants of a config's entries: each combination of a grid's values becomes an entry of its own.

`ocvp_seq: {..., grid: {num_layers: [2, 4]}}` stands for the entries `ocvp_seq-num_layers2` and
`ocvp_seq-num_layers4`, which differ from `ocvp_seq` in this key only. This is the one case of a
value in the paths of products.
"""

import copy
import functools
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from ocvp.config.entries import ModelEntry
from ocvp.config.messages import fault_list, shortened
from ocvp.config.predictors import PredictorEntry
from ocvp.config.savi import SaviEntry
from ocvp.config.section import VALUES_PATTERN, Section, validate
from ocvp.config.tree import Config, Study

SECTIONS = ("savi", "predictors")
"""Sections whose entries may have a grid."""

NOT_VARIED = ("grid", "pretrained", "pretrained_params", "start_from")
"""Keys of an entry that a grid cannot vary: their values are no part of a name."""


class Entries(Section):
    """Entries by name, to be validated."""

    savi: dict[str, SaviEntry] = Field(default={})
    """SAVi models."""
    predictors: dict[str, PredictorEntry] = Field(default={})
    """Slot predictors."""


def expand(config: Config) -> Config:
    """Return a config in which variants stand for the entries with a grid.

    A study that names such an entry means all its variants.

    Args:
        config: The validated config, as it is written.

    Raises:
        ValueError: If a grid names a key that the entry does not have or that cannot be varied, if
            a variant is not valid, or if two entries would have one name.
    """
    changes: dict[str, Any] = {}
    named: dict[tuple[str, str], list[str]] = {}
    for section in SECTIONS:
        written: dict[str, ModelEntry] = getattr(config, section)
        entries: dict[str, ModelEntry] = {}
        for name, entry in written.items():
            own = dict(_variants(section, name, entry)) if entry.grid else {name: entry}
            # an earlier entry, or one that comes later and is written out
            if twice := own.keys() & (entries.keys() | written.keys() - {name}):
                raise _error(f"{section}.{name}.grid gives {min(twice)}, which stands there too")
            named[section, name] = list(own)
            entries |= own
        changes[section] = entries
    # nothing varies: the config as it is
    if all(changes[section].keys() == getattr(config, section).keys() for section in SECTIONS):
        return config
    return config.model_copy(update={**changes, "study": _studies(config.study, named)})


def _variants(section: str, name: str, entry: ModelEntry) -> Iterator[tuple[str, ModelEntry]]:
    """Yield the variants of an entry with their names."""
    where = f"{section}.{name}.grid"
    # Sorted, so that the order in which keys are written changes no name.
    grid = dict(sorted((entry.grid or {}).items()))
    paths = [key_path(entry, key, where) for key in grid]
    if len(set(paths)) < len(paths):
        raise _error(f"{where} holds one key under two names: {', '.join(grid)}")
    plain = entry.model_dump(mode="json", exclude_unset=True, exclude={"grid"})
    names = set()
    for values in itertools.product(*grid.values()):
        # --- the entry with these values, as it would be written
        raw = copy.deepcopy(plain)
        for path, value in zip(paths, values, strict=True):
            part = raw
            for key in path[:-1]:
                part = part.setdefault(key, {})
            part[path[-1]] = value
        # --- validated under its name, and named again after the values as they are understood
        as_written = _name(name, grid, values, where)
        entries = validate(Entries, {section: {as_written: raw}})
        variant: ModelEntry = getattr(entries, section)[as_written]
        # 1e-4 may have been written as text, and 0.0001 is the same.
        found = [functools.reduce(getattr, path, variant) for path in paths]
        variant_name = _name(name, grid, found, where)
        if variant_name in names:
            raise _error(f"{where} gives {variant_name} twice; each value may stand in a list once")
        names.add(variant_name)
        yield variant_name, variant


def key_path(entry: ModelEntry, key: str, where: str) -> tuple[str, ...]:
    """Return the path of a grid's key in an entry, for example `("model", "num_layers")`.

    Args:
        entry: The entry.
        key: As written: a key of one of its sections, of the entry itself, or `SECTION.KEY`.
        where: What to call the grid in messages.

    Raises:
        ValueError: If the entry has no such key, or several.
    """
    keys = [path for path in _paths(entry) if path[0] not in NOT_VARIED]
    found = [path for path in keys if key in (path[-1], ".".join(path))]
    if len(found) == 1:
        return found[0]
    if found:
        names = " or ".join(".".join(path) for path in found)
        raise _error(f"{where}.{key} could be {names}; write which")
    names = ", ".join(".".join(path) for path in keys)
    raise _error(f"{where}.{key}: there is no such key to vary; allowed are {names}")


def _paths(section: Section, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of each key of a section, and of the sections in it."""
    for name in type(section).model_fields:
        part, path = getattr(section, name), (*above, name)
        if isinstance(part, Section):
            yield from _paths(part, path)
        else:
            yield path


def _name(name: str, grid: dict[str, Any], values: Any, where: str) -> str:
    parts = (f"{key}{_text(value, where)}" for key, value in zip(grid, values, strict=True))
    return "-".join([name, *parts])


def _text(value: Any, where: str) -> str:
    """Return a value as a part of a name: 4, 0.0002, true, null, cosine, 32x32.

    Raises:
        ValueError: If it is a mapping, or text that does not fit into a path.
    """
    if isinstance(value, list | tuple):
        return "x".join(_text(item, where) for item in value)
    text = value if isinstance(value, str) else json.dumps(value)
    if not re.fullmatch(VALUES_PATTERN, text):
        raise _error(
            f"{where} holds {shortened(value)}; its values stand in paths: allowed are numbers, "
            "true, false, null, single words, and lists of these"
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


def _error(text: str) -> ValueError:
    return ValueError(fault_list("config", [text]))
