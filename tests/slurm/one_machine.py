"""A Slurm on this machine for as long as a command runs, for tests and for trying it out.

    python tests/slurm/one_machine.py snakemake --profile profiles/slurm

It installs Debian's packages where they are missing, and runs all daemons as root (munged as its
own user) in a temporary folder, on free ports. Nothing is written into /etc, no service is touched,
and nothing is left running. There is no accounting database, and memory is scheduled, not enforced.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "munged")
CONFIG = Path("/etc/slurm/slurm.conf")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NUM_CPUS, MEMORY_MB = 16, 64000
"""What the node says it has, whatever it has: jobs that wait or sleep need not wait for others."""

GPUS = ("/dev/null", "/dev/zero")
"""Device files that stand for GPUs: Slurm allocates them, and jobs find no GPU."""

PARTITIONS = """\
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE State=UP
PartitionName=closed Nodes=localhost MaxTime=INFINITE State=DOWN
"""
"""Jobs in `closed` wait until it is opened: `scontrol update partition=closed state=up`."""

SLURM_CONF = """\
ClusterName=one_machine
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# The node has the processors that stand here.
SlurmdParameters=config_overrides
ReturnToService=2
# Tests look at jobs that ended long ago.
MinJobAge=3600
KillWait=30
GresTypes=gpu
NodeName=localhost NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN
{partitions}
"""

# What starts steps within a job has no SLURM_CONF, as the plugin drops SLURM_* variables.
SRUN = """\
#!/bin/sh
SLURM_CONF={folder}/slurm.conf exec {srun} "$@"
"""


class RefusedError(Exception):
    """This machine is not one to start a Slurm on; says why."""


class Slurm(NamedTuple):
    """A Slurm that runs."""

    folder: Path
    """Folder of its configuration, logs and state, deleted at its end."""
    environment: dict[str, str]
    """Environment variables under which Slurm's commands talk to it."""

    def ask(self, *command: str) -> str:
        """Return what one of Slurm's commands prints."""
        return _output(command, self.environment)


def check_machine(
    environment: Mapping[str, str], user: int, config: Path, running: set[str]
) -> None:
    """Check that a Slurm can be started without coming across another one.

    Args:
        environment: Environment variables.
        user: Number of the user.
        config: Where the machine's own configuration would be.
        running: Names of the processes that run.

    Raises:
        RefusedError: If not.
    """
    if user != 0:
        raise RefusedError("only root can start the daemons of a Slurm that runs jobs")
    if "SLURM_CONF" in environment:
        raise RefusedError(
            f"SLURM_CONF is set: a Slurm is configured ({environment['SLURM_CONF']})"
        )
    if config.exists():
        raise RefusedError(f"{config} exists: this machine has a Slurm of its own")
    for name in ("slurmctld", "slurmd"):
        if name in running:
            raise RefusedError(f"{name} is running: this machine has a Slurm of its own")


def running_programs() -> set[str]:
    """Return the names of all processes."""
    names = set()
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            names.add(path.read_text(encoding="utf-8").strip())
    return names


