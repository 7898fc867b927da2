"""The config of what is trained or imported: SAVi models and slot predictors."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, RootModel, model_validator

from ocvp.config.section import Channels, PositiveInt, Section, Split

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
    num_frames: int | None = Field(default=None, ge=1)
    """Frames of each video that are trained on, from the first on; null: all."""
    num_threads: int = Field(default=2, ge=1)
    """Threads of a CPU run. They count as settings because sums in another order change bits."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Numbers in which convolutions and large matrix products are computed; what is delicate stays
    in float32; auto: bfloat16 on a GPU that supports it, else float32."""
    tf32: bool = True
    """Whether an NVIDIA GPU may round the factors of float32 products to 10 bits (TF32)."""
    recoveries: int = Field(default=0, ge=0)
    """How often a training whose loss or gradients stop being finite goes back to the end of the
    epoch before and on from there with a lower rate; 0: it stops."""
    recovery_factor: float = Field(default=0.5, gt=0, lt=1)
    """What the rate is multiplied by then."""

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


class Origin(Section):
    """Where weights come from that are not trained from scratch."""

    pretrained: str | None = None
    """Checkpoint to use instead of training: one made here (`.pt`), or a published one (`.pth`). In
    this path and the next two, `{dataset}`, `{savi}`, `{seed}` and `{predictor}` stand for the
    names of the model that is made of it."""
    pretrained_params: str | None = None
    """The `experiment_params.json` of a published checkpoint; null: it lies in the folder of the
    checkpoint, or in the one above."""
    start_from: str | None = None
    """Checkpoint made here whose weights the training starts from (fine-tuning)."""

    @model_validator(mode="after")
    def _check_origin(self) -> "Origin":
        if self.pretrained and self.start_from:
            raise ValueError(
                f"pretrained is {self.pretrained!r} and start_from is {self.start_from!r}; weights "
                "are either used as they are or trained further, so give one of the two"
            )
        if self.start_from and not self.start_from.endswith(".pt"):
            raise ValueError(
                f"start_from: it is {self.start_from!r}; it must be a checkpoint made here (.pt); "
                "a published one is imported first, with python -m ocvp.import_checkpoint"
            )
        if self.pretrained_params and not self.pretrained:
            raise ValueError(
                f"pretrained_params is {self.pretrained_params!r}, but pretrained is not given"
            )
        if not self.pretrained:
            missing = [key for key in ("model", "training") if getattr(self, key, 0) is None]
            if missing:
                raise ValueError(f"{missing[0]}: this key is required, unless pretrained is given")
        return self


Grid = Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)]


class ModelEntry(Origin):
    """What entries of `savi` and of `predictors` have in common."""

    grid: Grid | None = None
    """Keys of this entry, each with a list of values: every combination of them is an entry of its
    own, named after its values (`NAME-num_layers4`). A key that stands in several sections is
    written with its section (`training.num_frames`)."""

    @model_validator(mode="after")
    def _check_grid(self) -> "ModelEntry":
        if self.grid and self.pretrained:
            raise ValueError(
                f"grid: it varies {', '.join(self.grid)}, but pretrained is given, which is not "
                "trained; give one of the two"
            )
        return self

    def of_job(self, **names: object) -> Self:
        """Return the entry with `{dataset}`, `{savi}`, `{seed}`, `{predictor}` in its paths filled.

        Args:
            names: What a job's wildcards are.
        """
        changes = {}
        for key in Origin.model_fields:
            text = path = getattr(self, key)
            for name, value in names.items():
                path = path and path.replace(f"{{{name}}}", str(value))
            if path != text:
                changes[key] = path
        return self.model_copy(update=changes)


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


class LstmStage(Section):
    """What the training of an LSTM predictor depends on."""

    kind: Literal["lstm"]
    """The architecture."""
    model: LstmModel = LstmModel()
    """Widths and depths."""
    training: PredictorTraining
    """How it is trained."""


class TransformerStage(Section):
    """What the training of a transformer predictor depends on."""

    kind: Literal["transformer", "ocvp_seq", "ocvp_par"]
    """The architecture."""
    model: TransformerModel = TransformerModel()
    """Widths and depths."""
    training: PredictorTraining
    """How it is trained."""


class PredictorStage(
    RootModel[Annotated[LstmStage | TransformerStage, Field(discriminator="kind")]]
):
    """What the training of a predictor depends on."""


class LstmEntry(ModelEntry):
    """An LSTM predictor."""

    kind: Literal["lstm"]
    """The architecture."""
    model: LstmModel = LstmModel()
    """Widths and depths; where `pretrained` is given, the keys that are there are compared."""
    training: PredictorTraining | None = None
    """How it is trained; not used where `pretrained` is given."""


class TransformerEntry(ModelEntry):
    """A transformer predictor: Transformer, OCVP-Seq or OCVP-Par."""

    kind: Literal["transformer", "ocvp_seq", "ocvp_par"]
    """The architecture."""
    model: TransformerModel = TransformerModel()
    """Widths and depths; where `pretrained` is given, the keys that are there are compared."""
    training: PredictorTraining | None = None
    """How it is trained; not used where `pretrained` is given."""


PredictorEntry = Annotated[LstmEntry | TransformerEntry, Field(discriminator="kind")]


class ImportStage(Section):
    """What an imported model depends on, besides the checkpoint's content."""

    kind: Literal["savi", "lstm", "transformer", "ocvp_seq", "ocvp_par"]
    """What the checkpoint must hold."""
    model: dict[str, Any] = Field(default={})
    """Settings that the checkpoint's model must have; those that are not named may be any."""
