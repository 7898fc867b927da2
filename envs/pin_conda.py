"""Write envs/ocvp.yaml, with the pins of requirements.lock.

    python envs/pin_conda.py

Run it after the lock was changed.
"""

import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
LOCK = PROJECT / "envs" / "requirements.lock"
ENVIRONMENT = PROJECT / "envs" / "ocvp.yaml"

HEAD = """\
# For conda and mamba users, and for `snakemake --software-deployment-method conda`. Written by
# `python envs/pin_conda.py`: Python comes from conda, everything else from pip at the versions of
# requirements.lock. Snakemake copies this file before it is used, so it refers to no other; jobs
# take the package itself from the folder of the Snakefile.
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
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    return HEAD + "".join(f"      - {line}\n" for line in lines if not line.startswith("#"))


if __name__ == "__main__":
    sys.exit(main())
