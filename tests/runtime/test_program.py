"""What all programs share: help, exit status, messages, logs, progress."""

import argparse
import fcntl
import importlib
import json
import logging
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import warnings
from pathlib import Path
from unittest import mock

import pytest
from snakemake_runs import PROJECT
from tiny import (
    CPU,
    assert_one_error,
    call,
    command,
    quiet_environment,
    run,
    savi_stage,
    write_videos,
)

from ocvp.config.tree import Figures, Runtime
from ocvp.runtime.logs import logger, start_logging
from ocvp.runtime.program import read_section, stage_parser
from ocvp.runtime.progress import progress

PROGRAMS = (
    "prepare_data",
    "train_savi",
    "evaluate_savi",
    "extract_slots",
    "train_predictor",
    "evaluate_predictor",
    "summarize",
    "figures",
    "curves",
    "show_results",
    "predict",
)


# --- help and start ----------------------------------------------------------------------------


class ParsedError(Exception):
    """Carries a program's parser out of its main."""


def parser_of(name, monkeypatch):
    def stop(parser, argv=None, namespace=None):
        raise ParsedError(parser)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(ParsedError) as caught:
        importlib.import_module(f"ocvp.{name}").main([])
    return caught.value.args[0]


def all_parsers(parser):
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from all_parsers(child)


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_explains_the_program_and_every_option(name, monkeypatch):
    main_parser = parser_of(name, monkeypatch)
    assert main_parser.description
    for parser in all_parsers(main_parser):
        assert parser.prog.startswith(f"python -m ocvp.{name}")
        text = parser.format_help()
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                assert all(choice.help for choice in action._choices_actions)
                continue
            assert action.help, f"{parser.prog} does not explain {action.dest}"
            for option in action.option_strings:
                assert option in text
            optional = action.option_strings and not action.required
            if optional and action.nargs != 0:
                explained = "(default: " in action.help or "for a SAVi that starts" in action.help
                assert explained, f"{parser.prog} does not say what {action.dest} is by default"


@pytest.mark.parametrize(
    ("name", "unneeded"),
    [
        ("summarize", ["torch", "matplotlib", "sklearn"]),
        ("collect_training_time", ["torch", "matplotlib", "scipy", "sklearn"]),
        ("provenance", ["torch", "matplotlib", "pandas", "sklearn"]),
        ("archive", ["torch", "matplotlib", "pandas", "sklearn"]),
        ("show_results", ["torch", "matplotlib", "scipy", "sklearn"]),
        ("prepare_data", ["torch", "matplotlib", "pandas", "sklearn"]),
        ("evaluate_predictor", ["torchvision", "lpips", "matplotlib", "sklearn", "tensorboard"]),
    ],
)
def test_programs_start_without_what_they_do_not_need(name, unneeded):
    """A workflow starts dozens of them; torchvision alone takes as long as torch."""
    code = f"import ocvp.{name}, sys; print([m for m in {unneeded} if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert found.stdout.strip() == "[]"


def test_a_wrong_option_ends_with_usage_and_status_two(capsys):
    train_savi = importlib.import_module("ocvp.train_savi")
    assert call(train_savi.main, "--tarin", "train.h5") == 2
    text = capsys.readouterr().err
    assert text.startswith("usage: python -m ocvp.train_savi")
    assert "Traceback" not in text, text


# --- exit status and messages ------------------------------------------------------------------


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


def failing(error, log=None):
    def main(words):
        start_logging(log)
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("batch_size is 0; it must be at least 1"), "error: batch_size is 0"),
        (FileNotFoundError(2, "No such file", "train.h5"), "No such file: 'train.h5'"),
        (OutOfMemoryError("CUDA out of memory"), "out of memory (CUDA out of memory); a smaller"),
        (MemoryError(), "out of memory (no details)"),
        (RuntimeError("errno = 28, error message = 'No space left on device'"), "no space left"),
    ],
)
def test_what_a_user_can_mend_is_one_message_and_the_traceback_is_in_the_log(
    tmp_path, capsys, error, message
):
    log = tmp_path / "logs" / "run.log"
    assert call(failing(error, log)) == 1
    assert_one_error(capsys.readouterr().err, message)
    assert "Traceback" in log.read_text()


