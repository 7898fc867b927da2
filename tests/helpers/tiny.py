"""Small videos, models and calls of the programs, for tests that need no study.

Two squares move over a plain background: object 0 in the upper half, object 1 in the lower one, one
pixel a frame to the right. So where everything is at any time is known.
"""

import contextlib
import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import forked
import h5py
import numpy as np
import pytest
import torch

from ocvp.data.slot_files import write_slots
from ocvp.data.videos import Video, VideoWriter
from ocvp.models.checkpoint import read_checkpoint, save_checkpoint
from ocvp.models.predictors import PREDICTORS
from ocvp.models.savi import SAVi
from ocvp.runtime import program

SIDE, NUM_FRAMES, NUM_OBJECTS, NUM_SLOTS, SLOT_DIM = 16, 8, 2, 3, 8
SQUARE = 4  # pixels

SAVI_MODEL = {
    "num_slots": NUM_SLOTS,
    "slot_dim": SLOT_DIM,
    "encoder_channels": [4],
    "encoder_mlp_dim": 8,
    "decoder_channels": [4, 4],
    "decoder_resolution": [8, 8],
    "slot_mlp_dim": 8,
    "num_iterations_first": 1,
    "num_iterations": 1,
    "initializer": "boxes",
}
SAVI_TRAINING = {
    "num_steps": 6,
    "batch_size": 2,
    "clip_length": 3,
    "learning_rate": 1e-3,
    "warmup_steps": 2,
    "num_threads": 1,
}
PREDICTOR_MODELS = {
    "lstm": {"hidden_dim": SLOT_DIM, "num_cells": 1},
    "ocvp_seq": {
        "token_dim": 8,
        "hidden_dim": 8,
        "num_layers": 1,
        "num_heads": 2,
        "buffer_size": 3,
        "dropout": 0.1,
    },
}
PREDICTOR_TRAINING = {
    "num_context": 3,
    "num_preds": 2,
    "num_steps": 6,
    "batch_size": 2,
    "learning_rate": 1e-3,
    "warmup_steps": 2,
    "num_threads": 1,
}
CPU = {"device": "cpu"}


def savi_stage(model=None, **training):
    """Return a SAVi's stage config, with some keys changed."""
    return {"model": SAVI_MODEL | (model or {}), "training": SAVI_TRAINING | training}


def predictor_stage(kind="lstm", model=None, **training):
    """Return a predictor's stage config, with some keys changed."""
    return {
        "kind": kind,
        "model": PREDICTOR_MODELS[kind] | (model or {}),
        "training": PREDICTOR_TRAINING | training,
    }


def squares(video, num_frames=NUM_FRAMES):
    """Return frames, masks and boxes of one video, and a contact of object 0 on frame 4."""
    rng = np.random.default_rng(video)
    frames = np.full((num_frames, SIDE, SIDE, 3), 40 + 5 * (video % 7), np.uint8)
    masks = np.zeros((num_frames, SIDE, SIDE), np.uint8)
    boxes = np.zeros((num_frames, NUM_OBJECTS, 4), np.float32)
    for k in range(NUM_OBJECTS):
        top, left = 1 + 8 * k + int(rng.integers(3)), int(rng.integers(4))
        colour = rng.integers(100, 256, 3)
        for t in range(num_frames):
            column = min(left + t, SIDE - SQUARE)
            area = (slice(top, top + SQUARE), slice(column, column + SQUARE))
            frames[t][area], masks[t][area] = colour, k + 1
            boxes[t, k] = np.array([top, column, top + SQUARE, column + SQUARE]) / SIDE
    contacts = np.zeros((num_frames, NUM_OBJECTS), np.uint8)
    contacts[4:5, 0] = 1
    arrays = {"frames": frames, "masks": masks, "boxes": boxes, "object_contacts": contacts}
    return arrays | {"depth": np.where(masks > 0, 1, 2).astype(np.float32)} | _flows(masks, boxes)


def _flows(masks, boxes):
    """Return how far the pixels of objects go to the next frame and to the one before."""
    columns = boxes[:, :, 1] * SIDE  # (T, K), where each object begins
    steps = np.diff(columns, axis=0)
    flows = {
        "flow": np.concatenate([steps, 0 * steps[:1]]),  # none leads out of the video
        "backward_flow": np.concatenate([0 * steps[:1], -steps]),
    }
    for name, moves in flows.items():
        flows[name] = np.zeros((*masks.shape, 2), np.float32)
        for k in range(NUM_OBJECTS):
            flows[name][..., 1] += (masks == k + 1) * moves[:, k, None, None]
    return flows


