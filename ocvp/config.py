"""The config tree: every key with its type, unit, range, default and description.

These models are the only validation of a config: the workflow validates the whole tree before
anything runs, and each program validates the part that it is given. Cross-checks between entries
(a study's data set against its SAVi, say) are in `ocvp.study`. The text under a field is its
description in the JSON schema and in config/README.md.
"""

import difflib
import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    ValidationError,
    model_validator,
)

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
RESERVED_NAMES = ("videos", "slots", "evaluation", "figures", "resume", "tensorboard")
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Resolution = tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]]
PositiveInt = Annotated[int, Field(ge=1)]
Channels = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


Model = TypeVar("Model", bound=BaseModel)


class Section(BaseModel):
    """A mapping of the config: refuses unknown keys, and cannot be changed after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


# --- data sets ---------------------------------------------------------------------------------


class NumVideos(Section):
    """How many videos each split holds."""

    train: int = Field(ge=1)
    """Videos to train on."""
    val: int = Field(ge=1)
    """Videos to validate on."""
    test: int = Field(ge=1)
    """Videos to report on."""


class TabletopDataset(Section):
    """Videos of objects on a table, simulated by MuJoCo and drawn by its ray caster."""

    kind: Literal["tabletop"]
    """Where the videos come from."""
    seed: int = Field(default=0, ge=0)
    """Seed of every draw; the same seed and settings give the same bytes."""
    resolution: Resolution = (64, 64)
    """Height and width of a frame in pixels."""
    num_frames: int = Field(default=30, ge=2)
    """Frames of a video."""
    fps: float = Field(default=10.0, gt=0)
    """Frames a second of simulated time."""
    num_objects: tuple[PositiveInt, PositiveInt] = (3, 5)
    """Fewest and most objects of a video; at most 8."""
    num_videos: NumVideos
    """Videos of each split."""
    fields: tuple[Literal["flow", "depth"], ...] = ()
    """Annotations to store beside frames, masks, boxes and states."""
    videos_per_chunk: int = Field(default=50, ge=1)
    """Videos that one job makes; the merged file does not depend on it."""

    @model_validator(mode="after")
    def _check(self) -> "TabletopDataset":
        fewest, most = self.num_objects
        if not fewest <= most <= 8:
            raise ValueError(
                f"num_objects is {[fewest, most]}; the first must not exceed the second, and the "
                "second is at most 8"
            )
        return self

    @property
    def max_objects(self) -> int:
        """The most objects that a video can hold."""
        return self.num_objects[1]


Dataset = TabletopDataset


# --- training ----------------------------------------------------------------------------------


class Training(Section):
    """What the training of a SAVi and of a predictor have in common."""

    num_steps: int | None = Field(default=None, ge=1)
    """Optimiser steps; give this or `num_epochs`."""
    num_epochs: int | None = Field(default=None, ge=1)
    """Passes over all training videos; give this or `num_steps`."""
    batch_size: int = Field(default=64, ge=1)
    """Videos of one optimiser step."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """Adam's rate at the end of the warm-up."""
    warmup_steps: int = Field(default=2500, ge=0)
    """Steps in which the rate grows linearly from 0."""
    warmup_epochs: int | None = Field(default=None, ge=1)
    """The warm-up ends with this epoch at the latest; null: only `warmup_steps` counts."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """The rate after the warm-up: cosine annealing to 0, or constant."""
    scheduler_steps: int | None = Field(default=None, ge=1)
    """Steps of the cosine after the warm-up; null: it ends with the training."""
    gradient_clip: float | None = Field(default=0.05, gt=0)
    """Largest norm of all gradients together; null: no clipping."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay (AdamW's); 0: plain Adam."""
    select: Literal["last", "best"] = "last"
    """Weights to go on with: the last, or those with the lowest validation loss."""
    num_threads: int = Field(default=2, ge=1)
    """Threads of a CPU run. They count as settings because sums in another order change bits."""

    @model_validator(mode="after")
    def _check_length(self) -> "Training":
        if (self.num_steps is None) == (self.num_epochs is None):
            raise ValueError(
                f"num_steps is {self.num_steps} and num_epochs is {self.num_epochs}; exactly one "
                "of the two must be given"
            )
        return self


# --- SAVi --------------------------------------------------------------------------------------


