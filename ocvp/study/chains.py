"""The chains of a study: a SAVi on a data set with one seed, and what builds on it."""

import contextlib
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from ocvp.config.entries import ModelEntry
from ocvp.config.section import SPLITS
from ocvp.config.tree import RANKED_VIDEOS, Config


class Chain(NamedTuple):
    """A SAVi on a data set with one seed, and the predictors that build on it."""

    dataset: str
    savi: str
    seed: int
    predictors: tuple[str, ...]
    scored: tuple[tuple[str, str], ...]
    """Predictors with the protocols that they are scored under."""
    probed: bool = False
    """Whether the study asks for probes of its slots."""

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that some predictor is scored under."""
        return tuple(dict.fromkeys(protocol for _, protocol in self.scored))


def chains(config: Config) -> list[Chain]:
    """Return what the study builds: each chain once, with all that any cross product adds to it."""
    found: dict[tuple[str, str, int], Chain] = {}
    for study in config.study:
        scored = tuple(itertools.product(study.predictors, study.evaluation))
        for key in itertools.product(study.datasets, study.savi, study.seeds):
            former = found.get(key, Chain(*key, (), ()))
            found[key] = Chain(
                *key,
                tuple(dict.fromkeys((*former.predictors, *study.predictors))),
                tuple(dict.fromkeys((*former.scored, *scored))),
                former.probed or study.probe,
            )
    return list(found.values())


def chains_over_seeds(config: Config) -> list[Chain]:
    """Return a chain for each SAVi on a data set that several seeds are trained of: the first one,
    with what is scored of two seeds at least.
    """
    groups: dict[tuple[str, str], list[Chain]] = {}
    for chain in chains(config):
        groups.setdefault(chain[:2], []).append(chain)
    counts = {
        key: Counter(pair for c in group for pair in c.scored) for key, group in groups.items()
    }
    return [
        group[0]._replace(scored=tuple(pair for pair, count in counts[key].items() if count > 1))
        for key, group in groups.items()
        if len(group) > 1
    ]


def paths(config: Config, pattern: str, **more: Iterable[str]) -> list[str]:
    """Return a pattern's paths for all chains of a study, for every wildcard that it has."""
    return paths_of(chains(config), pattern, **more)


def paths_of(found: Iterable[Chain], pattern: str, **more: Iterable[str]) -> list[str]:
    """Return a pattern's paths for some chains, for every wildcard that it has.

    Args:
        found: The chains.
        pattern: A path with wildcards: of chains, `predictor`, `protocol`, and further ones.
        more: By further wildcard, its values.
    """
    further = [dict(zip(more, values, strict=True)) for values in itertools.product(*more.values())]
    return sorted(
        {
            pattern.format(
                dataset=chain.dataset,
                savi=chain.savi,
                seed=chain.seed,
                predictor=predictor,
                protocol=protocol,
                **values,
            )
            for chain in found
            for predictor, protocol in _names_in(pattern, chain)
            for values in further
        }
    )


def _names_in(pattern: str, chain: Chain) -> Iterable[tuple[str, str]]:
    """Return the predictors and protocols of a chain that a pattern asks for, in pairs."""
    if "{protocol}" in pattern:
        return chain.scored
    if "{predictor}" in pattern:
        return [(predictor, "") for predictor in chain.predictors]
    return [("", "")]


def any_of(names: Iterable[str]) -> str:
    """Return a regular expression that matches these names only."""
    return "|".join(sorted(map(re.escape, names))) or "(?!)"


def names_of(entries: Mapping[str, ModelEntry], is_pretrained: bool) -> str:
    """Return the expression for the entries that are, or are not, pretrained."""
    return any_of(n for n, entry in entries.items() if bool(entry.pretrained) == is_pretrained)


# --- which splits a chain needs -----------------------------------------------------------------


def is_trained(config: Config, chain: Chain) -> bool:
    """Tell whether anything of a chain is trained: its SAVi, or a predictor."""
    models = [config.savi[chain.savi], *(config.predictors[name] for name in chain.predictors)]
    return not all(entry.pretrained for entry in models)


