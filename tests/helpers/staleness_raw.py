"""Files from outside of the workflow, as far as it looks at them while it parses: names and sizes.

The programs of the staleness tests only make files, so nobody reads what these hold.
"""

import json
from pathlib import Path


def write_raw_files(folder: Path) -> None:
    """Write what tests/helpers/staleness.yaml and its edits name below `raw/`."""
    raw = folder / "raw"
    for root in (raw / "OBJ3D", raw / "elsewhere/OBJ3D"):
        for split in ("train", "val", "test"):
            for episode in (1, 2, 10):
                for frame in range(1, 21):
                    _write(root / split / f"{episode}/test_{frame}.png")
    for root in (raw / "tfds", raw / "elsewhere/tfds"):
        for variant, side in (("movi_a", 128), ("movi_a", 256), ("movi_b", 128)):
            _write_shards(root / variant / f"{side}x{side}/1.0.0", variant)
    for root in (raw / "own", raw / "elsewhere/own"):
        for name in ("videos", "masks", "other_videos", "other_masks"):
            for video in range(4):
                for frame in range(20):
                    _write(root / name / f"clip{video}/{frame:03d}.png")
        for video in range(4):
            _write(root / f"films/clip{video}.mp4")
    for place in ("published", "elsewhere"):
        _write(raw / place / "models/checkpoint.pth")
        _write(raw / place / "models/other.pth")
        _write(raw / place / "experiment_params.json")
    _write(raw / "other_params.json")
    for name in ("mine/savi.pt", "mine/other.pt", "mine/predictor.pt", "elsewhere/predictor.pt"):
        _write(raw / name)
    _write(raw / "mine/second/predictor.pt")  # its content is its name


def _write_shards(folder: Path, variant: str) -> None:
    splits = []
    for split, lengths in (("train", ["2", "3"]), ("validation", ["4"])):
        splits.append({"name": split, "shardLengths": lengths})
        for shard in range(len(lengths)):
            _write(folder / f"{variant}-{split}.tfrecord-{shard:05d}-of-{len(lengths):05d}")
    (folder / "dataset_info.json").write_text(json.dumps({"splits": splits}), encoding="utf-8")


def _write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.name, encoding="utf-8")
