"""Which part of a config each product depends on: the whole of what makes it stale."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from ocvp.config.entries import ModelEntry
from ocvp.config.predictors import ImportStage, PredictorStage
from ocvp.config.savi import Encoding, SaviEntry, SaviScoring, SaviStage
from ocvp.config.section import Section
from ocvp.config.tree import Config, PredictorScoring

Names = Mapping[str, str]
"""The wildcards of a job: `dataset`, `savi`, `seed`, `predictor`, `protocol`, `split`."""
Part = Callable[[Config, Names], BaseModel | dict[str, Any]]
"""From a whole config and a job's names to what its product depends on."""


def videos(config: Config, names: Names) -> dict[str, Any]:
    """Return what videos depend on: their data set, but not where its raw files lie."""
    return config.datasets[names["dataset"]].model_dump(mode="json", exclude={"root"})


def savi_training(config: Config, names: Names) -> SaviStage:
    """Return what a trained SAVi depends on."""
    savi = config.savi[names["savi"]]
    return SaviStage.model_validate({"model": savi.model, "training": savi.training})


def savi_scores(config: Config, names: Names) -> SaviScoring:
    """Return what the scores of a SAVi depend on."""
    savi = config.savi[names["savi"]]
    return SaviScoring(evaluation=savi.evaluation, num_threads=savi_threads(savi))


def encoding(config: Config, names: Names) -> Encoding:
    """Return what slots depend on."""
    return Encoding(num_threads=savi_threads(config.savi[names["savi"]]))


def predictor_training(config: Config, names: Names) -> PredictorStage:
    """Return what a trained predictor depends on."""
    predictor = config.predictors[names["predictor"]]
    return PredictorStage.model_validate(
        {"kind": predictor.kind, "model": predictor.model, "training": predictor.training}
    )


def predictor_scores(config: Config, names: Names) -> PredictorScoring:
    """Return what the scores of a predictor depend on."""
    protocol = config.evaluation[names["protocol"]]
    num_threads = savi_threads(config.savi[names["savi"]])
    return PredictorScoring(protocol=protocol, num_threads=num_threads)


def figures(config: Config, names: Names) -> Section:
    """Return what figures depend on."""
    return config.figures


def page(config: Config, names: Names) -> Section:
    """Return what the page of rollouts depends on, besides its inputs."""
    return config.page


def imported(config: Config, names: Names) -> ImportStage:
    """Return what a pretrained model depends on: what its entry says of the checkpoint's model."""
    entry = entry_of(config, names)
    model = getattr(entry, "model", None)
    settings = model.model_dump(mode="json", exclude_unset=True) if model else {}
    return ImportStage(kind=getattr(entry, "kind", "savi"), model=settings)


def entry_of(config: Config, names: Names) -> ModelEntry:
    """Return the entry of a job, of its predictor or else of its SAVi, with its paths filled in."""
    if "predictor" in names:
        return config.predictors[names["predictor"]].of_job(**names)
    return config.savi[names["savi"]].of_job(**names)


def savi_threads(savi: SaviEntry) -> int:
    """Return the threads of a SAVi's training, scoring and encoding."""
    return savi.training.num_threads if savi.training else SaviScoring().num_threads