def test_a_defect_shows_its_traceback(tmp_path, capsys):
    log = tmp_path / "run.log"
    assert call(failing(RuntimeError("shapes cannot be multiplied"), log)) == 1
    for text in (capsys.readouterr().err, log.read_text()):
        assert "unexpected error" in text
        assert "RuntimeError: shapes cannot be multiplied" in text


def test_ctrl_c_and_a_termination_signal_have_their_statuses(capsys):
    assert call(lambda words: signal.raise_signal(signal.SIGINT)) == 130
    assert "stopped by the user" in capsys.readouterr().err
    assert call(lambda words: signal.raise_signal(signal.SIGTERM)) == 143
    assert call(lambda words: 0) == 0


@pytest.mark.parametrize("is_logged", [True, False])
def test_the_log_takes_everything_and_stderr_what_matters(tmp_path, capsys, is_logged):
    path = tmp_path / "run.log"

    def main(words):
        start_logging(path if is_logged else None)
        logger = logging.getLogger("ocvp.test")
        logger.debug("a detail")
        logger.info("a step")
        warnings.warn("an odd value", stacklevel=1)
        return 0

    assert call(main) == 0
    text = capsys.readouterr().err
    assert "a detail" not in text
    assert "UserWarning: an odd value" in text
    assert ("a step\n" in text) != is_logged
    assert path.exists() == is_logged
    if is_logged:
        lines = ("DEBUG a detail", "INFO a step", "WARNING UserWarning: an odd value")
        assert all(line in path.read_text() for line in lines)


def test_a_log_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    assert call(failing(ValueError("later"), tmp_path / "file" / "run.log")) == 1
    assert_one_error(capsys.readouterr().err, "cannot write the log", tmp_path / "file" / "run.log")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_under_the_log_does_not_hide_the_error(capsys):
    assert call(failing(ValueError("the real reason"), Path("/dev/full"))) == 1
    text = capsys.readouterr().err
    assert_one_error(text, "the real reason")
    assert text.count("the log cannot be written: [Errno 28]") == 1


def test_a_thread_that_fails_is_in_the_log(tmp_path, capsys):
    def work(error):
        raise error

    def main(words):
        start_logging(tmp_path / "run.log")
        thread = threading.Thread(target=work, args=(RuntimeError("defect of a thread"),))
        thread.start()
        thread.join()
        return 0

    assert call(main) == 0
    log, text = (tmp_path / "run.log").read_text(), capsys.readouterr().err
    assert "defect of a thread" in log
    assert "defect of a thread" in text


# --- configs on the command line ---------------------------------------------------------------


def test_a_section_comes_from_yaml_json_or_the_command_line(tmp_path):
    (tmp_path / "a.yaml").write_text("upscale: 4\ngif_fps: 2.5\n")
    (tmp_path / "b.json").write_text('{"upscale": 4, "gif_fps": 2.5}')
    texts = (str(tmp_path / "a.yaml"), str(tmp_path / "b.json"), ' {"upscale": 4, "gif_fps": 2.5}')
    expected = Figures(upscale=4, gif_fps=2.5)
    assert [read_section(Figures, text, "--config") for text in texts] == [expected] * 3
    assert read_section(Runtime, "{}", "--runtime") == Runtime()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("missing.yaml", "--config is missing.yaml: neither a text file nor inline JSON"),
        ('{"upscale": ', "--config is neither valid YAML nor JSON"),
        ('{"upscal": 4}', "upscal: unknown key .* did you mean upscale"),
        ('{"upscale": 0}', "upscale is 0: "),
    ],
)
def test_a_section_that_is_wrong_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        read_section(Figures, text, "--config")


# --- progress ----------------------------------------------------------------------------------


