"""A door for notebooks: models from checkpoints (see `ocvp.models.checkpoint`)."""

from ocvp.models.checkpoint import load_predictor, load_savi

__all__ = ["load_predictor", "load_savi"]
