"""A door for notebooks: models from checkpoints (see `ocvp.models.loading`)."""

from ocvp.models.loading import load_predictor, load_savi

__all__ = ["load_predictor", "load_savi"]
