"""Config, wildcard constraints, and what all rules share.

Required: a config (config/config.yaml where none is given). Provides: CONFIG, CHAINS, SPLITS; what
rules put into params and resources (`stage_config`, `stage_code`, `runtime`, `resource_of`); and
the paths that collectors and input functions need.
"""

import functools
import os
import re
import sys

from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config

from ocvp.study import plan
from ocvp.records import origins
from ocvp.data import raw_files
from ocvp.config import grid
from ocvp.data.chunks import num_chunks
from ocvp.config.section import SPLITS
from ocvp.config.parts import entry_of_job
from ocvp.study.chains import slot_splits, video_splits
from ocvp.study.products import trained_models
from ocvp.records.rules import GROWING, check_rules, resource
from ocvp.records.rules import stage_digest
from ocvp.study.chains import chains
from ocvp.config.whole import read_as_written, runtime_json
from ocvp.records.rules import stage_config as part_of_config

PROJECT = Path(os.path.abspath(workflow.snakefile)).parents[2]
IS_IMPORTED = PROJECT != Path(os.path.abspath(workflow.basedir))
# The first rule of an importing workflow stays its default.
HAS_DEFAULT = workflow.default_target is not None

# A small override is merged over the default; a config with data sets stands for itself. The
# default is that of the folder in which results are made, else the one beside the Snakefile.
DEFAULT = Path("config/config.yaml")
if "datasets" not in config:
    if IS_IMPORTED or not DEFAULT.is_file():
        DEFAULT = PROJECT / DEFAULT

    configfile: DEFAULT

    # Snakemake does not merge what an importing workflow gives.
    if "datasets" not in config:
        default = load_configfile(DEFAULT)
        update_config(default, config)
        config = default


try:
    WRITTEN = read_as_written(config)
    CONFIG = grid.expand(WRITTEN)
    check_rules(CONFIG)
except ValueError as error:
    raise WorkflowError(str(error)) from None

CHAINS = chains(CONFIG)
CHAINS_BY_NAME = {chain[:3]: chain for chain in CHAINS}

plan.put_python_on_path()


# As built from envs/ocvp.def; only `--software-deployment-method apptainer` looks at it.
container: str(PROJECT / "envs" / "ocvp.sif")


def any_of(names):
    """Return a regular expression that matches these names only."""
    return "|".join(sorted(map(re.escape, names))) or "(?!)"


wildcard_constraints:
    dataset=any_of({chain.dataset for chain in CHAINS}),
    savi=any_of({chain.savi for chain in CHAINS}),
    predictor=any_of({p for chain in CHAINS for p in chain.predictors}),
    protocol=any_of({e for chain in CHAINS for e in chain.protocols}),
    split="|".join(SPLITS),
    seed=r"\d+",
    chunk=r"\d+",


def stage_config(rule):
    """Return a params function: the part of the config that a rule's product depends on."""

    def of(wildcards):
        return part_of_config(CONFIG, rule, wildcards)

    return of


def stage_code(rule):
    """Return a params function: the digest of the code that a rule runs."""
    makes_videos = rule in ("make_chunk", "make_videos")

    # Not while the rules are read: each job reads them, and needs the digest of its own alone.
    def of(wildcards):
        kind = CONFIG.datasets[wildcards.dataset].kind if makes_videos else None
        return stage_digest(rule, kind)

    return of


def python(wildcards, resources):
    """Return how to run Python with the package. As it asks for resources, it does not count."""
    return plan.python_command()


def runtime(wildcards, resources):
    """Return where and how fast to run. As it asks for resources, it makes nothing stale."""
    return runtime_json(CONFIG)


def training_runtime(wildcards, resources):
    """Return where and how fast to train, with as many processes as the job has GPUs."""
    # An importing workflow may give a rule other resources, without GPUs.
    return runtime_json(CONFIG, processes=max(resources.get("gpu", 0), 1))


def study(wildcards, resources):
    """Return the whole config, with its grids. As it asks for resources, it makes nothing stale."""
    return WRITTEN.model_dump_json(exclude_unset=True)


