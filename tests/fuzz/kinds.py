"""Each kind of file: a valid one by the project's own writers, its damage, and its reader.

A reader returns what a user gets: plain containers, numbers and arrays.
"""

import contextlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import damage
import numpy as np
import torch
from children import Outcome, judged
from damage import Chance, damage_bytes, damage_hdf5, damage_json
from published_files import REFERENCE
from raw_movi import VERSION, raw_record, unpack_movi, write_movi_a
from raw_trees import write_film, write_folder
from tiny import write_predictor, write_random_slots, write_savi, write_videos

from ocvp.batches.windows import Window, WindowReader
from ocvp.config.datasets import DatasetStage
from ocvp.config.entries import Origin
from ocvp.config.tree import Figures
from ocvp.data.clips import read_boxes, read_clip
from ocvp.data.conversion import make_chunk
from ocvp.data.raw_files import listing
from ocvp.data.slot_files import read_info
from ocvp.data.videos import VideoFile
from ocvp.evaluation.score_files import read_score_file
from ocvp.evaluation.tables import comparison_rows, summary_rows
from ocvp.models.checkpoint import read_checkpoint
from ocvp.models.loading import load_predictor, load_savi
from ocvp.models.tensor_files import save_tensors
from ocvp.published.importing import read_import
from ocvp.records.chain import as_text, chain_of
from ocvp.records.contents import TrainingTime
from ocvp.records.origins import origin_digest, write_record
from ocvp.records.records import Making
from ocvp.runtime.files import write_json
from ocvp.runtime.json_files import read_content
from ocvp.runtime.program import read_section
from ocvp.training.resume import ResumeFolder

SECONDS = 30.0
"""In which a file must be read or refused."""


class Kind(NamedTuple):
    """A kind of file."""

    make: Callable[[Path], object]
    """Writes the valid file, with what belongs to it, into a folder."""
    targets: str
    """Pattern of the files that are damaged, one at a time."""
    read: Callable[[Path], Any]
    damages: Sequence[Callable[[Path, Chance], str]] = (damage_bytes,)
    is_exact: bool = False
    """Whether checksums cover what is read: where bytes are damaged, the result is the right one or
    there is none."""


