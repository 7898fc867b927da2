"""The config of SAVi models: architecture, training, scoring."""

from typing import Literal

from pydantic import Field, model_validator

from ocvp.config.entries import ModelEntry, Training
from ocvp.config.section import LARGEST_SIZE, Channels, Section, Size, Split


class SaviModel(Section):
    """The architecture of a SAVi (Kipf et al., ICLR 2022); frames have the data set's size."""

    num_slots: Size
    """Slots, background included."""
    slot_dim: int = Field(default=128, ge=4, le=LARGEST_SIZE)
    """Width of a slot; a multiple of 4, the heads of the transition."""
    encoder_channels: Channels = (32, 32, 32, 32)
    """Channels of the encoder's convolutions, in order."""
    encoder_mlp_dim: Size = 64
    """Hidden width of the MLP on the encoder's positions."""
    kernel_size: Literal[3, 5, 7] = 5
    """Side of the convolutions' kernels in pixels."""
    downsample_encoder: bool = False
    """Whether the encoder's first convolutions have stride 2."""
    downsampled_convolutions: Literal[1, 2, 3] = 3
    """How many of them, where it downsamples; three in the published code."""
    decoder_channels: Channels = (64, 64, 64, 64)
    """Channels of the decoder's convolutions, in order."""
    decoder_resolution: tuple[Size, Size] = (8, 8)
    """Height and width of the map on which the decoder starts."""
    downsample_decoder: bool = True
    """Whether the decoder doubles its map after each convolution but the last."""
    slot_mlp_dim: Size = 128
    """Hidden width of the MLP in slot attention."""
    num_iterations_first: Size = 2
    """Slot attention iterations on the first frame."""
    num_iterations: Size = 2
    """Slot attention iterations on later frames."""
    transition: bool = True
    """Whether a transformer block predicts the next frame's initial slots (else: identity)."""
    initializer: Literal["random", "learned_random", "learned", "centres", "boxes"] = (
        "learned_random"
    )
    """How the first frame's slots start: at random, from a learned vector each, or from the
    objects' centres or boxes."""
    prune_threshold: float | None = Field(default=None, gt=0)
    """Share by which the error of the first frame has to rise without a slot, else the slot is left
    empty for the whole video (docs/training.md); null: all slots stay."""
    box_format: Literal["yxyx_fraction", "published_pixels"] = "yxyx_fraction"
    """Convention of boxes and centres that the network sees; the second is for imported models."""
    absent: Literal["learned", "published"] = "learned"
    """Slots without an object start from a learned vector each, or as the published code does."""


TARGET_FIELDS: dict[str, tuple[str, ...]] = {
    "flow": ("backward_flow", "flow"),
    "depth": ("depth",),
    "difference": ("frames",),
}
"""Fields of the videos that a target can be made of, the first choice first."""


class Targets(Section):
    """What is predicted beside the colours, with channels of the decoder that the slots' masks mix
    too, and the weight of each mean squared error (that of the colours is 1); null: it is not."""

    flow: float | None = Field(default=None, gt=0)
    """Weight of optical flow as a picture, as SAVi was trained on it (docs/training.md); the data
    set's `fields` must have `backward_flow` or `flow`."""
    depth: float | None = Field(default=None, gt=0)
    """Weight of log(1 + depth in metres), as of SAVi++; the data set's `fields` must have
    `depth`."""
    difference: float | None = Field(default=None, gt=0)
    """Weight of the next frame minus this one, which all videos have."""

    @property
    def weights(self) -> dict[str, float]:
        """The weights of the targets that there are, by name."""
        return {name: weight for name, weight in self if weight is not None}


class SaviTraining(Training):
    """How a SAVi is trained: on clips of each video, to reconstruct the frames."""

    clip_length: int = Field(default=10, ge=1)
    """Frames of a training clip; it starts at a random frame."""
    curriculum_epochs: int = Field(default=0, ge=0)
    """First epochs, which train on shorter clips of more videos: slots find objects sooner."""
    curriculum_clip_length: int = Field(default=2, ge=1)
    """Frames of a clip in these epochs; batches hold as many frames as later."""
    attention_gradient: Literal["all", "last"] = "all"
    """Which iterations of slot attention on a frame the gradients flow through: all, or the last
    alone, for which those before it only find a start (implicit differentiation, Chang et al. 2022;
    its gradient goes straight through to the first slots, Jia et al. 2023)."""
    target: Targets = Targets()
    """What is predicted beside the colours."""
    background_weight: float = Field(default=0.0, ge=0)
    """Weight of a loss that gives the background to one slot: the mean square of what other slots
    hold of the pixels that this one makes by itself (docs/training.md)."""
    shared_objects_weight: float = Field(default=0.0, ge=0)
    """Weight of a loss that gives each object to one slot: the mean square of what slots hold of
    the pixels that a larger one makes by itself, the background's aside (docs/training.md)."""
    shared_from: float = Field(default=1 / 3, ge=0, lt=1)
    """Share of the steps after which these two count, and not before the curriculum ends: before
    objects are found they keep them from being found."""

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

    @model_validator(mode="after")
    def _check_target(self) -> "SaviTraining":
        for name in ("flow", "difference"):
            weight = getattr(self.target, name)
            if weight is not None and self.clip_length == 1:
                raise ValueError(
                    f"target.{name} is {weight:g} and clip_length is 1; a single frame does not "
                    "move: give clips of 2 frames or more"
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


class Extraction(Section):
    """How the slots of a split are extracted."""

    videos_per_chunk: int = Field(default=1000, ge=1)
    """Videos that one job encodes; a larger split is encoded by several jobs side by side. The
    slots do not depend on it where it is a multiple of `runtime.batch_videos`, but to change it
    extracts those of larger splits anew."""


class SaviEntry(ModelEntry):
    """One SAVi: its architecture, training and scoring."""

    model: SaviModel | None = None
    """The architecture; where `pretrained` is given, the keys that are there are compared."""
    training: SaviTraining | None = None
    """How it is trained; not used where `pretrained` is given."""
    extraction: Extraction = Extraction()
    """How its slots are extracted."""
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
