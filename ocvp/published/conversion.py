"""From the parameter file of a published experiment to a config of this project.

Every key of the file is accounted for: converted, without effect, not converted, or unknown.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ocvp.published.settings import (
    LSTM_KEYS,
    SAVI_FIXED,
    SAVI_KEYS,
    TRANSFORMER_KEYS,
    plain,
    predictor_arguments,
    savi_arguments,
)
from ocvp.published.training import (
    PUBLISHED_CLIP_LENGTH,
    Account,
    Source,
    described_predictors,
    predictor_training,
    read_source,
    savi_training,
)

MOVI_OBJECTS = 10
"""The most objects of a video of MOVi-A and MOVi-C."""

ADAM = "Adam has no such setting"
PLATEAU = "of the plateau schedule only"
SAVING = "the state is saved after each epoch, and as often as runtime.save_interval_minutes says"
LOSSES = "losses are logged every 10 steps"
IMAGES = "pictures are logged at the end of an epoch"
CLIPPING = "predictors were clipped as training_slots says, whatever stands here"
ONLY = "this is the only value there is"
NO_EFFECT = {
    "model.model_name": ONLY,
    "dataset.target": "frames are what is reconstructed",
    "dataset.shuffle_eval": "all videos are scored, so their order does not count",
    "dataset.use_segmentation": "masks are used where the data set has them",
    "training_slots.momentum": ADAM,
    "training_slots.nesterov": ADAM,
    "training_slots.weight_decay": "the published code ignored it with Adam",
    "training_slots.lr_factor": PLATEAU,
    "training_slots.patience": PLATEAU,
    "training_slots.save_frequency": SAVING,
    "training_slots.log_frequency": LOSSES,
    "training_slots.image_log_frequency": IMAGES,
    "training_prediction.save_frequency": SAVING,
    "training_prediction.save_frequency_iters": SAVING,
    "training_prediction.log_frequency": LOSSES,
    "training_prediction.image_log_frequency": IMAGES,
    "training_prediction.gradient_clipping": CLIPPING,
    "training_prediction.clipping_max_value": CLIPPING,
}
"""Keys that change nothing here, and changed nothing but speed and logs there."""
ONLY_VALUES = {
    "dataset.shuffle_train": (True, "training videos are always shuffled"),
    "dataset.random_start": (True, "training windows always start at a random frame"),
    "training_prediction.skip_first_slot": (False, "predictors see every context frame"),
}
"""Keys of which one value is what happens anyway, and another cannot be had."""


class Note(NamedTuple):
    """What is to be said of one key of the file."""

    key: str
    value: Any
    reason: str


class Conversion(NamedTuple):
    """A config, and an account of every key of the file."""

    config: dict[str, Any]
    """The whole config."""
    converted: dict[str, list[str]]
    """Key of the file to the keys of the config that it became."""
    no_effect: list[Note]
    """Keys that change nothing."""
    not_converted: list[Note]
    """Keys that did something in the published code that this config does not do."""
    unknown: list[Note]
    """Keys that are not known to be published ones."""
    remarks: list[str]
    """What the config has from elsewhere than the file, or does otherwise."""


def convert(params: Mapping[str, Any]) -> Conversion:
    """Turn a published parameter file into the equivalent config.

    A file of a SAVi gives an entry for each predictor that it describes; names are `obj3d`,
    `savi_obj3d`, `ocvp_seq_obj3d` and so on.

    Args:
        params: Content of an `experiment_params.json`.

    Raises:
        ValueError: If a key is missing, or has a value for which there is no equivalent.
    """
    # --- the entries, which note what they take
    account = Account(params)
    source = read_source(account)
    model = _savi_model(account, source)
    resolution = model.pop("resolution")
    savi = f"savi_{source.name}"
    predictors = dict(_predictors(account, source))
    protocols = dict(_protocols(predictors, source))
    config = {
        "datasets": {source.name: _dataset(source, resolution, model["num_slots"])},
        "savi": {
            savi: {
                "model": model,
                "training": savi_training(account, source, f"savi.{savi}"),
                "evaluation": {"split": "test", "num_frames": source.num_frames},
            }
        },
        "predictors": predictors,
        "evaluation": protocols,
        "study": {
            "datasets": [source.name],
            "savi": [savi],
            "predictors": list(predictors),
            "evaluation": list(protocols),
            "seeds": [0],
        },
    }
    # --- what became of all other keys
    if (target := account.values.get("dataset.target", "rgb")) != "rgb":
        account.fault("dataset.target", target, "'rgb'")
    account.raise_faults()
    _note_rest(account)
    remarks = list(_remarks(account, source, model, predictors))
    return _conversion(account, config, remarks)


def _savi_model(account: Account, source: Source) -> dict[str, Any]:
    """Return the architecture, and the resolution of the frames."""
    model = plain(savi_arguments(account.params))
    for key in ("box_format", "absent"):  # of imported weights; a model trained here has its own
        del model[key]
    for key, ours in SAVI_KEYS.items():
        is_of_data = ours == "resolution"
        where = f"datasets.{source.name}" if is_of_data else f"savi.savi_{source.name}.model"
        account.convert(f"model.SAVi.{key}", f"{where}.{ours}")
    for key in SAVI_FIXED:
        account.no_effect(f"model.SAVi.{key}", ONLY)
    return model


def _dataset(source: Source, resolution: list[int], num_slots: int) -> dict[str, Any]:
    """Return the entry of the data set."""
    entry = {**source.entry, "resolution": resolution}
    if entry["kind"] == "obj3d":
        return {**entry, "resize": "bicubic"}
    max_objects = min(MOVI_OBJECTS, num_slots)  # no more than there are slots
    return {**entry, "resize": "box", "splits": "published", "max_objects": max_objects}


def _predictors(account: Account, source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and entry of each predictor that the file describes."""
    described = described_predictors(account.params)
    name_key = "model.predictor.predictor_name"
    account.no_effect(name_key, "the study holds all predictors that the file describes")
    if described:
        predictor_arguments(account.params)  # the one that is named must be described
    for theirs in described:
        kind, model = predictor_arguments(account.params, theirs)
        del model["slot_dim"]  # a config has it from the SAVi
        name = f"{kind}_{source.name}"
        ours = f"predictors.{name}"
        for key, setting in (LSTM_KEYS if kind == "lstm" else TRANSFORMER_KEYS).items():
            account.convert(f"model.predictor.{theirs}.{key}", f"{ours}.model.{setting}")
        if len(described) == 1:
            account.convert(name_key, f"{ours}.kind")
        training = predictor_training(account, source, ours)
        yield name, {"kind": kind, "model": model, "training": training}


