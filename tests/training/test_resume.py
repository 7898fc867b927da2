"""Resume folders: whole states survive, other runs move them aside, one process has them."""

import contextlib
import errno
import itertools
import logging
import multiprocessing
import os
import resource
import signal

import pytest
import torch
from tiny import savi_stage, small_disk

from ocvp.config.savi import SaviStage
from ocvp.models.tensor_files import read_tensors
from ocvp.runtime import files
from ocvp.runtime.lock import Lock
from ocvp.training import resume as resume_module
from ocvp.training.resume import ResumeFolder, fingerprint, lock_path

RUN = {
    "config": {
        "model": {"num_slots": 3, "channels": [4, 8]},
        "training": {"num_steps": 6, "num_epochs": None, "scheduler_steps": None, "batch_size": 2},
    },
    "code": "c" * 64,
    "seed": 1,
    "inputs": ["a" * 64, "b" * 64],
}
STATE_BYTES = 300_000  # about
FORK = multiprocessing.get_context("fork")  # quicker than importing torch anew


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "resume"


def changed(section="training", **keys):
    """Return the run with other values in one section of its config."""
    config = RUN["config"]
    return RUN | {"config": config | {section: config[section] | keys}}


def state_of(step):
    return {"step": step, "weights": {"w": torch.full((STATE_BYTES // 4,), float(step))}}


def is_whole(state):
    return state["weights"]["w"].tolist() == [float(state["step"])] * (STATE_BYTES // 4)


def states(folder):
    """Return the files of state, the oldest first."""
    return sorted(folder.glob("state-*.pt"))


def steps(folder):
    return [read_tensors(path)["step"] for path in states(folder)]


def names(folder):
    return {path.name for path in folder.iterdir()}


def write(folder, *steps, run=RUN, **options):
    """Write small states, as a run of its own."""
    resume = ResumeFolder(folder, run, **options)
    for step in steps:
        resume.write({"step": step})


def read(folder, run=RUN, **options):
    resume = ResumeFolder(folder, run, **options)
    state = resume.read()
    return state and state["step"]


# --- generations ---------------------------------------------------------------------------------


def test_what_was_written_is_read_by_the_same_run(folder):
    resume = ResumeFolder(folder, RUN)
    assert not resume.exists()
    assert resume.read() is None
    assert resume.read_milestone() is None
    resume.write(state_of(3))
    assert resume.exists()
    resume.write(state_of(4))
    resume = ResumeFolder(folder, RUN)
    state = resume.read()
    assert (state["step"], is_whole(state)) == (4, True)


def test_the_newest_two_stay_under_rising_numbers_and_their_digests(folder):
    write(folder, *range(9))
    write(folder, *range(9, 12))
    digests = [files.file_digest(path) for path in states(folder)]
    assert names(folder) == {
        "fingerprint.json",
        f"state-000011-{digests[0]}.pt",
        f"state-000012-{digests[1]}.pt",
    }
    assert steps(folder) == [10, 11]


def test_the_newest_milestone_stays_besides_the_newest_two(folder):
    found = []
    resume = ResumeFolder(folder, RUN)
    for step in range(1, 10):
        resume.write({"step": step}, milestone=step in (2, 3, 6))
        milestone = resume.read_milestone()
        found.append((steps(folder), milestone and milestone["step"]))
    assert found == [
        ([1], None),
        ([1, 2], 2),
        ([2, 3], 3),
        ([3, 4], 3),
        ([3, 4, 5], 3),
        ([5, 6], 6),
        ([6, 7], 6),
        ([6, 7, 8], 6),
        ([6, 8, 9], 6),
    ]
    resume = ResumeFolder(folder, RUN)
    assert resume.read()["step"] == 9
    assert resume.read_milestone()["step"] == 6


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # among the numbers, where no header shows it
    path.write_bytes(content)


def truncate(path):
    os.truncate(path, path.stat().st_size - 40)


def empty(path):
    os.truncate(path, 0)


def replace(path):
    """Bytes that the name tells the truth about, and that are no state."""
    path.write_bytes(b"no state")
    path.rename(path.with_name(f"{path.name[:13]}{files.file_digest(path)}.pt"))


DAMAGES = [flip, truncate, empty, replace]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("which", ["older", "newer", "both"])
def test_a_damaged_state_is_passed_over_with_a_warning(folder, caplog, damage, which):
    resume = ResumeFolder(folder, RUN)
    resume.write(state_of(3))
    resume.write(state_of(4))
    older, newer = states(folder)
    for path in {"older": [older], "newer": [newer], "both": [older, newer]}[which]:
        damage(path)
    older, newer = states(folder)
    resume = ResumeFolder(folder, RUN)
    if which == "both":
        with pytest.raises(ValueError, match=f"delete {folder} to train anew"):
            resume.read()
    else:
        assert resume.read()["step"] == {"older": 4, "newer": 3}[which]
    warnings = [item.message for item in caplog.records if item.levelno == logging.WARNING]
    expected = {"older": [], "newer": [newer], "both": [newer, older]}[which]
    assert len(warnings) == len(expected)
    for warning, path in zip(warnings, expected, strict=True):
        assert warning.startswith(f"{path} is damaged")
        assert warning.endswith(f"; {older.name} is used instead") is (which == "newer")
    assert states(folder) == [older, newer]  # nothing is deleted because it is damaged


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_only_state_is_kept_and_says_how_to_go_on(folder, damage):
    write(folder, 3)
    damage(states(folder)[0])
    for _ in range(2):
        resume = ResumeFolder(folder, RUN)
        with pytest.raises(ValueError, match=f"all .* is damaged .*delete {folder} to train anew"):
            resume.read()
        assert len(states(folder)) == 1


def test_a_damaged_state_does_not_take_the_place_of_a_whole_one(folder, caplog):
    caplog.set_level("INFO", "ocvp")
    write(folder, 3, 4)
    flip(states(folder)[1])
    resume = ResumeFolder(folder, RUN)
    assert resume.read()["step"] == 3
    resume.write({"step": 14})
    assert steps(folder) == [3, 14]
    assert "removed" in caplog.text
    resume.write({"step": 15})
    assert steps(folder) == [14, 15]
    assert [int(path.name[6:12]) for path in states(folder)] == [3, 4]


def test_a_damaged_milestone_is_passed_over(folder, caplog):
    resume = ResumeFolder(folder, RUN)
    resume.write({"step": 3}, milestone=True)
    resume.write({"step": 4}, milestone=True)
    flip(states(folder)[1])
    assert resume.read_milestone()["step"] == 3
    assert resume.read()["step"] == 3
    flip(states(folder)[0])
    assert resume.read_milestone() is None
    resume.write({"step": 5})
    assert resume.read()["step"] == 5
    assert resume.read_milestone() is None
    assert "is damaged" in caplog.text


def test_a_state_that_may_not_be_read_is_no_damaged_one(folder, monkeypatch):
    write(folder, 3, 4)

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(resume_module, "file_digest", refuse)
    resume = ResumeFolder(folder, RUN)
    with pytest.raises(PermissionError):
        resume.read()


# --- interrupted and failed writes ---------------------------------------------------------------


def test_a_failed_write_leaves_the_former_states(folder):
    resume = ResumeFolder(folder, RUN)
    resume.write({"step": 3})
    with pytest.raises(AttributeError, match="pickle"):
        resume.write({"step": lambda: 4})
    assert resume.read()["step"] == 3
    assert len(names(folder)) == 2


def test_what_killed_writers_left_half_written_is_removed(folder):
    write(folder, 3)
    whole = names(folder)
    for name in (f".{states(folder)[0].stem}.x1y2.pt", ".fingerprint.x1y2.json"):
        (folder / name).write_bytes(b"half of it")
    assert read(folder) == 3
    assert names(folder) == whole


class Killed(BaseException):
    """Stands for a kill: nothing of the program runs after it."""


@pytest.mark.parametrize("milestone", [False, True])
def test_a_write_that_is_killed_anywhere_loses_nothing(tmp_path, monkeypatch, milestone):
    """Each call to the system that a write makes is the last one once."""
    calls = {"fsync": os, "rename": os, "replace": os, "unlink": os, "open": os}
    for number in itertools.count():
        folder = tmp_path / str(number) / "resume"
        write(folder, 3, 4)
        left = itertools.count()

        def kill_at(function, number=number, left=left):
            def called(*arguments, **options):
                if next(left) >= number:
                    raise Killed
                return function(*arguments, **options)

            return called

        resume = ResumeFolder(folder, RUN)
        with monkeypatch.context() as patch:
            for name, module in calls.items():
                patch.setattr(module, name, kill_at(getattr(module, name)))
            try:
                resume.write({"step": 5}, milestone)
                is_done = True
            except Killed:
                is_done = False
        assert read(folder) in ((5,) if is_done else (4, 5))
        write(folder, 6, 7)
        assert steps(folder) == ([5, 6, 7] if milestone and 5 in steps(folder) else [6, 7])
        if is_done:
            assert number > 4
            break


def _write_on(folder, done):
    torch.set_num_threads(1)  # those of the parent do not exist here
    resume = ResumeFolder(folder, RUN)
    state = resume.read()
    for step in itertools.count(state["step"] + 1 if state else 1):
        resume.write(state_of(step), milestone=step % 3 == 0)
        done.send(step)


def test_real_kills_at_any_moment_leave_the_last_state_whole(folder):
    rng = torch.Generator().manual_seed(0)
    last = 0
    for _ in range(8):
        reader, writer = FORK.Pipe(duplex=False)
        process = FORK.Process(target=_write_on, args=(folder, writer))
        process.start()
        try:
            assert reader.poll(20)
            process.join(0.05 * torch.rand((), generator=rng).item())
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.join(20)
        writer.close()
        with contextlib.suppress(EOFError):
            while reader.poll():
                last = reader.recv()
        resume = ResumeFolder(folder, RUN)
        state = resume.read()
        assert is_whole(state)
        assert state["step"] in (last, last + 1)
        last = state["step"]
        assert len(states(folder)) <= 4
        assert not list(folder.glob(".*"))
    assert last > 8


def test_a_full_disk_leaves_the_former_states(tmp_path):
    with small_disk(tmp_path / "disk", kilobytes=800) as disk:
        folder = disk / "resume"
        resume = ResumeFolder(folder, RUN)
        resume.write(state_of(3))
        resume.write(state_of(4))
        former = names(folder)
        with pytest.raises(OSError, match="no space left for") as caught:
            resume.write(state_of(5))
        message = str(caught.value)
        assert f"{folder}/state-000003-" in message
        assert "0.3 MB are needed, 0.2 MB are free on its disk; free some space" in message
        assert names(folder) == former
        assert steps(folder) == [3, 4]
        assert is_whole(resume.read())
        states(folder)[0].unlink()  # some space is freed
        resume.write(state_of(5))
        assert resume.read()["step"] == 5


def _write_within_limit(folder, answer):
    torch.set_num_threads(1)  # those of the parent do not exist here
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (STATE_BYTES // 2, most))
    try:
        resume = ResumeFolder(folder, RUN)
        resume.write(state_of(5))
    except OSError as error:
        answer.send(str(error))


def test_a_limit_on_the_size_of_files_leaves_the_former_states(folder):
    """A full disk for those who cannot mount one, in a process of its own."""
    resume = ResumeFolder(folder, RUN)
    resume.write(state_of(3))
    resume.write(state_of(4))
    former = names(folder)
    reader, writer = FORK.Pipe(duplex=False)
    process = FORK.Process(target=_write_within_limit, args=(folder, writer))
    process.start()
    process.join(20)
    assert process.exitcode == 0
    assert reader.poll()
    message = reader.recv()
    assert message.startswith(f"no space left for {folder}/state-000003-")
    assert "0.3 MB are needed" in message
    assert "a limit on the size of files (ulimit -f)" in message
    assert names(folder) == former
    resume = ResumeFolder(folder, RUN)
    assert resume.read()["step"] == 4
    assert is_whole(resume.read())


# --- other runs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (changed(num_steps=12), "(changed: config training.num_steps 6 -> 12)"),
        (
            changed(num_steps=12) | {"code": "d" * 64, "seed": 2},
            "(changed: config training.num_steps 6 -> 12, code, seed 1 -> 2)",
        ),
        (RUN | {"inputs": ["a" * 64]}, "(changed: inputs)"),
        (RUN | {"savi": "e" * 64}, "(changed: savi)"),
        (changed("model", channels=[4]), "(changed: config model.channels [4, 8] -> [4])"),
        (
            changed(precision="auto", schedule="c" * 80),
            '(changed: config training.precision absent -> "auto", config training.schedule '
            f'absent -> "{"c" * 39}...)',
        ),
        (
            changed(num_steps=1, num_epochs=2, scheduler_steps=3, batch_size=4, a=5, b=6)
            | {"code": "d" * 64},
            "config training.batch_size 2 -> 4, ..., code)",
        ),
        (RUN | {"config": {}}, "(changed: config, config model.num_slots 3 -> absent, "),
    ],
)
def test_another_run_starts_anew_and_says_what_is_different(folder, caplog, run, reason):
    caplog.set_level("INFO", "ocvp")
    write(folder, 3)
    assert read(folder, run) is None
    assert caplog.messages[0].startswith("starting anew (changed: ")
    assert reason in caplog.text
    aside = folder.with_name("resume-old1")
    assert caplog.messages[0].endswith(f"; the earlier run's state is in {aside}")
    assert read(aside) == 3
    assert not folder.exists()


def test_no_folder_that_was_moved_aside_is_overwritten(folder, caplog):
    for number in range(1, 4):
        write(folder, number)
        folder.with_name("resume-old2").mkdir(exist_ok=True)  # a rename would replace it
        assert read(folder, RUN | {"seed": 10 + number}) is None
    asides = {path.name: steps(path) for path in folder.parent.glob("resume-old*")}
    assert asides == {
        "resume-old1": [1],
        "resume-old2": [],
        "resume-old3": [2],
        "resume-old4": [3],
    }


def test_a_fresh_run_keeps_the_former_state_aside(folder, caplog):
    caplog.set_level("INFO", "ocvp")
    assert read(folder, fresh=True) is None
    assert "starting anew" not in caplog.text
    write(folder, 3)
    assert read(folder, fresh=True, extend=True) is None
    assert "starting anew (--fresh was given)" in caplog.text
    assert steps(folder.with_name("resume-old1")) == [3]


@pytest.mark.parametrize("content", ['{"config": ', "[]", None])
def test_a_damaged_fingerprint_does_not_cost_the_states(folder, caplog, content):
    """Each of them holds it too; another run is still told from this one."""
    write(folder, 3)
    (folder / "fingerprint.json").unlink()
    if content is not None:
        (folder / "fingerprint.json").write_text(content)
    assert read(folder) == 3
    assert "fingerprint.json is missing or damaged" in caplog.text
    assert read(folder, RUN | {"seed": 2}) is None
    assert steps(folder.with_name("resume-old1")) == [3]


def test_a_state_of_an_earlier_version_is_moved_aside_too(folder):
    write(folder, 3)
    states(folder)[0].rename(folder / "state.pt")
    (folder / "fingerprint.json").unlink()
    assert read(folder) is None
    assert (folder.with_name("resume-old1") / "state.pt").is_file()


# --- extending -----------------------------------------------------------------------------------

LONGER = changed(num_steps=12)


@pytest.mark.parametrize(
    "run",
    [
        LONGER,
        changed(num_steps=None, num_epochs=3),
        changed(num_steps=12, scheduler_steps=100),
        changed(scheduler_steps=100),
    ],
)
def test_a_run_that_is_only_longer_is_extended(folder, caplog, run):
    caplog.set_level("INFO", "ocvp")
    write(folder, 6)
    assert read(folder, run, extend=True) == 6
    assert caplog.messages[0].startswith("extending the earlier run (changed: config training.")
    write(folder, 12, run=run, extend=True)
    assert steps(folder) == [6, 12]
    assert read(folder, run) == read(folder, run, extend=True) == 12
    assert len(caplog.messages) == 2
    assert not folder.with_name("resume-old1").exists()
    assert read(folder) is None  # what it was extended from is another run now
    assert steps(folder.with_name("resume-old1")) == [6, 12]


@pytest.mark.parametrize(
    "run", [changed(num_steps=12, batch_size=4), LONGER | {"code": "d" * 64}, RUN | {"seed": 2}]
)
def test_a_run_that_differs_in_more_is_not_extended(folder, caplog, run):
    caplog.set_level("INFO", "ocvp")
    write(folder, 6)
    with pytest.raises(ValueError, match=r"--extend allows only training.* \(changed: "):
        read(folder, run, must_extend=True)
    assert read(folder) == 6, "a refusal changes nothing"
    assert read(folder, run, extend=True) is None
    assert "starting anew (changed: " in caplog.text
    assert "only a run that differs in training.num_steps, training.num_epochs" in caplog.text
    assert steps(folder.with_name("resume-old1")) == [6]


def test_extending_what_was_not_trained_trains_it(folder, caplog):
    caplog.set_level("INFO", "ocvp")
    assert read(folder, LONGER, extend=True) is None
    write(folder, 12, run=LONGER, extend=True)
    assert read(folder, LONGER) == 12
    assert caplog.messages == []


@pytest.mark.parametrize("run", [LONGER, changed(num_steps=3)])
def test_until_more_is_trained_an_extension_is_the_run_that_it_was(folder, run):
    """Whether it was killed at once, or refused for what is too short."""
    write(folder, 6)
    assert read(folder, run, extend=True) == 6
    assert read(folder, run, must_extend=True) == 6
    assert read(folder) == 6
    assert read(folder, run) is None
    assert steps(folder.with_name("resume-old1")) == [6]


def test_an_extension_is_killed_anywhere_in_its_first_write(tmp_path, monkeypatch):
    for number in itertools.count():
        folder = tmp_path / str(number) / "resume"
        write(folder, 6)
        left = itertools.count()
        replace = os.replace

        def killed(*arguments, number=number, left=left, replace=replace):
            if next(left) >= number:
                raise Killed
            return replace(*arguments)

        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            patch.setattr(os, "replace", killed)
            write(folder, 7, run=LONGER, extend=True)
        is_done = next(left) <= number
        if number == 0:  # nothing was changed yet, so --extend is needed still
            assert read(folder, RUN) == 6
        else:
            assert read(folder, LONGER) in (6, 7)
        assert read(folder, LONGER, extend=True) in (6, 7)
        if is_done:
            assert number == 2
            break


# --- one process at a time -----------------------------------------------------------------------


def _hold(folder, taken, release):
    torch.set_num_threads(1)  # those of the parent do not exist here
    with Lock(lock_path(folder)):
        resume = ResumeFolder(folder, RUN, fresh=True)
        taken.set()
        release.wait(20)
        resume.write({"step": 8})


def test_a_second_process_is_refused_until_the_first_one_ends(folder):
    """A cluster can start a job twice, and a killed workflow can leave one behind."""
    write(folder, 3)
    taken, release = FORK.Event(), FORK.Event()
    first = FORK.Process(target=_hold, args=(folder, taken, release))
    first.start()
    try:
        assert taken.wait(20)
        # The first one has moved the folder aside, but not the lock.
        with pytest.raises(ValueError, match=f"process {first.pid}, .* training into"):
            Lock(lock_path(folder))
        first.kill()  # without a chance to clean up
        first.join(20)
        with Lock(lock_path(folder)):
            assert read(folder) is None
        assert (folder.parent / "resume.lock").is_file()
    finally:
        first.kill()
        first.join(20)


def test_who_waits_goes_on_with_what_the_other_process_left(folder, caplog, monkeypatch):
    caplog.set_level("INFO", "ocvp")
    taken, release = FORK.Event(), FORK.Event()
    first = FORK.Process(target=_hold, args=(folder, taken, release))
    first.start()
    try:
        assert taken.wait(20)
        monkeypatch.setattr("ocvp.runtime.lock.time.sleep", lambda _: release.set())
        with Lock(lock_path(folder), wait=True):
            assert read(folder) == 8
        assert caplog.messages[0].startswith("waiting for another process")
    finally:
        first.kill()
        first.join(20)


def test_a_folder_that_cannot_be_taken_over_is_left_as_it_was(folder, monkeypatch):
    write(folder, 3)
    monkeypatch.setattr(resume_module, "_free_name", lambda folder: folder / "within" / "itself")
    with pytest.raises(OSError, match="within/itself"):
        ResumeFolder(folder, RUN, fresh=True)
    assert read(folder) == 3


# --- fingerprints --------------------------------------------------------------------------------


def test_the_fingerprint_is_of_contents_not_of_names(tmp_path):
    for name, content in (("a.h5", b"one"), ("b.h5", b"two"), ("copy of a.h5", b"one")):
        (tmp_path / name).write_bytes(content)
    stage = SaviStage(**savi_stage())

    def of(*names, seed=0, stage=stage, rule="fit_savi"):
        return fingerprint(rule, stage, "float32", seed, [tmp_path / name for name in names])

    assert of("a.h5", "b.h5") == of("copy of a.h5", "b.h5")
    others = [
        of("b.h5", "a.h5"),
        of("a.h5", "b.h5", seed=1),
        of("a.h5", "b.h5", stage=SaviStage(**savi_stage(num_steps=7))),
        of("a.h5", "b.h5", rule="fit_predictor"),
    ]
    for other in others:
        assert other != of("a.h5", "b.h5")


def test_a_stage_of_the_config_is_extended(tmp_path):
    """The keys that may differ lie where the config has them."""
    (tmp_path / "train.h5").write_bytes(b"videos")
    stages = [savi_stage(), savi_stage(num_steps=None, num_epochs=9, scheduler_steps=5)]
    runs = [
        fingerprint("fit_savi", SaviStage(**stage), "float32", 0, [tmp_path / "train.h5"])
        for stage in stages
    ]
    write(tmp_path / "resume", 6, run=runs[0])
    assert read(tmp_path / "resume", runs[1], extend=True) == 6


def test_recoveries_may_be_allowed_for_a_run_that_has_begun():
    """Before it stopped being finite they changed nothing."""
    runs = [
        fingerprint("fit_savi", SaviStage(**savi_stage(**changes)), "float32", 0, [])
        for changes in ({}, {"recoveries": 3, "recovery_factor": 0.1})
    ]
    assert runs[0] == runs[1]


def test_a_run_is_told_by_the_precision_that_it_has_not_by_its_name():
    """What was trained with auto goes on with the same precision by name, and the other way."""

    def of(name, precision):
        stage = SaviStage(**savi_stage(precision=name))
        return fingerprint("fit_savi", stage, precision, 0, [])

    assert of("auto", "bfloat16") == of("bfloat16", "bfloat16") != of("auto", "float32")


# --- a precision that the machine chooses --------------------------------------------------------


def test_a_run_of_auto_is_not_gone_on_with_in_another_precision(folder):
    write(folder, 3, run=changed(precision="bfloat16"), is_auto=True)
    here = changed(precision="float32")
    for options in ({}, {"extend": True}, {"must_extend": True}):
        run = changed(precision="float32", num_steps=12) if options else here
        with pytest.raises(ValueError, match=r"is auto, which stands for float32 on this") as told:
            read(folder, run, is_auto=True, **options)
        assert f"the run in {folder} was trained in bfloat16" in str(told.value)
        assert "set training.precision to bfloat16 to go on with it here, or" in str(told.value)
    assert read(folder, changed(precision="bfloat16"), is_auto=True) == 3, "nothing was changed"
    # What it says to do, either way.
    assert read(folder, changed(precision="bfloat16")) == 3
    assert read(folder, here) is None
    assert steps(folder.with_name("resume-old1")) == [3]


def test_who_trains_another_run_anyway_is_not_asked_about_its_precision(folder, caplog):
    caplog.set_level("INFO", "ocvp")
    write(folder, 3, run=changed(precision="bfloat16"), is_auto=True)
    run = changed(precision="float32", batch_size=4)
    assert read(folder, run, is_auto=True) is None
    assert 'config training.precision "bfloat16" -> "float32"' in caplog.text
    write(folder, 5, run=changed(precision="bfloat16"), is_auto=True)
    assert read(folder, changed(precision="float32"), is_auto=True, fresh=True) is None
