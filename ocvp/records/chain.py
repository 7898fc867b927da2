"""The chain of a product: the records of all that it was made of, down to the raw data.

Where a product no longer holds what it held when another one was made of it, the chain is broken.
"""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

from ocvp.config.datasets import DatasetStage
from ocvp.config.section import Split, canonical_json, validate
from ocvp.data.raw_files import list_videos, manifest
from ocvp.data.raw_videos import MissingDataError
from ocvp.records.records import Record, content_digest, find_record
from ocvp.runtime.files import companion

SHOWN_DIGITS = 12
"""Of a digest, in text; `--json` has all."""

DATE_CHARACTERS = len("2026-01-31")

SHOWN_VERSIONS = ("ocvp", "python", "torch", "cuda", "numpy")


class Node(NamedTuple):
    """One product or file of a chain."""

    role: str
    """What it was for the product that is made of it; empty for the first one."""
    path: Path
    record: Record | None
    """What made it; None for files from outside."""
    fault: str
    """Why the chain is broken here; empty where it is not."""
    is_repeated: bool
    """Whether it stands in the chain before, with what it was made of."""
    inputs: tuple["Node", ...] = ()


def chain_of(path: Path, verify: bool = False) -> Node:
    """Return a product with all that it was made of, directly or not.

    Args:
        path: The product.
        verify: Whether to compare the content of files with their records.

    Raises:
        ValueError: If it does not exist, or nothing says what made it, or its record is damaged.
    """
    if not path.is_file():
        raise ValueError(
            f"{path} does not exist; PATH is a product, for example results/summary.csv"
        )
    if find_record(path) is None:
        raise ValueError(
            f"nothing says what made {path}: there is no provenance.json for it in {path.parent}"
        )
    return _node("", path, None, verify, seen=set())


def _node(role: str, path: Path, digest: str | None, verify: bool, seen: set[Path]) -> Node:
    """Return one node; `digest` is what the file held when it was read."""
    record, damage = None, ""
    try:
        record = find_record(path) if path.parent.is_dir() else None
    except ValueError as error:
        damage = str(error)
    # Large files are the inputs of many products: each is read once.
    fault = damage or _fault(path, record, digest, verify and path not in seen)
    if path in seen:
        return Node(role, path, record, fault, is_repeated=True)
    seen.add(path)
    inputs = tuple(_node(*found, verify, seen) for found in record.inputs()) if record else ()
    return Node(role, path, record, fault, is_repeated=False, inputs=inputs)


def _fault(path: Path, record: Record | None, digest: str | None, verify: bool) -> str:
    made = record.content["products"][path.name] if record else None
    # the record of the product against what its reader had read
    if digest and made and digest != made:
        return "it was replaced after what is made of it"
    if not path.is_file():
        return "" if digest else "it is gone"  # what was read may be gone: the records tell of it
    wanted = made or digest
    if not verify or not wanted:
        return ""
    try:
        found = content_digest(path)
    except ValueError as error:
        return str(error)
    if found != wanted:
        return f"its content ({short(found)}) is not what was recorded ({short(wanted)})"
    return _raw_fault(path, record) if record else ""


