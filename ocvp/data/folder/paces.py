"""What is told of films whose frames are not shown at one rate."""

from collections.abc import Mapping

from ocvp.data.films import Pace

SAME = 0.02
"""Part by which rates may differ: 29.97 and 30 frames a second are the same, 24 and 25 are not."""


def describe_paces(
    paces: Mapping[str, Pace], fps: float | None, first: tuple[str, Pace] | None
) -> str:
    """Return one text on all films with which something may be wrong; empty: nothing.

    Args:
        paces: Films by name, and how their frames follow each other.
        fps: The rate at which they are sampled; None: at their own frames.
        first: The film that rates are compared with.
    """
    if fps is not None:
        slower = {name: pace for name, pace in paces.items() if 0 < pace.fps * (1 + SAME) < fps}
        faults = [f"fps is {fps:g}, but {_rates(slower, paces)}: frames repeat"] if slower else []
        return "; ".join(faults)
    uneven = {name: pace for name, pace in paces.items() if not pace.is_even}
    others = {
        name: pace
        for name, pace in paces.items()
        if pace.is_even and first and abs(pace.fps - first[1].fps) > SAME * first[1].fps
    }
    faults = []
    if uneven:
        name, worst = max(uneven.items(), key=lambda item: item[1].longest - item[1].shortest)
        faults.append(
            f"in {len(uneven)} of {len(paces)} films the time from frame to frame changes (in "
            f"{name} it is {worst.span()})"
        )
    if others and first:
        faults.append(f"{_rates(others, paces)}, and {first[0]} has {first[1].fps:.4g}")
    if not faults:
        return ""
    return (
        f"{'; '.join(faults)}: things move at different speeds; give fps to sample all at one rate"
    )


def _rates(films: Mapping[str, Pace], all_films: Mapping[str, Pace]) -> str:
    rates = sorted((pace.fps, name) for name, pace in films.items())
    (low, name), (high, _) = rates[0], rates[-1]
    span = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
    return f"{len(films)} of {len(all_films)} films have {span} frames a second ({name})"
