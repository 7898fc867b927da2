"""What the page of a study's rollouts shows, and where it lies."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ocvp.config.tree import Config
from ocvp.config.whole import DEFAULT_NAME
from ocvp.records.rules import RULES
from ocvp.study.chains import chains

ROLES = ("savi", "videos", "slots", "predictors", "scores")


class ShownChain(NamedTuple):
    """A chain under a protocol, and the paths of what is shown of it."""

    names: dict[str, str]
    """What the page calls it: data set, SAVi, seed and protocol."""
    savi: Path
    videos: Path
    slots: Path
    predictors: dict[str, Path]
    """Checkpoints, by predictor."""
    scores: dict[str, Path]
    """Files of scores, by predictor."""

    def __str__(self) -> str:
        return ", ".join(f"{key} {name}" for key, name in self.names.items())


def page_path(config: Config) -> str:
    """Return where the page lies."""
    return f"results/{RULES['make_page'].product.format(study=config.name or DEFAULT_NAME)}"


def shown_chains(config: Config) -> list[ShownChain]:
    """Return what the page shows: two videos at least of each, so the first ones of many."""
    found = [
        _shown(config, *chain[:3], protocol, [p for p, own in chain.scored if own == protocol])
        for chain in chains(config)
        for protocol in chain.protocols
    ]
    return found[: config.page.num_videos // 2]


def shown_files(found: Iterable[ShownChain]) -> dict[str, list[str]]:
    """Return the paths of all that is shown, each once, by role."""
    roles: dict[str, dict[str, None]] = {role: {} for role in ROLES}
    for chain in found:
        for role in ROLES:
            paths = getattr(chain, role)
            paths = [paths] if isinstance(paths, Path) else paths.values()
            roles[role] |= dict.fromkeys(map(str, paths))
    return {role: list(paths) for role, paths in roles.items()}


def _shown(
    config: Config, dataset: str, savi: str, seed: int, protocol: str, predictors: list[str]
) -> ShownChain:
    def path(rule: str, **more: str) -> Path:
        names = {"dataset": dataset, "savi": savi, "seed": seed, "protocol": protocol, **more}
        return Path(f"results/{RULES[rule].product.format(**names)}")

    split = config.evaluation[protocol].split
    return ShownChain(
        {"data set": dataset, "SAVi": savi, "seed": str(seed), "protocol": protocol},
        path("fit_savi"),
        path("make_videos", split=split),
        path("encode_slots", split=split),
        {name: path("fit_predictor", predictor=name) for name in predictors},
        {name: path("score_predictor", predictor=name) for name in predictors},
    )