def _raw_fault(path: Path, record: Record) -> str:
    """Say how names and sizes of raw files differ from those that videos were converted from."""
    raw = record.content.get("raw")
    if not raw or not raw.get("digest"):  # simulated, or no videos at all
        return ""
    try:
        dataset = validate(DatasetStage, record.content["config"], str(record.path)).root
        found = manifest(dataset, list_videos(dataset, cast(Split, path.stem)))
    except MissingDataError:
        return ""  # they may be gone once they were converted
    except ValueError as error:
        return str(error)
    if found["digest"] == raw["digest"]:
        return ""
    return f"its raw files in {raw.get('root')} are not what was recorded, by names and sizes"


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all that it was made of."""
    yield node
    for part in node.inputs:
        yield from walk(part)


# --- showing it ---------------------------------------------------------------------------------


def as_json(node: Node) -> dict[str, Any]:
    """Return a chain as plain containers."""
    return {
        "role": node.role or None,
        "path": str(node.path),
        "exists": node.path.is_file(),
        "fault": node.fault or None,
        "record": None if node.record is None or node.is_repeated else node.record.content,
        "inputs": [as_json(part) for part in node.inputs],
    }


def as_text(node: Node, indent: str = "") -> Iterator[str]:
    """Yield the lines that show a chain, each product before what it was made of."""
    label = f"{node.role}: " if node.role else ""
    notes = [note for note in (_note(node), _broken(node)) if note]
    yield f"{indent}{label}{node.path}{''.join(f'  ({note})' for note in notes)}"
    if node.record is None or node.is_repeated:
        return
    indent += "    "
    yield from (f"{indent}{line}" for line in _about(node.path, node.record))
    for part in node.inputs:
        yield from as_text(part, indent)


def as_brief_text(node: Node, indent: str = "") -> Iterator[str]:
    """Yield a line for each product of a chain, but none for what stands there before."""
    if node.is_repeated and not node.fault:
        return
    digest = short(node.record.content["products"][node.path.name]) if node.record else ""
    facts = (*(_origin(node.record) if node.record else ()), digest, _note(node), _broken(node))
    yield f"{indent}{node.path}  {', '.join(filter(None, facts))}".rstrip()
    for part in node.inputs:
        yield from as_brief_text(part, f"{indent}  ")


def _origin(record: Record) -> Iterator[str]:
    """Yield in a word each what made a product, with which seed, and when."""
    content = record.content
    yield content["rule"]
    yield "" if content.get("seed") is None else f"seed {content['seed']}"
    yield content["finished"][:DATE_CHARACTERS]


def _broken(node: Node) -> str:
    return f"BROKEN: {node.fault}" if node.fault else ""


def _note(node: Node) -> str:
    if node.is_repeated:
        return "see above"
    gone = "" if node.path.is_file() else "gone"
    is_from_outside = node.record is None and not node.fault  # or its record is damaged
    return ", ".join(filter(None, ["from outside" if is_from_outside else "", gone]))


def _about(path: Path, record: Record) -> Iterator[str]:
    """Yield what a record says, apart from inputs."""
    content = record.content
    seed = "" if content.get("seed") is None else f", seed {content['seed']}"
    yield f"made by {content['rule']} (python -m {content['program']}){seed}"
    made_by = content["made_by"]
    device = made_by["device"]["name"]
    yield f"{content['finished']}, {_duration(content['seconds'])} on {device}"
    versions = made_by["versions"]
    yield ", ".join(f"{name} {versions[name]}" for name in SHOWN_VERSIONS if name in versions)
    git = made_by.get("git")
    commit = f", commit {git['commit'][:SHOWN_DIGITS]}" if git else ""
    edited = " with edits" if git and git["dirty"] else ""
    digest = short(content["products"][path.name])
    yield f"{digest}, code {content['code'][:SHOWN_DIGITS]}{commit}{edited}"
    if content["config"]:
        yield f"config {canonical_json(content['config'])}"
    if raw := content.get("raw"):
        yield _raw(raw)
    command = companion(record.path.parent / next(iter(content["products"])), "command.sh")
    if command.is_file():
        yield f"again: sh {shlex.quote(str(command))}"


def _raw(raw: dict[str, Any]) -> str:
    """Say what videos were converted from."""
    if not raw.get("num_files"):
        return f"raw data: none, {raw['num_videos']} videos were simulated"
    return (
        f"raw data: {raw['num_files']} files, {raw['num_bytes'] / 1e9:.3f} GB, "
        f"sha256:{raw['digest'][:SHOWN_DIGITS]} (names and sizes), in {raw.get('root')}"
    )


def short(digest: str) -> str:
    """Return a digest for a reader: its kind, and its first digits."""
    kind, _, digits = digest.partition(":")
    return f"{kind}:{digits[:SHOWN_DIGITS]}"


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.2f} h" if seconds >= 3600 else f"{seconds:.1f} s"
