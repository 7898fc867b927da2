"""Chunks and their merging: the same bytes however the work is cut, and no mixing."""

import errno
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from raw_movi import unpack_movi
from raw_trees import write_obj3d
from snakemake_runs import Job, jobs_in, run_snakemake

from ocvp.data.videos import VideoFile, VideoWriter
from ocvp.prepare_data import main

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


def test_space_for_all_videos_is_asked_for_before_they_are_made(tmp_path, chunks, monkeypatch):
    """Each frame takes what it is; of what is compressed nothing is known before."""
    usage, free = shutil.disk_usage(tmp_path), 3 * 6 * 16 * 24 * 3  # frames of three videos
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
    made = []
    append = VideoWriter.append
    monkeypatch.setattr(VideoWriter, "append", lambda *args: (made.append(0), append(*args)))
    with pytest.raises(OSError, match=r"no space left for .*chunk0\.h5: about 0\.0 MB are needed"):
        run_chunk(tmp_path, 0, 3)  # which have boxes, states, ... too
    with pytest.raises(OSError, match=r"no space left for .*train\.h5: about 0\.\d MB are needed"):
        run_merge(tmp_path, chunks, videos_per_chunk=3)
    assert made == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("part", ["manifest.json", "config.json", "command.sh", "provenance.json"])
def test_videos_never_stand_without_what_accompanies_them(tmp_path, chunks, monkeypatch, part):
    replace = Path.replace

    def fill(path, target):
        if target.name == f"train.{part}":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fill)
        with pytest.raises(OSError, match=r"no space left for .*train\."):
            run_merge(tmp_path, chunks, videos_per_chunk=3)
    assert not {path.name for path in tmp_path.iterdir()} & {"train.h5", "train.manifest.json"}
    assert run_merge(tmp_path, chunks, videos_per_chunk=3).is_file()


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


# --- raw files ----------------------------------------------------------------------------------


def obj3d(root, **changes):
    return {"kind": "obj3d", "root": str(root), "num_frames": 6, "resolution": [16, 16]} | changes


