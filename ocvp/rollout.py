"""A door for notebooks: slots of the future (see `ocvp.models.rollout`)."""

from ocvp.models.rollout import rollout

__all__ = ["rollout"]
