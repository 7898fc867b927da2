"""The records of a study's products, compared with its config, the code and the versions of today.

Snakemake compares them itself, with what it keeps in `.snakemake`. Where results were copied
without that folder, it cannot; and a changed version of a package it does not notice at all.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ocvp.changes import changes_between, describe_changes
from ocvp.environment import software_versions
from ocvp.products import Product
from ocvp.records import Record, find_record

MOST_TOLD = 5
"""Products that one message names."""

COMPARED_VERSIONS = ("ocvp", "python", "torch", "torchvision", "numpy", "h5py")


class Fault(NamedTuple):
    """A product that does not belong to the study as it is now."""

    product: str
    reason: str
    rule: str
    """The rule that makes it anew."""


def faults(products: Iterable[Product]) -> Iterator[Fault]:
    """Yield the products whose records do not fit the study, or one another.

    A product is looked at where its file exists: its config, code and seed must be those of the
    study, and each of its inputs must hold what it held when it was read.

    Args:
        products: Those of the study (`ocvp.products.products`), each after what it is made of.

    Raises:
        ValueError: If a record is damaged.
    """
    digests: dict[Path, str] = {}
    for product in products:
        path = Path(product.path)
        if not path.exists():
            continue
        record = find_record(path)
        if record is None:
            yield Fault(product.path, "no record says what made it", product.rule)
            continue
        digests[path] = record.content["products"][path.name]
        for reason in (difference(product, record), _changed_input(record, digests)):
            if reason:
                yield Fault(product.path, reason, product.rule)
                break


def difference(product: Product, record: Record) -> str:
    """Return in words how a record differs from what the study asks for; empty: not at all."""
    former, config = dict(record.content["config"]), json.loads(product.config)
    former.pop("root", None)  # where raw files lie does not count
    changes = changes_between({"config": former}, {"config": config})
    seed = record.content.get("seed")
    if product.seed is not None and seed != product.seed:
        return f"made with seed {seed}"
    if record.content["rule"] != product.rule:
        return f"made by {record.content['rule']}, not by {product.rule}"
    if changes:
        return f"made with another config ({describe_changes(changes)})"
    if record.content["code"] != product.code:
        return "made with other code"
    return ""


def _changed_input(record: Record, digests: dict[Path, str]) -> str:
    for role, path, digest in record.inputs():
        if digests.get(path, digest) != digest:
            return f"made of another {role} than {path}, which was replaced since"
    return ""


def refuse_mixed(products: Iterable[Product]) -> None:
    """Check that products can stand in one table.

    Raises:
        ValueError: If some were made with another config, code or seed, or of other inputs; it
            names them and says how to make them anew.
    """
    found = list(faults(products))
    if not found:
        return
    rules = " ".join(dict.fromkeys(fault.rule for fault in found))
    raise ValueError(
        "these products do not belong to the study as it is now, and are not mixed with the others:"
        f"\n{_listed([f'{fault.product}: {fault.reason}' for fault in found])}\n"
        "Copy .snakemake along with results, so that Snakemake makes anew what is stale; or make "
        f"them anew with `snakemake --cores 2 -R {rules}`, or delete them"
    )


def other_versions(products: Iterable[Product]) -> str:
    """Return what to say of products that other versions of packages made; empty where none did."""
    now = software_versions()
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for product in products:
        record = find_record(Path(product.path)) if Path(product.path).exists() else None
        if record is None:
            continue
        if changed := _changed_versions(record.content["made_by"]["versions"], now):
            counts[changed] += 1
            examples.setdefault(changed, product.path)
    lines = [
        f"{count} product{'s' * (count > 1)} made with {changed}, such as {examples[changed]}"
        for changed, count in counts.most_common()
    ]
    if not lines:
        return ""
    return (
        f"{_listed(lines)}\nVersions make nothing stale: these products are used as they are. To "
        "make some anew, use snakemake -R RULE."
    )


def _changed_versions(former: dict[str, Any], now: dict[str, str]) -> str:
    """Return which versions differ, for example "torch 2.14.0 (now 2.15.0)"."""
    changed = []
    for name in COMPARED_VERSIONS:
        # 2.15.0+cu130 is a build of 2.15.0.
        was, is_now = (versions.get(name, "").partition("+")[0] for versions in (former, now))
        if was and is_now and was != is_now:
            changed.append(f"{name} {was} (now {is_now})")
    return ", ".join(changed)


def without_snakemake(products: Iterable[Product]) -> str:
    """Return what to say of results that were copied without `.snakemake`; empty where all fits."""
    found = list(faults(products))
    if not found:
        return ""
    return (
        "There is no .snakemake folder beside results, so Snakemake does not notice that these "
        f"products do not belong to the study as it is now:\n"
        f"{_listed([f'{fault.product}: {fault.reason}' for fault in found])}"
    )


def _listed(lines: list[str]) -> str:
    told = [f"  {line}" for line in lines[:MOST_TOLD]]
    if len(lines) > MOST_TOLD:
        told.append(f"  and {len(lines) - MOST_TOLD} more")
    return "\n".join(told)
