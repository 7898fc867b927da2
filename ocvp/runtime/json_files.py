"""JSON files that this project wrote, and what may have become of them since."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ocvp.runtime.files import read_json


class Content(BaseModel):
    """What a file must hold to be of use; it may hold more."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


def read_content(path: str | Path, model: type[Content]) -> dict[str, Any]:
    """Read a JSON file whose content must fit a model.

    Raises:
        ValueError: If the file is missing or damaged, naming it.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: it holds no mapping")
    try:
        model.model_validate(content)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = ".".join(map(str, fault["loc"])) or "its content"
        message = fault["msg"].removeprefix("Value error, ")
        raise ValueError(f"{path} is damaged: {key}: {message[0].lower()}{message[1:]}") from None
    return content
