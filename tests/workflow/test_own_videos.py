"""The page on videos of one's own: its configs are valid, and its data set can be converted."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from raw_trees import MAX_OBJECTS, write_folder
from tiny import call

from ocvp import prepare_data
from ocvp.config.whole import read_config
from ocvp.data.videos import VideoFile

PAGE = (Path(__file__).parents[2] / "docs" / "own_videos.md").read_text(encoding="utf-8")
NUM_VIDEOS = {"train": 4, "val": 3, "test": 3}  # they lie in one folder: 10 videos
NUM_FRAMES = 32


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


def merged(config, change):
    """Merge as Snakemake does: mappings key by key, everything else is replaced."""
    if not isinstance(config, dict) or not isinstance(change, dict):
        return change
    values = {key: merged(config[key], change[key]) for key in config.keys() & change.keys()}
    return config | change | values


CONFIG, TRIAL, WITH_MASKS = map(yaml.safe_load, blocks("yaml"))


@pytest.mark.parametrize("change", [{}, TRIAL, WITH_MASKS, merged(TRIAL, WITH_MASKS)])
def test_the_pages_configs_are_valid(change):
    config = read_config(merged(CONFIG, change))
    dataset = config.datasets["billiards"]
    assert dataset.kind == "folder"
    assert dataset.has_boxes == ("masks" in change.get("datasets", {}).get("billiards", {}))
    assert [study.datasets for study in config.study] == [["billiards"]]


def convert(folder, split, change):
    """Convert one split in chunks of 3 videos, and join them."""
    entry = merged(CONFIG, change)["datasets"]["billiards"] | {"videos_per_chunk": 3}
    root = folder / entry["root"]
    videos = folder / "results" / "billiards" / "videos"
    share = {"train": 8, "val": 1, "test": 1}[split]
    options = ["--config", entry, "--dataset", "billiards", "--split", split, "--root", root]
    chunks = [videos / split / f"chunk{chunk}.h5" for chunk in range(-(-share // 3))]
    for chunk, path in enumerate(chunks):
        arguments = ["--chunk", chunk, "--output", path]
        assert call(prepare_data.main, "chunk", *options, *arguments) == 0
    output = videos / f"{split}.h5"
    arguments = ["--chunks", *chunks, "--output", output]
    assert call(prepare_data.main, "merge", *options, *arguments) == 0
    return output


@pytest.mark.parametrize("films", [False, True])
def test_the_pages_data_set_is_converted(tmp_path, monkeypatch, capsys, films):
    root = tmp_path / "data" / "billiards"
    write_folder(root, NUM_VIDEOS, NUM_FRAMES, films=films, masks=False, splits=False)
    names = []
    for split in ("train", "val", "test"):
        with VideoFile(convert(tmp_path, split, {})) as videos:
            assert videos.fields == ("frames",)
            assert (videos.num_frames, videos.height, videos.width) == (30, 64, 64)
            names += videos.names
    assert len(names) == 10
    assert set(names) == {f"{s}_{k + 1}" for s, number in NUM_VIDEOS.items() for k in range(number)}
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    exec(compile(code, "own_videos.md", "exec"), {})
    assert "8 videos of 30 frames" in capsys.readouterr().out
    with Image.open("billiards.png") as picture:
        assert picture.size == (6 * 64, 64)


def test_the_pages_masks_are_converted(tmp_path):
    write_folder(tmp_path / "data" / "billiards", NUM_VIDEOS, NUM_FRAMES, splits=False)
    with VideoFile(convert(tmp_path, "train", WITH_MASKS)) as videos:
        assert videos.fields == ("frames", "masks", "boxes")
        assert videos.max_objects == 5
        for video in range(videos.num_videos):
            masks, boxes = videos.read("masks", video), videos.read("boxes", video)
            values = videos.metadata[video]["mask_values"]
            assert 1 <= len(values) <= MAX_OBJECTS
            for k in range(5):
                np.testing.assert_array_equal(
                    (boxes[:, k] >= 0).all(axis=1), (masks == k + 1).any(axis=(1, 2))
                )
            assert masks.max() == len(values)
