"""What a user can get wrong ends at once, with one message and a status, and touches nothing.

Every case runs the real program (or the real workflow) on real files; stderr shows one error and
no traceback, the log holds the traceback, and earlier results keep their bytes.
"""

import errno
import itertools
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import h5py
import pytest
import torch
import yaml
from snakemake_runs import PROJECT, run_snakemake
from tiny import (
    CPU,
    Payload,
    assert_one_error,
    call,
    make_savi,
    predictor_stage,
    run,
    savi_stage,
    small_disk,
    snapshot,
    spoil,
    unwritable,
    write_predictor,
    write_random_slots,
    write_savi,
    write_videos,
)

from ocvp import (
    evaluate_predictor,
    evaluate_savi,
    extract_slots,
    figures,
    train_predictor,
    train_savi,
)
from ocvp.models.checkpoint import save_checkpoint

MAINS = {
    "train_savi": train_savi.main,
    "extract_slots": extract_slots.main,
    "train_predictor": train_predictor.main,
    "evaluate_savi": evaluate_savi.main,
    "evaluate_predictor": evaluate_predictor.main,
    "figures": figures.main,
}
CONFIGS = {
    "train_savi": savi_stage(),
    "extract_slots": {"num_threads": 1},
    "train_predictor": predictor_stage(),
    "evaluate_savi": {"num_threads": 1},
    "evaluate_predictor": {"protocol": {"num_context": 3, "num_preds": 2}, "num_threads": 1},
    "figures": {},
}
OUTPUTS = {
    "train_savi": "results/savi.pt",
    "extract_slots": "results/slots/val.h5",
    "train_predictor": "results/predictor.pt",
    "evaluate_savi": "results/evaluation.json",
    "evaluate_predictor": "results/evaluation/short.json",
    "figures": "results/figures/slots.png",
}
ALL = sorted(MAINS)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """What the programs read: made once, and copied for each test."""
    folder = tmp_path_factory.mktemp("originals")
    savi = write_savi(folder / "savi.pt")
    write_predictor(folder / "predictor.pt", savi)
    for split, first in (("train", 0), ("val", 10)):
        write_videos(folder / f"{split}.h5", num_videos=3, first=first)
        write_random_slots(folder / "slots" / f"{split}.h5", savi, num_videos=3)
    return folder


@pytest.fixture
def inputs(originals, tmp_path):
    """Copies to spoil, and earlier results that must stay as they are."""
    folder = tmp_path / "inputs"
    shutil.copytree(originals, folder)
    for output in OUTPUTS.values():
        path = folder / output
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"an earlier {path.name}")
    return folder


def arguments_of(name, inputs, config=None, output=None, **runtime):
    """Return the command line of a program on the inputs, without its name."""
    files = {
        "train_savi": ["train", "val"],
        "extract_slots": ["savi", "videos"],
        "train_predictor": ["savi", "train+", "val+"],
        "evaluate_savi": ["savi", "videos"],
        "evaluate_predictor": ["savi", "predictor", "videos", "slots"],
        "figures": ["savi", "videos"],
    }[name]
    paths = {
        "savi": [inputs / "savi.pt"],
        "predictor": [inputs / "predictor.pt"],
        "videos": [inputs / "val.h5"],
        "slots": [inputs / "slots" / "val.h5"],
        **{split: [inputs / f"{split}.h5"] for split in ("train", "val")},
        **{f"{s}+": [inputs / f"{s}.h5", inputs / "slots" / f"{s}.h5"] for s in ("train", "val")},
    }
    options = itertools.chain.from_iterable(
        (f"--{file.removesuffix('+')}", *paths[file]) for file in files
    )
    config = CONFIGS[name] if config is None else config
    output = output or inputs / OUTPUTS[name]
    settings = ("--config", config, "--runtime", CPU | runtime, "--log", inputs / "run.log")
    return [*(["slots"] if name == "figures" else []), *settings, *options, "--output", output]


