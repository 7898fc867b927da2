"""Configs that are made of others.

A new experiment is another one, or a part of it, under names of its own. A study that is only
evaluated takes the models of one that was trained.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ocvp.config.section import NAME_PATTERN
from ocvp.config.tree import Config, Study
from ocvp.config.whole import read_as_written
from ocvp.config.yaml_files import load

CONFIGS = Path("config")
NAME = re.compile(NAME_PATTERN)
RENAMED = ("savi", "predictors", "evaluation")
"""Sections whose entries get new names; data sets keep theirs, and with them their videos."""


def new_experiment(
    config: Config,
    *,
    template: str,
    name: str,
    savi: str | None = None,
    predictors: Sequence[str] | None = None,
) -> Config:
    """Return a config whose models and protocols have names of their own.

    Args:
        config: The config to start from.
        template: Its name, which entries have at an end of theirs (`savi_obj3d`, `obj3d_5_to_25`).
        name: The new experiment's name, which takes that place, or is appended.
        savi: Name of the SAVi to keep as it is; None: all, under new names.
        predictors: Kinds or names of predictors to keep; None: all.

    Raises:
        ValueError: If there is no such SAVi or predictor, or a new name is one of the old ones.
    """
    if savi is not None or predictors is not None:
        config = selected(config, savi, predictors)
    # --- entries under their new names; the study's own comes from its file again
    renamed: dict[str, Any] = {"name": None}
    new_names: dict[str, dict[str, str]] = {}
    for section in RENAMED:
        entries: Mapping[str, Any] = getattr(config, section)
        new_names[section] = _new_names(list(entries), template, name)
        if section == "savi" and savi is not None:
            new_names[section] = {savi: savi}
        elif shared := set(new_names[section].values()) & set(entries):
            raise ValueError(
                f"NAME is {name!r}, which would give {section}.{min(shared)} its old name, and "
                "overwrite what it made; choose another"
            )
        renamed[section] = {new_names[section][old]: entry for old, entry in entries.items()}
    # --- studies that name them so
    renamed["study"] = []
    for study in config.study:
        names = {
            key: [_renamed(old, new_names[key]) for old in getattr(study, key)] for key in RENAMED
        }
        renamed["study"].append(study.model_copy(update=names))
    return config.model_copy(update=renamed)


def _renamed(name: str, new_names: Mapping[str, str]) -> str:
    """Return the new name of an entry, or of one variant of an entry with a grid."""
    entry = _entry(name)
    return new_names[entry] + name.removeprefix(entry)


def _entry(name: str) -> str:
    """Return the entry that a study's name stands for, itself or by one of its variants."""
    return name.partition("-")[0]


def selected(config: Config, savi: str | None, predictors: Sequence[str] | None) -> Config:
    """Return the part of a config that is about one SAVi and some predictors.

    Studies that are about others are left out, and so are the entries that no study names. Where no
    predictors are asked for, those of these studies stay defined, for a later experiment on the
    SAVi; and a study without any, as that one, means all that are defined.

    Raises:
        ValueError: If there is no such SAVi or predictor, or no study with both.
    """
    if savi is not None and savi not in config.savi:
        raise ValueError(f"--savi is {savi!r}; the template has {', '.join(config.savi)}")
    # --- the predictors that are asked for, by name or kind
    kept = list(config.predictors)
    if predictors is not None:
        kept = [key for key in kept if {key, config.predictors[key].kind} & set(predictors)]
        known = {*config.predictors, *(entry.kind for entry in config.predictors.values())}
        if unknown := [key for key in predictors if key not in known]:
            names = ", ".join(config.predictors) or "none"
            raise ValueError(f"--predictors names {unknown[0]!r}; the template has {names}")
    if predictors is None and len(config.study) > 1 and not all(s.predictors for s in config.study):
        raise ValueError(
            "the template has several studies, and one without predictors: name those to take with "
            f"--predictors, of {', '.join(config.predictors) or 'none'}"
        )
    # --- studies of which something is left
    studies: list[Study] = []
    for_later: set[str] = set()
    for study in config.study:
        models = [key for key in study.savi if savi in (None, _entry(key))]
        there = study.predictors or list(config.predictors)
        on_them = [key for key in there if _entry(key) in kept]
        if models and (on_them or not kept):
            update = {"savi": models, "predictors": on_them}
            studies.append(study.model_copy(update=update))
            for_later |= set() if kept else set(map(_entry, there))
    if not studies:
        raise ValueError(
            f"no study of the template has the SAVi {savi} and predictors among {', '.join(kept)}"
        )
    # --- the entries that these name
    named: dict[str, Any] = {"study": studies}
    for section in ("datasets", *RENAMED):
        used = {_entry(key) for study in studies for key in getattr(study, section)}
        used |= for_later if section == "predictors" else set()
        entries = getattr(config, section)
        named[section] = {key: entry for key, entry in entries.items() if key in used}
    return config.model_copy(update=named)


def _new_names(names: Sequence[str], template: str, name: str) -> dict[str, str]:
    """Return old name to new name: the template's at the end or start is replaced."""
    new = {}
    for old in names:
        if old.endswith(f"_{template}"):
            new[old] = f"{old.removesuffix(template)}{name}"
        elif old.startswith(f"{template}_"):
            new[old] = f"{name}{old.removeprefix(template)}"
        else:
            new[old] = f"{old}_{name}"
    if len(set(new.values())) < len(new):  # `savi` beside `savi_obj3d`, say
        new = {old: f"{old}_{name}" for old in names}
    return new


def find_template(like: str) -> Path:
    """Return the path of a config that is given by its path, or by its name where it is shipped.

    Shipped configs are those in `config/` of the working folder, and those beside the package.

    Raises:
        ValueError: If there is none, listing the names that there are.
    """
    if Path(like).is_file():
        return Path(like)
    folders = (CONFIGS, Path(__file__).parents[2] / CONFIGS)
    for folder in folders:
        if NAME.fullmatch(like) and (folder / f"{like}.yaml").is_file():
            return folder / f"{like}.yaml"
    names = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    raise ValueError(
        f"--like is {like!r}, which is neither a file nor the name of a config; there are: "
        f"{', '.join(names) or 'none'}"
    )


def read_template(path: Path) -> Config:
    """Read and validate a whole config.

    Raises:
        ValueError: If it is no YAML, no whole config, or not valid.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no YAML: {error}") from None
    value = load(text, str(path))
    if not isinstance(value, dict) or not {"datasets", "study"} <= value.keys():
        raise ValueError(f"{path} is no whole config: it needs datasets and a study")
    try:
        return read_as_written(value)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def evaluation_config(config: Config, folder: str) -> dict[str, Any]:
    """Return the config of a study whose models lie in a folder and are not trained.

    Args:
        config: The study's config; variants of its grids become entries by themselves.
        folder: Where its `results/` will lie.
    """
    chain = f"{folder}/{{dataset}}/{{savi}}/seed{{seed}}"
    checkpoints = {"savi": f"{chain}/savi.pt", "predictors": f"{chain}/{{predictor}}/predictor.pt"}
    plain = config.model_dump(mode="json", exclude_unset=True)
    for section in ("datasets", "savi", "predictors", "evaluation"):
        used = {name for study in config.study for name in getattr(study, section)}
        entries = getattr(config, section)
        plain[section] = {name: plain[section][name] for name in entries if name in used}
    # --- every model is taken from its file
    for section, path in checkpoints.items():
        for entry in plain[section].values():
            for key in ("start_from", "pretrained_params"):
                entry.pop(key, None)
            entry["pretrained"] = path
    return plain