def resource_of(rule, kind):
    """Return how much of `threads` or `gpu` a rule gets; of `mem_mb` or `runtime` a function.

    They grow when a job is tried again.
    """
    if kind not in GROWING:
        return resource(CONFIG, rule, kind)

    def of(wildcards, attempt):
        return resource(CONFIG, rule, kind, attempt)

    return of


def training_threads(rule):
    """Return a threads function: those of each process of a training, or the override."""

    def of(wildcards):
        num_processes = CONFIG.runtime.processes or max(resource_of(rule, "gpu"), 1)
        num_threads = entry_of(wildcards).training.num_threads
        return resource_of(rule, "threads") or num_processes * num_threads

    return of


def names_in(pattern, chain):
    """Return the predictors and protocols of a chain that a pattern asks for, in pairs."""
    if "{predictor}" in pattern and "{protocol}" in pattern:
        return chain.scored
    if "{predictor}" in pattern:
        return [(predictor, "") for predictor in chain.predictors]
    if "{protocol}" in pattern:
        return [("", protocol) for protocol in chain.protocols]
    return [("", "")]


def chain_paths(pattern):
    """Return a pattern's paths for all chains of the study, for every wildcard that it has."""
    return sorted(
        {
            pattern.format(
                dataset=chain.dataset,
                savi=chain.savi,
                seed=chain.seed,
                predictor=predictor,
                protocol=protocol,
                video=video,
            )
            for chain in CHAINS
            for predictor, protocol in names_in(pattern, chain)
            for video in (
                range(CONFIG.figures.num_videos) if "{video}" in pattern else [0]
            )
        }
    )


@functools.cache
def raw_listing(dataset, split):
    """Return what a split is converted from; without its raw files, what they once were."""
    record = Path(f"results/{dataset}/videos/{split}.manifest.json")
    try:
        found = raw_files.listing(CONFIG.datasets[dataset], split, record)
    except ValueError as error:
        raise WorkflowError(f"datasets.{dataset}: {error}") from None
    if found.digest and not found.videos:
        videos = f"results/{dataset}/videos/{split}.h5"
        print(
            f"The raw files of {videos} are gone; it is used as it is.", file=sys.stderr
        )
    return found


def raw_digest(wildcards):
    """Return the digest of names and sizes of a split's raw files."""
    return raw_listing(wildcards.dataset, wildcards.split).digest


def chunk_digest(wildcards):
    """Return the digest of names and sizes of the raw files of one chunk."""
    size = CONFIG.datasets[wildcards.dataset].videos_per_chunk
    start = int(wildcards.chunk) * size
    return raw_listing(wildcards.dataset, wildcards.split).part_digest(
        start, start + size
    )


def raw_root(wildcards, resources):
    """Return the folder of the raw files. As it asks for resources, it makes nothing stale."""
    return getattr(CONFIG.datasets[wildcards.dataset], "root", ".")


def paths_of_chunks(folder, wildcards, size):
    """Return the chunks of a split's file in a folder, each of so many videos, in order."""
    num_videos = raw_listing(wildcards.dataset, wildcards.split).num_videos
    return [
        f"{folder}/{wildcards.split}/chunk{chunk}.h5"
        for chunk in range(num_chunks(num_videos, size))
    ]


def chunks_of(wildcards):
    """Return the parts of a split, in order."""
    size = CONFIG.datasets[wildcards.dataset].videos_per_chunk
    return paths_of_chunks(f"results/{wildcards.dataset}/videos", wildcards, size)


def videos_per_slot_chunk(wildcards):
    """Return how many videos one job encodes."""
    return CONFIG.savi[wildcards.savi].extraction.videos_per_chunk


def slot_chunks(wildcards):
    """Return the chunks of a split that is too large for one job to encode, in order."""
    chain = f"results/{wildcards.dataset}/{wildcards.savi}/seed{wildcards.seed}"
    size = videos_per_slot_chunk(wildcards)
    chunks = paths_of_chunks(f"{chain}/slots", wildcards, size)
    return chunks if len(chunks) > 1 else []


