"""What the JSON files beside products must hold to be read: a file that does not is damaged."""

from typing import Any, Literal

from pydantic import Field

from ocvp.runtime.json_files import Content

FORMAT: Literal["ocvp provenance 1"] = "ocvp provenance 1"


class Device(Content):
    """Where something was computed."""

    name: str


class MadeBy(Content):
    """Versions and machine."""

    class Git(Content):
        """The commit of the source."""

        commit: str
        dirty: bool

    versions: dict[str, str]
    device: Device
    git: Git | None = None


class Input(Content):
    """A file that was read."""

    role: str
    path: str
    digest: str


class Raw(Content):
    """What videos were converted from."""

    num_videos: int
    num_files: int
    num_bytes: int
    digest: str


class Provenance(Content):
    """The record of a product: what every one of them holds that is read again."""

    format: Literal["ocvp provenance 1"]
    rule: str
    program: str
    products: dict[str, str] = Field(min_length=1)
    inputs: list[Input]
    config: dict[str, Any]
    seed: int | None
    code: str
    made_by: MadeBy
    finished: str
    seconds: float
    raw: Raw | None = None


class TrainingTime(Content):
    """What a training took."""

    steps: int
    epochs: int | None = None
    seconds: float
    device: Device | None = None


class OriginRecord(Content):
    """What the weights of a model came from: the files that the config named, what they held."""

    named: list[str | None]
    digest: str
