"""What is measured: the models of a config, at which sizes, on which device."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ocvp.config.predictors import PredictorStage
from ocvp.config.savi import SaviStage
from ocvp.config.section import validate
from ocvp.config.whole import read_config

PROJECT = Path(__file__).resolve().parents[2]
SUBJECT = "subject.json"
PARTS = ("model", "training")
SEED = 0
TRAINING_VIDEOS = {"obj3d": 2920, "movi": 9703}
"""Of Obj3D and MOVi-A; for videos of one's own, whose number no config says, as many as Obj3D's."""


@dataclass(frozen=True)
class Sizes:
    """How much of what is computed at once."""

    savi_batch: int
    """Clips of a SAVi step."""
    savi_frames: int
    """Frames of such a clip."""
    predictor_batch: int
    """Windows of a predictor step, of `num_context` and `num_preds` frames."""
    num_context: int
    num_preds: int
    videos: int
    """Videos that are encoded, and scored, at once."""
    frames: int
    """Frames of these."""
    loader_batch: int
    """Clips of a batch that is only read, as long as those of a SAVi step."""
    dataset_videos: int = TRAINING_VIDEOS["obj3d"]
    """Videos of the data set that is trained on."""
    dataset_frames: int = 50
    """Frames of these."""
    savi_videos: int = 0
    """Videos that SAVi's clips are cut from, a multiple of `savi_batch`; 0: as many."""


@dataclass(frozen=True)
class Subject:
    """The models of a config, and how they are computed; plain, as it is handed on as JSON."""

    config: str
    """Name of the config."""
    resolution: tuple[int, int]
    has_masks: bool
    """Whether scoring is given masks, and with them boxes."""
    savi: dict[str, Any]
    """`model` and `training` of the SAVi, without what is default: an earlier version, which may
    lack a key, then does the same."""
    predictors: dict[str, dict[str, Any]]
    """Kind to `model` and `training`, likewise."""
    sizes: dict[str, int]
    """`Sizes`."""
    device: str
    num_threads: int
    precision: str
    """Of what this project computes; the plain formulation is always float32."""
    compile: bool

    def save(self, folder: Path) -> None:
        """Write it to a folder."""
        text = json.dumps(dataclasses.asdict(self))
        (folder / SUBJECT).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Subject":
        """Read it from a folder."""
        return cls(**json.loads((folder / SUBJECT).read_text(encoding="utf-8")))

    def resized(self, **sizes: int) -> "Subject":
        """Return it with other sizes."""
        return dataclasses.replace(self, sizes=self.sizes | sizes)

    def with_slots(self, num_slots: int) -> "Subject":
        """Return it with another number of slots."""
        model = self.savi["model"] | {"num_slots": num_slots}
        return dataclasses.replace(self, savi=self.savi | {"model": model})


def read_subject(
    config: str,
    device: str,
    *,
    quick: bool = False,
    precision: str | None = None,
    is_compiled: bool = False,
    num_threads: int | None = None,
    **sizes: int | None,
) -> Subject:
    """Read what a config says of its models.

    Args:
        config: Name of a file in `config/`, without its ending, or a path.
        device: `cpu` or `cuda`.
        quick: Shrink it as `config/small/` does, to see that all works.
        precision: Of this project's own steps; None: what the config says.
        is_compiled: Whether this project's own steps are compiled.
        num_threads: Threads of a CPU; None: what the config says.
        sizes: Sizes in place of the usual ones, by name; None: the usual one.

    Raises:
        ValueError: If there is no such config, it trains no SAVi, or it is not valid.
    """
    path, value = read_values(config, quick)
    whole = read_config(value)
    study = whole.study[0]
    dataset, savi = whole.datasets[study.datasets[0]], whole.savi[study.savi[0]]
    if savi.pretrained or savi.model is None or savi.training is None:
        raise ValueError(f"{path}: savi.{study.savi[0]} is pretrained; there is no step to measure")
    predictors: dict[str, Any] = {}
    for entry in (whole.predictors[name] for name in study.predictors):
        if entry.training is not None and not entry.pretrained:
            predictors.setdefault(entry.kind, entry)  # the first of each kind
    windows = next((entry.training for entry in predictors.values()), None)
    usual = usual_sizes(device, quick, savi.training, windows)
    if not quick:
        of_data = {"dataset_frames": dataset.num_frames, "dataset_videos": num_videos(dataset)}
        usual = dataclasses.replace(usual, **of_data)
    given = {name: size for name, size in sizes.items() if size is not None}
    stages = {
        kind: {"kind": kind} | {part: said(getattr(entry, part)) for part in PARTS}
        for kind, entry in predictors.items()
    }
    return Subject(
        config=path.stem,
        resolution=dataset.resolution,
        has_masks=dataset.has_boxes,
        savi={part: said(getattr(savi, part)) for part in PARTS},
        predictors=stages,
        sizes=dataclasses.asdict(dataclasses.replace(usual, **given)),
        device=device,
        num_threads=num_threads or savi.training.num_threads,
        precision=precision or savi.training.precision,
        compile=is_compiled,
    )