def _protocols(
    predictors: Mapping[str, Any], source: Source
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the lengths that predictors are trained for, and the longest that videos allow."""
    for predictor in predictors.values():
        num_context = predictor["training"]["num_context"]
        for num_preds in (predictor["training"]["num_preds"], source.num_frames - num_context):
            if num_preds > 0:
                protocol = {"num_context": num_context, "num_preds": num_preds, "split": "test"}
                yield f"{source.name}_{num_context}_to_{num_preds}", protocol


def _note_rest(account: Account) -> None:
    """Account for the keys that no part of the config was made from."""
    for key, reason in NO_EFFECT.items():
        account.no_effect(key, reason)
    for key, (only, reason) in ONLY_VALUES.items():
        if account.values.get(key) == only:
            account.no_effect(key, reason)
        else:
            account.not_converted[key] = reason


def _remarks(
    account: Account, source: Source, model: Mapping[str, Any], predictors: Mapping[str, Any]
) -> Iterator[str]:
    """Yield what the config has from elsewhere than the file, or does otherwise."""
    yield (
        f"The {source.num_frames} frames of a video that are trained and scored on are not in the "
        "file: they are those of the published experiments."
    )
    for predictor in list(predictors.values())[:1]:  # all have the same window
        window = (predictor["training"]["num_context"], predictor["training"]["num_preds"])
        yield (
            "Protocols are not in the file: they are num_context and num_preds of its "
            "training_prediction, and num_context with all frames that are left."
        )
        if window != source.window:
            yield (
                f"training_prediction says num_context {window[0]} and num_preds {window[1]}; the "
                f"published predictors of {source.name} were trained with {source.window[0]} and "
                f"{source.window[1]}, and scored with protocols to match."
            )
    if model["initializer"] in ("boxes", "centres"):
        yield (
            "Boxes: a model trained with this config sees fractions of the frame (box_format: "
            "yxyx_fraction), and slots without an object start from learned vectors (absent: "
            "learned). Published weights, which see pixels, keep their convention when imported."
        )
    if source.entry["kind"] == "movi":
        yield (
            "Validation and test are the same videos, as in the published code; splits: divided "
            "separates them."
        )
        if model["num_slots"] < MOVI_OBJECTS:
            yield (
                f"Videos of {source.name} hold up to {MOVI_OBJECTS} objects, and there are only "
                f"{model['num_slots']} slots: a video with more objects will be refused."
            )
    if predictors:
        yield (
            "Predictors have the learning rate, schedule and clipping of training_slots, as in "
            "the published code."
        )
    if len(predictors) == 1:
        yield (
            "This is the file of a predictor: its training_slots says how the predictor was "
            "trained. Its SAVi has a file of its own; here it gets the same settings, and clips "
            f"of {PUBLISHED_CLIP_LENGTH} frames, the published length."
        )
    sizes = [predictor["training"]["batch_size"] for predictor in predictors.values()]
    if source.name == "obj3d" and 16 in sizes:
        yield (
            "batch_size 16 of the predictor: two published files say so, but 70,000 steps in "
            "1,500 epochs, which their runs took, mean batches of 64."
        )


def _conversion(account: Account, config: dict[str, Any], remarks: list[str]) -> Conversion:
    """Sort the keys of the file by what became of them."""
    # a key that became something is not also without effect
    values, converted, lost = account.values, account.converted, account.not_converted
    ignored = {key: why for key, why in account.no_effects.items() if key not in converted}
    unknown = values.keys() - converted.keys() - ignored.keys() - lost.keys()

    def notes(reasons: Mapping[str, str]) -> list[Note]:
        return [Note(key, values[key], reasons[key]) for key in values if key in reasons]

    return Conversion(
        config,
        {key: converted[key] for key in values if key in converted},
        notes(ignored),
        notes(lost),
        notes(dict.fromkeys(unknown, "not a key of published files")),
        remarks,
    )