def lines_of(bar, capsys, steps):
    """Return what a bar prints within so many updates, and then when it is closed."""
    with bar:
        bar.set_postfix_str("loss 0.25, 40 videos/s", refresh=False)
        for _ in range(steps):
            bar.update()
            bar.refresh()
        during = capsys.readouterr().err.splitlines()
    return during, capsys.readouterr().err.splitlines()


def test_without_a_terminal_progress_is_a_line_for_each_fifth(capsys, monkeypatch):
    monkeypatch.setattr("ocvp.runtime.progress.LINE_INTERVAL_SECONDS", 0.0)
    bar = progress(description="training SAVi", unit="step", total=100)
    during, last = lines_of(bar, capsys, steps=100)
    assert [line.split("|")[0].split()[3] for line in during] == [
        f"{number}/100" for number in range(20, 101, 20)
    ]
    assert len(last) == 1
    assert last[0].startswith("training SAVi: 100% 100/100 [")
    assert last[0].endswith("step/s, loss 0.25, 40 videos/s]")
    assert all(0 < len(line) < 100 and "\r" not in line for line in during)


def test_without_a_terminal_progress_that_is_slow_is_a_line_all_the_same(capsys, monkeypatch):
    monkeypatch.setattr("ocvp.runtime.progress.LONGEST_SECONDS", 0.0)
    during, last = lines_of(progress(description="lstm", total=1000), capsys, steps=3)
    assert {line.split()[2] for line in during} == {f"{number}/1000" for number in range(4)}
    assert len(last) == 1


def test_without_a_terminal_quick_work_is_told_to_the_log_alone(capsys, tmp_path):
    start_logging(tmp_path / "log")
    assert list(progress(range(5), "scoring SAVi")) == list(range(5))
    logger.info("computing on cpu")
    logger.warning("the masks are empty")
    assert capsys.readouterr().err == "the masks are empty\n"
    text = (tmp_path / "log").read_text()
    assert "INFO scoring SAVi: 100% 5/5 [" in text
    assert "INFO computing on cpu" in text


def test_the_time_left_hardly_follows_one_slow_step():
    """A hundred steps of a second, then one of ten."""
    now = [0.0]
    with progress(description="SAVi", total=201) as bar:
        bar._time = lambda: now[0]
        bar.start_t = bar.last_print_t = 0.0
        for seconds in [1.0] * 100 + [10.0]:
            now[0] += seconds
            bar.update()
        left = (bar.total - bar.n) / bar.format_dict["rate"]
    assert 100 < left < 115  # by the mean since the start 109; by the last steps alone 400


class Terminal:
    """A pseudo-terminal whose other end is read as it is written."""

    def __init__(self, size):
        self._master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        self._parts = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        while True:
            try:
                part = os.read(self._master, 4096)
            except OSError:  # the last one has closed it
                return
            if not part:
                return
            self._parts.append(part)

    def text(self):
        """Return all that was written, after closing this end."""
        os.close(self.slave)
        self._thread.join(20)
        os.close(self._master)
        return b"".join(self._parts).decode()


@pytest.mark.parametrize("size", [(24, 120), (24, 80), (0, 0)])
def test_on_a_terminal_a_training_shows_a_bar_with_loss_and_throughput(tmp_path, monkeypatch, size):
    train = write_videos(tmp_path / "train.h5")
    val = write_videos(tmp_path / "val.h5", num_videos=2)
    train_savi = importlib.import_module("ocvp.train_savi")
    terminal = Terminal(size)
    with open(terminal.slave, "w", closefd=False) as stderr, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stderr)
        arguments = ("--train", train, "--val", val, "--output", tmp_path / "savi.pt")
        options = ("--config", savi_stage(num_steps=30), "--runtime", CPU)
        assert call(train_savi.main, *options, *arguments) == 0
        assert call(train_savi.main, *options, *arguments[:-1], tmp_path) == 1
    text = terminal.text()
    assert text.count("\r") > 2  # drawn again and again on one line
    bars = [part for part in text.split("\r") if part.startswith("SAVi: ")]
    shown = r"30/30 \[\d\d:\d\d<00:00, loss 0\.\d+, val 0\.\d+, lr [\d.e-]+, \d+ videos/s\]"
    assert re.search(shown, bars[-1]), bars[-1]
    assert "validating" in text
    assert "\033[1;31merror: cannot write" in text  # errors in red


