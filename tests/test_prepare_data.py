"""Chunks and their merging: the same bytes however the work is cut, and no mixing."""

import json
import multiprocessing
import subprocess
import sys

import pytest

from ocvp.prepare_data import main
from ocvp.videos import VideoFile

CONFIG = {
    "kind": "tabletop",
    "seed": 5,
    "resolution": [16, 24],
    "num_frames": 6,
    "num_objects": [2, 3],
    "num_videos": {"train": 7, "val": 2, "test": 2},
    "fields": ["flow", "depth"],
}


def run_chunk(folder, chunk, videos_per_chunk, **changes):
    config = CONFIG | {"videos_per_chunk": videos_per_chunk} | changes
    output = folder / f"chunk{chunk}.h5"
    arguments = ["--dataset", "toy", "--split", "train", "--output", str(output)]
    main(["chunk", "--config", json.dumps(config), *arguments, "--chunk", str(chunk)])
    return output


def run_merge(folder, chunks, name="train.h5", **changes):
    output = folder / name
    arguments = ["--dataset", "toy", "--split", "train", "--output", str(output)]
    config = json.dumps(CONFIG | changes)
    main(["merge", "--config", config, *arguments, "--chunks", *map(str, chunks)])
    return output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("prepare_data")


@pytest.fixture(scope="module")
def chunks(folder):
    return [run_chunk(folder, chunk, 3) for chunk in range(3)]


@pytest.fixture(scope="module")
def merged(folder, chunks):
    return run_merge(folder, chunks, videos_per_chunk=3)


def test_merged_file_holds_the_split(merged):
    with VideoFile(merged) as videos:
        assert videos.num_videos == 7
        assert (videos.num_frames, videos.height, videos.width) == (6, 16, 24)
        assert videos.max_objects == 3
        assert videos.names[0] == "train_00000"
        assert videos.names[-1] == "train_00006"
        assert videos.has("flow")
        assert videos.attributes["dataset"] == "toy"
        assert videos.attributes["split"] == "train"
        assert videos.attributes["fps"] == 10.0
        assert json.loads(videos.attributes["config"])["resolution"] == [16, 24]
        assert json.loads(videos.attributes["source"])["kind"] == "tabletop"


def test_bytes_do_not_depend_on_processes_or_chunks(folder, merged):
    # Two processes at a time, other chunks, and each process a fresh one.
    other = folder / "other"
    context = multiprocessing.get_context("spawn")
    with context.Pool(2, maxtasksperchild=1) as pool:
        parts = pool.starmap(run_chunk, [(other, 0, 5), (other, 1, 5)], chunksize=1)
    again = run_merge(other, parts, videos_per_chunk=5)
    assert again.read_bytes() == merged.read_bytes()


def test_config_and_command_lie_beside_the_file(merged):
    config = json.loads((merged.parent / "train.config.json").read_text())
    assert config["fps"] == 10.0
    assert "ocvp.prepare_data merge" in (merged.parent / "train.command.sh").read_text()


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([0, 2, 1], "starts at video 6; the chunks before it end at 3"),
        ([0, 1], "the 2 chunks hold 6 videos; the split has 7"),
        ([1, 2], "starts at video 3; the chunks before it end at 0"),
        ([0, 0, 1, 2], "starts at video 0; the chunks before it end at 3"),
    ],
)
def test_chunks_must_be_the_split_in_order(folder, chunks, order, message):
    with pytest.raises(ValueError, match=message):
        run_merge(folder, [chunks[i] for i in order], name="bad.h5")
    assert not (folder / "bad.h5").exists()


def test_chunks_of_another_config_are_refused(folder, chunks):
    stranger = run_chunk(folder / "stranger", 1, 3, seed=6)
    with pytest.raises(ValueError, match=r"stranger.*has config.*\"seed\":6.*it must have"):
        run_merge(folder, [chunks[0], stranger, chunks[2]], name="bad.h5")


def test_a_truncated_chunk_is_refused(folder, chunks):
    part = folder / "truncated.h5"
    part.write_bytes(chunks[1].read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"truncated\.h5 is truncated.*delete it"):
        run_merge(folder, [chunks[0], part, chunks[2]], name="bad.h5")
    assert not (folder / "bad.h5").exists()
    assert not list(folder.glob(".bad*"))


def test_there_is_no_chunk_behind_the_last(folder):
    with pytest.raises(ValueError, match="--chunk is 3; the chunks of train are 0 to 2"):
        run_chunk(folder, 3, 3)


def test_a_users_mistake_ends_in_one_line_and_status_1(tmp_path):
    command = [
        sys.executable,
        "-m",
        "ocvp.prepare_data",
        "chunk",
        "--config",
        '{"kind": "tabletop"}',
    ]
    command += ["--dataset", "x", "--split", "val", "--chunk", "0", "--output", "x.h5"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert "num_videos" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_program_does_not_load_torch():
    code = "import sys, ocvp.prepare_data, ocvp.tabletop_contacts; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