def assert_refused(capsys, name, inputs, *parts, config=None, **runtime):
    """Run a program that must fail with one message that holds `parts`, and touch nothing."""
    before = snapshot(inputs)
    status = call(MAINS[name], *arguments_of(name, inputs, config, **runtime))
    assert status == 1
    assert_one_error(capsys.readouterr().err, *parts)
    log = (inputs / "run.log").read_text()
    assert "Traceback" in log
    (inputs / "run.log").unlink()
    assert snapshot(inputs) == before


@pytest.mark.parametrize("name", ALL)
def test_the_inputs_are_right_as_they_are(inputs, name):
    """Else every test below could pass for another reason."""
    before = (inputs / OUTPUTS[name]).read_bytes()
    assert call(MAINS[name], *arguments_of(name, inputs)) == 0
    assert (inputs / OUTPUTS[name]).read_bytes() != before


# --- configs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "config", "parts"),
    [
        ("train_savi", savi_stage(lerning_rate=1), ["training.lerning_rate", "unknown key"]),
        ("train_savi", savi_stage(lerning_rate=1), ["did you mean learning_rate?"]),
        ("train_savi", savi_stage(batch_size="many"), ["training.batch_size is 'many'"]),
        ("train_savi", savi_stage(learning_rate=-1), ["learning_rate is -1", "greater than 0"]),
        ("train_savi", savi_stage(num_epochs=2), ["num_steps is 6 and num_epochs is 2"]),
        ("train_savi", savi_stage({"initializer": "magic"}), ["'magic'", "'learned_random'"]),
        ("train_savi", {"training": {"num_steps": 5}}, ["model: this key is required"]),
        ("train_predictor", {"kind": "gru"}, ["gru", "lstm", "ocvp_par"]),
        ("train_predictor", predictor_stage("ocvp_seq", {"num_heads": 3}), ["num_heads", "(3)"]),
        ("train_predictor", predictor_stage(frame_loss_weight=-1), ["frame_loss_weight is -1"]),
        ("evaluate_predictor", {"protocol": {"num_context": 0, "num_preds": 1}}, ["is 0"]),
        ("figures", {"upscale": 0}, ["upscale is 0", "greater than or equal to 1"]),
    ],
)
def test_keys_types_and_ranges(capsys, inputs, name, config, parts):
    assert_refused(capsys, name, inputs, "--config is not valid", *parts, config=config)


@pytest.mark.parametrize(
    ("name", "config", "parts"),
    [
        ("train_savi", savi_stage(clip_length=9), ["clip_length is 9", "8 frames"]),
        ("train_savi", savi_stage({"num_slots": 1}), ["2 objects", "1 slots"]),
        (
            "train_savi",
            savi_stage({"decoder_resolution": [4, 4]}),
            ["decoder_resolution is (4, 4)", "(16, 16)"],
        ),
        ("train_predictor", predictor_stage(num_preds=6), ["is 9", "8 frames"]),
        (
            "train_predictor",
            predictor_stage(model={"hidden_dim": 12}),
            ["hidden_dim is 12", "slot_dim, 8"],
        ),
        (
            "train_predictor",
            predictor_stage("ocvp_seq", {"buffer_size": 2}),
            ["buffer_size is 2", "num_context, 3"],
        ),
        (
            "evaluate_predictor",
            {"protocol": {"num_context": 3, "num_preds": 6}},
            ["num_context + num_preds is 9", "8 frames"],
        ),
        (
            "evaluate_savi",
            {"evaluation": {"num_frames": 9}},
            ["evaluation.num_frames is 9", "8 frames"],
        ),
    ],
)
def test_settings_that_do_not_fit_the_videos(capsys, inputs, name, config, parts):
    assert_refused(capsys, name, inputs, *parts, config=config)


