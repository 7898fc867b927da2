"""The page of a study's rollouts: one HTML file, without anything from outside.

What it shows stands in it as JSON, a script element for each video, which the page reads when that
video is picked. The parts of the page itself lie in the folder `page`.

T frames, N slots, H W pixels.
"""

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ocvp.evaluation.metrics import METRICS
from ocvp.evaluation.ranking import Ranking
from ocvp.pictures.compared import CURVES, Comparison
from ocvp.pictures.curves import NAMES, predictor_styles
from ocvp.pictures.overlays import object_colours
from ocvp.pictures.sheets import columns_of, frame_sheet, label_sheet, slot_sheet, slot_step

PARTS = Path(__file__).parent / "page"
SCRIPTS = ("data", "curves", "cards", "player", "app")
"""Scripts of the page, each of which uses those before it."""
DEFAULT_FPS = 10.0
"""Frames a second of videos that do not say how many they have."""


@dataclass(frozen=True)
class Group:
    """Videos of one chain under one protocol, and how predictors score on them."""

    names: Mapping[str, str]
    """What is shown of it: `data set`, `SAVi`, `seed`, `protocol`."""
    scores: Mapping[str, Mapping[str, Any]]
    """Content of each predictor's file of scores, by its name."""
    ranking: Ranking
    """Of all videos of the split."""
    fps: float | None
    """Frames a second of the videos; None: not known."""


def group_content(group: Group, shown: Comparison) -> dict[str, Any]:
    """Return what the page says once for all videos of a group.

    Args:
        group: The group.
        shown: One of its videos, which says how large all are.
    """
    num_frames, num_slots, *size = next(iter(shown.rollouts.values())).masks.shape
    step = slot_step(*size)
    colours = predictor_styles(list(group.scores))
    return {
        "names": dict(group.names),
        "fps": group.fps or DEFAULT_FPS,
        "num_context": next(iter(group.scores.values()))["protocol"]["num_context"],
        "num_frames": num_frames,
        "size": size,
        "slot_size": [-(-side // step) for side in size],
        "num_slots": num_slots,
        "columns": columns_of(num_frames),
        "slot_columns": columns_of(num_frames * num_slots),
        "predictors": [
            {"name": NAMES.get(name, name), "colour": colours[name][0]} for name in group.scores
        ],
        "metrics": [
            {
                "key": metric,
                "label": METRICS[metric].label,
                "means": [_mean_curve(scores, metric) for scores in group.scores.values()],
            }
            for metric in CURVES
        ],
        "ranked_by": METRICS[group.ranking.metric].label,
    }


def _mean_curve(scores: Mapping[str, Any], metric: str) -> list[float | None] | None:
    """Return a metric over the predicted frames, of all videos; None where it is not known."""
    return _rounded(scores["metrics"].get(metric, {}).get("per_frame"))


def listed_content(group: Group, video: int, shown: Comparison) -> dict[str, Any]:
    """Return what the page says of a video before it is picked.

    Args:
        group: Its group.
        video: The video's number in its file.
        shown: Its rollouts.
    """
    metric, ranked = group.ranking
    scores = [scores["per_video"][metric][video] for scores in group.scores.values()]
    return {
        "video": video,
        "rank": ranked.index(video) + 1,
        "num_ranked": len(ranked),
        "score": _rounded([float(np.mean(scores))])[0],
        "scores": _rounded(scores),
        "thumbnail": frame_sheet(shown.frames[-1:]),
    }


def picked_content(shown: Comparison) -> dict[str, Any]:
    """Return what the page reads of a video when it is picked."""
    labels = shown.labels
    return {
        "slot_colours": shown.colours.tolist(),
        "label_colours": object_colours(len(shown.slots_of_labels) - 1).tolist(),
        "slots_of_labels": shown.slots_of_labels,
        "truth": {
            "frames": frame_sheet(shown.frames),
            "masks": None if labels is None else label_sheet(labels),
        },
        "rollouts": [
            {
                "frames": frame_sheet(found.frames),
                "masks": label_sheet(found.labels),
                "slots": slot_sheet(found.objects, found.masks),
            }
            for found in shown.rollouts.values()
        ],
        "curves": {
            metric: [_rounded(curves[metric]) for curves in shown.curves.values()]
            for metric in next(iter(shown.curves.values()))
        },
    }


def _rounded(values: Sequence[float | None] | np.ndarray | None) -> Any:
    """Return numbers with as many digits as can be read, null where one is not defined."""
    if values is None:
        return None
    return [
        None if value is None or not np.isfinite(value) else float(f"{value:.5g}")
        for value in values
    ]


def render(
    title: str,
    groups: Sequence[dict[str, Any]],
    listed: Sequence[dict[str, Any]],
    picked: Sequence[str],
) -> str:
    """Return the page as text.

    Args:
        title: Name of the study.
        groups: Of each group its `group_content`.
        listed: Of each video its `listed_content`, and as `group` the number of its group.
        picked: Of each video its `picked_content`, as `as_json` returns it.
    """
    videos = "\n".join(
        f'<script type="application/json" id="video-{number}">{content}</script>'
        for number, content in enumerate(picked)
    )
    scripts = (_part(f"{name}.js") for name in SCRIPTS)
    parts = {
        "title": html.escape(title),
        "style": _part("page.css"),
        "study": as_json({"groups": groups, "videos": listed}),
        "videos": videos,
        "scripts": "\n".join(f"<script>\n{text}</script>" for text in scripts),
    }
    # in one go: what is put in may look like a place for more
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _part("page.html"))


def as_json(content: Any) -> str:
    """Return JSON that may stand in a script element: nothing in it ends the element."""
    return json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _part(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8")
