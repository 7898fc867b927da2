"""What all parts of the config are made of: sections, types of keys, and clear messages."""

import difflib
import functools
import json
import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ocvp.config.messages import MOST_LINES, fault_list, shortened
from ocvp.config.scalars import as_meant, kinds_of

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
NAME_PATTERN = r"^[a-z][a-z0-9_]*$"
VALUES_PATTERN = "[A-Za-z0-9_.-]+"
"""What follows the first hyphen in the name of a variant."""
VARIANT_PATTERN = rf"{NAME_PATTERN.rstrip('$')}(-{VALUES_PATTERN})?$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
NameOfVariant = Annotated[str, Field(pattern=VARIANT_PATTERN)]
"""A name, or that of one variant of an entry with a grid (see `ocvp.config.grid`)."""
LARGEST_SIZE = 4096
"""What no size of a model exceeds: channels, sides, slots, layers, iterations."""
Size = Annotated[int, Field(ge=1, le=LARGEST_SIZE)]
Side = Annotated[int, Field(ge=8, le=LARGEST_SIZE)]
Resolution = tuple[Side, Side]
Channels = Annotated[tuple[Size, ...], Field(min_length=1)]


Model = TypeVar("Model", bound=BaseModel)


class Section(BaseModel):
    """A mapping of the config: refuses unknown keys, and cannot be changed after validation.

    The type of a key decides what a scalar means (`ocvp.config.scalars`); no number is infinite.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    # of the section, since pydantic lets no validator of keys look at `kind`
    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        kinds = kinds_of_keys(cls)
        meant = {key: as_meant(key, value[key], kinds[key]) for key in value if key in kinds}
        return {**value, **meant}


@functools.cache
def kinds_of_keys(model: type[Section]) -> dict[str, frozenset[type]]:
    """Return the types of scalars that each key of a section takes."""
    return {key: kinds_of(field.annotation) for key, field in model.model_fields.items()}


# --- validation ---------------------------------------------------------------------------------


def validate(model: type[Model], value: Any, where: str = "config") -> Model:
    """Validate `value`, and turn what is wrong into one readable message.

    Args:
        model: The section that `value` must be.
        value: Plain mappings, lists and scalars, as YAML or JSON give them.
        where: Name of the value in the message.

    Raises:
        ValueError: With a line for each fault: key, value, what is allowed.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        shown = [_explain(fault, model, value) for fault in faults[:MOST_LINES]]
        raise ValueError(fault_list(where, shown, len(faults))) from None
    except RecursionError:
        raise ValueError(fault_list(where, ["it is nested too deeply"])) from None


def canonical_json(section: BaseModel | dict[str, Any]) -> str:
    """Return a section with its defaults filled in as one JSON value with sorted keys."""
    value = section.model_dump(mode="json") if isinstance(section, BaseModel) else section
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _explain(fault: Any, model: type[BaseModel], value: Any) -> str:
    """Return one line for one of pydantic's errors: key, value, what is allowed."""
    # --- what is wrong where
    keys = _keys(fault["loc"], value)
    key = ".".join(keys) or "the top level"
    found, context = shortened(fault["input"]), fault.get("ctx", {})
    # --- faults with words of their own
    match fault["type"]:
        case "extra_forbidden":
            siblings = _siblings(fault["loc"], model.model_json_schema())
            close = difflib.get_close_matches(keys[-1], siblings, n=1, cutoff=0.75)
            hint = f"did you mean {close[0]}?" if close else f"allowed are {', '.join(siblings)}"
            return f"{key}: unknown key (value {found}); {hint}"
        case "missing" if isinstance(fault["loc"][-1], int):
            return f"{key}: this value is missing"
        case "missing":
            return f"{key}: this key is required"
        case "union_tag_not_found":
            return f"{key}.kind: this key is required"
        case "union_tag_invalid":
            return (
                f"{key}.kind is {shortened(context['tag'])}: allowed are {context['expected_tags']}"
            )
        case "string_type":
            return f"{key} is {found}: text is needed; in YAML, put it into quotes"
        case "string_pattern_mismatch" if keys[-1] == "[key]":
            return (
                f"{'.'.join(keys[:-1])}: a name consists of lower-case letters, digits and "
                "underscores, with a letter first"
            )
        case "invalid_key":
            return (
                f"{'.'.join(keys[:-1]) or 'the top level'} is given the key {found}, which is no "
                "text; in YAML, put it into quotes"
            )
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{key} is {found}: a mapping of keys to values is needed"
    # --- all others, in the words of pydantic or of our validators
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error":
        if re.match(r"\w+: ", message):  # it names one key of the section
            return f"{key}.{message}" if keys else message
        return f"{key}: {message}"
    return f"{key} is {found}: {message[0].lower()}{message[1:]}"


def _keys(location: tuple[str | int, ...], value: Any) -> list[str]:
    """Return the keys of a location, without the parts that name a branch of a union."""
    keys = []
    for part in location[:-1]:
        is_key = isinstance(value, dict) and part in value
        if is_key or isinstance(value, list):
            value = value[part]
            keys.append(str(part))
    last = location[-1:]
    if isinstance(value, dict) and value.get("kind") in last:
        last = ()  # a fault of a whole section of this kind
    return [*keys, *(str(part) for part in last)]


def _siblings(location: tuple[str | int, ...], schema: dict[str, Any]) -> list[str]:
    """Return the keys that are allowed beside the last part of a location."""
    part_of = schema
    for part in (*location[:-1], None):  # None: resolves what the last part leads to
        if options := part_of.get("anyOf"):  # a list of sections, or one section by itself
            part_of = options[0]
        if mapping := part_of.get("discriminator", {}).get("mapping"):
            part_of = {"$ref": mapping[part]}
            continue
        if "$ref" in part_of:
            part_of = schema["$defs"][part_of["$ref"].rpartition("/")[2]]
        if part is None or isinstance(part, int):
            continue
        others = [
            *part_of.get("patternProperties", {}).values(),
            part_of.get("additionalProperties"),
        ]
        part_of = part_of["properties"][part] if "properties" in part_of else others[0]
    return list(part_of["properties"])
