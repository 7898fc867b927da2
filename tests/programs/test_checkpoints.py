"""Programs read each checkpoint that they are given once, however much they want to know of it."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny import (
    CPU,
    call,
    squares,
    write_predictor,
    write_random_slots,
    write_savi,
    write_videos,
)

from ocvp import evaluate_predictor, evaluate_savi, extract_slots, figures, predict
from ocvp.models import checkpoint
from ocvp.runtime.files import write_json

PROTOCOL = {"num_context": 3, "num_preds": 2}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """What the programs read, by option."""
    savi = write_savi(tmp_path / "savi.pt", initializer="random")
    for index, frame in enumerate(squares(0)["frames"]):
        (tmp_path / "clip").mkdir(exist_ok=True)
        Image.fromarray(frame).save(tmp_path / f"clip/{index}.png")
    protocol = PROTOCOL | {"split": "test"}
    scores = {"protocol": protocol, "metrics": {}, "per_video": {"psnr": [20.0, 21.0]}}
    write_json(tmp_path / "scores.json", scores)
    return {
        "savi": savi,
        "predictor": write_predictor(tmp_path / "predictor.pt", savi),
        "videos": write_videos(tmp_path / "test.h5", num_videos=2),
        "slots": write_random_slots(tmp_path / "slots.h5", savi, num_videos=2),
        "scores": tmp_path / "scores.json",
        "video": tmp_path / "clip",
    }


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each checkpoint was read."""
    counts: Counter[str] = Counter()
    read_tensors = checkpoint.read_tensors

    def counted(path: Path) -> dict[str, Any]:
        counts[Path(path).name] += 1
        return read_tensors(path)

    monkeypatch.setattr(checkpoint, "read_tensors", counted)
    return counts


SCORED = {"protocol": PROTOCOL, "num_threads": 1}


@pytest.mark.parametrize(
    ("program", "words", "wanted", "output"),
    [
        (extract_slots, [], "savi videos", "out.h5"),
        (evaluate_savi, [], "savi videos", "out.json"),
        (evaluate_predictor, ["--config", SCORED], "savi predictor videos slots", "out.json"),
        (figures, ["slots"], "savi videos", "out.png"),
        (predict, [], "savi predictor video", "out"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_each_checkpoint_is_read_once(program, words, wanted, output, files, reads, tmp_path):
    given = [word for name in wanted.split() for word in (f"--{name}", files[name])]
    reads.clear()  # the fixtures read them too
    assert call(program.main, *words, *given, "--runtime", CPU, "--output", tmp_path / output) == 0
    assert reads == {f"{name}.pt": 1 for name in wanted.split() if name in ("savi", "predictor")}


def test_rollouts_are_drawn_from_one_reading(files, reads, tmp_path):
    options = {"predictor": "predictors"}
    given = [
        word
        for name, path in files.items()
        if name != "video"
        for word in (f"--{options.get(name, name)}", path)
    ]
    reads.clear()
    pictures = ("--show", "video0", "best", "--pictures", tmp_path / "0.png", tmp_path / "1.png")
    assert call(figures.main, "rollouts", *given, "--runtime", CPU, *pictures) == 0
    assert reads == {"savi.pt": 1, "predictor.pt": 1}