def write_videos(
    path, num_videos=5, num_frames=NUM_FRAMES, fields=("frames", "masks", "boxes"), first=0
):
    """Write a file of videos; its name is its split."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    attributes = {"dataset": "squares", "split": path.stem, "fps": 10.0, "source": "{}"}
    with VideoWriter(path, num_videos=num_videos, attributes=attributes) as writer:
        for video in range(first, first + num_videos):
            arrays = squares(video, num_frames)
            writer.append(Video(f"video {video}", {field: arrays[field] for field in fields}))
    return path


def make_savi(seed=0, **model):
    """Return a SAVi with fresh weights, and the arguments that made it."""
    arguments = {"resolution": (SIDE, SIDE), **SAVI_MODEL, **model}
    torch.manual_seed(seed)
    return SAVi(**arguments).eval(), arguments


def write_savi(path, seed=0, **model):
    """Write the checkpoint of a SAVi that was not trained."""
    savi, arguments = make_savi(seed, **model)
    save_checkpoint(path, weights=savi.state_dict(), kind="savi", model=arguments, config={})
    return Path(path)


def write_predictor(path, savi, kind="lstm", seed=0, **model):
    """Write the checkpoint of a predictor that was not trained, on a SAVi's file."""
    arguments = {**PREDICTOR_MODELS[kind], **model, "slot_dim": SLOT_DIM}
    torch.manual_seed(seed)
    module = PREDICTORS[kind](**arguments)
    save_checkpoint(
        path,
        weights=module.state_dict(),
        kind=kind,
        model=arguments,
        config=predictor_stage(kind),
        savi_digest=read_checkpoint(savi, ("savi",))["weights_digest"],
    )
    return Path(path)


def write_random_slots(path, savi, num_videos=5, num_frames=NUM_FRAMES, seed=0):
    """Write slots under a SAVi's name that it did not make: quicker, and as good for training."""
    shape = (num_videos, num_frames, NUM_SLOTS, SLOT_DIM)
    slots = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    digest = read_checkpoint(savi, ("savi",))["weights_digest"]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_slots(Path(path), [slots], shape, digest)
    return Path(path)


def call(main, *arguments):
    """Run a program as its module does, in this process, and return its exit status."""
    words = [json.dumps(word) if isinstance(word, dict) else str(word) for word in arguments]
    former = (signal.getsignal(signal.SIGTERM), warnings.showwarning, threading.excepthook)
    try:
        with pytest.raises(SystemExit) as ending:
            program.run(lambda _: main(words))
    finally:
        signal.signal(signal.SIGTERM, former[0])
        warnings.showwarning, threading.excepthook = former[1:]
        for handler in [*logging.getLogger("ocvp").handlers]:
            logging.getLogger("ocvp").removeHandler(handler)
            handler.close()
    return ending.value.code


def command(module, *arguments):
    """Return the command line of a program of the package."""
    words = [json.dumps(word) if isinstance(word, dict) else str(word) for word in arguments]
    return [sys.executable, "-m", module, *words]


def run(module, *arguments, **options):
    """Run a program of the package in a process of its own; options as of subprocess.run."""
    # What is set in the process itself, such as limits, a forked program would not inherit.
    python = sys.executable if "preexec_fn" in options else forked.python()
    return subprocess.run(
        [python, *command(module, *arguments)[1:]],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=quiet_environment(),
        **options,
    )


def reading_processes():
    """Return the processes that this one has started, but for those that run Snakemake in tests."""
    return [child for child in multiprocessing.active_children() if child.name != "Snakemake"]


def quiet_environment():
    """Return an environment in which programs compute with one thread."""
    return os.environ | {"OMP_NUM_THREADS": "1"}


@contextlib.contextmanager
def small_disk(folder, kilobytes):
    """Mount an empty file system of this size at `folder`; skip the test where that is refused."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextlib.contextmanager
def unwritable(folder):
    """Let nobody write into `folder`, root included."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        try:
            yield folder
        finally:
            folder.chmod(0o755)
        return
    _mount("--bind", folder, folder)
    try:
        _mount("-o", "remount,ro,bind", folder)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _mount(*arguments):
    try:
        subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        pytest.skip(f"this user or system cannot mount a file system: {str(reason).strip()}")


def spoil(path, field="frames"):
    """Flip a bit in the middle of a data set, where no length or header shows it."""
    with h5py.File(path) as file:
        chunk = file[field].id.get_chunk_info(len(file[field]) - 1)
    with path.open("r+b") as file:
        file.seek(chunk.byte_offset + chunk.size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


class Payload:
    """Makes a folder when it is unpickled by an unsafe loader."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def snapshot(folder):
    """Return the bytes of every file below a folder, without what records runs or resumes them."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
        and path.name not in ("resume.lock", "training.log")
        and not {"tensorboard", "resume"}.intersection(path.parts)
    }


def assert_one_error(text, *parts):
    """Check that stderr ends with one error that holds all `parts`, and shows no traceback."""
    assert text.count("error: ") == 1, text
    assert "Traceback" not in text
    message = text[text.index("error: ") :]
    for part in parts:
        assert str(part) in message, f"{part!r} is not in {message!r}"