def convert(root, folder, name="train.h5", chunks=(0, 1), **changes):
    """Convert the training split of an OBJ3D tree of four episodes, in chunks of two."""
    config = json.dumps(obj3d(root, videos_per_chunk=4 // len(chunks), **changes))
    arguments = ["--dataset", "toy", "--split", "train"]
    paths = [folder / f"chunk{chunk}of{len(chunks)}.h5" for chunk in chunks]
    for chunk, path in zip(chunks, paths, strict=True):
        last = ["--chunk", str(chunk), "--output", str(path)]
        main(["chunk", "--config", config, *arguments, *last])
    last = ["--chunks", *map(str, paths), "--output", str(folder / name)]
    main(["merge", "--config", config, *arguments, *last])
    return folder / name


@pytest.fixture(scope="module")
def obj3d_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("OBJ3D")
    write_obj3d(root, {"train": 4, "val": 1, "test": 1}, num_frames=8)
    return root


def test_every_episode_is_converted_however_the_work_is_cut(obj3d_root, tmp_path):
    two = convert(obj3d_root, tmp_path)
    four = convert(obj3d_root, tmp_path, "four.h5", chunks=(0, 1, 2, 3))
    assert two.read_bytes() == four.read_bytes()
    with VideoFile(two) as videos:
        assert videos.names == ["1", "2", "3", "4"]
        assert videos.num_frames == 6
        source = json.loads(videos.attributes["source"])
    assert (source["kind"], source["num_files"]) == ("obj3d", 24)
    record = json.loads((tmp_path / "train.manifest.json").read_text())
    assert (record["num_videos"], record["digest"]) == (4, source["digest"])


def test_the_root_option_counts_and_does_not_change_the_product(obj3d_root, tmp_path):
    here = convert(obj3d_root, tmp_path)
    config = json.dumps(obj3d("/nowhere", videos_per_chunk=2))
    arguments = ["--config", config, "--root", str(obj3d_root), "--dataset", "toy"]
    output = tmp_path / "chunk0.h5"
    main(["chunk", *arguments, "--split", "train", "--chunk", "0", "--output", str(output)])
    assert output.read_bytes() == (tmp_path / "chunk0of2.h5").read_bytes()
    assert here.exists()


def test_a_killed_conversion_leaves_nothing_that_counts_and_is_made_again(obj3d_root, tmp_path):
    expected = convert(obj3d_root, tmp_path / "whole", num_frames=8).read_bytes()
    folder = tmp_path / "killed"
    config = json.dumps(obj3d(obj3d_root, num_frames=8, videos_per_chunk=2))
    output = folder / "chunk0of2.h5"
    program = (
        "import os, signal, ocvp.prepare_data as p, ocvp.data.conversion as c\n"
        "original = c.VideoWriter.append\n"
        "def append(self, video):\n"
        "    original(self, video)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "c.VideoWriter.append = append\n"
        f"p.main(['chunk', '--config', {config!r}, '--dataset', 'toy', '--split', 'train',"
        f" '--chunk', '0', '--output', {str(output)!r}])\n"
    )
    killed = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert not output.exists()
    assert list(folder.iterdir()), "it was killed before it wrote anything"
    assert convert(obj3d_root, folder, num_frames=8).read_bytes() == expected


def test_a_shard_with_other_records_than_its_info_says_is_named(tmp_path):
    unpack_movi(tmp_path)
    folder = tmp_path / "movi_a/128x128/1.0.0"
    info = json.loads((folder / "dataset_info.json").read_text())
    info["splits"][0]["shardLengths"] = ["2", "1"]
    (folder / "dataset_info.json").write_text(json.dumps(info))
    config = json.dumps({"kind": "movi", "root": str(tmp_path), "num_frames": 2})
    arguments = ["--dataset", "toy", "--split", "train", "--output", str(tmp_path / "x.h5")]
    message = "train.tfrecord-00001-of-00002 holds 2 records, but dataset_info.json .* says 1"
    with pytest.raises(ValueError, match=message):
        main(["chunk", "--config", config, *arguments, "--chunk", "0"])


MEASURED = """
import pathlib, re, sys
from ocvp.prepare_data import main
main(sys.argv[1:])
# The peak of this program: getrusage's starts from that of the process that forked it.
status = pathlib.Path("/proc/self/status").read_text()
print(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1], "torch" in sys.modules)
"""


def peak_megabytes(step, config, *arguments):
    """Return the memory that a step takes, after a check that it does without torch."""
    options = ["--config", json.dumps(config), "--dataset", "toy", "--split", "train"]
    finished = subprocess.run(
        [sys.executable, "-c", MEASURED, step, *options, *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
    )
    kilobytes, has_torch = finished.stdout.split()
    assert has_torch == "False"
    return int(kilobytes) / 1024


def test_memory_does_not_grow_with_the_data(obj3d_root, tmp_path):
    root = tmp_path / "OBJ3D"
    (root / "train").mkdir(parents=True)
    for episode in range(40):
        (root / f"train/{episode}").symlink_to(obj3d_root / f"train/{1 + episode % 4}")
    peaks = {}
    for num_videos in (4, 40):  # of 1.6 MB each
        config = obj3d(root, num_frames=8, resolution=[256, 256]) | {
            "max_videos": {"train": num_videos}
        }
        chunk, merged = tmp_path / f"chunk{num_videos}.h5", tmp_path / f"{num_videos}.h5"
        peaks[num_videos] = [
            peak_megabytes("chunk", config, "--chunk", 0, "--output", chunk),
            peak_megabytes("merge", config, "--chunks", chunk, "--output", merged),
        ]
        assert merged.stat().st_size > 1.5e6 * num_videos
    for few, many in zip(peaks[4], peaks[40], strict=True):
        assert many < 400
        assert many - few < 25  # the files differ by 57 MB


def test_shards_need_little_memory(tmp_path):
    unpack_movi(tmp_path)
    config = {"kind": "movi", "root": str(tmp_path), "num_frames": 8}
    assert peak_megabytes("chunk", config, "--chunk", 0, "--output", tmp_path / "x.h5") < 400


def test_a_conversion_that_failed_goes_on_with_the_chunk_that_is_missing(tmp_path):
    write_obj3d(tmp_path / "OBJ3D", {"train": 3, "val": 1, "test": 1}, num_frames=8)
    damaged = tmp_path / "OBJ3D/train/2/test_5.png"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-20])
    study = {
        "datasets": {"own": obj3d("OBJ3D", videos_per_chunk=1)},
        "savi": {"any": {"pretrained": "OBJ3D/train/1/test_1.png", "pretrained_params": "none"}},
        "study": {"datasets": ["own"], "savi": ["any"], "seeds": [0]},
    }
    config = tmp_path / "study.yaml"
    config.write_text(json.dumps(study), encoding="utf-8")
    # The target comes first: --configfile takes all that follows it.
    target = "results/own/videos/train.h5"
    arguments = (target, "--cores", "1", "--keep-going", "--configfile", config)
    failed = run_snakemake(*arguments, folder=tmp_path)
    assert failed.status == 1
    assert "OBJ3D/train/2/test_5.png cannot be read as a picture" in failed.text
    assert not (tmp_path / target).exists()

    damaged.write_bytes(whole)
    finished = run_snakemake(*arguments, folder=tmp_path)
    assert finished.status == 0, finished.text
    missing = Job("make_chunk", "results/own/videos/train/chunk1.h5")
    assert jobs_in(finished.text) == {missing, Job("make_videos", target)}
    with VideoFile(tmp_path / target) as videos:
        assert videos.names == ["1", "2", "3"]