class SaviModel(Section):
    """The architecture of a SAVi (Kipf et al., ICLR 2022); frames have the data set's size."""

    num_slots: int = Field(ge=1)
    """Slots, background included."""
    slot_dim: int = Field(default=128, ge=4)
    """Width of a slot; a multiple of 4, the heads of the transition."""
    encoder_channels: Channels = (32, 32, 32, 32)
    """Channels of the encoder's convolutions, in order."""
    encoder_mlp_dim: int = Field(default=64, ge=1)
    """Hidden width of the MLP on the encoder's positions."""
    kernel_size: Literal[3, 5, 7] = 5
    """Side of the convolutions' kernels in pixels."""
    downsample_encoder: bool = False
    """Whether the encoder's first three convolutions have stride 2."""
    decoder_channels: Channels = (64, 64, 64, 64)
    """Channels of the decoder's convolutions, in order."""
    decoder_resolution: tuple[PositiveInt, PositiveInt] = (8, 8)
    """Height and width of the map on which the decoder starts."""
    downsample_decoder: bool = True
    """Whether the decoder doubles its map after each convolution but the last."""
    slot_mlp_dim: int = Field(default=128, ge=1)
    """Hidden width of the MLP in slot attention."""
    num_iterations_first: int = Field(default=2, ge=1)
    """Slot attention iterations on the first frame."""
    num_iterations: int = Field(default=2, ge=1)
    """Slot attention iterations on later frames."""
    transition: bool = True
    """Whether a transformer block predicts the next frame's initial slots (else: identity)."""
    initializer: Literal["random", "learned_random", "centres", "boxes"] = "learned_random"
    """How the first frame's slots start: at random, or from the objects' centres or boxes."""
    box_format: Literal["yxyx_fraction", "published_pixels"] = "yxyx_fraction"
    """Convention of boxes and centres that the network sees; the second is for imported models."""
    absent: Literal["learned", "published"] = "learned"
    """Slots without an object start from a learned vector each, or as the published code does."""


class SaviTraining(Training):
    """How a SAVi is trained: on clips of each video, to reconstruct the frames."""

    clip_length: int = Field(default=10, ge=1)
    """Frames of a training clip; it starts at a random frame."""
    curriculum_epochs: int = Field(default=0, ge=0)
    """First epochs, which train on shorter clips of more videos: slots find objects sooner."""
    curriculum_clip_length: int = Field(default=2, ge=1)
    """Frames of a clip in these epochs; batches hold as many frames as later."""

    @model_validator(mode="after")
    def _check_curriculum(self) -> "SaviTraining":
        if self.curriculum_epochs and self.num_steps is None:
            raise ValueError(
                f"curriculum_epochs is {self.curriculum_epochs} and num_steps is not given; epochs "
                "of a curriculum have fewer steps, so give num_steps instead of num_epochs"
            )
        if self.curriculum_epochs and self.curriculum_clip_length > self.clip_length:
            raise ValueError(
                f"curriculum_clip_length is {self.curriculum_clip_length}; it must not exceed "
                f"clip_length ({self.clip_length})"
            )
        return self


class SaviEvaluation(Section):
    """What a SAVi's decomposition is scored on, from the first frame of each video on."""

    split: Split = "test"
    """Split to score on."""
    num_frames: int | None = Field(default=None, ge=1)
    """Frames of each video; null: all."""


class SaviStage(Section):
    """What the training of a SAVi depends on."""

    model: SaviModel
    """The architecture."""
    training: SaviTraining
    """How it is trained."""


class SaviEntry(SaviStage):
    """One SAVi: its architecture, training and scoring."""

    evaluation: SaviEvaluation = SaviEvaluation()
    """What its decomposition is scored on."""


class SaviScoring(Section):
    """What the scores of a SAVi depend on, besides its weights and the videos."""

    evaluation: SaviEvaluation = SaviEvaluation()
    """Frames to score on."""
    num_threads: int = Field(default=2, ge=1)
    """Threads of a CPU run."""


class Encoding(Section):
    """What the slots depend on, besides the SAVi's weights and the videos."""

    num_threads: int = Field(default=2, ge=1)
    """Threads of a CPU run."""


# --- predictors --------------------------------------------------------------------------------


class LstmModel(Section):
    """A stack of LSTM cells shared by all slots."""

    hidden_dim: int = Field(default=128, ge=1)
    """Width of the cells; equals the slot width where residual."""
    num_cells: int = Field(default=2, ge=1)
    """Cells on top of each other."""
    residual: bool = True
    """Whether the output is added to the input slots."""


