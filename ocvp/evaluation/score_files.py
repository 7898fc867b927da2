"""Files of scores (`evaluation.json`, `evaluation/PROTOCOL.json`), read for tables and figures.

Those of what probes read (`probe.json`, `probe/PROTOCOL.json`) are such files too.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from ocvp.config.section import Split
from ocvp.runtime.json_files import Content, read_content

Value = float | None
Curve = list[Value] | None


class Metric(Content):
    """One metric of a file; a baseline that is not there has no value."""

    mean: Value
    per_frame: Curve
    copy_last_frame: Value = None
    copy_last_slots: Value = None
    constant_velocity: Value = None
    object_constant_velocity: Value = None
    ceiling: Value = None
    copy_last_frame_per_frame: Curve = None
    copy_last_slots_per_frame: Curve = None
    constant_velocity_per_frame: Curve = None
    object_constant_velocity_per_frame: Curve = None
    ceiling_per_frame: Curve = None
    kmeans_colour: Value = None
    held_boxes: Value = None
    constant: Value = None
    measure: Literal["r2", "accuracy"] | None = None
    """Of what a probe reads."""


class Window(Content):
    """The protocol of a predictor's scores."""

    num_context: int = Field(ge=1)
    num_preds: int = Field(ge=1)
    split: Split


class Interval(Content):
    """A mean and the bounds of its interval; both are null where the videos are too few."""

    mean: float
    low: Value
    high: Value


class Comparison(Content):
    """One compared metric, or why it is not compared, or why there is no share of the gap."""

    reason: str | None = None
    num_videos: int | None = None
    prediction: Value = None
    copy_last_slots: Value = None
    constant_velocity: Value = None
    ceiling: Value = None
    gap: Interval | None = None
    gap_closed: Value = None
    gain: Interval | None = None
    gain_over_constant_velocity: Interval | None = None
    beyond_half_gap: Interval | None = None

    @model_validator(mode="after")
    def _check_gain(self) -> "Comparison":
        values = (self.num_videos, self.prediction, self.copy_last_slots, self.ceiling)
        is_compared = None not in (*values, self.gap, self.gain)
        if self.gain is not None and not is_compared:
            raise ValueError("a compared metric needs num_videos, three values, gap and gain")
        if self.reason is None and None in (self.gain, self.gap_closed, self.beyond_half_gap):
            raise ValueError("without a reason it needs gain, gap_closed and beyond_half_gap")
        return self


class ScoreFile(Content):
    """A file of scores, of a SAVi (`split`) or of a predictor (`protocol`)."""

    metrics: dict[str, Metric]
    split: Split | None = None
    protocol: Window | None = None
    comparisons: dict[str, Comparison | str | int] = Field(default={})
    """By metric; besides, `subset` and `num_videos`, or the `reason` why nothing is compared."""
    per_video: dict[str, list[Value]] = Field(default={})
    """By metric its value in each video, null where it is undefined."""

    @model_validator(mode="after")
    def _check(self) -> "ScoreFile":
        if (self.split is None) == (self.protocol is None):
            raise ValueError("either split or protocol is needed")
        is_compared = any(isinstance(entry, Comparison) for entry in self.comparisons.values())
        if is_compared and not (
            self.protocol and {"subset", "num_videos"} <= set(self.comparisons)
        ):
            raise ValueError("comparisons need protocol, subset and num_videos")
        return self


def read_score_file(path: Path) -> dict[str, Any]:
    """Read a file of scores.

    Raises:
        ValueError: If it is missing, damaged or something else, naming it.
    """
    return read_content(path, ScoreFile)


def read_predictor_scores(path: Path) -> dict[str, Any]:
    """Read a predictor's file of scores.

    Raises:
        ValueError: If it is missing, damaged or something else, naming it.
    """
    scores = read_score_file(path)
    if scores.get("protocol") is None:
        raise ValueError(
            f"{path} holds no scores of a predictor; expected PREDICTOR/evaluation/PROTOCOL.json "
            "or PREDICTOR/probe/PROTOCOL.json"
        )
    return scores


def predictor_of(path: Path) -> str:
    """Return the predictor's name from where its scores lie: PREDICTOR/evaluation/PROTOCOL.json."""
    return path.absolute().parent.parent.name