def test_a_device_that_is_not_there(capsys, inputs):
    number = torch.cuda.device_count()
    message = f"runtime.device is cuda:{number}, but torch sees {number} CUDA devices"
    assert_refused(capsys, "train_savi", inputs, message, device=f"cuda:{number}")
    wrong = "--runtime is not valid"
    assert_refused(capsys, "train_savi", inputs, wrong, "device is 'gpu'", device="gpu")


# --- files -------------------------------------------------------------------------------------

DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "text": lambda path: path.write_text("no data"),
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", sorted(DAMAGE))
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("train_savi", "train.h5"),
        ("extract_slots", "savi.pt"),
        ("train_predictor", "slots/val.h5"),
        ("evaluate_predictor", "predictor.pt"),
    ],
)
def test_damaged_files(capsys, inputs, name, file, damage):
    DAMAGE[damage](inputs / file)
    advice = {"missing": ["exist" if file != "train.h5" else "there is no such video file"]}
    assert_refused(capsys, name, inputs, inputs / file, *advice.get(damage, ["damaged"]))


@pytest.mark.parametrize("residency", ["memory", "device", "disk"])
def test_one_bit_of_a_video(capsys, inputs, residency):
    spoil(inputs / "val.h5")
    assert_refused(
        capsys, "train_savi", inputs, inputs / "val.h5", "is damaged", residency=residency
    )


@pytest.mark.parametrize("name", ["train_predictor", "evaluate_predictor"])
def test_one_bit_of_the_slots(capsys, inputs, name):
    spoil(inputs / "slots" / "val.h5", "slots")
    assert_refused(capsys, name, inputs, inputs / "slots" / "val.h5", "is damaged")


def test_a_video_file_that_was_not_written_to_its_end(capsys, inputs):
    with h5py.File(inputs / "train.h5", "r+") as file:
        del file.attrs["complete"]
    assert_refused(capsys, "train_savi", inputs, inputs / "train.h5", "not written to its end")


@pytest.mark.parametrize("name", ["extract_slots", "evaluate_savi", "train_predictor", "figures"])
def test_code_in_a_checkpoint(capsys, inputs, name):
    harm = inputs.parent / "harm"
    content = torch.load(inputs / "savi.pt", weights_only=True)
    torch.save(content | {"config": Payload(harm)}, inputs / "savi.pt")
    assert_refused(capsys, name, inputs, inputs / "savi.pt", "posix.mkdir", "was not loaded")
    assert not harm.exists()


def test_checkpoints_of_another_architecture(capsys, inputs):
    shutil.copy(inputs / "predictor.pt", inputs / "savi.pt")
    assert_refused(capsys, "extract_slots", inputs, "holds a lstm; expected savi")
    model, arguments = make_savi()
    other = arguments | {"slot_mlp_dim": 16}
    save_checkpoint(inputs / "savi.pt", weights=model.state_dict(), kind="savi", model=other)
    assert_refused(
        *(capsys, "extract_slots", inputs, inputs / "savi.pt"),
        *("does not fit this architecture: corrector.mlp", "(16,)", "(8,)"),
    )
    write_savi(inputs / "savi.pt", seed=1)
    assert_refused(capsys, "evaluate_predictor", inputs, "was trained on another SAVi")
    assert_refused(capsys, "train_predictor", inputs, "was made by another SAVi")
    write_savi(inputs / "savi.pt", resolution=(32, 32), decoder_resolution=(16, 16))
    assert_refused(capsys, "evaluate_savi", inputs, "frames are (16, 16)", "takes (32, 32)")


# --- training that goes astray -------------------------------------------------------------------


def test_a_learning_rate_that_is_too_large(capsys, inputs):
    config = savi_stage(learning_rate=1e30, warmup_steps=0, gradient_clip=None)
    parts = ["the training stopped being finite (step 2, learning rate", "a lower learning_rate"]
    assert_refused(capsys, "train_savi", inputs, *parts, config=config)
    (state,) = (inputs / "results" / "resume").glob("state-*.pt")
    assert "state-000001-" in state.name, "that of step 0 alone"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_poisoned_sample(capsys, inputs, value):
    with h5py.File(inputs / "slots" / "train.h5", "r+") as file:
        file["slots"][2, 4, 0, 0] = value
    config = predictor_stage(num_context=5, num_preds=3)  # every window holds the frame
    parts = [inputs / "slots" / "train.h5", "slots of video 2 are not finite"]
    assert_refused(capsys, "train_predictor", inputs, *parts, config=config)


