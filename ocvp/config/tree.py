"""The config tree: every key with its type, unit, range, default and description.

These models are the only validation of a config: the workflow validates the whole tree before
anything runs, and each program validates the part that it is given. Cross-checks between entries
(a study's data set against its SAVi, say) are in `ocvp.config.whole`. The text under a field is its
description in the JSON schema and in config/README.md.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from ocvp.config.datasets import Dataset
from ocvp.config.predictors import PredictorEntry
from ocvp.config.savi import SaviEntry
from ocvp.config.section import Name, NameOfVariant, Section, Split

STUDIES = "studies"
"""Folder in `results/` that has a folder for each study, with its tables."""

RESERVED_NAMES = (
    *("videos", "slots", "evaluation", "probe", "figures", "resume", "tensorboard"),
    STUDIES,
)

STUDY_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
"""What a study's name must be: it is that of a folder, and often that of a file."""

NOT_TEXT = ("na", "nan", "none", "null", "true", "false", "inf", "infinity")
"""What tables that hold it as a name read as missing, as a truth value or as a number."""


class Protocol(Section):
    """One evaluation protocol: a window from frame 0 to num_context + num_preds of each video."""

    num_context: int = Field(ge=1)
    """Frames that are given."""
    num_preds: int = Field(ge=1)
    """Frames that are predicted."""
    split: Split = "test"
    """Split to score on."""
    moving_pixels: float = Field(default=1.0, ge=0)
    """A video counts as moving where some object's centre gets this far, in pixels, from where it
    was in the last context frame."""
    cut_context: bool = False
    """Whether a predictor with a buffer smaller than `num_context` may see just the last of these
    frames; else it is refused."""


class PredictorScoring(Section):
    """What the scores of a predictor depend on, besides weights, slots and videos."""

    protocol: Protocol
    """The protocol."""
    num_threads: int = Field(default=2, ge=1)
    """Threads of a CPU run."""


RANKED_VIDEOS = ("best", "median", "worst")
"""Videos that figures show by what is scored on them, besides the first ones."""


PictureFormat = Literal["png", "pdf", "svg"]


class Figures(Section):
    """What the figures show."""

    num_videos: int = Field(default=3, ge=1, le=10_000)
    """Rollouts to draw for each protocol, of the first videos of the split; as many as there are
    where a split that is scored holds fewer. The best, the median and the worst video by their
    scores are drawn besides."""
    format: PictureFormat = "png"
    """Format of the pictures; in pdf and svg curves and tracks are drawn as lines, frames stay
    pixels."""
    upscale: int = Field(default=3, ge=1)
    """Pixels of a figure for each pixel of a frame."""
    gif_fps: float = Field(default=5.0, ge=0.01, le=1000)
    """Frames a second of the animations (GIF and MP4); a GIF takes the nearest rate that it has."""


class Page(Section):
    """What the page of rollouts shows."""

    num_videos: int = Field(default=16, ge=2, le=1000)
    """Videos, the same share of each chain and protocol: its best, its worst, and evenly between;
    at least two of each, so of more than half as many chains and protocols the first ones."""


class Runtime(Section):
    """Where and how fast everything runs: no key here makes a product stale."""

    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    """Torch device; auto: a GPU where there is one."""
    processes: int | None = Field(default=None, ge=1)
    """Processes that train one model together (torchrun, DistributedDataParallel), each on its own
    GPU where there are any; null: as many as the rule's `gpu`, at least 1."""
    accumulation_steps: int = Field(default=1, ge=1)
    """Parts in which each process goes through its share of a batch, one after the other: less
    memory for the same training."""
    residency: Literal["auto", "device", "memory", "disk"] = "auto"
    """Where training keeps its data: on the GPU, in main memory, or in the file, from which it
    streams them; auto: the first of these in which they fit with room to spare."""
    num_workers: int | None = Field(default=None, ge=0)
    """Processes that read ahead where data are streamed; null: 2 in training, else 0."""
    batch_videos: int = Field(default=16, ge=1)
    """Videos that extraction and evaluation hold at once."""
    compile: bool = False
    """Whether torch.compile builds kernels for the training step: minutes at its start, then
    faster steps; needs a C++ compiler."""
    fused_adam: bool = True
    """Whether one kernel updates all weights (torch's fused AdamW)."""
    save_interval_minutes: float = Field(default=10.0, gt=0)
    """How often training writes what it resumes from, besides each epoch's end."""
    extend: bool = False
    """Whether a run that was trained with fewer `num_steps` or `num_epochs` is trained further
    instead of anew, as `--extend` of the programs."""