class TransformerModel(Section):
    """A transformer over slots and time (Transformer, OCVP-Seq and OCVP-Par)."""

    token_dim: int = Field(default=128, ge=1)
    """Width of a token; a multiple of `num_heads`."""
    hidden_dim: int = Field(default=256, ge=1)
    """Hidden width of the feed-forward parts."""
    num_layers: int = Field(default=4, ge=1)
    """Layers (for OCVP-Seq each holds two blocks)."""
    num_heads: int = Field(default=4, ge=1)
    """Attention heads."""
    residual: bool = True
    """Whether the output is added to the input slots."""
    buffer_size: int | None = Field(default=5, ge=1)
    """Most frames that the predictor looks back on; null: all."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of activations dropped in training."""

    @model_validator(mode="after")
    def _check_heads(self) -> "TransformerModel":
        if self.token_dim % self.num_heads or self.token_dim % 2:
            raise ValueError(
                f"token_dim is {self.token_dim}; it must be even and a multiple of num_heads "
                f"({self.num_heads})"
            )
        return self


class PredictorTraining(Training):
    """How a predictor is trained: on windows of the cached slots, through its own rollout."""

    num_context: int = Field(ge=1)
    """Frames that are given."""
    num_preds: int = Field(ge=1)
    """Frames that are predicted."""
    frame_loss_weight: float = Field(default=1.0, ge=0)
    """Weight of the error of the predicted frames, decoded by the frozen SAVi."""
    slot_loss_weight: float = Field(default=1.0, ge=0)
    """Weight of the error of the predicted slots against SAVi's own."""
    teacher_forcing: bool = False
    """Whether training feeds SAVi's slots instead of the predictor's own; never in evaluation."""

    @model_validator(mode="after")
    def _check_weights(self) -> "PredictorTraining":
        if self.frame_loss_weight == 0 and self.slot_loss_weight == 0:
            raise ValueError("frame_loss_weight and slot_loss_weight are both 0; one must not be")
        return self


class LstmEntry(Section):
    """An LSTM predictor."""

    kind: Literal["lstm"]
    """The architecture."""
    model: LstmModel = LstmModel()
    """Widths and depths."""
    training: PredictorTraining
    """How it is trained."""


class TransformerEntry(Section):
    """A transformer predictor: Transformer, OCVP-Seq or OCVP-Par."""

    kind: Literal["transformer", "ocvp_seq", "ocvp_par"]
    """The architecture."""
    model: TransformerModel = TransformerModel()
    """Widths and depths."""
    training: PredictorTraining
    """How it is trained."""


PredictorEntry = Annotated[LstmEntry | TransformerEntry, Field(discriminator="kind")]


class PredictorStage(RootModel[PredictorEntry]):
    """What the training of a predictor depends on: its entry."""


# --- evaluation, figures, runtime, study -------------------------------------------------------


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


class PredictorScoring(Section):
    """What the scores of a predictor depend on, besides weights, slots and videos."""

    protocol: Protocol
    """The protocol."""
    num_threads: int = Field(default=2, ge=1)
    """Threads of a CPU run."""


class Figures(Section):
    """What the figures show."""

    num_videos: int = Field(default=3, ge=1)
    """Rollouts to draw for each predictor and protocol, of the first videos of the split."""
    upscale: int = Field(default=3, ge=1)
    """Pixels of a figure for each pixel of a frame."""
    gif_fps: float = Field(default=5.0, gt=0)
    """Frames a second of the animations."""


class Runtime(Section):
    """Where and how fast everything runs: no key here makes a product stale."""

    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    """Torch device; auto: a GPU where there is one."""
    data: Literal["memory", "disk"] = "memory"
    """Where training reads frames from: a copy in memory, or the file."""
    num_workers: int = Field(default=0, ge=0)
    """Processes that read ahead from disk; used where `data` is disk."""
    batch_videos: int = Field(default=16, ge=1)
    """Videos that extraction and evaluation hold at once."""
    save_interval_minutes: float = Field(default=10.0, gt=0)
    """How often training writes what it resumes from, besides each epoch's end."""


class RuleResources(Section):
    """Resources of one rule, where they differ from the workflow's table."""

    threads: int | None = Field(default=None, ge=1)
    """Cores."""
    mem_mb: int | None = Field(default=None, ge=1)
    """Memory in MB."""
    runtime: int | None = Field(default=None, ge=1)
    """Time limit in minutes."""
    gpu: int | None = Field(default=None, ge=0)
    """GPUs."""