def gpu_of_extraction(wildcards):
    """Return the GPUs that encode a split; chunks are joined without any."""
    return 0 if slot_chunks(wildcards) else resource_of("encode_slots", "gpu")


def slot_chunk_options(wildcards, input):
    """Return the options that name these chunks. Asking for the input, they do not count."""
    return ["--chunks", *input.chunks] if input.chunks else []


def entry_of(wildcards):
    """Return the predictor's entry of a job that has one, else the SAVi's."""
    return entry_of_job(CONFIG, dict(wildcards.items()))


def model_folder(wildcards):
    """Return the folder of a job's model, of its predictor or else of its SAVi."""
    folder = Path(f"results/{wildcards.dataset}/{wildcards.savi}/seed{wildcards.seed}")
    return folder / getattr(wildcards, "predictor", "")


@functools.cache
def models_of_study():
    """Return the paths of all models that this study makes."""
    models = ["savi.pt", "{predictor}/predictor.pt"]
    folder = "results/{dataset}/{savi}/seed{seed}"
    return {made for model in models for made in chain_paths(f"{folder}/{model}")}


def origin_product(wildcards):
    """Return the checkpoint that a model is made of, where this study makes it itself."""
    entry = entry_of(wildcards)
    path = entry.pretrained or entry.start_from
    if not path:
        return []
    path = os.path.relpath(path)
    if Path(path).parent == model_folder(wildcards):
        raise WorkflowError(
            f"{path} lies where the model that is made of it is written to; copy it elsewhere"
        )
    return [path] if path in models_of_study() else []


def origin_digest(wildcards):
    """Return the digest of the checkpoint that a model is imported or starts from."""
    if origin_product(wildcards):
        return ""  # an input, which Snakemake follows
    try:
        return origins.origin_digest(entry_of(wildcards), model_folder(wildcards))
    except ValueError as error:
        raise WorkflowError(str(error)) from None


def origin_options(wildcards, resources):
    """Return the options that name this checkpoint. Asking for resources, they do not count."""
    entry = entry_of(wildcards)
    if entry.pretrained and entry.pretrained_params:
        return ["--checkpoint", entry.pretrained, "--params", entry.pretrained_params]
    weights = entry.pretrained or entry.start_from
    return ["--checkpoint", weights] if weights else []


def names_of(section, is_pretrained):
    """Return the pattern of a section's entries that are, or are not, pretrained."""
    return any_of(
        {
            name
            for name, entry in getattr(CONFIG, section).items()
            if bool(entry.pretrained) == is_pretrained
        }
    )


def scored_videos(wildcards):
    """Return the videos that a SAVi is scored on."""
    split = CONFIG.savi[wildcards.savi].evaluation.split
    return f"results/{wildcards.dataset}/videos/{split}.h5"


def protocol_split(wildcards):
    """Return the split that a protocol scores on."""
    return CONFIG.evaluation[wildcards.protocol].split


def protocol_videos(wildcards):
    """Return the videos that a protocol scores on."""
    return f"results/{wildcards.dataset}/videos/{protocol_split(wildcards)}.h5"


def protocol_slots(wildcards):
    """Return the slots that a protocol scores on."""
    chain = f"results/{wildcards.dataset}/{wildcards.savi}/seed{wildcards.seed}"
    return f"{chain}/slots/{protocol_split(wildcards)}.h5"


def protocol_scores(wildcards):
    """Return the scores of a chain's predictors under one protocol."""
    chain = CHAINS_BY_NAME[wildcards.dataset, wildcards.savi, int(wildcards.seed)]
    folder = f"results/{chain.dataset}/{chain.savi}/seed{chain.seed}"
    return [
        f"{folder}/{predictor}/evaluation/{protocol}.json"
        for predictor, protocol in chain.scored
        if protocol == wildcards.protocol
    ]


onstart:
    plan.show(workflow, CONFIG, raw_listing)


# What Snakemake does not see by itself: said once, not again by each of its jobs.
if workflow.is_main_process and not IS_IMPORTED:
    plan.show_differences(CONFIG)
