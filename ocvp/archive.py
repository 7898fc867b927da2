"""Pack a finished study into one file, from which another machine can evaluate it again.

    python -m ocvp.archive --output study.tar.gz

The file holds the models, scores, tables, figures and the records of everything (`provenance.json`,
those of videos and slots too), the study's config, and a config that evaluates the packed models
instead of training. Videos and slots are not in it: they are made again, from the same raw data.
"""

import argparse
import io
import logging
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from ocvp.config import Config
from ocvp.config_section import Section
from ocvp.files import atomic_path, check_writable, read_json
from ocvp.products import products
from ocvp.program import companion, run, start_logging
from ocvp.provenance import as_text, chain_of
from ocvp.study import chains, read_config
from ocvp.study_records import refuse_mixed

logger = logging.getLogger("ocvp.archive")

RESULTS = Path("results")
TABLES = ("summary.csv", "comparisons.csv", "training_time.csv")
LARGE = (".h5",)
"""Products that are not packed: they are made again."""
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    parser = argparse.ArgumentParser(
        prog="python -m ocvp.archive",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, required=True, help="file to write (.tar.gz)")
    args = parser.parse_args(argv)
    start_logging(None)
    name = name_of(args.output)
    check_writable(args.output)
    written = read_study()
    config = read_config(written)
    refuse_mixed(products(config))
    files = list(files_of(config))
    texts = {
        "README.md": README.format(name=name, file=args.output.name),
        "config.yaml": as_yaml(evaluation_config(config, f"{name}/{RESULTS}")),
        "study.yaml": as_yaml(written),
        "chain.txt": "\n".join(as_text(chain_of(RESULTS / TABLES[0]))) + "\n",
    }
    with (
        atomic_path(args.output) as temporary,
        tarfile.open(temporary, "w:gz", format=tarfile.PAX_FORMAT) as archive,
    ):
        for inner, text in texts.items():
            _add_text(archive, f"{name}/{inner}", text)
        for path in files:
            archive.add(path, f"{name}/{path}", recursive=False, filter=_without_owner)
    size = args.output.stat().st_size
    logger.info(
        "packed %d files of the study into %s, %.1f MB", len(files), args.output, size / 1e6
    )
    return 0


def name_of(output: Path) -> str:
    """Return the name of the folder in an archive: that of the file.

    Raises:
        ValueError: If the file is not named as one.
    """
    for suffix in SUFFIXES:
        if output.name.endswith(suffix) and output.name != suffix:
            return output.name.removesuffix(suffix)
    raise ValueError(f"--output is {output}; its name must end in {' or '.join(SUFFIXES)}")


def read_study() -> dict[str, Any]:
    """Return the config of the study in `results/`, as it was written.

    Raises:
        ValueError: If there are no tables yet.
    """
    path = companion(RESULTS / TABLES[0], "config.json")
    if not path.is_file():
        raise ValueError(
            f"{path} does not exist: there is no finished study in {RESULTS.absolute()}; run "
            "`snakemake --cores 2` first"
        )
    return dict(read_json(path))


def files_of(config: Config) -> Iterator[Path]:
    """Yield the files to pack, each once, in order.

    Raises:
        ValueError: If a product of the study is missing, naming it.
    """
    wanted = [RESULTS / table for table in TABLES]
    wanted += [Path(product.path) for product in products(config)]
    missing = [path for path in wanted if not path.is_file()]
    # Videos and slots may have been deleted to save space, as long as their records are there.
    if missing := [path for path in missing if path.suffix not in LARGE]:
        raise ValueError(
            f"{missing[0]} is missing, and {len(missing) - 1} other products of the study; run "
            "`snakemake --cores 2` first"
        )
    folders = {path.parent for path in wanted}
    folders |= {RESULTS / c.dataset / c.savi / f"seed{c.seed}" / "figures" for c in chains(config)}
    folders |= {path.parent / "figures" for path in wanted if path.name == "predictor.pt"}
    for folder in sorted(folders):
        for path in sorted(folder.glob("*")):
            if path.is_file() and path.suffix not in LARGE and not _is_of_a_run(path):
                yield path


def _is_of_a_run(path: Path) -> bool:
    return path.name.startswith(".") or path.suffix == ".lock" or path.name == "training.log"


def evaluation_config(config: Config, folder: str) -> dict[str, Any]:
    """Return the config of a study whose models lie in a folder and are not trained.

    Args:
        config: The study's config; variants of its grids become entries by themselves.
        folder: Where its `results/` will lie.
    """
    chain = f"{folder}/{{dataset}}/{{savi}}/seed{{seed}}"
    checkpoints = {
        "savi": f"{chain}/savi.pt",
        "predictors": f"{chain}/{{predictor}}/predictor.pt",
    }
    used = {
        section: {name for study in config.study for name in getattr(study, section)}
        for section in ("datasets", "savi", "predictors", "evaluation")
    }
    entries: dict[str, Any] = {
        section: {
            name: _plain(entry)
            for name, entry in getattr(config, section).items()
            if name in used[section]
        }
        for section in used
    }
    for section, path in checkpoints.items():
        for entry in entries[section].values():
            for key in ("start_from", "pretrained_params"):
                entry.pop(key, None)
            entry["pretrained"] = path
    rest = {key: getattr(config, key) for key in ("figures", "runtime", "resources")}
    plain = {
        key: {name: _plain(value) for name, value in part.items()}
        if isinstance(part, dict)
        else _plain(part)
        for key, part in rest.items()
    }
    return {**entries, **plain, "study": [_plain(study) for study in config.study]}


def _plain(section: Section) -> dict[str, Any]:
    return section.model_dump(mode="json", exclude_unset=True)


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


if __name__ == "__main__":
    run(main)