@pytest.mark.parametrize("name", ["extract_slots", "evaluate_savi"])
def test_a_savi_that_went_astray(capsys, inputs, name):
    savi, arguments = make_savi()
    with torch.no_grad():
        savi.corrector.query.weight.fill_(float("nan"))
    save_checkpoint(inputs / "savi.pt", weights=savi.state_dict(), kind="savi", model=arguments)
    assert_refused(capsys, name, inputs, f"the slots of {inputs / 'savi.pt'} of video 0", "finite")


# --- disks and permissions -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_no_permission_is_told_before_anything_is_read(capsys, inputs, name):
    for path in (inputs / "train.h5", inputs / "savi.pt"):
        path.write_text("would be told next")
    with unwritable((inputs / OUTPUTS[name]).parent):
        assert_refused(capsys, name, inputs, "no permission to write", inputs / OUTPUTS[name])


@pytest.mark.parametrize("name", ALL)
def test_an_output_that_is_a_folder(capsys, inputs, name):
    output = inputs / OUTPUTS[name]
    output.unlink()
    output.mkdir()
    assert_refused(capsys, name, inputs, f"cannot write {output}: it is a folder")


@pytest.mark.parametrize(
    ("name", "kilobytes"),
    # room for the first check, and for less than the products; full from the start, or later
    [("train_savi", 40), ("train_savi", 120), ("train_predictor", 24), ("train_predictor", 48)],
)
def test_a_full_disk(capsys, inputs, name, kilobytes):
    output = inputs.parent / "disk" / "product.bin"
    with small_disk(inputs.parent / "disk", kilobytes) as disk:
        (disk / "product.bin").write_text("an earlier product")
        status = call(MAINS[name], *arguments_of(name, inputs, output=output))
        text = capsys.readouterr().err
        assert status == 1
        assert_one_error(text, "no space left for", disk, "MB are free", "free some space")
        assert output.read_text() == "an earlier product"
        assert not [path.name for path in disk.rglob(".*")]
    # with more room the same command goes through
    assert call(MAINS[name], *arguments_of(name, inputs, output=output)) == 0


@pytest.mark.parametrize("name", ALL)
def test_no_product_stands_without_its_record(capsys, inputs, name, monkeypatch):
    replace = Path.replace

    def fill(path, target):
        if target.name.endswith("provenance.json"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fill)
        assert call(MAINS[name], *arguments_of(name, inputs)) == 1
    assert_one_error(capsys.readouterr().err, "no space left for", "provenance.json")
    left = {path.name for path in (inputs / OUTPUTS[name]).parent.iterdir() if path.is_file()}
    assert not {Path(OUTPUTS[name]).name, "savi.best.pt", "training_time.json"} & left
    assert not [name for name in left if name.startswith(".")]
    assert call(MAINS[name], *arguments_of(name, inputs)) == 0
    assert (inputs / OUTPUTS[name]).is_file()


@pytest.mark.parametrize("kilobytes", [4, 8])
def test_a_full_disk_under_hdf5(inputs, kilobytes):
    """In a process of its own, whose end must not be HDF5's."""
    with small_disk(inputs.parent / "disk", kilobytes) as disk:
        output = disk / "val.h5"
        output.write_text("an earlier product")
        process = run("ocvp.extract_slots", *arguments_of("extract_slots", inputs, output=output))
        assert process.returncode == 1
        assert_one_error(process.stderr, "no space left for", disk / "val.")
        left = {path.name: path for path in disk.iterdir()}
        if kilobytes == 4:
            assert left.keys() == {"val.h5"}
            assert output.read_text() == "an earlier product"
        else:  # the slots fit, their record does not
            assert not left.keys() & {"val.h5", "val.provenance.json"}
        assert not [name for name in left if name.startswith(".")]


