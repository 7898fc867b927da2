"""Packing a finished study: which files go in, and that they belong together."""

import io
import logging
import tarfile
from pathlib import Path
from typing import Any

import yaml

from ocvp.config.experiments import evaluation_config
from ocvp.config.tree import Config
from ocvp.config.whole import read_config
from ocvp.records.chain import as_text, chain_of, walk
from ocvp.records.records import find_record
from ocvp.runtime.files import atomic_path, companion, read_json
from ocvp.study.products import figures, products
from ocvp.study.staleness import check_products

logger = logging.getLogger(__name__)

RESULTS = Path("results")
TABLES = ("summary.csv", "comparisons.csv", "training_time.csv")
LARGE = (".h5",)
"""Products that are not packed: they are made again."""
BESIDE = ("config.json", "command.sh", "manifest.json", "origin.json")
"""What may lie beside a product, besides its record."""
SUFFIXES = (".tar.gz", ".tgz")

README = """\
# {name}

A packed study of object-centric video prediction: models, scores, tables, figures, and what made
each of them.

- `config.yaml`: evaluates the packed models. In a copy of the project, unpack this file and run

      tar xf {file}
      snakemake evaluate_predictor --cores 2 --configfile {name}/config.yaml

  Videos are made again: tabletop is simulated, other data sets are converted from `root`.
- `study.yaml`: the config that the study was made with, to train it again.
- `results/`: models, tables, figures, scores. What made them is shown by

      python -m ocvp.provenance {name}/results/summary.csv

  and stands in `chain.txt`.
"""


def pack(output: Path, name: str) -> None:
    """Pack the study in `results/` of the working folder, of several the last one.

    Args:
        output: File to write.
        name: Name of the folder in it.

    Raises:
        ValueError: If the study is not finished, or its products do not belong together.
    """
    # --- what goes in; faults are found before anything is written
    config, written = read_study()
    check_tables(config)
    check_products(config)
    files = files_of(config)
    texts = {
        "README.md": README.format(name=name, file=output.name),
        "config.yaml": as_yaml(evaluation_config(config, f"{name}/{RESULTS}")),
        "study.yaml": as_yaml(written),
        "chain.txt": "\n".join(as_text(chain_of(RESULTS / TABLES[0]))) + "\n",
    }
    with (
        atomic_path(output) as temporary,
        # A product that is a link goes in as the file.
        tarfile.open(temporary, "w:gz", format=tarfile.PAX_FORMAT, dereference=True) as archive,
    ):
        for inner, text in texts.items():
            _add_text(archive, f"{name}/{inner}", text)
        for path in files:
            archive.add(path, f"{name}/{path}", recursive=False, filter=_without_owner)
    size = output.stat().st_size / 1e6
    logger.info("packed %d files of the study into %s, %.1f MB", len(files), output, size)


def name_of(output: Path) -> str:
    """Return the name of the folder in an archive: that of the file.

    Raises:
        ValueError: If the file is not named as one.
    """
    for suffix in SUFFIXES:
        if output.name.endswith(suffix) and output.name != suffix:
            return output.name.removesuffix(suffix)
    raise ValueError(f"--output is {output}; its name must end in {' or '.join(SUFFIXES)}")


def read_study() -> tuple[Config, dict[str, Any]]:
    """Return the config of the study in `results/`, validated, and as it was written.

    Raises:
        ValueError: If there are no tables yet, or the file is damaged.
    """
    path = companion(RESULTS / TABLES[0], "config.json")
    if not path.is_file():
        raise ValueError(
            f"{path} does not exist: there is no finished study in {RESULTS.absolute()}; run "
            "`snakemake --cores 2` first"
        )
    written = read_json(path)
    try:
        return read_config(written), written
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def check_tables(config: Config) -> None:
    """Check that all tables in `results/` are those of one study.

    Raises:
        ValueError: If one is of another study than the first, whose config is given.
    """
    for table in TABLES[1:]:
        record = find_record(RESULTS / table)
        if record and (name := record.content["config"].get("name")) != config.name:
            raise ValueError(
                f"{RESULTS / table} is of the study {name}, but {RESULTS / TABLES[0]} of "
                f"{config.name}; run `snakemake --cores 2` with the config of one of them first"
            )


def files_of(config: Config) -> list[Path]:
    """Return the files to pack: products, and what their records name and lies beside them.

    Raises:
        ValueError: If a product of the study is missing, or was replaced after another one was made
            of it, naming it.
    """
    shown = [*(RESULTS / table for table in TABLES), *map(Path, figures(config))]
    files: set[Path] = set()
    for path in [*shown, *(Path(product.path) for product in products(config))]:
        record = find_record(path)
        # Videos and slots may have been deleted to save space, but not their records.
        if record is None or not (path.is_file() or path.suffix in LARGE):
            raise ValueError(f"{path} is missing, or its record; run `snakemake --cores 2` first")
        names = [*record.content["products"], *(companion(path, name).name for name in BESIDE)]
        beside = {record.path, *(path.with_name(name) for name in names)}
        files |= {file for file in beside if file.is_file() and file.suffix not in LARGE}
    for path in shown:
        if broken := [node for node in walk(chain_of(path)) if node.fault]:
            raise ValueError(
                f"{path} is outdated: {broken[0].path}: {broken[0].fault}; run `snakemake --cores "
                "2` first"
            )
    return sorted(files)


def as_yaml(value: dict[str, Any]) -> str:
    """Return a config as YAML, in its own order."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def _without_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode()
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    archive.addfile(entry, io.BytesIO(content))
