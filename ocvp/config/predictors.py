"""The config of slot predictors: architecture and training."""

from typing import Annotated, Any, Literal

from pydantic import Field, RootModel, model_validator

from ocvp.config.entries import ModelEntry, Training
from ocvp.config.section import Section, Size


class LstmModel(Section):
    """A stack of LSTM cells shared by all slots."""

    hidden_dim: Size = 128
    """Width of the cells; equals the slot width where residual."""
    num_cells: Size = 2
    """Cells on top of each other."""
    residual: bool = True
    """Whether the output is added to the input slots."""


class TransformerModel(Section):
    """A transformer over slots and time (Transformer, OCVP-Seq and OCVP-Par)."""

    token_dim: Size = 128
    """Width of a token; a multiple of `num_heads`."""
    hidden_dim: Size = 256
    """Hidden width of the feed-forward parts."""
    num_layers: Size = 4
    """Layers (for OCVP-Seq each holds two blocks)."""
    num_heads: Size = 4
    """Attention heads."""
    residual: bool = True
    """Whether the output is added to the input slots."""
    buffer_size: Size | None = 5
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