def test_a_disk_without_any_room(capsys, inputs):
    with small_disk(inputs.parent / "disk", 64) as disk:
        (disk / "filler").write_bytes(bytes(64 * 1024))
        output = disk / "evaluation.json"
        status = call(MAINS["evaluate_savi"], *arguments_of("evaluate_savi", inputs, output=output))
        assert status == 1
        assert_one_error(capsys.readouterr().err, "no space left for", output)


def test_a_limit_on_the_size_of_files(inputs):
    """A full disk for those who cannot mount one, in a process of its own."""
    before = snapshot(inputs)

    def limit():
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    arguments = arguments_of("train_savi", inputs, savi_stage({"slot_mlp_dim": 512}))
    process = run("ocvp.train_savi", *arguments, preexec_fn=limit)
    assert process.returncode == 1
    assert_one_error(process.stderr, "no space left for", inputs / "results")
    after = snapshot(inputs)
    assert {path: after[path] for path in before} == before
    assert not list((inputs / "results" / "resume").glob("state-*.pt"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_without_rights_gets_the_same_message():
    """A child process gives up root's rights and runs the program in a folder that is not its."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        output = Path(folder) / "savi.pt"
        reader, writer = os.pipe()
        arguments = arguments_of("train_savi", Path(folder), output=output)
        without_log = arguments[: arguments.index("--log")] + arguments[-6:]
        if (child := os.fork()) == 0:
            status = 99
            try:
                os.setuid(65534)
                sys.stderr = os.fdopen(writer, "w")
                status = call(train_savi.main, *without_log)
                sys.stderr.flush()
            finally:
                os._exit(status)
        os.close(writer)
        _, status = os.waitpid(child, 0)
        with os.fdopen(reader) as messages:
            text = messages.read()
    assert os.waitstatus_to_exitcode(status) == 1
    assert_one_error(text, f"no permission to write {output} (Permission denied)")


# --- through the workflow ------------------------------------------------------------------------


def changed(path, value):
    """Return the tests' config with one key changed."""
    config = yaml.safe_load((PROJECT / "tests/helpers" / "tiny.yaml").read_text())
    node = config
    *parents, last = path.split(".")
    for key in parents:
        node = node[key]
    node[last] = value
    return config


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        ("savi.small.training.lerning_rate", 1, ["lerning_rate", "did you mean learning_rate?"]),
        ("savi.small.model.num_slots", "four", ["num_slots is 'four'"]),
        ("evaluation.short.num_preds", 9, ["3 + 9 = 12", "8 frames"]),
        ("datasets.tiny.num_objects", [5, 6], ["num_slots is 4", "up to 6 objects"]),
        ("predictors.lstm.model.hidden_dim", 12, ["hidden_dim is 12", "16"]),
        ("study.predictors", ["lstm", "ocvp"], ["study.predictors names ocvp", "ocvp_seq"]),
    ],
)
def test_the_workflow_refuses_a_config_before_anything_runs(tmp_path, path, value, parts):
    results = tmp_path / "results" / "tiny" / "videos"
    results.mkdir(parents=True)
    (results / "val.h5").write_text("an earlier result")
    config = tmp_path / "config.json"
    config.write_text(json.dumps(changed(path, value)))
    before = snapshot(tmp_path)
    ended = run_snakemake("--cores", "1", "--configfile", config, folder=tmp_path)
    assert ended.status != 0
    assert "Traceback" not in ended.text
    assert ended.text.count("config is not valid") == 1
    for part in parts:
        assert part in ended.text
    after = {
        path: content
        for path, content in snapshot(tmp_path).items()
        if ".snakemake" not in path.parts
    }
    assert after == before
