"""A whole config as YAML text in which a comment explains every key.

The comments are the descriptions of the config's models, with type, range and default. The text
reads back to the same config.
"""

import functools
import textwrap
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import yaml

from ocvp.config.descriptions import describe, one_line
from ocvp.config.entries import ModelEntry, Origin
from ocvp.config.section import Section
from ocvp.config.tree import Config

WIDTH = 100
STEP = "  "
"""Indentation of one level."""


def commented_yaml(config: Config, header: Sequence[str] = ()) -> str:
    """Return a config as YAML: every key with its value, after a comment that explains it.

    Args:
        config: The validated config; keys that it left out are written with their defaults.
        header: Lines of the comment at the top, without `#`.
    """
    lines = [f"# {line}".rstrip() for line in header]
    for key in Config.model_fields:
        lines += ["", *_key_lines(config, key, "")]
    return "\n".join(lines).lstrip("\n") + "\n"


def _section_lines(section: Section, indent: str) -> Iterator[str]:
    """Yield the keys of a section: its kind first; origins and grids, seldom used, last."""
    keys = type(section).model_fields
    for key in sorted(keys, key=lambda key: (key != "kind", key in ModelEntry.model_fields)):
        yield from _key_lines(section, key, indent)


def _key_lines(section: Section, key: str, indent: str) -> Iterator[str]:
    """Yield one key of a section: its comment, and its value."""
    value = getattr(section, key)
    yield from _comment(_meaning(type(section), key), indent)
    if isinstance(section, Origin) and section.pretrained and key == "model":
        yield from _pretrained_model(value, indent)
    else:
        yield from _value_lines(key, value, indent)


def _value_lines(key: str, value: Any, indent: str) -> Iterator[str]:
    """Yield `key:` with its value, of any kind, without a comment on the key itself."""
    inner = indent + STEP
    if isinstance(value, Section):
        yield f"{indent}{key}:"
        yield from _section_lines(value, inner)
    elif isinstance(value, dict) and any(isinstance(item, Section) for item in value.values()):
        yield f"{indent}{key}:"
        for name, entry in value.items():
            yield from _comment(one_line(type(entry).__doc__ or ""), inner)
            yield from _value_lines(name, entry, inner)
    elif isinstance(value, list) and value and isinstance(value[0], Section):
        if len(value) == 1:  # a study may stand by itself
            yield from _value_lines(key, value[0], indent)
            return
        yield f"{indent}{key}:"
        for entry in value:
            yield f"{inner}-"
            yield from _section_lines(entry, inner + STEP)
    else:
        yield f"{indent}{key}: {flow_yaml(value)}"


def _pretrained_model(model: Section | None, indent: str) -> Iterator[str]:
    """Yield a pretrained entry's model: the keys that it sets, for only these are compared."""
    if model is None or not model.model_fields_set:
        yield f"{indent}model: {'null' if model is None else '{}'}"
        return
    yield f"{indent}model:"
    for key in type(model).model_fields:
        if key in model.model_fields_set:
            yield from _key_lines(model, key, indent + STEP)
        else:
            yield from _comment(f"{key}: as in the checkpoint.", indent + STEP)


@functools.cache
def _meaning(model: type[Section], key: str) -> str:
    """Return a key's description with its type, range and default in words."""
    schema = model.model_json_schema()
    field, value = model.model_fields[key], schema["properties"][key]
    description = one_line(field.description or "")
    if _holds_sections(value):
        return description
    kind = describe(value).replace("\\|", "|")  # escaped for a table
    default = "required" if field.is_required() else f"default {flow_yaml(value['default'])}"
    return f"{description} ({kind}; {default})"


def _holds_sections(value: dict[str, Any]) -> bool:
    """Tell whether a key of the schema holds sections, which explain their keys themselves."""
    options = [value, *value.get("anyOf", []), *value.get("oneOf", [])]
    parts = [*options, value.get("items", {}), value.get("additionalProperties")]
    parts += value.get("patternProperties", {}).values()
    return any(
        isinstance(part, dict) and ("$ref" in part or "discriminator" in part) for part in parts
    )


def _comment(text: str, indent: str) -> list[str]:
    return wrapped(text, f"{indent}# ", f"{indent}# ")


def wrapped(text: str, first: str, later: str) -> list[str]:
    """Return a text in lines, the first one and later ones each after what they start with."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )


class _Dumper(yaml.SafeDumper):
    """Writes lists on one line, and what is repeated in full."""

    def represent_sequence(
        self, tag: str, sequence: Any, flow_style: bool | None = None
    ) -> yaml.SequenceNode:
        return super().represent_sequence(tag, sequence, flow_style=True)

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _LineDumper(_Dumper):
    """Writes scalars as every reader of YAML and of its older versions reads them."""


def _represent_float(dumper: yaml.SafeDumper, value: float) -> yaml.Node:
    text = repr(value)
    if 0 < abs(value) < 1e-3 or "e" in text:
        # YAML 1.1 takes 1e-4 for text: the point and the sign are needed.
        mantissa, _, exponent = f"{Decimal(text):e}".partition("e")
        text = f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}"
    return dumper.represent_scalar("tag:yaml.org,2002:float", text.replace("inf", ".inf"))


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = None if value.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_LineDumper.add_representer(float, _represent_float)
_LineDumper.add_representer(str, _represent_text)
_LineDumper.add_representer(tuple, yaml.SafeDumper.represent_list)


def flow_yaml(value: Any) -> str:
    """Return a value (scalar, list or mapping of them) as YAML on one line.

    Floats are written so that YAML 1.1 reads them too: 1.0e-4.
    """
    text = yaml.dump(
        value, Dumper=_LineDumper, default_flow_style=True, allow_unicode=True, width=float("inf")
    )
    return text.removesuffix("\n").removesuffix("\n...")  # YAML ends a bare value so


def block_yaml(config: dict[str, Any]) -> str:
    """Return a config as YAML in its own order: a line for each key, lists on one line."""
    return yaml.dump(config, Dumper=_Dumper, sort_keys=False, width=WIDTH, allow_unicode=True)
