"""From a validated config to what is built: cross-checks, entries of the study, stage configs."""

import itertools
from typing import Any, NamedTuple

from ocvp.config.entries import ImportStage
from ocvp.config.predictors import LstmEntry, LstmStage, TransformerEntry, TransformerStage
from ocvp.config.savi import Encoding, SaviEntry, SaviScoring, SaviStage
from ocvp.config.section import Section, canonical_json
from ocvp.config.tree import Config, PredictorScoring


class Chain(NamedTuple):
    """A SAVi on a data set with one seed, and the predictors that build on it."""

    dataset: str
    savi: str
    seed: int
    predictors: tuple[str, ...]
    scored: tuple[tuple[str, str], ...]
    """Predictors with the protocols that they are scored under."""

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that some predictor is scored under."""
        return tuple(dict.fromkeys(protocol for _, protocol in self.scored))


def chains(config: Config) -> list[Chain]:
    """Return what the study builds: each chain once, with all that any cross product adds to it."""
    found: dict[tuple[str, str, int], tuple[dict[str, None], dict[tuple[str, str], None]]] = {}
    for study in config.study:
        for key in itertools.product(study.datasets, study.savi, study.seeds):
            predictors, scored = found.setdefault(key, ({}, {}))
            predictors.update(dict.fromkeys(study.predictors))
            scored.update(dict.fromkeys(itertools.product(study.predictors, study.evaluation)))
    return [
        Chain(*key, tuple(predictors), tuple(scored)) for key, (predictors, scored) in found.items()
    ]


def stage_config(config: Config, rule: str, wildcards: Any) -> str:
    """Return the part of the config on which a job's product depends, as canonical JSON.

    Args:
        config: The whole config.
        rule: Name of the rule.
        wildcards: The job's wildcards (dataset, savi, predictor, protocol), as attributes.
    """
    if rule in ("make_chunk", "make_videos"):
        values = config.datasets[wildcards.dataset].model_dump(mode="json")
        values.pop("root", None)  # where raw files lie does not count, what they are does
        return canonical_json(values)
    if rule in ("draw_slots", "draw_rollouts", "draw_curves"):
        return canonical_json(config.figures)
    if rule in ("fit_predictor", "import_predictor"):
        predictor = config.predictors[wildcards.predictor]
        if rule == "import_predictor":
            return canonical_json(import_stage(predictor.kind, predictor))
        stage = LstmStage if isinstance(predictor, LstmEntry) else TransformerStage
        return canonical_json({key: _plain(predictor, key) for key in stage.model_fields})
    savi = config.savi[wildcards.savi]
    num_threads = savi_threads(savi)
    if rule == "fit_savi":
        return canonical_json({key: _plain(savi, key) for key in SaviStage.model_fields})
    if rule == "import_savi":
        return canonical_json(import_stage("savi", savi))
    if rule == "score_savi":
        return canonical_json(SaviScoring(evaluation=savi.evaluation, num_threads=num_threads))
    if rule in ("encode_chunk", "encode_slots"):
        return canonical_json(Encoding(num_threads=num_threads))
    if rule == "score_predictor":
        protocol = config.evaluation[wildcards.protocol]
        return canonical_json(PredictorScoring(protocol=protocol, num_threads=num_threads))
    raise AssertionError(f"rule {rule} has no config of its own")


def _plain(section: Section, key: str) -> Any:
    value = getattr(section, key)
    return value.model_dump(mode="json") if isinstance(value, Section) else value


def savi_threads(savi: SaviEntry) -> int:
    """Return the threads of a SAVi's training, scoring and encoding."""
    return savi.training.num_threads if savi.training else SaviScoring().num_threads


def import_stage(kind: Any, entry: SaviEntry | LstmEntry | TransformerEntry) -> ImportStage:
    """Return what a pretrained entry asks of its checkpoint: the settings that it names."""
    model = entry.model.model_dump(mode="json", exclude_unset=True) if entry.model else {}
    return ImportStage(kind=kind, model=model)
