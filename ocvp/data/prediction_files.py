"""Files of a prediction for a clip of one's own (`prediction.h5`), written by `ocvp.predict`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ocvp.data.hdf5 import create_file, write_attribute
from ocvp.runtime.files import atomic_path

FORMAT = "ocvp prediction 1"


def write_prediction(
    path: Path, content: Mapping[str, np.ndarray], attributes: Mapping[str, Any]
) -> None:
    """Write arrays and attributes as an HDF5 file, atomically."""
    with atomic_path(path) as temporary, create_file(temporary) as file:
        for name, value in {"format": FORMAT, **attributes}.items():
            write_attribute(file, name, value)
        for name, array in content.items():
            file.create_dataset(
                name, data=array, compression="gzip", fletcher32=True, track_times=False
            )
