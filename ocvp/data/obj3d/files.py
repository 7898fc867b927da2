"""Which files an OBJ3D data set consists of."""

from pathlib import Path

from ocvp.config.datasets import Obj3dDataset
from ocvp.config.section import Split
from ocvp.data.raw_videos import MissingDataError, RawVideo, check_folder, visible_folders

HELP = """\
OBJ3D is expected as {root}/train, {root}/val and {root}/test: 2,920, 200 and 200 folders that are
named by number, with the frames test_1.png to test_100.png in each (OBJ3D.zip: 7 GB). Its page,
https://github.com/zhixuan-lin/G-SWM#datasets, links to the download. Unzip it there, or set `root`
of the data set to where it lies. See docs/data.md."""


def list_videos(dataset: Obj3dDataset, split: Split) -> list[RawVideo]:
    """Return every episode of one split, in numeric order, with the frames that are stored.

    Raises:
        MissingDataError: If the data are not there.
        ValueError: If a folder is no episode.
    """
    folder = Path(dataset.root) / split
    check_folder(folder, HELP.format(root=dataset.root))
    names = visible_folders(folder)
    for name in names:
        if not name.isdecimal():
            raise ValueError(f"{folder / name} is no episode: these folders are named by number")
    if not names:
        raise MissingDataError(f"{folder} is empty.\n{HELP.format(root=dataset.root)}")
    frames = [f"test_{1 + dataset.stride * frame}.png" for frame in range(dataset.num_frames)]
    return [
        RawVideo(name, tuple(f"{split}/{name}/{frame}" for frame in frames))
        for name in sorted(names, key=lambda name: (int(name), name))
    ]