def needs_training_slots(config: Config, chain: Chain) -> bool:
    """Tell whether a predictor is trained on a chain, or may be later on."""
    if not chain.predictors:
        return not config.savi[chain.savi].pretrained
    return not all(config.predictors[name].pretrained for name in chain.predictors)


def scored_splits(config: Config, chain: Chain) -> set[str]:
    """Return the splits that a chain's predictors are scored on."""
    return {config.evaluation[protocol].split for protocol in chain.protocols}


def video_splits(config: Config, chain: Chain) -> list[str]:
    """Return the splits that a chain needs: where nothing is trained, only the scored ones."""
    if is_trained(config, chain):
        return sorted(SPLITS)
    scored = scored_splits(config, chain) | {config.savi[chain.savi].evaluation.split}
    return sorted(scored | probed_splits(config, chain))


def slot_splits(config: Config, chain: Chain) -> list[str]:
    """Return the splits whose slots a chain needs: to train on, and those that are scored."""
    training = {"train", "val"} if needs_training_slots(config, chain) else set()
    return sorted(training | scored_splits(config, chain) | probed_splits(config, chain))


def probed_splits(config: Config, chain: Chain) -> set[str]:
    """Return the splits whose slots are probed, where the study asks for it."""
    if not chain.probed or obstacle(config, chain):
        return set()
    return {FITTED, config.savi[chain.savi].evaluation.split}


# --- whose slots are probed ----------------------------------------------------------------------

FITTED = "train"
"""Split on which probes are fitted."""


def wanted_probes(config: Config) -> list[Chain]:
    """Return the chains that are to be probed: all of them, where the study asks for none."""
    found = chains(config)
    return [chain for chain in found if chain.probed] or found


def probed_chains(config: Config) -> list[Chain]:
    """Return the chains that are to be probed and can be, with the protocols for which they can."""
    return [
        chain._replace(
            scored=tuple(
                (predictor, protocol)
                for predictor, protocol in chain.scored
                if config.evaluation[protocol].split != FITTED
            )
        )
        for chain in wanted_probes(config)
        if not obstacle(config, chain)
    ]


def obstacle(config: Config, chain: Chain) -> str:
    """Return why the slots of a chain cannot be probed; empty where they can."""
    if not config.datasets[chain.dataset].has_boxes:
        return f"datasets.{chain.dataset} has no masks, so nothing is known of its objects"
    if config.savi[chain.savi].evaluation.split == FITTED:
        return f"savi.{chain.savi}.evaluation.split is {FITTED}, on which probes are fitted"
    return ""


def unprobed(config: Config) -> list[str]:
    """Return, a line each, why some of what is to be probed cannot be."""
    wanted = wanted_probes(config)
    reasons = [obstacle(config, chain) for chain in wanted]
    reasons += [
        f"evaluation.{protocol}.split is {FITTED}, on which probes are fitted"
        for chain in wanted
        for protocol in chain.protocols
        if config.evaluation[protocol].split == FITTED
    ]
    return [f"Not probed: {reason}." for reason in dict.fromkeys(reasons) if reason]


def drawn_videos(config: Config, num_videos: Callable[[str, str], int]) -> list[str]:
    """Return the names, in figures' paths, of the videos that are drawn under each protocol."""
    return [*(f"video{v}" for v in range(num_rollouts(config, num_videos))), *RANKED_VIDEOS]


def num_rollouts(config: Config, num_videos: Callable[[str, str], int]) -> int:
    """Return how many videos are drawn under each protocol because they are the first ones.

    Args:
        config: The study's config: `figures.num_videos` are drawn.
        num_videos: From the names of a data set and a split to how many videos it holds: where one
            that is scored holds fewer, as many are drawn everywhere.
    """
    scored = {(c.dataset, split) for c in chains(config) for split in scored_splits(config, c)}
    counts = [config.figures.num_videos]
    for dataset, split in sorted(scored):
        # What is missing is named where it is needed, and other products need none of it.
        with contextlib.suppress(ValueError):
            counts.append(num_videos(dataset, split))
    return min(counts)
