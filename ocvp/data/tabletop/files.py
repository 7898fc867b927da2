"""Which videos a tabletop data set consists of: as many as the config says, and no files."""

from ocvp.config.datasets import TabletopDataset
from ocvp.config.section import Split
from ocvp.data.raw_videos import RawVideo


def list_videos(dataset: TabletopDataset, split: Split) -> list[RawVideo]:
    """Return the videos of one split, which are simulated."""
    num_videos: int = getattr(dataset.num_videos, split)
    return [RawVideo(f"{split}_{video:05d}", ()) for video in range(num_videos)]
