"""Resume folders: what changes a run moves them aside, and one process has them at a time."""

import multiprocessing

import pytest
import torch
from tiny import savi_stage

from ocvp.config_models import SaviStage
from ocvp.resume import ResumeFolder, fingerprint

RUN = {"config": {"num_steps": 6}, "code": "c" * 64, "seed": 0, "inputs": ["a", "b"]}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "resume"


def test_what_was_written_is_read_by_the_same_run(folder):
    with ResumeFolder(folder, RUN) as resume:
        assert not resume.exists()
        assert resume.read() is None
        resume.write({"step": 3, "weights": {"w": torch.ones(2)}})
        resume.write({"step": 4, "weights": {"w": torch.ones(2)}})
    with ResumeFolder(folder, RUN) as resume:
        assert resume.read()["step"] == 4


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"config": {"num_steps": 7}}, "changed: config"),
        ({"code": "d" * 64, "seed": 1}, "changed: code, seed"),
        ({"inputs": ["a"]}, "changed: inputs"),
        ({"savi": "e" * 64}, "changed: savi"),
    ],
)
def test_another_run_starts_anew_and_keeps_the_former_state(folder, caplog, change, reason):
    caplog.set_level("INFO", "ocvp")
    for number in (1, 2):
        with ResumeFolder(folder, RUN, fresh=True) as resume:
            resume.write({"step": number})
        with ResumeFolder(folder, RUN | change) as resume:
            assert resume.read() is None
        assert reason in caplog.text
        aside = folder.with_name(f"resume-old{2 * number - 1}")
        with ResumeFolder(aside, RUN) as resume:
            assert resume.read()["step"] == number
        with ResumeFolder(folder, RUN | change) as resume:
            resume.write({"step": 10 * number})


def test_a_fresh_run_keeps_the_former_state_aside(folder, caplog):
    caplog.set_level("INFO", "ocvp")
    with ResumeFolder(folder, RUN) as resume:
        resume.write({"step": 3})
    with ResumeFolder(folder, RUN, fresh=True) as resume:
        assert resume.read() is None
    assert "--fresh was given" in caplog.text
    assert (folder.with_name("resume-old1") / "state.pt").is_file()


def test_a_damaged_state_says_how_to_go_on(folder):
    with ResumeFolder(folder, RUN) as resume:
        resume.write({"step": 3})
        path = folder / "state.pt"
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(
            ValueError, match=r"state.pt is damaged .*delete .*resume to train anew"
        ):
            resume.read()


def test_a_damaged_fingerprint_is_not_taken_for_this_run(folder):
    with ResumeFolder(folder, RUN) as resume:
        resume.write({"step": 3})
    (folder / "fingerprint.json").write_text('{"config": ')
    with ResumeFolder(folder, RUN) as resume:
        assert resume.read() is None
    assert (folder.with_name("resume-old1") / "state.pt").is_file()


def test_a_failed_write_leaves_the_former_state(folder):
    with ResumeFolder(folder, RUN) as resume:
        resume.write({"step": 3})
        with pytest.raises(AttributeError, match="pickle"):
            resume.write({"step": lambda: 4})
        assert resume.read()["step"] == 3
    assert sorted(path.name for path in folder.iterdir()) == [
        "fingerprint.json",
        "lock",
        "state.pt",
    ]


def test_what_a_killed_process_left_half_written_is_removed(folder):
    with ResumeFolder(folder, RUN) as resume:
        resume.write({"step": 3})
    (folder / ".state.x1y2.pt").write_bytes(b"half of it")
    with ResumeFolder(folder, RUN) as resume:
        assert resume.read()["step"] == 3
    assert {path.name for path in folder.iterdir()} == {"fingerprint.json", "lock", "state.pt"}


def _hold(folder, taken, release):
    with ResumeFolder(folder, RUN):
        taken.set()
        release.wait(20)


def test_a_second_process_is_refused_until_the_first_one_ends(folder):
    """A cluster can start a job twice, and a killed workflow can leave one behind."""
    context = multiprocessing.get_context("fork")
    taken, release = context.Event(), context.Event()
    first = context.Process(target=_hold, args=(folder, taken, release))
    first.start()
    try:
        assert taken.wait(20)
        with pytest.raises(ValueError, match="another process is training into"):
            ResumeFolder(folder, RUN)
        first.kill()  # without a chance to clean up
        first.join(20)
        with ResumeFolder(folder, RUN) as resume:
            assert not resume.exists()
    finally:
        first.kill()


def test_the_fingerprint_is_of_contents_not_of_names(tmp_path):
    for name, content in (("a.h5", b"one"), ("b.h5", b"two"), ("copy of a.h5", b"one")):
        (tmp_path / name).write_bytes(content)
    stage = SaviStage(**savi_stage())

    def of(*names, seed=0, stage=stage, rule="fit_savi"):
        return fingerprint(rule, stage, seed, [tmp_path / name for name in names])

    assert of("a.h5", "b.h5") == of("copy of a.h5", "b.h5")
    others = [
        of("b.h5", "a.h5"),
        of("a.h5", "b.h5", seed=1),
        of("a.h5", "b.h5", stage=SaviStage(**savi_stage(num_steps=7))),
        of("a.h5", "b.h5", rule="fit_predictor"),
    ]
    for other in others:
        assert other != of("a.h5", "b.h5")
