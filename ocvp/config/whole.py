"""Reading a whole config: validation, grids, and cross-checks between what a study combines."""

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ocvp.config.datasets import AnyDataset
from ocvp.config.grid import expand
from ocvp.config.messages import fault_list
from ocvp.config.predictors import LstmEntry, TransformerEntry
from ocvp.config.savi import TARGET_FIELDS, SaviEntry
from ocvp.config.section import Section, validate
from ocvp.config.tree import STUDY_NAME, Config, Protocol

DEFAULT = Path("config/config.yaml")
"""The config of a run that is given none."""
DEFAULT_NAME = "demo"
"""Name of the study of `DEFAULT`."""


def read_config(value: dict[str, Any]) -> Config:
    """Validate a whole config, the cross-checks of its study included.

    Args:
        value: The config as YAML gives it.

    Returns:
        The config, in which variants stand for the entries with a grid (`ocvp.config.grid`).

    Raises:
        ValueError: With what is wrong, where, and what would be right.
    """
    return expand(read_as_written(value))


def read_as_written(value: dict[str, Any]) -> Config:
    """Validate a whole config like `read_config`, and return it with its grids."""
    if isinstance(value, dict) and "datasets" in value and "study" not in value:
        raise ValueError(
            "the config defines datasets but no study, so the default config was not loaded; give "
            "the whole config first and overrides after it: --configfile config/config.yaml "
            "mine.yaml"
        )
    config = validate(Config, value)
    # as keys: what several studies share is said once
    if faults := dict.fromkeys(_faults(expand(config))):
        raise ValueError(fault_list("config", list(faults)))
    return config


def with_name(value: dict[str, Any], files: Iterable[str | Path]) -> dict[str, Any]:
    """Return a config that names its study: itself where it does, else after its last file.

    Args:
        value: The config as YAML gives it, of all files together.
        files: The files, in their order; the default config gives no name but `demo`.

    Raises:
        ValueError: If the file has a name that no study may have.
    """
    if value.get("name") not in (None, "null"):
        return value
    named = [Path(file) for file in files if Path(file).parts[-2:] != DEFAULT.parts]
    name = named[-1].stem if named else DEFAULT_NAME
    if not re.fullmatch(STUDY_NAME, name):
        raise ValueError(
            f"the study is named after its config file {named[-1]}, but {name!r} is no name of a "
            "study, which consists of letters, digits, dots, hyphens and underscores, with a "
            "letter or digit first; give `name: ...` in the config, or rename the file"
        )
    return {**value, "name": name}


def runtime_json(config: Config, processes: int | None = None) -> str:
    """Return where and how fast jobs run, for their `--runtime`.

    Args:
        config: The whole config.
        processes: Processes that train together where the config does not say.
    """
    runtime = config.runtime.model_dump(mode="json")
    runtime["processes"] = runtime["processes"] or processes
    return json.dumps(runtime, sort_keys=True)


# --- cross-checks ------------------------------------------------------------------------------


def _faults(config: Config) -> Iterator[str]:
    """Yield what is wrong between the entries that the study combines; some of it several times."""
    for study in config.study:
        undefined = list(_undefined(config, study))
        yield from undefined
        if undefined:  # the checks below look these names up
            continue
        for d, s in itertools.product(study.datasets, study.savi):
            yield from _check_savi(d, config.datasets[d], s, config.savi[s])
        for p, s in itertools.product(study.predictors, study.savi):
            yield from _check_predictor(p, config.predictors[p], s, config.savi[s])
        for d, p in itertools.product(study.datasets, study.predictors):
            yield from _check_training(p, config.predictors[p], d, config.datasets[d])
        for d, e in itertools.product(study.datasets, study.evaluation):
            num_frames = config.datasets[d].num_frames
            yield from _check_length(f"evaluation.{e}", config.evaluation[e], d, num_frames)
        for p, e in itertools.product(study.predictors, study.evaluation):
            yield from _check_buffer(p, config.predictors[p], e, config.evaluation[e])


def _undefined(config: Config, study: Section) -> Iterator[str]:
    for section in ("datasets", "savi", "predictors", "evaluation"):
        defined = getattr(config, section)
        for name in getattr(study, section):
            if name not in defined:
                names = ", ".join(defined) or "nothing"
                yield f"study.{section} names {name}, but {section} defines only {names}"


def _known_model(entry: Any) -> Any:
    """Return an entry's model; None where only the pretrained file knows it."""
    return None if entry.pretrained else entry.model