class Study(Section):
    """A cross product of entries: each predictor on each SAVi on each data set, for each seed."""

    datasets: list[Name] = Field(min_length=1)
    """Names under `datasets`."""
    savi: list[Name] = Field(min_length=1)
    """Names under `savi`."""
    predictors: list[Name] = Field(default=[])
    """Names under `predictors`."""
    evaluation: list[Name] = Field(default=[])
    """Names under `evaluation`."""
    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    """One seed runs through a chain: SAVi and the predictors on it."""


Studies = Annotated[
    list[Study],
    Field(min_length=1),
    BeforeValidator(
        lambda value: [value] if isinstance(value, dict) else value,
        json_schema_input_type=Study | list[Study],
    ),
]


class Config(Section):
    """The whole config."""

    datasets: dict[Name, Dataset]
    """Data sets by name."""
    savi: dict[Name, SaviEntry]
    """SAVi decompositions by name."""
    predictors: dict[Name, PredictorEntry] = {}
    """Slot predictors by name."""
    evaluation: dict[Name, Protocol] = {}
    """Evaluation protocols by name."""
    figures: Figures = Figures()
    """What the figures show."""
    runtime: Runtime = Runtime()
    """Where and how fast everything runs."""
    resources: dict[str, RuleResources] = {}
    """Resources by rule name."""
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
        return self


# --- validation --------------------------------------------------------------------------------


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
        lines = [f"  {_explain(fault, model, value)}" for fault in error.errors()]
        raise ValueError("\n".join([f"{where} is not valid:", *lines])) from None


def canonical_json(section: BaseModel | dict[str, Any]) -> str:
    """Return a section with its defaults filled in as one JSON value with sorted keys."""
    value = section.model_dump(mode="json") if isinstance(section, BaseModel) else section
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _explain(fault: Any, model: type[BaseModel], value: Any) -> str:
    """Return one line for one of pydantic's errors: key, value, what is allowed."""
    keys = _keys(fault["loc"], value)
    key = ".".join(keys) or "the top level"
    found, context = fault["input"], fault.get("ctx", {})
    match fault["type"]:
        case "extra_forbidden":
            siblings = _siblings(fault["loc"], model.model_json_schema())
            close = difflib.get_close_matches(keys[-1], siblings, n=1, cutoff=0.75)
            hint = f"did you mean {close[0]}?" if close else f"allowed are {', '.join(siblings)}"
            return f"{key}: unknown key (value {found!r}); {hint}"
        case "missing" if isinstance(fault["loc"][-1], int):
            return f"{key}: this value is missing"
        case "missing":
            return f"{key}: this key is required"
        case "union_tag_not_found":
            return f"{key}.kind: this key is required"
        case "union_tag_invalid":
            return f"{key}.kind is {context['tag']!r}: allowed are {context['expected_tags']}"
        case "string_pattern_mismatch" if keys[-1] == "[key]":
            return (
                f"{'.'.join(keys[:-1])}: a name consists of lower-case letters, digits and "
                "underscores, with a letter first"
            )
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{key} is {found!r}: a mapping of keys to values is needed"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return f"{key}: {message}"
    return f"{key} is {found!r}: {message[0].lower()}{message[1:]}"


def _keys(location: tuple[str | int, ...], value: Any) -> list[str]:
    """Return the keys of a location, without the parts that name a branch of a union."""
    keys = []
    for part in location[:-1]:
        is_key = isinstance(value, dict) and part in value
        if is_key or isinstance(value, list):
            value = value[part]
            keys.append(str(part))
    return [*keys, *(str(part) for part in location[-1:])]


def _siblings(location: tuple[str | int, ...], schema: dict[str, Any]) -> list[str]:
    """Return the keys that are allowed beside the last part of a location."""
    part_of = schema
    for part in (*location[:-1], None):
        if options := part_of.get("anyOf"):  # a list of sections, or one section by itself
            part_of = options[0]
        if mapping := part_of.get("discriminator", {}).get("mapping"):
            part_of = {"$ref": mapping[part]}
            continue
        if "$ref" in part_of:
            part_of = schema["$defs"][part_of["$ref"].rpartition("/")[2]]
        if part is None or isinstance(part, int):
            continue
        others = [*part_of.get("patternProperties", {}).values()]
        others += [part_of["additionalProperties"]] if part_of.get("additionalProperties") else []
        part_of = part_of["properties"][part] if "properties" in part_of else others[0]
    return list(part_of["properties"])
