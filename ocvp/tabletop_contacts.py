"""Print what happens in tabletop video files: contacts, visible objects, motion.

A contact counts where two objects in view touch and the velocity of one of them changes by at
least 10 % of the faster one's (see `ocvp.data.tabletop.physics`). Motion is that of the objects'
centres, projected into the frame, while they are visible.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ocvp.data.tabletop.raycast import Camera
from ocvp.data.videos import VideoFile
from ocvp.runtime.program import program_parser, run

# Shapes: V videos, T frames, K objects.

# What the data set promises: the share of videos with a contact that counts.
REQUIRED_SHARE = 0.9
MOVED_PIXELS = 2.0


@dataclass(frozen=True)
class Events:
    """What happens in the videos of a file.

    Attributes:
        contacts: Contacts that count in each video, shape (V,).
        visible: Visible objects in each frame, shape (V, T).
        speed: Mean motion between two frames of the objects that both show, in pixels.
        moved: Whether an object gets `MOVED_PIXELS` away from where it was before the last
            `last` frames, for each video, shape (V,).
        last: How many frames those are.
    """

    contacts: NDArray[np.int64]
    visible: NDArray[np.int64]
    speed: float
    moved: NDArray[np.bool_]
    last: int


def read_events(path: Path, last: int = 10) -> Events:
    """Read what happens in a tabletop video file.

    Args:
        path: The file.
        last: Frames at the end of each video in which `moved` looks for motion.

    Raises:
        ValueError: If the file is damaged or holds no tabletop videos.
    """
    contacts, visible, moved, speeds = [], [], [], []
    with VideoFile(path) as videos:
        if not videos.has("contacts") or not videos.has("states"):
            raise ValueError(f"{path} holds no tabletop videos (it has {', '.join(videos.fields)})")
        camera = Camera(**json.loads(videos.attributes["camera"]))
        last = min(last, videos.num_frames - 1)
        for video in range(videos.num_videos):
            contacts.append(int(videos.read("contacts", video).sum()))
            shown = videos.read("boxes", video)[..., 0] >= 0  # (T, K)
            visible.append(shown.sum(axis=1))  # (T,)
            centres = camera.project(videos.read("states", video)[..., :3].astype(np.float64))
            steps = np.linalg.norm(np.diff(centres, axis=0), axis=-1)  # (T - 1, K)
            speeds.append(steps[shown[1:] & shown[:-1]])
            way = np.linalg.norm(centres[-last:] - centres[-last - 1], axis=-1)  # (last, K)
            way = way[shown[-last:] & shown[-last - 1]]
            moved.append(bool((way >= MOVED_PIXELS).any()))
    return Events(
        contacts=np.array(contacts),
        visible=np.array(visible),
        speed=float(np.concatenate(speeds).mean()),
        moved=np.array(moved),
        last=last,
    )


def describe(path: Path, events: Events) -> str:
    """Return a report of a file's events."""
    share = float((events.contacts > 0).mean())
    counts = np.bincount(events.visible.reshape(-1))
    distribution = ", ".join(
        f"{number}: {count / events.visible.size:.1%}"
        for number, count in enumerate(counts)
        if count
    )
    lines = [
        f"{path}: {len(events.contacts)} videos of {events.visible.shape[1]} frames",
        f"  videos with a contact that changes a velocity by 10 %: {share:.1%} "
        f"({events.contacts.mean():.1f} such contacts a video)",
        f"  frames by number of visible objects: {distribution}",
        f"  mean motion of a visible object: {events.speed:.2f} pixels a frame",
        f"  videos with an object that moves {MOVED_PIXELS:g} pixels or more in the last "
        f"{events.last} frames: {events.moved.mean():.1%}",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; see the module's head."""
    parser = program_parser(__doc__)
    parser.add_argument("files", type=Path, nargs="+", help="tabletop video files")
    parser.add_argument("--last", type=int, default=10, help="frames that `moves` looks at")
    parser.add_argument(
        "--check",
        action="store_true",
        help=f"fail where fewer than {REQUIRED_SHARE:.0%}% of a file's videos have such a contact",
    )
    args = parser.parse_args(argv)
    if args.last < 1:
        raise ValueError(f"--last is {args.last}; it must be 1 or more")
    too_few = False
    for path in args.files:
        events = read_events(path, args.last)
        print(describe(path, events))
        too_few |= bool((events.contacts > 0).mean() < REQUIRED_SHARE)
    return 1 if args.check and too_few else 0


if __name__ == "__main__":
    run(main)