def same(one: Any, other: Any) -> bool:
    """Tell whether two results are the same."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        one, other = one.numpy(), other.numpy()
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(
            one, other, equal_nan=one.dtype.kind == "f"
        )
    return type(one) is type(other) and bool(one == other)


def tried(kind: Kind, good: Path, folder: Path, expected: list[Any], chance: Chance) -> Outcome:
    """Damage a copy of a valid file, read it, and return how that went; the copy stays."""
    shutil.copytree(good, folder)
    target = chance.choice(sorted(folder.glob(kind.targets)))
    how = chance.choice(kind.damages)
    try:
        what = how(target, chance)
    except (ValueError, TypeError, OSError):  # a file cannot have every structure
        what = damage_bytes(target, chance)
    what = f"{what} of {target.relative_to(folder)}"
    before = _files(folder)
    with _warnings() as told:
        outcome = judged(
            lambda: kind.read(folder),
            lambda message: _names(message, target, folder),
            lambda result: _worth(result, expected, told, kind.is_exact and how is damage_bytes),
        )
    made = {path for path in _files(folder) - before if path.name.startswith(".")}
    made |= {path for path in _files(folder) - before if outcome.kind == "refused"}
    if made and not outcome.is_violation:
        outcome = Outcome("leftover", f"{sorted(map(str, made))}")
    return Outcome(outcome.kind, f"{what}: {outcome.text}")


def _names(message: str, target: Path, folder: Path) -> bool:
    """Tell whether a message is short and names the file, its folder or its video."""
    place = target.relative_to(folder)
    names = {target.name, "--config", *(str(folder / part) for part in place.parents[:-1])}
    # of a section, each key has a line
    is_short = message.count("\n") == 0 or message.startswith("--config is not valid")
    return is_short and len(message) < 1500 and any(name in message for name in names)


def _worth(result: Any, expected: list[Any], told: list[str], is_exact: bool) -> Outcome:
    if same(result, expected[0]):
        return Outcome("warned" if told else "right", "; ".join(told))
    if any(same(result, other) for other in expected[1:]) and told:
        return Outcome("warned", "; ".join(told))
    if is_exact:
        return Outcome("wrong", "another result than that of the whole file, and no word")
    return Outcome("other")


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@contextlib.contextmanager
def _warnings() -> Iterator[list[str]]:
    """Yield a list to which warnings are added, and what says that a run starts anew."""
    told: list[str] = []
    logger, handler = logging.getLogger("ocvp"), logging.Handler()

    def emit(record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING or "anew" in record.getMessage():
            told.append(record.getMessage())

    handler.emit = emit  # type: ignore[method-assign]
    former = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield told
    finally:
        logger.removeHandler(handler)
        logger.setLevel(former[0])
        logger.propagate = former[1]


# --- HDF5 ---------------------------------------------------------------------------------------


def _read_videos(folder: Path) -> Any:
    path = folder / "train.h5"
    with VideoFile(path) as videos:
        found = {
            field: [videos.read(field, video) for video in range(videos.num_videos)]
            for field in videos.fields
        }
        frames = videos.num_frames
    kept = WindowReader({"frames": (path, "frames")}, frames, "memory")
    return found | {"kept": kept[[Window(0, 0)]][1]["frames"]}


def _make_slots(folder: Path) -> None:
    savi = write_savi(folder / "savi.pt")
    write_random_slots(folder / "slots.h5", savi, num_videos=4)


def _read_slots(folder: Path) -> Any:
    found = {"info": read_info(folder / "slots.h5")}  # as trainings do before they read
    for residency in ("disk", "memory"):
        reader = WindowReader({"slots": (folder / "slots.h5", "slots")}, 8, residency)
        found[residency] = reader[[Window(video, 0) for video in range(4)]][1]["slots"]
    return found


# --- tensors --------------------------------------------------------------------------------------

ODD_TENSORS = (
    *(None, 3, "x", [], {}, torch.zeros(()), torch.full((2, 2), float("nan"))),
    *(torch.zeros(1).expand(10**12), torch.zeros(10**6, 10**6, device="meta")),
    *(torch.zeros(3, 3).to_sparse(), torch.zeros(8, dtype=torch.float64)),
)


def damage_tensors(path: Path, chance: Chance) -> str:
    """Edit a checkpoint: entries are lost, renamed, or hold something else."""
    content = torch.load(path, weights_only=True)
    odd = damage.ODD if chance.random() < 0.5 else ODD_TENSORS
    changed = damage.edited(content, chance, odd)
    save_tensors(path, changed if isinstance(changed, dict) else {"x": changed})
    return "edited tensors"


def _read_model(folder: Path) -> Any:
    content = read_checkpoint(folder / "model.pt")
    load = load_savi if content["kind"] == "savi" else load_predictor
    return {"weights": dict(load(folder / "model.pt").state_dict()), "model": content["model"]}


def _make_predictor(folder: Path) -> None:
    write_predictor(folder / "model.pt", write_savi(folder / "savi.pt"), "ocvp_seq")


def _make_published(folder: Path) -> None:
    shutil.copytree(REFERENCE / "Obj3D" / "savi" / "models", folder / "models")
    shutil.copy(REFERENCE / "Obj3D" / "savi" / "experiment_params.json", folder)


def _read_published(folder: Path) -> Any:
    (path,) = (folder / "models").glob("*.pth")
    content = read_import(path, None, None, 0, None).content
    return {"weights": dict(content["weights"]), "model": content["model"]}


RUN = {"config": {"training": {"num_steps": 6}}, "code": "c" * 64, "seed": 1, "inputs": ["a" * 64]}


def _make_resume(folder: Path) -> None:
    states = ResumeFolder(folder / "resume", RUN)
    for step in (1, 2):
        states.write(_state(step))


def _state(step: int) -> dict[str, Any]:
    return {"step": step, "weights": {"w": torch.arange(500.0) + step}}


def _read_resume(folder: Path) -> Any:
    return ResumeFolder(folder / "resume", RUN).read()


# --- raw files ------------------------------------------------------------------------------------


def _converted(folder: Path, split: Any, **config: Any) -> Any:
    """Convert the raw files in a folder as the workflow does, and return what the videos hold."""
    config = {"root": str(folder), "resolution": [16, 16], **config}
    dataset = DatasetStage.model_validate(config).root
    output = folder / "out" / f"{split}.h5"
    make_chunk(dataset, "raw", split, 0, output)
    with VideoFile(output) as videos:
        return {
            field: [videos.read(field, video) for video in range(videos.num_videos)]
            for field in videos.fields
        }


def _make_movi(folder: Path) -> None:
    source = unpack_movi(folder / "source")
    shard = write_movi_a(folder, [raw_record(source)], "validation", source)
    info = json.loads((source / VERSION / "dataset_info.json").read_text(encoding="utf-8"))
    info["splits"] = [{"name": "validation", "shardLengths": ["1"]}]
    (shard.parent / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    shutil.rmtree(folder / "source")


def _read_movi(folder: Path) -> Any:
    return _converted(folder, "val", kind="movi", splits="published")


def _make_pictures(folder: Path) -> None:
    write_folder(folder, {"test": 2}, num_frames=3, size=(24, 32))


def _read_pictures(folder: Path) -> Any:
    masks = {"masks": "masks", "max_objects": 3} if (folder / "masks").is_dir() else {}
    return _converted(folder, "test", kind="folder", frames="frames", num_frames=3, **masks)


def _make_jpeg(folder: Path) -> None:
    from PIL import Image

    write_folder(folder, {"test": 2}, num_frames=3, size=(24, 32), masks=False)
    for path in folder.rglob("*.png"):
        with Image.open(path) as picture:
            picture.convert("RGB").save(path.with_suffix(".jpg"))
        path.unlink()


def _make_films(folder: Path) -> None:
    write_folder(folder, {"test": 2}, num_frames=5, size=(24, 32), masks=False, films=True)
    frames = np.random.default_rng(0).integers(0, 256, (5, 24, 32, 3), np.uint8)
    write_film(folder / "clip.mp4", frames)


def _read_clip(folder: Path) -> Any:
    return read_clip(folder / "clip.mp4", resolution=(16, 16)).frames


# --- JSON -----------------------------------------------------------------------------------------


GONE = "named-in-origin.json.pt"
"""A file that is not there, and whose name holds that of the record of it."""


def _make_json(folder: Path) -> None:
    write_savi(folder / "savi.pt")
    write_json(folder / "training_time.json", {"steps": 3, "epochs": 1, "seconds": 2.5})
    write_record(folder / "savi.pt", Path(GONE), digest="d" * 64)
    write_json(folder / "config.json", Figures().model_dump(mode="json"))
    write_json(folder / "boxes.json", [[0.1, 0.1, 0.5, 0.5], [0.2, 0.2, 0.9, 0.9]])
    write_json(folder / "manifest.json", {"num_videos": 3, "num_files": 9, "digest": "a" * 64})
    interval = {"mean": 0.1, "low": 0.0, "high": 0.2}
    compared = {"num_videos": 2, "prediction": 1.0, "copy_last_slots": 0.5, "ceiling": 2.0}
    compared |= {"gap": interval, "gain": interval, "gap_closed": None, "beyond_half_gap": None}
    compared |= {"reason": "no gap"}
    scores = {"protocol": {"num_context": 2, "num_preds": 3, "split": "test"}}
    scores["metrics"] = {"psnr": {"mean": 20.0, "per_frame": [21.0, None], "ceiling": 30.0}}
    scores["comparisons"] = {"subset": "moving", "num_videos": 2, "psnr": compared}
    write_json(folder / "scores.json", scores)
    making = Making("fit_savi", ["--output", "savi.pt"])
    making.read({"videos": [folder / "boxes.json"]})
    making.finish([folder / "savi.pt"], Figures(), seed=1)


def _read_json(folder: Path) -> Any:
    dataset = DatasetStage.model_validate({"kind": "obj3d", "root": str(folder / "none")}).root
    origin = Origin(start_from=GONE)
    chain = chain_of(folder / "savi.pt")
    scores = read_score_file(folder / "scores.json")
    found = {
        "chain": list(as_text(chain))[1:],
        "time": read_content(folder / "training_time.json", TrainingTime),
        "origin": origin_digest(origin, folder),
        "config": read_section(Figures, str(folder / "config.json"), "--config").model_dump(),
        "boxes": read_boxes(folder / "boxes.json"),
        "manifest": listing(dataset, "train", folder / "manifest.json").num_videos,
        "rows": [summary_rows({}, scores), comparison_rows({}, scores)],
    }
    if chain.fault:
        raise ValueError(chain.fault)
    return found


HDF5 = (damage_bytes, damage_bytes, damage_hdf5)
TENSORS = (damage_bytes, damage_bytes, damage_tensors)
JSON = (damage_json, damage_json, damage_bytes)

KINDS = {
    "videos": Kind(lambda f: write_videos(f / "train.h5", 4), "*.h5", _read_videos, HDF5, True),
    "slots": Kind(_make_slots, "*.h5", _read_slots, HDF5, True),
    "savi": Kind(lambda f: write_savi(f / "model.pt"), "*.pt", _read_model, TENSORS, True),
    "predictor": Kind(_make_predictor, "model.pt", _read_model, TENSORS, True),
    "published": Kind(_make_published, "models/*", _read_published, is_exact=True),
    "parameters": Kind(_make_published, "*.json", _read_published, JSON),
    "resume": Kind(_make_resume, "resume/*", _read_resume, is_exact=True),
    "tfrecord": Kind(_make_movi, f"{VERSION}/*tfrecord*", _read_movi, is_exact=True),
    "dataset_info": Kind(_make_movi, f"{VERSION}/*.json", _read_movi, JSON),
    "png": Kind(_make_pictures, "*/*/*/*.png", _read_pictures, is_exact=True),
    "jpeg": Kind(_make_jpeg, "*/*/*/*.jpg", _read_pictures),
    "film": Kind(_make_films, "frames/*/*.mp4", _read_pictures),
    "clip": Kind(_make_films, "clip.mp4", _read_clip),
    "json": Kind(_make_json, "*.json", _read_json, JSON),
}
EXPECTED_TOO: dict[str, Callable[[Path], list[Any]]] = {"resume": lambda _: [_state(1), None]}
"""Results that are right as well where a warning tells of them."""
