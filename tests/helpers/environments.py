"""Environments with all packages but this one, and stand-ins for the programs that make them.

A line of a .pth file adds a folder to the path without reading the .pth files in it, so the
packages of the environment that runs the tests are there, and its editable install is not.
"""

import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

# Which programs ran in the environment. A .pth file imports it at start: Debian's Python has a
# sitecustomize of its own, which hides that of an environment.
RECORDER = """
import pathlib, sys
with (pathlib.Path(sys.prefix) / "programs.txt").open("a") as file:
    file.write(" ".join(sys.orig_argv[1:]) + "\\n")
"""

# Answers what Snakemake asks of conda, and makes an environment with the tests' own packages.
CONDA = """#!{python}
import json, pathlib, shutil, sys
sys.path.insert(0, {tests!r})
from environments import make_environment
arguments = sys.argv[1:]
if arguments == ["info", "--json"]:
    print(json.dumps({{"conda_prefix": {prefix!r}, "platform": "linux-64"}}))
elif arguments == ["--version"]:
    print("conda 24.9.2")
elif arguments == ["config", "--get", "channel_priority", "--json"]:
    print(json.dumps({{"get": {{"channel_priority": "strict"}}}}))
elif arguments[:2] == ["env", "create"]:
    options = dict(zip(arguments, arguments[1:]))
    folder = pathlib.Path(options["--prefix"])
    make_environment(folder)
    shutil.copy(options["--file"], folder / "made_of.yaml")
elif arguments != ["clean", "-y", "--tarballs"]:
    sys.exit(f"the stand-in for conda knows nothing of {{arguments}}")
"""
ACTIVATE = 'export PATH="$1/bin:$PATH"\n'


def make_environment(folder: Path) -> Path:
    """Make an environment without this package, and return its Python.

    Its file programs.txt names, one a line, what was run in it.
    """
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    command = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.check_output(command, text=True).strip())
    lines = f"{sysconfig.get_path('purelib')}\nimport program_recorder\n"
    (packages / "all.pth").write_text(lines, encoding="utf-8")
    (packages / "program_recorder.py").write_text(RECORDER, encoding="utf-8")
    return python


def programs_of(environment: Path) -> list[str]:
    """Return the programs of this package that ran in an environment, by their modules."""
    record = environment / "programs.txt"
    text = record.read_text(encoding="utf-8") if record.exists() else ""
    return re.findall(r"^-P -m (ocvp\.\w+)", text, re.MULTILINE)


def write_conda(folder: Path) -> Path:
    """Write a stand-in for conda, and return the folder that belongs on the PATH."""
    commands = folder / "bin"
    commands.mkdir(parents=True)
    conda = commands / "conda"
    text = CONDA.format(python=sys.executable, tests=str(Path(__file__).parent), prefix=str(folder))
    conda.write_text(text, encoding="utf-8")
    conda.chmod(0o755)
    (commands / "activate").write_text(ACTIVATE, encoding="utf-8")
    return commands
