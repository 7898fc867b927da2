"""What the entries of SAVi models and of predictors have in common: training, origin, grid."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ocvp.config.section import Section


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
    validation_interval: int = Field(default=1, ge=1)
    """Steps between validations: an epoch that reaches a multiple of it ends with one, and so does
    the training. 1: every epoch does."""
    select: Literal["last", "best"] = "last"
    """Weights to go on with: the last, or those with the lowest validation loss."""
    num_frames: int | None = Field(default=None, ge=1)
    """Frames of each video that are trained on, from the first on; null: all."""
    num_threads: int = Field(default=2, ge=1)
    """Threads of a CPU run. They count as settings because sums in another order change bits."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Numbers in which convolutions and large matrix products are computed; what is delicate stays
    in float32; auto: bfloat16 on a GPU that supports it, else float32. What auto stood for is
    recorded, and a run goes on in that precision only."""
    tf32: bool = True
    """Whether an NVIDIA GPU may round the factors of float32 products to 10 bits (TF32)."""
    recoveries: int = Field(default=0, ge=0)
    """How often a training whose loss or gradients stop being finite goes back to the end of the
    epoch before and on from there with a lower rate; 0: it stops."""
    recovery_factor: float = Field(default=0.5, gt=0, lt=1)
    """What the rate is multiplied by then."""

    def total_steps(self, steps_per_epoch: int) -> int:
        """Return the steps of the whole training, from those of its first epoch."""
        return self.num_steps or (self.num_epochs or 1) * steps_per_epoch

    @model_validator(mode="after")
    def _check_length(self) -> "Training":
        if (self.num_steps is None) == (self.num_epochs is None):
            raise ValueError(
                f"num_steps is {self.num_steps} and num_epochs is {self.num_epochs}; exactly one "
                "of the two must be given"
            )
        return self


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
                path = path and path.replace(f"{{{name}}}", str(value))  # null stays null
            if path != text:
                changes[key] = path
        return self.model_copy(update=changes)
