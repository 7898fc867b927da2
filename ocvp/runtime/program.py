"""What all programs of the package share: options, sections of the config, exit status.

A program is `main(argv) -> int`: it parses, loads, calls and writes. `run(main)` turns what a user
can get wrong into one line and a non-zero exit status.
"""

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ocvp.config.messages import readable
from ocvp.config.section import Model, validate
from ocvp.config.tree import Runtime
from ocvp.config.yaml_files import load
from ocvp.runtime.files import is_disk_full
from ocvp.runtime.logs import logger, print_above_bar, rank, start_logging

SECONDS_TO_REPORT = 10.0
"""How long the first of several processes has for an error that all of them found."""


def program_parser(
    description: str | None, module: str | None = None, epilog: str | None = None
) -> argparse.ArgumentParser:
    """Return a parser without options; `--help` shows the description as it is.

    Args:
        description: The program's docstring.
        module: The program's module, for example `ocvp.train_savi`; None: the file that runs.
        epilog: What `--help` shows last.
    """
    return argparse.ArgumentParser(
        prog=f"python -m {module}" if module else None,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def stage_parser(
    description: str | None, module: str | None = None, config_help: str = ""
) -> argparse.ArgumentParser:
    """Return a parser with the options that every stage has.

    Args:
        description: The program's docstring (see `program_parser`).
        module: The program's module.
        config_help: What `--config` holds, for example "the SAVi's `model` and `training`".
    """
    parser = program_parser(description, module)
    settings = parser.add_argument_group("settings")
    settings.add_argument(
        "--config",
        default="{}",
        help=f"{config_help or 'the settings of this stage'}: a YAML or JSON file, or inline JSON "
        "(default: {})",
    )
    settings.add_argument(
        "--runtime",
        default="{}",
        help="where and how fast to run, as in the section `runtime` of the config: a file or "
        "inline JSON (default: {})",
    )
    settings.add_argument(
        "--log", type=Path, help="file for records, warnings and tracebacks (default: none)"
    )
    return parser


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that both trainings have."""
    group = parser.add_argument_group("run")
    group.add_argument("--seed", type=int, default=0, help="seed of every draw (default: 0)")
    group.add_argument(
        "--checkpoint",
        type=Path,
        help="checkpoint of this project whose weights the training starts from (fine-tuning); "
        "optimiser and schedule start anew (default: random weights). To go on with an interrupted "
        "training, run the same command again instead",
    )
    how = group.add_mutually_exclusive_group()
    how.add_argument("--fresh", action="store_true", help="train anew instead of resuming")
    how.add_argument(
        "--extend",
        action="store_true",
        help="train a run further that had fewer num_steps or num_epochs, instead of anew",
    )
    group.add_argument(
        "--wait",
        action="store_true",
        help="where another process is training into the same folder, wait for it instead of "
        "refusing (as the workflow does)",
    )


def run(main: Callable[[Sequence[str] | None], int]) -> None:
    """Run a program's `main` on the command line, and exit with its status.

    A ValueError or OSError is the user's to mend, and so are a full disk and a full memory: the
    message is printed in one piece, without a traceback, and the exit status is 1. Any other
    exception is a defect and shows its traceback. Ctrl-C exits with 130, a termination signal
    with 143. Tracebacks always go to `--log`.
    """
    signal.signal(signal.SIGTERM, _exit_on_sigterm)
    try:
        status = main(None)
    except KeyboardInterrupt:
        if rank() == 0:
            print_above_bar("stopped by the user")
        status = 130
    except Exception as error:
        if not logger.handlers:  # it came before the program knew its log
            start_logging(None)
        message = _explanation(error)
        if rank() and getattr(error, "is_agreed", False):
            logger.debug("traceback:\n%s", traceback.format_exc())
            time.sleep(SECONDS_TO_REPORT)  # the launcher ends this process after the first one
        elif message is None:
            logger.critical("unexpected error:\n%s", traceback.format_exc())
        else:
            logger.debug("traceback:\n%s", traceback.format_exc())
            logger.error("error: %s", readable(message))
        status = 1
    sys.exit(status)


def _explanation(error: Exception) -> str | None:
    """Return what to tell the user of an error that is theirs to mend; None for a defect."""
    if isinstance(error, ValueError | OSError):
        return str(error)
    if is_disk_full(error):
        return f"no space left on the disk ({error})"
    # torch.OutOfMemoryError by its name, as the programs without a model do without torch.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return (
            f"out of memory ({str(error) or 'no details'}); a smaller runtime.batch_videos needs "
            "less"
        )
    return None


def _exit_on_sigterm(number: int, frame: Any) -> None:
    # As an exception, so that temporary files are removed on the way out.
    raise SystemExit(128 + number)  # as shells report signals


def read_section(model: type[Model], text: str, where: str) -> Model:
    """Read and validate a section of the config.

    Args:
        model: The section that it must be.
        text: Path of a YAML or JSON file, or the text itself (which starts with a brace).
        where: Name of the option in messages.

    Raises:
        ValueError: If the file is missing, is no YAML, or the section is not valid.
    """
    return validate(model, read_mapping(text, where), where)


def read_mapping(text: str, where: str) -> Any:
    """Read a part of a config without validating it (see `read_section`)."""
    if not text.lstrip().startswith("{"):
        path = Path(text)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            raise ValueError(f"{where} is {text}: neither a text file nor inline JSON") from None
    return load(text, where)


def read_runtime(text: str) -> Runtime:
    """Read and validate `--runtime` (see `read_section`)."""
    return read_section(Runtime, text, "--runtime")
