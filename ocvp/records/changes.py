"""What differs between what a product was made of and what it would be made of now."""

import json
from collections.abc import Iterable
from typing import Any

MOST_CHANGES = 4
"""Keys of the config whose change is named in one message."""

MOST_CHARACTERS = 40
"""Length of a value in that message; texts that are longer (digests) are not shown at all."""


def changes_between(former: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return what differs between two nested mappings: name to both values, as texts.

    A name is a key, or a section and the path in it (`config training.num_steps`).
    """
    old, new = dict(_leaves(former)), dict(_leaves(now))
    return {
        name: (_text(old, name), _text(new, name))
        for name in {**new, **old}
        if name not in old or name not in new or old[name] != new[name]
    }


def _leaves(value: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Yield the values of nested mappings under names such as `config training.num_steps`."""
    for key, item in value.items():
        if isinstance(item, dict) and item:
            yield from _leaves(item, f"{prefix}{key}{'.' if prefix else ' '}")
        else:
            yield f"{prefix}{key}", item


def _text(values: dict[str, Any], name: str) -> str:
    """Return a value for a message; empty where it says nothing to a reader (digests)."""
    if name not in values:
        return "absent"
    text = json.dumps(values[name])
    is_nested = " " in name
    if is_nested and len(text) > MOST_CHARACTERS:
        return f"{text[:MOST_CHARACTERS]}..."
    return text if is_nested or isinstance(values[name], int | float) else ""


def describe_changes(changes: dict[str, tuple[str, str]]) -> str:
    """Name what changed; of each section some keys, with both values."""
    parts: list[str] = []
    counts: dict[str, int] = {}
    for name, (former, now) in changes.items():
        section = name.partition(" ")[0]
        counts[section] = counts.get(section, 0) + 1
        if counts[section] == MOST_CHANGES + 1:
            parts.append("...")
        elif counts[section] <= MOST_CHANGES:
            parts.append(f"{name} {former} -> {now}" if former and now else name)
    return ", ".join(parts)
