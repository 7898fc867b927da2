"""Watch all trainings side by side in the browser, with TensorBoard.

Runs are named by what tells them apart: ocvp_seq and lstm, or seed0-ocvp_seq and seed1-ocvp_seq
where there are several seeds. Where each lies is printed. Trainings that start later appear by
themselves, and names get longer where that takes more to tell them apart.
"""

import argparse
import getpass
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ocvp.runtime.program import program_parser, run
from ocvp.runtime.tensorboard_server import find_runs, how_to_see, serve, show

PORT = 6006
EPILOG = """\
To look from another machine, run there the ssh command that is printed at the start, and open the
same address there. To reach a node of a cluster through its login node, add -J USER@LOGIN to it.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    with tempfile.TemporaryDirectory(prefix="ocvp_runs_") as folder:
        links = Path(folder)
        runs = find_runs(args.results, args.only)
        shown = show(links, runs)
        port = serve(links, args.host, args.port, args.interval)
        print(how_to_see(args.host, port, _user(), socket.gethostname()), flush=True)
        if not shown:
            matching = f" that match {' or '.join(args.only)}" if args.only else ""
            print(f"No runs{matching} in {args.results} yet; waiting for them.", flush=True)
        try:
            while True:
                for name in sorted(shown):
                    print(f"showing {name}: {runs[name].parent}", flush=True)
                time.sleep(args.interval)
                runs = find_runs(args.results, args.only)
                shown = show(links, runs)
        except KeyboardInterrupt:  # the way to end it
            return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = program_parser(__doc__, "ocvp.watch", EPILOG)
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        help="folder whose runs are shown (default: results)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="PATTERN",
        help="runs to show, by their folders joined by '-', with * for anything, for example "
        "'tabletop-*-ocvp_seq' (default: all)",
    )
    parser.add_argument(
        "--host",
        default="localhost",
        help="address to listen on; 0.0.0.0 lets anybody look who can reach this machine "
        "(default: localhost, this machine alone)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=PORT,
        help=f"port to listen on; 0 takes any that is free (default: {PORT})",
    )
    parser.add_argument(
        "--interval",
        type=_seconds,
        default=5.0,
        metavar="SECONDS",
        help="how often to look for new runs and points, at least 1 (default: 5)",
    )
    return parser.parse_args(argv)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "USER"


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds < 86400:
        raise argparse.ArgumentTypeError(f"{text} is out of range, allowed is 1 to 86400")
    return seconds


if __name__ == "__main__":
    run(main)
