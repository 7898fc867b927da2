"""What a scalar of a config means: the type of its key decides, not how it was written.

Snakemake gives all that stands in the mappings of its option `--config` as text, and YAML takes
`2024` for a number where a folder is meant. Keys of text take whole numbers, keys of numbers take
them as text, and no key takes what could mean two things.
"""

import re
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from ocvp.config.messages import shortened

LEADING_ZERO = re.compile(r"[-+]?0[\d_][\d_.:e+-]*", re.ASCII | re.IGNORECASE)
"""A number that starts with a zero without a meaning: YAML 1.1 reads `010` as 8."""

SURROGATE = re.compile(r"[\ud800-\udfff]")
"""Half of a letter, as which YAML reads JSON's two escapes for a letter."""

WHOLE = re.compile(r"[-+]?\d+", re.ASCII)
MOST_DIGITS = 18
LARGEST = 10**MOST_DIGITS
"""Of whole numbers: torch and HDF5 hold few that are larger."""


def kinds_of(annotation: Any) -> frozenset[type]:
    """Return the types of scalars that a key takes, itself or in a list; sections as they are."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return frozenset(map(type, parts))
    if not parts:
        return frozenset([annotation])
    parts = parts[:1] if origin is Annotated else parts
    return frozenset().union(*(kinds_of(part) for part in parts if part is not ...))


def as_meant(key: str, value: Any, kinds: frozenset[type]) -> Any:
    """Return a value as its key means it.

    Args:
        key: The key, for the message.
        value: As YAML, JSON or Snakemake gives it: a scalar or a list of them, all else untouched.
        kinds: The types that the key takes (`kinds_of`).

    Raises:
        ValueError: If a number is needed, and it is a truth value, has zeros in front, or is too
            large; or if text holds halves of letters.
    """
    if isinstance(value, list | tuple):
        return [as_meant(key, item, kinds) for item in value]
    if isinstance(value, str) and value == "null" and NoneType in kinds:
        return None
    if str in kinds:
        if isinstance(value, str) and SURROGATE.search(value):
            raise ValueError(f"{key}: it is {shortened(value)}; write letters as they are, not \\u")
        return str(value) if type(value) is int else value
    if not kinds & {int, float}:
        return value
    if fault := _fault(value, bool in kinds):
        raise ValueError(f"{key}: it is {shortened(value)}; a number is needed, {fault}")
    # by hand, since pydantic takes no text where a key has a choice of numbers
    return (
        int(value) if int in kinds and isinstance(value, str) and WHOLE.fullmatch(value) else value
    )


def _fault(value: Any, is_truth_value_too: bool) -> str:
    """Return why a scalar is no number; empty where it may be one."""
    if isinstance(value, bool) and not is_truth_value_too:
        return "and no truth value"
    if isinstance(value, str) and LEADING_ZERO.fullmatch(value.strip()):
        return "without zeros in front"
    is_long = isinstance(value, str) and WHOLE.fullmatch(value) and len(value) > MOST_DIGITS
    if is_long or (isinstance(value, int) and abs(value) > LARGEST):
        return f"at most {LARGEST}"
    return ""
