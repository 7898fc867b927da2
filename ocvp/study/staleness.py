"""The records of a study's products, compared with its config, the code and the versions of today.

Snakemake compares them itself, with what it keeps in `.snakemake`. Where results were copied
without that folder, it cannot; and a changed version of a package it does not notice at all.
"""

import contextlib
import json
from base64 import urlsafe_b64encode
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ocvp.config.tree import Config
from ocvp.records.changes import changes_between, describe_changes
from ocvp.records.origins import read_origin
from ocvp.records.records import Record, find_record
from ocvp.runtime.environment import PACKAGES, software_versions
from ocvp.study.products import Product, outside_digest, products

MOST_LISTED = 5
"""Products that one message names."""

MOST_CHARACTERS = 254
"""Of a name for which Snakemake uses one file."""

COMPARED_VERSIONS = ("python", *PACKAGES)


class Fault(NamedTuple):
    """A product that does not belong to the study as it is now."""

    product: str
    reason: str


def faults(config: Config) -> Iterator[Fault]:
    """Yield the products of a study whose records do not fit it, or one another.

    A product is looked at where its file exists: its config, code, seed and what it was made of
    must be what the study says, and each of its inputs must hold what it held when it was read.
    """
    # --- each product against the study
    records: list[tuple[Product, Record]] = []
    for product in products(config):
        if not Path(product.path).exists():
            continue
        try:
            record = find_record(Path(product.path))
        except ValueError as error:  # counts as missing; `damaged_records` tells of it
            record = None
            if product.rule != "make_videos":
                yield Fault(product.path, f"its record is damaged ({error})")
                continue
        if record is not None:
            records.append((product, record))
        elif product.rule != "make_videos":  # a workflow that imports this one may make its own
            yield Fault(product.path, "no record says what made it")
    # --- each against what it was made of, as far as that has records too
    digests = {
        Path(product.path).absolute().with_name(name): digest
        for product, record in records
        for name, digest in record.content["products"].items()
    }
    for product, record in records:
        if reason := difference(config, product, record) or _changed_input(record, digests):
            yield Fault(product.path, reason)


def difference(config: Config, product: Product, record: Record) -> str:
    """Return in words how a record differs from what the study asks for; empty: not at all."""
    former, wanted = dict(record.content["config"]), json.loads(product.config)
    former.pop("root", None)  # where raw files lie does not count
    changes = changes_between({"config": former}, {"config": wanted})
    seed = record.content.get("seed")
    if None not in (seed, product.seed) and seed != product.seed:  # where it has any draws
        return f"made with seed {seed}"
    if record.content["rule"] != product.rule:
        return f"made by {record.content['rule']}, not by {product.rule}"
    if changes:
        return f"made with another config ({describe_changes(changes)})"
    if record.content["code"] != product.code:
        return "made with other code"
    try:
        wanted_digest = outside_digest(config, product)
    except ValueError:  # it is gone, and Snakemake says so where it is needed
        return ""
    try:
        is_other = _outside_digest(product, record) != wanted_digest
    except ValueError as error:
        return f"its record is damaged ({error})"
    return "made of other raw files or weights than the config names" if is_other else ""


def _outside_digest(product: Product, record: Record) -> str:
    """Return the digest of what a product was made of from outside (see `outside_digest`).

    Raises:
        ValueError: If what says so is damaged.
    """
    if product.rule == "make_videos":
        return str((record.content.get("raw") or {}).get("digest", ""))
    if product.rule.startswith(("fit_", "import_")):
        return str(read_origin(Path(product.path).parent).get("digest", ""))
    return ""


def _changed_input(record: Record, digests: dict[Path, str]) -> str:
    for role, path, digest in record.inputs():
        if digests.get(path.absolute(), digest) != digest:
            return f"made of another {role} than {path}, which was replaced since"
    return ""


