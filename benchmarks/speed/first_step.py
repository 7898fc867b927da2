"""Train a SAVi up to the moment when the model is given its first batch, and end there.

    python -m speed.first_step OPTIONS

Options are those of `python -m ocvp.train_savi`.
"""

import os
import sys

import ocvp  # noqa: F401 - before torch, as the program does
from ocvp.train_savi import main
from ocvp.training.step import Losses

STARTED = 77
"""The exit status that says so."""


def stop(*_: object) -> None:
    """Stand for the model."""
    os._exit(STARTED)


if __name__ == "__main__":
    Losses.forward = stop  # type: ignore[assignment]
    sys.exit(main(None))