def install(path: str) -> None:
    """Install Debian's packages where one of their programs is missing.

    Args:
        path: Folders of programs, separated by colons.

    Raises:
        RefusedError: If this system has no apt-get, or that fails.
    """
    missing = [name for name in PROGRAMS if not shutil.which(name, path=path)]
    if not missing:
        return
    if not shutil.which("apt-get", path=path):
        raise RefusedError(
            f"{', '.join(missing)} are missing, and there is no apt-get to install them"
        )
    print(f"installing {' '.join(PACKAGES)}", file=sys.stderr, flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    options = ["--yes", "--quiet", "--no-install-recommends"]
    for command in (["update", "--quiet"], ["install", *options, *PACKAGES]):
        done = subprocess.run(
            ["apt-get", *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RefusedError(f"apt-get {command[0]} failed:\n{done.stdout}")


@contextlib.contextmanager
def one_machine() -> Iterator[Slurm]:
    """Start a Slurm, and stop it and its jobs at the end.

    Raises:
        RefusedError: If this machine is not one for it.
        RuntimeError: If it does not start, with its logs.
    """
    check_machine(os.environ, os.geteuid(), CONFIG, running_programs())
    path = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
    install(path)
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        slurm = Slurm(folder, _write_files(folder, path))
        with contextlib.ExitStack() as stack:
            _start_daemons(slurm, stack)
            _wait_until(lambda: slurm.ask("sinfo", "-h", "-p", "main", "-o", "%T") == "idle", slurm)
            stack.callback(_end_jobs, slurm)
            yield slurm
    finally:
        _kill_rest(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _write_files(folder: Path, path: str) -> dict[str, str]:
    """Write the configuration, and return the environment that leads to it."""
    folder.chmod(0o755)  # munged is another user
    for name in ("state", "spool", "munge", "bin"):
        (folder / name).mkdir()
    key = folder / "munge" / "key"
    key.touch(0o400)
    key.write_bytes(secrets.token_bytes(128))
    for owned in (folder / "munge", key):
        shutil.chown(owned, "munge", "munge")
    with socket.socket() as first, socket.socket() as second:
        ports = []
        for free in (first, second):
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    text = SLURM_CONF.format(
        folder=folder,
        controller_port=ports[0],
        node_port=ports[1],
        cpus=NUM_CPUS,
        memory=MEMORY_MB,
        gpus=len(GPUS),
        partitions=PARTITIONS,
    )
    (folder / "slurm.conf").write_text(text, encoding="utf-8")
    devices = "".join(f"Name=gpu File={device}\n" for device in GPUS)
    (folder / "gres.conf").write_text(devices, encoding="utf-8")
    srun = folder / "bin" / "srun"
    srun.write_text(SRUN.format(folder=folder, srun=shutil.which("srun", path=path)))
    srun.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{folder}/bin:{path}",
        "SLURM_CONF": f"{folder}/slurm.conf",
    }


def _start_daemons(slurm: Slurm, stack: contextlib.ExitStack) -> None:
    """Start all daemons in the foreground, which `stack` ends in the opposite order."""
    munge = slurm.folder / "munge"
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log"}
    options = [f"--{option}={munge / name}" for option, name in files.items()]
    stack.enter_context(
        _daemon(
            slurm, "munged", "--foreground", *options, f"--seed-file={munge}/seed", user="munge"
        )
    )
    _wait_until((munge / "socket").exists, slurm)
    stack.enter_context(_daemon(slurm, "slurmctld", "-D"))
    stack.enter_context(_daemon(slurm, "slurmd", "-D", "-N", "localhost"))


@contextlib.contextmanager
def _daemon(slurm: Slurm, *command: str, user: str | None = None) -> Iterator[None]:
    """Run a daemon, whose Ctrl-C is not that of the terminal."""
    with (slurm.folder / f"{command[0]}.out").open("w") as output:
        process = subprocess.Popen(
            command,
            env=slurm.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=[] if user else None,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_jobs(slurm: Slurm) -> None:
    """Cancel all jobs and give them a few seconds."""
    slurm.ask("scancel", "--user", "root")
    deadline = time.monotonic() + 5
    while slurm.ask("squeue", "-h") and time.monotonic() < deadline:
        time.sleep(0.2)


def _kill_rest(folder: Path) -> None:
    """Kill what a job left behind: whatever has this Slurm's configuration in its environment."""
    mark = f"SLURM_CONF={folder}/".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if mark in path.read_bytes():
                os.kill(int(path.parent.name), signal.SIGKILL)


def _wait_until(condition: Callable[[], bool], slurm: Slurm, seconds: float = 30.0) -> None:
    """Wait until something holds; else raise RuntimeError with all logs."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            logs = [*slurm.folder.glob("*.out"), *slurm.folder.glob("*.log")]
            texts = [f"{log.name}:\n{log.read_text(errors='replace')}" for log in logs]
            raise RuntimeError("\n".join(["Slurm did not start.", *texts]))
        time.sleep(0.1)


def _output(command: Sequence[str], environment: dict[str, str]) -> str:
    """Return what a command prints, whether or not it succeeds."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def main(command: Sequence[str]) -> int:
    """Run a command in a Slurm of its own, and return its exit status; 2 where none was started."""
    # A termination signal ends everything in order, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with one_machine() as slurm:
            process = subprocess.Popen(command, env=slurm.environment)
            try:
                return process.wait()
            finally:
                process.terminate()
                process.wait()
    except RefusedError as reason:
        print(f"error: no Slurm was started: {reason}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