class RuleResources(Section):
    """Resources of one rule, where they differ from the table in `ocvp/records/rules.py`."""

    threads: int | None = Field(default=None, ge=1)
    """Cores."""
    mem_mb: int | None = Field(default=None, ge=1)
    """Memory in MB; the n-th try of a job gets n times as much."""
    runtime: int | None = Field(default=None, ge=1)
    """Time limit in minutes; the n-th try of a job gets n times as much."""
    gpu: int | None = Field(default=None, ge=0)
    """GPUs."""
    max_mem_mb: int | None = Field(default=None, ge=1)
    """The most memory in MB that a job ever asks for, at its first try too; null: no bound."""
    max_runtime: int | None = Field(default=None, ge=1)
    """The longest time limit in minutes that a job ever asks for, that of the cluster's partition,
    say; null: no bound."""


class Study(Section):
    """A cross product of entries: each predictor on each SAVi on each data set, for each seed."""

    datasets: list[Name] = Field(min_length=1)
    """Names under `datasets`."""
    savi: list[NameOfVariant] = Field(min_length=1)
    """Names under `savi`; that of an entry with a `grid` means all its variants."""
    predictors: list[NameOfVariant] = Field(default=[])
    """Names under `predictors`; that of an entry with a `grid` means all its variants."""
    evaluation: list[Name] = Field(default=[])
    """Names under `evaluation`."""
    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    """One seed runs through a chain: SAVi and the predictors on it."""
    probe: bool = False
    """Whether the default run also probes what slots tell of the objects (docs/probes.md), and the
    tables show it."""


Studies = Annotated[
    list[Study],
    Field(min_length=1),
    BeforeValidator(
        # one study may stand by itself
        lambda value: [value] if isinstance(value, dict) else value,
        json_schema_input_type=Study | list[Study],
    ),
]


class Config(Section):
    """The whole config."""

    datasets: dict[Name, Dataset]
    """Data sets by name."""
    savi: dict[NameOfVariant, SaviEntry]
    """SAVi decompositions by name."""
    predictors: dict[NameOfVariant, PredictorEntry] = Field(default={})
    """Slot predictors by name."""
    evaluation: dict[Name, Protocol] = Field(default={})
    """Evaluation protocols by name."""
    figures: Figures = Figures()
    """What the figures show."""
    page: Page = Page()
    """What the page of rollouts shows."""
    runtime: Runtime = Runtime()
    """Where and how fast everything runs."""
    resources: dict[str, RuleResources] = Field(default={})
    """Resources by rule name; `every_rule` stands for all rules."""
    name: Annotated[str, Field(pattern=STUDY_NAME, max_length=100)] | None = None
    """Name of the study, whose tables stay in `results/studies/NAME/`; null: that of the last
    config file, without its ending, and `demo` where there is none but the default."""
    study: Studies
    """What to build: one cross product, or a list of them."""

    @model_validator(mode="after")
    def _check_names(self) -> "Config":
        for section in ("datasets", "savi", "predictors", "evaluation"):
            for name in getattr(self, section):
                if name in RESERVED_NAMES:
                    raise ValueError(
                        f"{section}.{name}: {name} is the name of a folder of the results; "
                        f"reserved are {', '.join(RESERVED_NAMES)}"
                    )
                if name in NOT_TEXT:
                    raise ValueError(
                        f"{section}.{name}: tables would read the name {name} as missing or as a "
                        f"value; choose any but {', '.join(NOT_TEXT)}"
                    )
                if "-" in name and not getattr(self, section)[name].pretrained:
                    raise ValueError(
                        f"{section}.{name}: names with a hyphen are those of a grid's variants; "
                        "only an entry with pretrained may be named so"
                    )
        return self
