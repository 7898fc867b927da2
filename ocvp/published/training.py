"""The training settings of a published parameter file as ours, with an account of every key.

Predictor training took learning rate, schedule and clipping from the SAVi section
(`training_slots`), batch size and epochs from its own (`training_prediction`).
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ocvp.config.datasets import MoviDataset, Obj3dDataset
from ocvp.published.settings import PREDICTOR_KINDS, subsection


class Source(NamedTuple):
    """What the published code does with a data set, whatever the parameter file says."""

    name: str
    entry: dict[str, Any]
    """Its entry of `datasets`."""
    num_train: int
    """Training videos (MOVi-C: about as many, as its page says)."""
    num_frames: int
    """Frames of a video that are trained and scored on."""
    window: tuple[int, int]
    """num_context and num_preds that predictors were trained with."""


OBJ3D_ROOT = Obj3dDataset.model_fields["root"].default
MOVI_ROOT = MoviDataset.model_fields["root"].default
OBJ3D: dict[str, Any] = {"kind": "obj3d", "root": OBJ3D_ROOT, "num_frames": 50}
MOVI: dict[str, Any] = {"kind": "movi", "root": MOVI_ROOT, "num_frames": 24}
SOURCES = {
    "OBJ3D": Source("obj3d", OBJ3D, 2920, 30, (5, 5)),
    "MoviA": Source("movi_a", {**MOVI, "variant": "movi_a"}, 9703, 24, (6, 8)),
    "MoviC": Source("movi_c", {**MOVI, "variant": "movi_c"}, 9750, 24, (6, 8)),
}
"""The published dataset_name to its source."""
PUBLISHED_CLIP_LENGTH = 10
"""Frames of SAVi's training clips in both published experiments."""
SCHEDULES = {"cosine_annealing": "cosine", "none": "constant", "": "constant"}
LOSS_WEIGHTS = {"pred_img_mse": "frame_loss_weight", "pred_slot_mse": "slot_loss_weight"}
NUMBER = (int, float)


class Account:
    """The leaves of a parameter file, and what became of each.

    Args:
        params: Content of an `experiment_params.json`.
    """

    def __init__(self, params: Mapping[str, Any]):
        self.params = params
        self.values = dict(_leaves(params))
        self.converted: dict[str, list[str]] = {}
        self.no_effects: dict[str, str] = {}
        self.not_converted: dict[str, str] = {}
        self.faults: list[str] = []

    def take(self, key: str, ours: str, kind: type | tuple[type, ...] = NUMBER) -> Any:
        """Return a value that becomes `ours`.

        Raises:
            ValueError: If it is missing or of another type.
        """
        self.convert(key, ours)
        return self.value(key, kind)

    def value(self, key: str, kind: type | tuple[type, ...] = NUMBER) -> Any:
        """Return a value.

        Raises:
            ValueError: If it is missing or of another type.
        """
        if key not in self.values:
            raise ValueError(f"the parameter file has no {key}")
        value = self.values[key]
        # True and False pass for numbers in Python, not here.
        if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
            needed = {NUMBER: "a number", bool: "true or false", str: "a name"}[kind]
            raise ValueError(f"{key} is {value!r}; it must be {needed}")
        return value

    def convert(self, key: str, ours: str) -> None:
        """Note that a key, where the file has it, becomes `ours`."""
        targets = self.converted.setdefault(key, [])
        if ours not in targets:
            targets.append(ours)

    def no_effect(self, key: str, reason: str) -> None:
        """Note that a key changes nothing, where nothing else becomes of it."""
        self.no_effects[key] = reason

    def fault(self, key: str, value: Any, allowed: str) -> None:
        """Note a value that has no equivalent."""
        text = f"{key} is {value!r}; only {allowed} can be converted"
        if text not in self.faults:
            self.faults.append(text)

    def raise_faults(self) -> None:
        """Raise a ValueError that lists the values that have no equivalent, if there are any."""
        if self.faults:
            raise ValueError("\n  ".join(["there is no equivalent config:", *self.faults]))


