"""The products of a study: which there are, and what each depends on."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, cast

from ocvp.config.parts import entry_of
from ocvp.config.section import Split
from ocvp.config.tree import Config
from ocvp.data.raw_files import Listing, listing
from ocvp.records.origins import origin_digest
from ocvp.records.rules import RULES, stage_config, stage_digest
from ocvp.study.chains import (
    Chain,
    chains,
    chains_over_seeds,
    paths_of,
    probed_chains,
    slot_splits,
    video_splits,
)

SIZES = Path(".snakemake", "ocvp", "sizes")
"""Where sizes of raw files are kept from one parse to the next, beside what Snakemake keeps."""


class Product(NamedTuple):
    """One product, and what it depends on besides its inputs."""

    path: str
    """Where it lies, from the folder of `results/`."""
    rule: str
    """The rule that makes it."""
    config: str
    """Its part of the config, as canonical JSON."""
    code: str
    """Digest of its code."""
    seed: int | None
    """Seed of its chain; None: of all."""
    names: dict[str, str]
    """The wildcards of its path: `dataset`, `savi`, ..."""


def products(config: Config) -> Iterator[Product]:
    """Yield the products of a study, without figures and tables."""
    seen: set[str] = set()
    jobs = [(chain, job) for chain in chains(config) for job in _jobs(config, chain)]
    jobs += [(chain, job) for chain in asked_probes(config) for job in _probing_jobs(chain)]
    for chain, job in jobs:
        product = _product(config, chain, *job)
        if product.path not in seen:
            seen.add(product.path)
            yield product


def _product(config: Config, chain: Chain, rule: str, more: dict[str, str]) -> Product:
    # by all chains of a data set, whatever their seeds
    is_shared = rule == "make_videos"
    kind = config.datasets[chain.dataset].kind if is_shared else None
    names = {"dataset": chain.dataset, "savi": chain.savi, "seed": str(chain.seed), **more}
    return Product(
        f"results/{RULES[rule].product.format(**names)}",
        rule,
        stage_config(config, rule, names),
        stage_digest(rule, kind),
        None if is_shared else chain.seed,
        names,
    )


def _jobs(config: Config, chain: Chain) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the jobs of a chain: the rule, and its wildcards besides those of the chain."""
    for split in video_splits(config, chain):
        yield "make_videos", {"split": split}
    yield ("import_savi" if config.savi[chain.savi].pretrained else "fit_savi"), {}
    yield "score_savi", {}
    for split in slot_splits(config, chain):
        yield "encode_slots", {"split": split}
    for predictor in chain.predictors:
        is_imported = config.predictors[predictor].pretrained
        yield ("import_predictor" if is_imported else "fit_predictor"), {"predictor": predictor}
    for predictor, protocol in chain.scored:
        yield "score_predictor", {"predictor": predictor, "protocol": protocol}


def asked_probes(config: Config) -> list[Chain]:
    """Return the chains that the study itself asks to probe, and that can be."""
    return [chain for chain in probed_chains(config) if chain.probed]


def _probing_jobs(chain: Chain) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the jobs that probe a chain, as `_jobs`."""
    yield "probe_savi", {}
    for predictor, protocol in chain.scored:
        yield "probe_predictor", {"predictor": predictor, "protocol": protocol}


DRAWN_OF = {"draw_probes": asked_probes, "draw_seed_curves": chains_over_seeds}
"""By rule, what figures are drawn of where it is not all chains."""


def figures(config: Config) -> list[str]:
    """Return the first figure of each job that draws some."""
    found = []
    for rule in filter(lambda rule: rule.startswith("draw_"), RULES):
        drawn = DRAWN_OF.get(rule, chains)(config)
        pattern = f"results/{RULES[rule].product}"
        found += paths_of(drawn, pattern, format=[config.figures.format])
    return found


def outside_digest(config: Config, product: Product) -> str:
    """Return the digest of what a product is made of from outside of the study; empty: nothing.

    Raw files count by names and sizes, checkpoints by content. Where they are gone, what stands
    beside the product says what they were.

    Args:
        config: The study's config.
        product: One of its products.

    Raises:
        ValueError: If a file is missing, and nothing says what it was.
    """
    path = Path(product.path)
    if product.rule == "make_videos":
        dataset, split = product.names["dataset"], cast(Split, product.names["split"])
        return raw_listing(config, dataset, split).digest
    if product.rule.startswith(("fit_", "import_")):
        return origin_digest(entry_of(config, product.names), path.parent)
    return ""


def raw_listing(config: Config, dataset: str, split: Split) -> Listing:
    """Return what a split is converted from; without its raw files, what they once were.

    Raises:
        ValueError: If there are neither raw files nor a record of them, or unexpected ones.
    """
    record = Path(f"results/{dataset}/videos/{split}.manifest.json")
    return listing(config.datasets[dataset], split, record, SIZES / f"{dataset}.{split}.json")


def trained_models(config: Config) -> list[str]:
    """Return the checkpoints that a study trains, SAVis and predictors, and does not import."""
    return [product.path for product in products(config) if product.rule.startswith("fit_")]