def check_products(config: Config, *, only_scored: bool = False) -> None:
    """Check that the products of a study can stand in one table.

    Args:
        config: The study's config.
        only_scored: Leave out what no score of the study was made of, slots that nothing reads for
            example, which may be made anew at the same time.

    Raises:
        ValueError: If some were made with another config, code or seed, or of other inputs; it
            names them and says how to make them anew.
    """
    found = list(faults(config))
    if only_scored:
        behind = _behind_scores(config)
        found = [fault for fault in found if fault.product in behind]
    if not found:
        return
    # as words of a command line, which the message suggests
    paths = " ".join(fault.product for fault in found[:MOST_LISTED])
    more = " ..." if len(found) > MOST_LISTED else ""
    raise ValueError(
        "these products do not belong to the study as it is now, and are not mixed with the others:"
        f"\n{_fault_list(found)}\n"
        "Copy .snakemake along with results, so that Snakemake makes anew what is stale; or make "
        f"them anew with `snakemake --cores 2 --forcerun {paths}{more}`, or delete them"
    )


def _behind_scores(config: Config) -> set[str]:
    """Return the paths of scores, and of all products that they were made of, by their records."""
    paths = {Path(product.path).absolute(): product for product in products(config)}
    waiting = [path for path, made in paths.items() if made.rule.startswith(("score_", "probe_"))]
    found: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in paths and paths[path].path not in found:
            found.add(paths[path].path)
            with contextlib.suppress(ValueError):  # what is damaged is a fault by itself
                if record := find_record(path):
                    waiting += [read.absolute() for _, read, _ in record.inputs()]
    return found


def unknown_faults(config: Config) -> str:
    """Return what to say of products that do not belong to the study, where Snakemake cannot know.

    It cannot where it has no metadata of them, as after a copy without `.snakemake`.
    """
    unknown = {
        product.path
        for product in products(config)
        if Path(product.path).exists() and not _has_metadata(product.path)
    }
    found = [fault for fault in faults(config) if fault.product in unknown] if unknown else []
    if not found:
        return ""
    return (
        "Snakemake has no records of these products (.snakemake was not copied along?), so it does "
        f"not notice that they do not belong to the study as it is now:\n{_fault_list(found)}"
    )


def _has_metadata(product: str) -> bool:
    """Tell whether Snakemake keeps something of a product: a file named by its path in base64."""
    # Snakemake names its files so (9.x, snakemake.persistence)
    name = urlsafe_b64encode(product.encode()).decode()
    # Longer names are cut into folders; those are not looked for, and count as known.
    return len(name) >= MOST_CHARACTERS or Path(".snakemake", "metadata", name).exists()


def damaged_records(config: Config) -> str:
    """Return what to say of records that are damaged; empty where none is."""
    found: list[str] = []
    for product in products(config):
        path = Path(product.path)
        for read in (find_record, lambda path: read_origin(path.parent)):
            try:
                _ = path.exists() and read(path)
            except ValueError as error:
                found.append(str(error))
    if not found:
        return ""
    return f"These records count as missing:\n{_bullets(list(dict.fromkeys(found)))}"


def other_versions(config: Config) -> str:
    """Return what to say of products that other versions of packages made; empty where none did."""
    now = software_versions()
    made: dict[str, list[str]] = defaultdict(list)  # with which other versions, which products
    for product in products(config):
        path = Path(product.path)
        try:
            record = find_record(path) if path.exists() else None
        except ValueError:  # `damaged_records` tells of it
            continue
        if record is None:
            continue
        if changed := _changed_versions(record.content["made_by"].get("versions", {}), now):
            made[changed].append(product.path)
    if not made:
        return ""
    lines = [
        f"{len(paths)} product{'s' * (len(paths) > 1)} made with {changed}, such as {paths[0]}"
        for changed, paths in sorted(made.items(), key=lambda item: -len(item[1]))
    ]
    return (
        f"{_bullets(lines)}\nVersions make nothing stale: these products are used as they are. To "
        "make some anew, use snakemake --forcerun FILE."
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


def _fault_list(found: list[Fault]) -> str:
    return _bullets([f"{fault.product}: {fault.reason}" for fault in found])


def _bullets(lines: list[str]) -> str:
    rows = [f"  {line}" for line in lines[:MOST_LISTED]]
    if len(lines) > MOST_LISTED:
        rows.append(f"  and {len(lines) - MOST_LISTED} more")
    return "\n".join(rows)
