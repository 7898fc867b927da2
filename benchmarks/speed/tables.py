"""What was measured, as tables of at most 100 columns; a result is what the JSON file holds."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ocvp.pictures.curves import NAMES
from speed.subject import Sizes, Subject, training_of
from speed.turns import FIRST_STEP

OURS, PLAIN = "here", "plain"
"""Labels of the two ways; against another version, its commit stands for the second one."""
NOT_MEASURED = "not measured"
PREDICTORS = ("lstm", "transformer", "ocvp_seq", "ocvp_par")
WORK = ("savi", *PREDICTORS, "extraction", "savi_scores", "predictor_scores", "loader", FIRST_STEP)
"""Everything that can be measured, in the order of the tables."""


def label_of(name: str, subject: Subject) -> str:
    """Return what some work is, and how much of it."""
    sizes = Sizes(**subject.sizes)
    videos = f"{sizes.videos} videos of {sizes.frames}"
    if name in PREDICTORS:
        length = f"{sizes.num_context} -> {sizes.num_preds}"
        return f"{NAMES[name]} step, {sizes.predictor_batch} times {length}"
    return {
        "savi": f"SAVi step, {sizes.savi_batch} clips of {sizes.savi_frames} frames",
        "extraction": f"slots of {videos} frames",
        "savi_scores": f"SAVi scores, {videos}",
        "predictor_scores": f"predictor scores, {videos}",
        "loader": f"reading {sizes.loader_batch} clips of {sizes.savi_frames}",
        FIRST_STEP: f"start, {sizes.dataset_videos:,} videos",
    }[name]


# --- times ----------------------------------------------------------------------------------------


def heading(other: str) -> str:
    """Return the heading of the table of times."""
    return f"{'':33} {OURS:>22} {other:>22} {'ratio':>20}"


def times_line(work: Mapping[str, Any], other: str) -> str:
    """Return a line of the table of times: median, least and largest, and those of the ratios."""
    sides = work["sides"]
    ours, theirs = (sides[label]["seconds"] if label in sides else [] for label in (OURS, other))
    cells = [seconds_text(ours), seconds_text(theirs) if other in sides else "-"]
    ratios = ratios_of(work, other)
    cells.append(spread(ratios) if ratios else "-")
    return f"{work['label']:33} {cells[0]:>22} {cells[1]:>22} {cells[2]:>20}"


def ratios_of(work: Mapping[str, Any], other: str) -> list[float]:
    """Return, for each round, how many times longer the other way took."""
    sides = work["sides"]
    ours, theirs = (sides[label]["seconds"] if label in sides else [] for label in (OURS, other))
    return [later / first for first, later in zip(ours, theirs, strict=False)]


def seconds_text(seconds: Sequence[float]) -> str:
    """Return times in a unit that suits them."""
    if not seconds:
        return NOT_MEASURED
    if statistics.median(seconds) >= 1:
        return spread(seconds, " s")
    return spread([1000 * value for value in seconds], " ms")


def spread(values: Sequence[float], unit: str = "") -> str:
    """Return median, least and largest of some values."""
    middle = statistics.median(values)
    decimals = 2 if middle < 10 else 1 if middle < 100 else 0
    texts = [f"{value:.{decimals}f}" for value in (middle, min(values), max(values))]
    return f"{texts[0]}{unit} ({texts[1]} to {texts[2]})"


# --- rates and memory -----------------------------------------------------------------------------


def rates_table(result: Mapping[str, Any]) -> str:
    """Return operations, bytes and peak memory of all work, and the shares of the best rates."""
    names = ("clips/s", "Gop", "Gop/s", "of best", "GB", "GB/s", "of best", "peak MB")
    lines = [f"{'':17}{'':9}" + "".join(f"{name:>9}" for name in names)]
    for name, work in result["work"].items():
        for label, side in work["sides"].items():
            if name != FIRST_STEP:
                cells = rate_cells(side, result["ceilings"])
                lines.append(f"{name:17}{label:9}" + "".join(f"{cell:>9}" for cell in cells))
    return "\n".join(lines)


def rate_cells(side: Mapping[str, Any], ceilings: Mapping[str, float] | None) -> list[str]:
    """Return the cells of one way of some work."""
    if not side["seconds"]:
        return [NOT_MEASURED.rjust(13)]
    seconds = statistics.median(side["seconds"])
    cells = [f"{side['num_clips'] / seconds:.1f}"]
    for key, best in (("operations", "operations"), ("num_bytes", "bytes")):
        if not side[key]:
            cells += ["-", "-", "-"]
            continue
        rate = side[key] / seconds
        share = f"{rate / ceilings[best]:.1%}" if ceilings else "-"
        cells += [f"{side[key] / 1e9:.3g}", f"{rate / 1e9:.3g}", share]
    return [*cells, "-" if side["peak_bytes"] is None else f"{side['peak_bytes'] / 1e6:.0f}"]


# --- whole trainings ------------------------------------------------------------------------------


def hours_table(result: Mapping[str, Any]) -> str:
    """Return how long whole trainings take at the measured rates; nothing where sizes differ."""
    lines = []
    for name, work in result["work"].items():
        steps = num_steps(result, name)
        if steps is not None:
            cells = (
                hours_text(work["sides"].get(label), steps) for label in (OURS, result["other"])
            )
            lines.append(f"{name:17}{steps:>10,}" + "".join(f"{cell:>16}" for cell in cells))
    if not lines:
        return ""
    head = f"{'whole training':17}{'steps':>10}" + "".join(
        f"{f'hours, {label}':>16}" for label in (OURS, result["other"])
    )
    return "\n".join([head, *lines])


def num_steps(result: Mapping[str, Any], name: str) -> int | None:
    """Return the steps of a training; None where the measured ones are of another size."""
    sizes = result["sizes"]
    if name == "savi":
        wanted = {"batch_size": sizes["savi_batch"], "clip_length": sizes["savi_frames"]}
        wanted["curriculum_epochs"] = 0
    elif name in PREDICTORS:
        wanted = {key: sizes[key] for key in ("num_context", "num_preds")}
        wanted["batch_size"] = sizes["predictor_batch"]
    else:
        return None
    training = training_of(result, name)
    if any(getattr(training, key) != value for key, value in wanted.items()):
        return None
    of_epoch = math.ceil(sizes["dataset_videos"] / training.batch_size)
    return training.num_steps or training.num_epochs * of_epoch


def hours_text(side: Mapping[str, Any] | None, steps: int) -> str:
    """Return the hours of so many steps."""
    if side is None or not side["seconds"]:
        return NOT_MEASURED
    return f"{steps * statistics.median(side['seconds']) / 3600:.1f}"


# --- what stands below ----------------------------------------------------------------------------


def notes(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield what stands below the tables: machine, best rates, what was not measured and why."""
    made_by, ceilings = result["made_by"], result["ceilings"]
    git = made_by["git"] or {"commit": "unknown", "dirty": False}
    dirty = " with changes" if git["dirty"] else ""
    versions = made_by["versions"]
    yield (
        f"{made_by['device']['name']}, {result['num_threads']} threads, torch {versions['torch']}, "
        f"{result['precision']}"
    )
    commit = f"{git['commit'][:12]}{dirty}"
    yield f"config {result['config']}, commit {commit}, {result['rounds']} rounds"
    if ceilings:
        yield (
            f"best rates: a convolution {ceilings['operations'] / 1e9:.4g} Gop/s, "
            f"a copy {ceilings['bytes'] / 1e9:.3g} GB/s"
        )
    else:
        yield f"best rates: {NOT_MEASURED}"
    before = [
        side["bytes_before"]
        for work in result["work"].values()
        for side in work["sides"].values()
        if side["bytes_before"]
    ]
    if before:
        yield f"of the peak memory, {max(before) / 1e6:.0f} MB or less were there before the work"
    for name, work in result["work"].items():
        for label, side in work["sides"].items():
            if side["reason"]:
                yield f"{name}, {label}: {NOT_MEASURED}: {side['reason']}"
