"""A config for videos of one's own: what was seen of them, and what follows from it.

SAVi finds objects by colour alone, as that of `config/tabletop_unconditional.yaml`: single frames
first, then clips; the plain ground of most films of one's own is given to one slot. Its encoder
keeps the resolution, and no slots are pruned: what helps there was not tried on films. What depends
on the videos is chosen here, with its reasons.
"""

import math
from typing import Any, NamedTuple

from ocvp.config.datasets import FolderDataset
from ocvp.config.tree import Config
from ocvp.config.whole import read_as_written

# --- the videos
LEAST_VIDEOS = 10
"""Videos below which a test says nothing."""
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
SHORT_SIDE = 32
"""Pixels of a frame's shorter side; twice as many where things would be too small to see."""
SMALLEST_THING = 3.0
"""Pixels of a thing's side below which it is too small."""
LARGEST_RATIO = 2.0
"""Of a frame's sides; what is longer is cut off."""
LEAST_FRAMES, MOST_FRAMES = 6, 50
"""Frames of a video that are stored."""
MOST_COUNTED = 300
"""Frames of a video that are counted."""
SLOWEST = 0.5
"""Pixels a frame below which frames are left out, so that things move by about one."""
DEFAULT_OBJECTS, MOST_OBJECTS = 4, 15
"""Objects of a video where they cannot be counted, and the most that slots are made for."""
MANY_VIDEOS = 1000
"""Training videos from which on they are not mirrored."""
BUSY = 0.5
"""Share of changing pixels above which it is the camera that moves."""

# --- the trainings
CLIP_LENGTH, BATCH_SIZE = 4, 8
CONTEXT, PREDICTED = 8, 8
"""Frames that are given and predicted, where the videos have as many."""
SINGLE_SHARE = 0.3
"""Share of SAVi's steps on single frames."""
SAVI_SHARE, PREDICTOR_SHARE = 0.6, 0.2
"""Shares of the whole time; conversion, slots, scores and figures take the rest."""
PREDICTOR_SPEED = 1.5
"""Steps of the predictor, on windows of slots, in the time of one of SAVi's; 1.8 were measured."""
LEAST_STEPS = 3000
"""Steps of SAVi below which objects are seldom found."""


class Seen(NamedTuple):
    """What a look at a folder of videos found (`ocvp.data.folder.look`)."""

    folder: str
    num_videos: int
    num_train: int | None
    """Videos in the folder `train`; None: all lie together, and are divided."""
    num_frames: int
    """Of the shortest video, up to `MOST_COUNTED`; at `fps` where that is given."""
    shortest: str
    """Path of that video."""
    size: tuple[int, int]
    """Height and width of most frames."""
    fps: float | None
    """Rate to sample films at, whose own rates differ or change; None: as they are."""
    share: float
    """Share of the pixels that differ from the background."""
    speed: float | None
    """How far a thing moves from frame to frame, as a fraction of the shorter side; the median.
    None where none is seen."""
    thing: float | None
    """Side of a square as large as a thing, as such a fraction; the median."""
    num_things: int
    """The most things that were seen apart from each other at once; 0 where none can be counted."""


class Recipe(NamedTuple):
    """A config, and why it is as it is."""

    config: Config
    reasons: dict[str, str]
    """By the keys that they are for."""
    doubts: list[str]
    """What may be wrong with the videos, or too little."""