def said(section: Any) -> dict[str, Any]:
    """Return the keys of a section that are not default, as JSON takes them."""
    return section.model_dump(mode="json", exclude_defaults=True)


def read_values(config: str, quick: bool) -> tuple[Path, dict[str, Any]]:
    """Return the path of a config and its values, shrunk where that is wanted.

    Raises:
        ValueError: If a file is missing or is no YAML mapping.
    """
    path = Path(config) if config.endswith(".yaml") else PROJECT / "config" / f"{config}.yaml"
    value = read_yaml(path)
    if quick:
        merge(value, read_yaml(path.parent / "small" / path.name))
    return path, value


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a file, or raise a ValueError that names it."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read as a config: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no mapping, so it is no config")
    return value


def merge(value: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Change a config as Snakemake does where it is given several: key by key, in place."""
    for key, change in changes.items():
        if isinstance(change, Mapping) and isinstance(value.get(key), dict):
            merge(value[key], change)
        else:
            value[key] = change


def num_videos(dataset: Any) -> int:
    """Return how many videos a data set has to train on."""
    if dataset.kind == "tabletop":
        return dataset.num_videos.train
    return TRAINING_VIDEOS.get(dataset.kind, TRAINING_VIDEOS["obj3d"])


def usual_sizes(device: str, quick: bool, savi: Any, windows: Any) -> Sizes:
    """Return the sizes that are measured where none are given.

    On a GPU they are those of the config; a CPU takes a few clips, as whole batches would not fit
    into the memory of a small machine.

    Args:
        device: `cpu` or `cuda`.
        quick: Only to see that all works.
        savi: The SAVi's `training`.
        windows: That of a predictor; None: there is none.
    """
    num_context, num_preds = (windows.num_context, windows.num_preds) if windows else (1, 1)
    rest = {"num_context": num_context, "num_preds": num_preds}
    length = num_context + num_preds
    if quick:
        return Sizes(2, 3, 2, videos=2, frames=length, loader_batch=4, dataset_videos=8, **rest)
    if device == "cpu":
        return Sizes(4, 6, 8, videos=4, frames=max(10, length), loader_batch=64, **rest)
    batches = savi.batch_size, savi.clip_length, windows.batch_size if windows else 1
    return Sizes(*batches, videos=16, frames=max(30, length), loader_batch=64, **rest)


def training_of(result: Mapping[str, Any], name: str) -> Any:
    """Return how a config trains `savi` or a kind of predictor, from a subject's fields."""
    if name == "savi":
        return validate(SaviStage, result["savi"], name).training
    return validate(PredictorStage, result["predictors"][name], name).root.training


def savi_stage(subject: Subject) -> Any:
    """Return the SAVi's stage config at these sizes, each step as in the middle of a training."""
    sizes = Sizes(**subject.sizes)
    changes: dict[str, Any] = {"batch_size": sizes.savi_batch, "clip_length": sizes.savi_frames}
    changes |= {"num_frames": None, "num_steps": 1, "num_epochs": None, "curriculum_epochs": 0}
    training = subject.savi["training"] | changes | {"precision": subject.precision}
    return validate(SaviStage, subject.savi | {"training": training}, "savi")


def predictor_stage(subject: Subject, kind: str) -> Any:
    """Return a predictor's stage config at these sizes."""
    changes: dict[str, Any] = {"num_frames": None, "num_steps": 1, "num_epochs": None}
    changes |= {name: subject.sizes[name] for name in ("num_context", "num_preds")}
    changes["batch_size"] = subject.sizes["predictor_batch"]
    stage = subject.predictors[kind]
    training = stage["training"] | changes | {"precision": subject.precision}
    return validate(PredictorStage, stage | {"training": training}, kind).root