def _check_savi(d: str, dataset: AnyDataset, s: str, savi: SaviEntry) -> Iterator[str]:
    yield from _check_num_frames(f"savi.{s}.evaluation", savi.evaluation, d, dataset)
    model, training = savi.model, savi.training
    if model is None:
        return
    if model.initializer in ("boxes", "centres") and not dataset.has_boxes:
        yield (
            f"savi.{s}.model.initializer is {model.initializer}, but {d} (kind {dataset.kind}) has "
            "no boxes; use learned, learned_random or random"
        )
    if dataset.max_objects > model.num_slots:
        yield (
            f"savi.{s}.model.num_slots is {model.num_slots}, but a video of {d} holds up to "
            f"{dataset.max_objects} objects; give at least {dataset.max_objects} slots"
        )
    # --- what only a training can get wrong
    if savi.pretrained or training is None:
        return
    stored = {"frames", *getattr(dataset, "fields", ())}
    for name, weight in training.target.weights.items():
        if stored.isdisjoint(TARGET_FIELDS[name]):
            yield (
                f"savi.{s}.training.target.{name} is {weight:g}, but {d} (kind {dataset.kind}) "
                f"stores no {' or '.join(TARGET_FIELDS[name])}; data sets of kind movi and "
                "tabletop do where their fields name it"
            )
    yield from _check_num_frames(f"savi.{s}.training", training, d, dataset)
    available = training.num_frames or dataset.num_frames
    if training.clip_length > available:
        yield (
            f"savi.{s}.training.clip_length is {training.clip_length}, but the videos of {d} have "
            f"{available} frames to train on"
        )
    if model.transition and model.slot_dim % 4:
        yield f"savi.{s}.model.slot_dim is {model.slot_dim}; it must be a multiple of 4 (heads)"
    # the decoder doubles its map after each convolution but the last
    factor = 2 ** (len(model.decoder_channels) - 1) if model.downsample_decoder else 1
    decoded = tuple(side * factor for side in model.decoder_resolution)
    if decoded != tuple(dataset.resolution):
        yield (
            f"savi.{s}.model decodes to {list(decoded)} (decoder_resolution "
            f"{list(model.decoder_resolution)}, doubled between {len(model.decoder_channels)} "
            f"decoder_channels: {str(model.downsample_decoder).lower()}), but the frames of {d} "
            f"are {list(dataset.resolution)}"
        )


def _check_num_frames(where: str, section: Any, d: str, dataset: AnyDataset) -> Iterator[str]:
    if (section.num_frames or 0) > dataset.num_frames:
        yield (
            f"{where}.num_frames is {section.num_frames}, but the videos of {d} have "
            f"{dataset.num_frames} frames"
        )


def _check_predictor(p: str, predictor: Any, s: str, savi: SaviEntry) -> Iterator[str]:
    model, slots = _known_model(predictor), _known_model(savi)
    if model is None:
        return
    if isinstance(predictor, LstmEntry) and slots and model.hidden_dim != slots.slot_dim:
        yield (
            f"predictors.{p}.model.hidden_dim is {model.hidden_dim}; an LSTM's output is "
            f"slots again (and is added to them where residual), so it must be the slot_dim of "
            f"savi.{s}, {slots.slot_dim}"
        )
    if isinstance(predictor, TransformerEntry) and predictor.training:
        buffer, context = model.buffer_size, predictor.training.num_context
        if buffer is not None and buffer < context:
            yield (
                f"predictors.{p}.model.buffer_size is {buffer}, smaller than its "
                f"training.num_context, {context}; give at least {context}, or null for no limit"
            )


def _check_training(p: str, predictor: Any, d: str, dataset: AnyDataset) -> Iterator[str]:
    training, where = predictor.training, f"predictors.{p}.training"
    if predictor.pretrained or training is None:
        return
    yield from _check_num_frames(where, training, d, dataset)
    available = min(training.num_frames or dataset.num_frames, dataset.num_frames)
    yield from _check_length(where, training, d, available)


def _check_length(where: str, window: Any, d: str, num_frames: int) -> Iterator[str]:
    length = window.num_context + window.num_preds
    if length > num_frames:
        yield (
            f"{where}: num_context + num_preds is {window.num_context} + {window.num_preds} = "
            f"{length}, but the videos of {d} have {num_frames} frames"
        )


def _check_buffer(p: str, predictor: Any, e: str, protocol: Protocol) -> Iterator[str]:
    buffer = getattr(_known_model(predictor), "buffer_size", None)
    if buffer is not None and buffer < protocol.num_context and not protocol.cut_context:
        yield (
            f"predictors.{p}.model.buffer_size is {buffer}, smaller than evaluation.{e}.num_context"
            f", {protocol.num_context}; give at least {protocol.num_context}, or null for no "
            f"limit, or evaluation.{e}.cut_context: true"
        )
