"""Write envs/ocvp.yaml: the pins of requirements.lock, without the tools of development.

    python envs/pin_conda.py

Run it after the lock was changed, in the environment that the lock describes: what the project
needs is asked of the packages that are installed.
"""

import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parents[1]
LOCK = PROJECT / "envs" / "requirements.lock"
ENVIRONMENT = PROJECT / "envs" / "ocvp.yaml"
EXTRAS = ("cluster",)
"""Optional dependencies of pyproject.toml that count as needed."""

HEAD = """\
# For conda and mamba users, and for `snakemake --software-deployment-method conda`. Written by
# `python envs/pin_conda.py`: Python comes from conda, everything else from pip at the versions of
# requirements.lock, without the tools of development. Snakemake copies this file before it is used,
# so it refers to no other; jobs take the package itself from the folder of the Snakefile.
name: ocvp
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python >=3.11,<3.14
  - pip
  - pip:
"""


def main() -> int:
    """Write the file; see the module's head."""
    ENVIRONMENT.write_text(environment(), encoding="utf-8")
    return 0


def environment() -> str:
    """Return the content of the environment's file."""
    needed = names_needed()
    pins = [pin for pin in locked() if name_of(pin) in needed]
    return HEAD + "".join(f"      - {pin}\n" for pin in pins)


def locked() -> list[str]:
    """Return the pins of the lock, each with its marker."""
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def names_needed() -> set[str]:
    """Return the packages that the project needs to run, and all that these need."""
    with (PROJECT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    extras = (line for extra in EXTRAS for line in project["optional-dependencies"][extra])
    return closure([*project["dependencies"], *extras])


def closure(requirements: Iterable[str]) -> set[str]:
    """Return the packages that requirements name and all that these need, by what is installed."""
    found: dict[str, set[str]] = {}  # package to its extras that were followed
    open_requirements = [Requirement(line) for line in requirements]
    while open_requirements:
        requirement = open_requirements.pop()
        followed = found.setdefault(name_of(requirement.name), set())
        new = {"", *requirement.extras} - followed
        followed |= new
        for line in importlib.metadata.requires(requirement.name) or [] if new else []:
            needed = Requirement(line)
            marker = needed.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in new):
                open_requirements.append(needed)
    return set(found)


def name_of(pin: str) -> str:
    """Return the name of a pin or package as the index of packages compares it."""
    return re.sub(r"[-_.]+", "-", pin.partition("==")[0]).lower()


if __name__ == "__main__":
    sys.exit(main())
