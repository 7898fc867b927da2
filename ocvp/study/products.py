"""The products of a study: which there are, and what each depends on."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple, cast

from ocvp.config.entries import ModelEntry
from ocvp.config.section import SPLITS, Split
from ocvp.config.tree import Config
from ocvp.data.raw_files import listing
from ocvp.records.origins import origin_digest
from ocvp.records.stages import stage_digest
from ocvp.runtime.files import companion
from ocvp.study.study import Chain, chains, stage_config


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
    for chain in chains(config):
        for product in _of_chain(config, chain):
            if product.path not in seen:
                seen.add(product.path)
                yield product


def _of_chain(config: Config, chain: Chain) -> Iterator[Product]:
    names = {"dataset": chain.dataset, "savi": chain.savi, "seed": str(chain.seed)}
    kind = config.datasets[chain.dataset].kind

    def product(path: str, rule: str, kind: str | None = None, **more: str) -> Product:
        own = names | more
        seed = None if rule == "make_videos" else chain.seed
        part = stage_config(config, rule, SimpleNamespace(**own))
        return Product(f"results/{path}", rule, part, stage_digest(rule, kind), seed, own)

    folder = "{dataset}/{savi}/seed{seed}".format(**names)
    for split in video_splits(config, chain):
        yield product(f"{chain.dataset}/videos/{split}.h5", "make_videos", kind, split=split)
    rule = "import_savi" if config.savi[chain.savi].pretrained else "fit_savi"
    yield product(f"{folder}/savi.pt", rule)
    yield product(f"{folder}/evaluation.json", "score_savi")
    for split in slot_splits(config, chain):
        yield product(f"{folder}/slots/{split}.h5", "encode_slots", split=split)
    for predictor in chain.predictors:
        rule = "import_predictor" if config.predictors[predictor].pretrained else "fit_predictor"
        yield product(f"{folder}/{predictor}/predictor.pt", rule, predictor=predictor)
    for predictor, protocol in chain.scored:
        path = f"{folder}/{predictor}/evaluation/{protocol}.json"
        yield product(path, "score_predictor", predictor=predictor, protocol=protocol)


def figures(config: Config) -> list[str]:
    """Return the first figure of each job that draws some."""
    found: dict[str, None] = {}
    for chain in chains(config):
        folder = f"results/{chain.dataset}/{chain.savi}/seed{chain.seed}"
        found[f"{folder}/figures/slots.png"] = None
        for protocol in chain.protocols:
            found[f"{folder}/figures/{protocol}_curves.png"] = None
        for predictor, protocol in chain.scored:
            found[f"{folder}/{predictor}/figures/{protocol}_video0.png"] = None
    return list(found)


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
        dataset, split = config.datasets[product.names["dataset"]], product.names["split"]
        return listing(dataset, cast(Split, split), companion(path, "manifest.json")).digest
    if product.rule.startswith(("fit_", "import_")):
        return origin_digest(entry_of_job(config, product.names), path.parent)
    return ""


def entry_of_job(config: Config, names: dict[str, str]) -> ModelEntry:
    """Return the entry of a job, of its predictor or else of its SAVi, with its paths filled in.

    Args:
        config: The whole config.
        names: The job's wildcards.
    """
    entry: ModelEntry = (
        config.predictors[names["predictor"]]
        if "predictor" in names
        else config.savi[names["savi"]]
    )
    return entry.of_job(**names)


def trained_models(config: Config) -> list[str]:
    """Return the checkpoints that a study trains, SAVis and predictors, and does not import."""
    return [product.path for product in products(config) if product.rule.startswith("fit_")]


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
    return sorted(scored_splits(config, chain) | {config.savi[chain.savi].evaluation.split})


def slot_splits(config: Config, chain: Chain) -> list[str]:
    """Return the splits whose slots a chain needs: to train on, and those that are scored."""
    training = {"train", "val"} if needs_training_slots(config, chain) else set()
    return sorted(training | scored_splits(config, chain))
