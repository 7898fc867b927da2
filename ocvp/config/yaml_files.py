"""Config files as text: what YAML would take for something else than is meant.

YAML 1.1 reads `010` as 8 and `1:30` as 90, and of a key that stands twice it takes the second one.
What Snakemake makes of a file does not show that any more, so its text is looked at.
"""

import contextlib
import functools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from ocvp.config.messages import fault_list, readable
from ocvp.config.scalars import LEADING_ZERO
from ocvp.config.section import Section, kinds_of_keys
from ocvp.config.tree import Config

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
MERGE = "tag:yaml.org,2002:merge"
BASE_60 = re.compile(r"[-+]?[\d_]+(:[0-5]?\d)+(\.[\d_]*)?")
"""A number that YAML 1.1 takes for minutes and seconds."""


DECIMAL = re.compile(r"0|-?[1-9]\d*", re.ASCII)


def load(text: str, where: str) -> Any:
    """Return what a config's text holds, as JSON or YAML.

    Args:
        text: The text.
        where: What to call it in messages.

    Raises:
        ValueError: If it is neither, or holds what could mean two things.
    """
    try:
        value = _value(text)
        faults = [fault for _, fault in _faults(text)]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        words = " ".join(str(error).split())
        raise ValueError(readable(f"{where} is neither valid YAML nor JSON: {words}")) from None
    if faults:
        raise ValueError(fault_list(where, faults))
    return value


def check_files(paths: Iterable[str | Path]) -> None:
    """Check config files that Snakemake has read already.

    What stands outside of this project's sections, in the config of a workflow that imports this
    one, is left alone.

    Raises:
        ValueError: If one holds what could mean two things, naming file and keys.
    """
    for path in map(Path, paths):
        if not path.is_file():
            continue
        found = _faults(path.read_text(encoding="utf-8"))
        if faults := [fault for keys, fault in found if Config.model_fields.keys() & set(keys)]:
            raise ValueError(fault_list(str(path), faults))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return yaml.load(text, LOADER)


def _faults(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the keys and a line for each scalar or key that could mean two things."""
    with contextlib.suppress(yaml.YAMLError):  # JSON with tabs is none, and needs no check
        yield from _faults_of(yaml.compose(text, LOADER), (), set())


def _faults_of(
    node: yaml.Node | None, keys: tuple[str, ...], seen: set[int]
) -> Iterator[tuple[tuple[str, ...], str]]:
    if id(node) in seen:  # an alias, which may hold itself
        return
    seen.add(id(node))
    name = ".".join(keys) or "the top level"
    if isinstance(node, yaml.MappingNode):
        names = [key.value for key, _ in node.value if key.tag != MERGE and _is_scalar(key)]
        for twice in dict.fromkeys(key for key in names if names.count(key) > 1):
            yield (*keys, twice), f"{'.'.join((*keys, twice))} stands there twice"
        for key, value in node.value:
            inner = (*keys, key.value if _is_scalar(key) else "?")
            yield from _faults_of(key, inner, seen)
            yield from _faults_of(value, inner, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _faults_of(item, (*keys, str(index)), seen)
    elif isinstance(node, yaml.ScalarNode) and _is_misread(node, keys):
        read = yaml.load(node.value, LOADER)
        yield (
            keys,
            f"{name} is {node.value}, which YAML reads as {read}; write {read} or the number that "
            "is meant, or put it into quotes where it is text",
        )


def _is_misread(node: yaml.ScalarNode, keys: tuple[str, ...]) -> bool:
    """Tell whether a node is a number to YAML and may be something else to who wrote it."""
    if node.style or node.tag not in NUMBERS:  # in quotes, or no number
        return False
    if any(form.fullmatch(node.value) for form in (LEADING_ZERO, BASE_60)):
        return True
    # where text is meant, a whole number is taken as text
    is_whole = node.tag == NUMBERS[0]
    return is_whole and not DECIMAL.fullmatch(node.value) and not _text_keys().isdisjoint(keys[-1:])


@functools.cache
def _text_keys() -> set[str]:
    """Return the keys of all sections that take text."""
    sections, found = [Section], set()
    while sections:
        section = sections.pop()
        sections += section.__subclasses__()
        found |= {key for key, kinds in kinds_of_keys(section).items() if str in kinds}
    return found


def _is_scalar(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode)
