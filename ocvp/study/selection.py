"""Models that are scored on the videos by which their weights were selected."""

import contextlib
import functools
import logging
from collections.abc import Iterator
from pathlib import Path

from ocvp.config.datasets import AnyDataset
from ocvp.config.entries import ModelEntry
from ocvp.config.section import Split
from ocvp.config.tree import Config
from ocvp.data.raw_files import list_videos
from ocvp.study.chains import chains

logger = logging.getLogger(__name__)


def warn_of_selection(config: Config) -> None:
    """Warn once where `select: best` chose weights by the videos that their scores are on."""
    if cases := dict.fromkeys(_cases(config)):
        logger.warning(
            "select is best, which takes the weights with the lowest loss on val, but val is what "
            "they are scored on: %s; such scores are too good: give select: last, or score on "
            "other videos",
            ", ".join(cases),
        )


def _cases(config: Config) -> Iterator[str]:
    """Yield what is scored on its own validation videos, and why; some of it several times."""
    # files are listed once for all chains
    are_the_same = functools.cache(lambda name: _are_the_same(config.datasets[name]))
    for chain in chains(config):
        savi = config.savi[chain.savi]
        scored: list[tuple[str, ModelEntry, str, Split]] = [
            (f"savi.{chain.savi}", savi, f"savi.{chain.savi}.evaluation", savi.evaluation.split)
        ]
        for predictor, protocol in chain.scored:
            split = config.evaluation[protocol].split
            where, entry = f"evaluation.{protocol}", config.predictors[predictor]
            scored += [(f"predictors.{predictor}", entry, where, split)]
            # its scores hang on the SAVi's weights too
            scored += [(f"savi.{chain.savi}", savi, where, split)]
        for name, model, where, split in scored:
            if not _selects_best(model):
                continue
            if split == "val":
                yield f"{name} ({where}.split is val)"
            elif split == "test" and are_the_same(chain.dataset):
                yield f"{name} (val and test of datasets.{chain.dataset} are the same videos)"


def _selects_best(entry: ModelEntry) -> bool:
    training = getattr(entry, "training", None)
    return not entry.pretrained and training is not None and training.select == "best"


def _are_the_same(dataset: AnyDataset) -> bool:
    """Tell whether a data set's val and test have videos in common."""
    if getattr(dataset, "splits", None) == "published":
        return True
    root = getattr(dataset, "root", None)
    if root is None:  # simulated: splits share no draws
        return False
    with contextlib.suppress(ValueError):  # what is missing is named where it is needed
        val, test = (
            # links are followed: one folder may stand for both
            {(Path(root, v.files[0]).resolve(), v.record) for v in list_videos(dataset, split)}
            for split in ("val", "test")
        )
        return not val.isdisjoint(test)
    return False