def run_in_terminal(folder, *targets):
    """Run the tests' study up to `targets` in a terminal, and return what the person sees."""
    terminal = Terminal((24, 100))
    arguments = [
        *("-m", "snakemake", "--snakefile", PROJECT / "Snakefile", "--directory", folder),
        *(
            "--configfile",
            PROJECT / "tests/helpers" / "tiny.yaml",
            "--cores",
            1,
            "--",
            *targets,
        ),
    ]
    process = subprocess.run(
        [sys.executable, *map(str, arguments)],
        stdout=terminal.slave,
        stderr=terminal.slave,
        stdin=subprocess.DEVNULL,
        env=quiet_environment() | {"TERM": "xterm"},
        timeout=300,
        check=False,
    )
    text = terminal.text()
    assert process.returncode == 0, text
    return text.split("\r")


def test_through_snakemake_the_person_at_the_terminal_sees_the_bar(tmp_path):
    seen = run_in_terminal(tmp_path, "results/tiny/videos/val/chunk0.h5")
    bars = [part for part in seen if part.startswith("tiny val: ")]
    assert "3/3" in bars[-1]
    assert "video/s" in bars[-1]


@pytest.mark.slow
def test_through_snakemake_a_training_shows_loss_and_throughput(tmp_path):
    seen = run_in_terminal(tmp_path, "train_savi")
    bars = [part for part in seen if part.startswith("SAVi: ")]
    assert "6/6" in bars[-1]
    assert "loss 0." in bars[-1]
    assert "videos/s" in bars[-1]


def test_no_rule_hides_the_bar_behind_a_redirection():
    for path in (PROJECT / "workflow" / "rules").glob("*.smk"):
        assert "2>" not in path.read_text(), path


def test_a_cluster_that_numbers_its_tasks_does_not_make_a_program_silent(tmp_path):
    """Slurm and others set RANK for all that they run; only torchrun's ranks share a training."""
    arguments = ("--train", tmp_path / "none.h5", "--val", tmp_path / "none.h5")
    options = ("--config", savi_stage(), "--runtime", CPU, "--output", tmp_path / "savi.pt")
    log = tmp_path / "log"
    log.write_text("of an earlier run")
    with mock.patch.dict(os.environ, {"RANK": "1", "WORLD_SIZE": "4"}):
        done = run("ocvp.train_savi", *options, *arguments, "--log", log)
    assert done.returncode == 1
    assert_one_error(done.stderr, "none.h5")
    assert "INFO computing on cpu" in log.read_text()
    assert "earlier" not in log.read_text()


def test_a_stop_by_ctrl_c_is_no_traceback(tmp_path):
    """The whole group of processes gets the signal, as at a terminal."""
    train = write_videos(tmp_path / "train.h5")
    arguments = ("--train", train, "--val", train, "--output", tmp_path / "savi.pt")
    options = ("--config", savi_stage(num_steps=100_000), "--runtime", CPU)
    process = subprocess.Popen(
        command("ocvp.train_savi", *options, *arguments),
        env=quiet_environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("resume/state-*.pt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in text, text
    assert "the same command goes on from step" in text
    assert text.rstrip().endswith("stopped by the user")


def test_a_parser_without_a_module_can_be_a_parent():
    parent = stage_parser(None)
    child = argparse.ArgumentParser(parents=[parent], conflict_handler="resolve")
    args = child.parse_args(["--config", json.dumps({"upscale": 2})])
    assert args.config == '{"upscale": 2}'
    assert (args.runtime, args.log) == ("{}", None)