def recorded_training(params: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the training settings with which published weights were made, as ours.

    Args:
        params: Content of their `experiment_params.json`.
        kind: `savi`, or a predictor's name in PREDICTORS.

    Raises:
        ValueError: If a key is missing, or has a value for which there is no equivalent.
    """
    account = Account(params)
    source = read_source(account)
    convert = savi_training if kind == "savi" else predictor_training
    training = convert(account, source, kind)  # an entry's name is not recorded
    account.raise_faults()
    return training


def read_source(account: Account) -> Source:
    """Return the data set that the file names.

    Raises:
        ValueError: If it is none of SOURCES.
    """
    name = account.take("dataset.dataset_name", "datasets", str)
    if name not in SOURCES:
        raise ValueError(
            f"dataset.dataset_name is {name!r}; only {', '.join(SOURCES)} can be converted"
        )
    return SOURCES[name]


def described_predictors(params: Mapping[str, Any]) -> list[str]:
    """Return the published names of the predictors that a file describes."""
    sections = subsection(params, "model").get("predictor")
    return [name for name in PREDICTOR_KINDS if isinstance(sections, dict) and name in sections]


def savi_training(account: Account, source: Source, ours: str) -> dict[str, Any]:
    """Return the training of a SAVi, as a section of the config.

    Args:
        account: The file.
        source: Its data set.
        ours: Name of the entry of the config, for the account.
    """
    key, clip_length = "training_prediction.sample_length", PUBLISHED_CLIP_LENGTH
    # A predictor's file describes one predictor and holds its window; others are a SAVi's own.
    if len(described_predictors(account.params)) == 1:
        account.no_effect(key, "a predictor's window is num_context + num_preds frames")
    elif key in account.values:
        clip_length = account.take(key, f"{ours}.training.clip_length")
    losses = _losses(account, "loss")
    if [(loss.get("type"), loss.get("weight", 1)) for loss in losses] != [("mse", 1)]:
        account.fault("loss", losses, "one 'mse' of weight 1")
    for part in ("type", "weight"):
        account.no_effect(f"loss.0.{part}", "this is the only loss of SAVi")
    return {
        "clip_length": clip_length,
        **_take_all(account, "training_slots", ours, ("num_epochs", "batch_size")),
        **_frames(source),
        **_optimisation(account, ours),
    }


def predictor_training(account: Account, source: Source, ours: str) -> dict[str, Any]:
    """Return the training of a predictor, as a section of the config.

    Args:
        account: The file.
        source: Its data set.
        ours: Name of the entry of the config, for the account.
    """
    section = "training_prediction"
    keys = ("num_context", "num_preds", "num_epochs", "batch_size")
    training = _take_all(account, section, ours, keys)
    training |= {**_frames(source), **_optimisation(account, ours)}
    forcing = f"{ours}.training.teacher_forcing"
    training["teacher_forcing"] = account.take(f"{section}.teacher_force", forcing, bool)
    # losses that the file does not name weigh nothing; of one type, all weights add up
    training |= dict.fromkeys(LOSS_WEIGHTS.values(), 0.0)
    for index, loss in enumerate(_losses(account, "predictor_loss")):
        key, kind = f"predictor_loss.{index}", loss.get("type")
        if not isinstance(kind, str) or kind not in LOSS_WEIGHTS:
            account.fault(f"{key}.type", kind, " and ".join(LOSS_WEIGHTS))
            continue
        target = f"{ours}.training.{LOSS_WEIGHTS[kind]}"
        account.convert(f"{key}.type", target)
        training[LOSS_WEIGHTS[kind]] += account.take(f"{key}.weight", target)
    return _limit_epochs(account, training, source, ours)


def _take_all(account: Account, section: str, ours: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return settings that have the same name here."""
    return {key: account.take(f"{section}.{key}", f"{ours}.training.{key}") for key in keys}


def _frames(source: Source) -> dict[str, Any]:
    """Return the limit to the frames that are trained on, where more are stored."""
    is_cut = source.entry["num_frames"] > source.num_frames
    return {"num_frames": source.num_frames} if is_cut else {}


def _optimisation(account: Account, ours: str) -> dict[str, Any]:
    """Return learning rate, schedule and clipping, which SAVi and predictors have in common."""
    section, values = "training_slots", account.values

    def take(key: str, name: str, kind: type | tuple[type, ...] = NUMBER) -> Any:
        return account.take(f"{section}.{key}", f"{ours}.training.{name}", kind)

    # --- optimiser and warm-up
    training: dict[str, Any] = {"learning_rate": take("lr", "learning_rate")}
    if (optimizer := values.get(f"{section}.optimizer")) != "adam":
        account.fault(f"{section}.optimizer", optimizer, "'adam'")
    account.no_effect(f"{section}.optimizer", "Adam is the only optimiser")
    training["warmup_steps"] = 0
    if take("lr_warmup", "warmup_steps", bool):
        training["warmup_steps"] = take("warmup_steps", "warmup_steps")
        if values.get(f"{section}.warmup_epochs") is not None:
            training["warmup_epochs"] = take("warmup_epochs", "warmup_epochs")
    for key in ("warmup_steps", "warmup_epochs"):
        account.no_effect(f"{section}.{key}", "lr_warmup is false, or this is null")
    # --- schedule
    scheduler = values.get(f"{section}.scheduler") or ""
    if not isinstance(scheduler, str) or scheduler not in SCHEDULES:
        account.fault(f"{section}.scheduler", scheduler, "'cosine_annealing' and '' (none)")
    account.convert(f"{section}.scheduler", f"{ours}.training.schedule")
    training["schedule"] = SCHEDULES.get(str(scheduler), "constant")
    if training["schedule"] == "cosine":
        training["scheduler_steps"] = take("scheduler_steps", "scheduler_steps")
    account.no_effect(f"{section}.scheduler_steps", "of the cosine schedule only")
    # --- clipping and precision
    training["gradient_clip"] = None
    if take("gradient_clipping", "gradient_clip", bool):
        training["gradient_clip"] = take("clipping_max_value", "gradient_clip")
    account.no_effect(f"{section}.clipping_max_value", "gradient_clipping is false")
    # The published code knows no other precision. (It left torch's defaults, by which recent GPUs
    # use TF32 for convolutions; the switch here is for all products.)
    training |= {"precision": "float32", "tf32": False}
    return training


def _limit_epochs(
    account: Account, training: dict[str, Any], source: Source, ours: str
) -> dict[str, Any]:
    """Turn epochs that end early into a number of steps."""
    key = "training_prediction.train_iters_per_epoch"
    # rounded up: the last batch of an epoch is smaller
    whole = -(-source.num_train // max(1, training["batch_size"]))
    account.no_effect(key, f"an epoch has {whole} steps, so this limit is not reached")
    if account.values.get(key) is None or account.value(key) >= whole:
        return training
    limit = account.take(key, f"{ours}.training.num_steps")
    account.convert("training_prediction.num_epochs", f"{ours}.training.num_steps")
    return {"num_steps": training.pop("num_epochs") * limit, **training}


def _losses(account: Account, key: str) -> list[dict[str, Any]]:
    """Return a list of losses."""
    value = account.params.get(key)
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        raise ValueError(f"{key} is {value!r}; it must be a list of losses")
    return value


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield key and value of each leaf; a list of plain values is one leaf."""
    if isinstance(value, Mapping) and (value or not key):
        for name, part in value.items():
            yield from _leaves(part, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and any(isinstance(part, dict) for part in value):
        for index, part in enumerate(value):
            yield from _leaves(part, f"{key}.{index}")
    else:
        yield key, value