def recipe(seen: Seen, name: str, num_objects: int | None = None, num_threads: int = 2) -> Recipe:
    """Choose a config for the videos of a folder; its trainings are one step long.

    Args:
        seen: What was seen of the videos.
        name: Name of the data set.
        num_objects: The most objects that a video shows at once; None: as was seen.
        num_threads: Threads of SAVi's training on a CPU.

    Raises:
        ValueError: If the videos are too few or too short, or `num_objects` is out of range.
    """
    _check(seen, num_objects)
    reasons: dict[str, str] = {}
    resolution = _resolution(seen, reasons)
    stride, num_frames = _frames(seen, min(resolution), reasons)
    num_slots = _slots(seen, num_objects, reasons)
    context = min(CONTEXT, num_frames // 2)
    window = {"num_context": context, "num_preds": min(PREDICTED, num_frames - context)}
    protocol = "{}_{num_context}_to_{num_preds}".format(name, **window)
    value = {
        "datasets": {
            name: {
                "kind": "folder",
                "root": seen.folder,
                "shares": SHARES if seen.num_train is None else None,
                "resolution": resolution,
                "num_frames": num_frames,
                "stride": stride,
                "fps": seen.fps,
                "mirror": _mirror(seen, reasons),
            }
        },
        "savi": {"savi": _savi(resolution, num_slots, num_frames, num_threads)},
        "predictors": {"ocvp_seq": _predictor(context, num_frames)},
        "evaluation": {protocol: window},
        "study": {
            "datasets": [name],
            "savi": ["savi"],
            "predictors": ["ocvp_seq"],
            "evaluation": [protocol],
            "seeds": [0],
        },
    }
    return Recipe(read_as_written(value), reasons, _doubts(seen, num_objects))


def with_budget(made: Recipe, seen: Seen, steps_per_second: float, minutes: float) -> Recipe:
    """Return a recipe whose trainings fill a time.

    Args:
        made: The recipe.
        seen: What was seen of the videos.
        steps_per_second: Steps of SAVi's training on this machine.
        minutes: From the first job of the workflow to the last one.
    """
    seconds = 60 * minutes
    steps = _rounded(SAVI_SHARE * seconds * steps_per_second)
    predictor_steps = _rounded(PREDICTOR_SHARE * seconds * steps_per_second * PREDICTOR_SPEED)
    (dataset,) = made.config.datasets.values()
    assert isinstance(dataset, FolderDataset)
    num_train = _num_train(seen) * dataset.num_copies
    value = made.config.model_dump(mode="json", exclude_unset=True)
    training = value["savi"]["savi"]["training"]
    per_epoch = math.ceil(num_train / (BATCH_SIZE * training["clip_length"]))
    epochs = round(SINGLE_SHARE * steps / per_epoch)
    training |= {
        "num_steps": steps,
        "warmup_steps": min(200, steps // 10),
        "curriculum_epochs": epochs,
    }
    value["predictors"]["ocvp_seq"]["training"] |= {
        "num_steps": predictor_steps,
        "warmup_steps": min(50, predictor_steps // 10),
    }
    reasons = {
        "savi training.num_steps": f"{SAVI_SHARE:.0%} of {minutes:g} minutes, at the "
        f"{steps_per_second:.1f} steps a second that were measured here",
        "savi training.curriculum_epochs": f"{SINGLE_SHARE:.0%} of these steps, "
        f"{per_epoch} an epoch, are on single frames: objects are found there, and kept from "
        "frame to frame in the clips that follow",
        "ocvp_seq training.num_steps": f"{PREDICTOR_SHARE:.0%} of the time",
    }
    doubts = []
    if steps < LEAST_STEPS:
        needed = minutes * LEAST_STEPS / steps
        doubts = [
            f"{minutes:g} minutes are {steps} steps of SAVi, and objects are seldom found in fewer "
            f"than {LEAST_STEPS}: --budget {math.ceil(needed)} gives as many"
        ]
    return Recipe(read_as_written(value), made.reasons | reasons, made.doubts + doubts)


def _rounded(steps: float) -> int:
    """Return a number of steps of two digits."""
    digits = max(len(str(int(steps))) - 2, 0)
    return max(round(steps / 10**digits) * 10**digits, 1)


def _check(seen: Seen, num_objects: int | None) -> None:
    if num_objects is not None and not 1 <= num_objects <= MOST_OBJECTS:
        raise ValueError(f"--num-objects is {num_objects}; allowed are 1 to {MOST_OBJECTS}")
    if seen.num_videos < LEAST_VIDEOS:
        raise ValueError(
            f"{seen.folder} holds {seen.num_videos} videos; training, validation and test need at "
            f"least {LEAST_VIDEOS} together: cut long ones into clips (docs/own_videos.md)"
        )
    if seen.num_frames < LEAST_FRAMES:
        raise ValueError(
            f"{seen.shortest} has {seen.num_frames} frames; each video needs at least "
            f"{LEAST_FRAMES}: take it out of {seen.folder}"
        )


# --- choices, each of which writes down its reasons ---------------------------------------------


def _resolution(seen: Seen, reasons: dict[str, str]) -> tuple[int, int]:
    """Return height and width to store: multiples of 4, as the decoder doubles its map twice."""
    height, width = seen.size
    side = SHORT_SIDE
    why = f"frames are {height}x{width} (height x width)"
    if seen.thing is not None:
        if side * seen.thing < SMALLEST_THING:
            side *= 2
        why += f"; a thing is about {side * seen.thing:.1f} pixels high and wide at this size"
    ratio = min(max(height, width) / min(height, width), LARGEST_RATIO)
    unit = side // 8  # the decoder's map has 8 rows or columns of these
    long = unit * round(side * ratio / unit)
    reasons["resolution"] = f"{why}; what does not fit its shape is cut off"
    return (side, long) if height <= width else (long, side)


def _frames(seen: Seen, side: int, reasons: dict[str, str]) -> tuple[int, int]:
    """Return stride and number of frames."""
    most = max((seen.num_frames - 1) // (CONTEXT + PREDICTED - 1), 1)  # else windows do not fit
    pixels = None if seen.speed is None else seen.speed * side
    stride = 1
    if pixels is not None and 0 < pixels < SLOWEST:
        stride = min(round(1 / pixels), most)
    num_frames = min((seen.num_frames - 1) // stride + 1, MOST_FRAMES)
    or_more = " or more" if seen.num_frames == MOST_COUNTED else ""
    why = f"the shortest video has {seen.num_frames} frames{or_more}"
    if seen.fps is not None:
        why += f" at {seen.fps:g} a second, at which films whose rates differ are sampled"
    if pixels is not None:
        why += f"; things move by about {pixels * stride:.2g} pixels from one taken to the next"
    if num_frames == MOST_FRAMES:
        why += f"; more than {MOST_FRAMES} are not taken: cut long videos into clips"
    reasons["num_frames, stride, fps"] = why
    return stride, num_frames


def _num_train(seen: Seen) -> int:
    return seen.num_train or round(SHARES["train"] * seen.num_videos)


def _mirror(seen: Seen, reasons: dict[str, str]) -> bool:
    """Return whether training videos are mirrored."""
    if (num_train := _num_train(seen)) >= MANY_VIDEOS:
        return False
    reasons["mirror"] = (
        f"{num_train} training videos are soon known by heart, slots then divide the picture by "
        "place; false where left is not right, or up not down"
    )
    return True


def _slots(seen: Seen, num_objects: int | None, reasons: dict[str, str]) -> int:
    if num_objects is not None:
        why = f"{num_objects} objects, as --num-objects says"
    elif seen.num_things:
        num_objects = min(seen.num_things, MOST_OBJECTS)
        why = f"up to {num_objects} things were seen at once (--num-objects if that is wrong)"
    else:
        num_objects = DEFAULT_OBJECTS
        why = f"{num_objects} objects are supposed"
    reasons["num_slots"] = f"{why}, and one slot for the background"
    return num_objects + 1


def _savi(
    resolution: tuple[int, int], num_slots: int, num_frames: int, num_threads: int
) -> dict[str, Any]:
    num_convolutions = 3 if min(resolution) == SHORT_SIDE else 4  # all but the last one double
    factor = 2 ** (num_convolutions - 1)
    channels = [16] * num_convolutions
    return {
        "model": {
            "num_slots": num_slots,
            "slot_dim": 64,
            "encoder_channels": channels,
            "encoder_mlp_dim": 64,
            "decoder_channels": channels,
            "decoder_resolution": [side // factor for side in resolution],
            "slot_mlp_dim": 128,
            "num_iterations_first": 3,
            "num_iterations": 1,
            "initializer": "learned_random",
        },
        "training": {
            "num_steps": 1,
            "batch_size": BATCH_SIZE,
            "clip_length": min(CLIP_LENGTH, num_frames),
            "curriculum_clip_length": 1,
            "attention_gradient": "last",
            "background_weight": 3e-3,
            "learning_rate": 1e-3,
            "validation_interval": 250,  # epochs are short with so few videos
            "num_threads": num_threads,
        },
        "evaluation": {"num_frames": min(CONTEXT + PREDICTED, num_frames)},
    }


def _predictor(context: int, num_frames: int) -> dict[str, Any]:
    return {
        "kind": "ocvp_seq",
        "model": {
            "token_dim": 64,
            "hidden_dim": 128,
            "num_layers": 2,
            "num_heads": 4,
            "buffer_size": context,
            "dropout": 0,
        },
        "training": {
            "num_context": context,
            "num_preds": min(5, num_frames - context),
            "num_steps": 1,
            "batch_size": 16,
            "learning_rate": 4e-3,
            "select": "best",  # few videos are soon known by heart
            # decoding the predictions for their loss would take three times as long as the rest
            "frame_loss_weight": 0,
        },
    }


def _doubts(seen: Seen, num_objects: int | None) -> list[str]:
    doubts = []
    if seen.share > BUSY:
        doubts.append(
            f"{seen.share:.0%} of the pixels change: where the camera moves, slots by colour alone "
            "seldom find objects"
        )
    if not seen.speed:
        doubts.append(
            f"nothing was seen moving in {seen.folder}: is the camera still, and are the objects "
            "large enough and of other colours than the ground?"
        )
    if not seen.num_things and num_objects is None:
        doubts.append(
            "how many objects there are cannot be told, since the ground has more than one colour: "
            f"{DEFAULT_OBJECTS} are supposed; --num-objects says it"
        )
    if seen.num_things > MOST_OBJECTS and num_objects is None:
        doubts.append(
            f"{seen.num_things} things were seen at once; there are slots for {MOST_OBJECTS}"
        )
    return doubts
