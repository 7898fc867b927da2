"""Config, wildcard constraints, and what all rules share.

Required: a config (config/config.yaml where none is given). Provides: CONFIG, CHAINS, SPLITS; what
rules put into params and resources (`stage_config`, `stage_digest`, `runtime`, `resource_of`); and
the paths that collectors and input functions need.
"""

from snakemake.exceptions import WorkflowError

from ocvp import plan
from ocvp.config import SPLITS
from ocvp.stages import stage_digest
from ocvp.study import chains, read_config, runtime_json
from ocvp.study import stage_config as part_of_config

# A small override is merged over the default; a config with data sets stands for itself. The
# default is that of the folder in which results are made, else the one beside the Snakefile.
DEFAULT = Path("config/config.yaml")
if "datasets" not in config:

    configfile: DEFAULT if DEFAULT.is_file() else workflow.basedir / DEFAULT


try:
    CONFIG = read_config(config)
except ValueError as error:
    raise WorkflowError(str(error)) from None

CHAINS = chains(CONFIG)

plan.put_python_on_path()


def any_of(names):
    """Return a regular expression that matches these names only."""
    return "|".join(sorted(names)) or "(?!)"


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


def runtime(wildcards, resources):
    """Return where and how fast to run. As it asks for resources, it makes nothing stale."""
    return runtime_json(CONFIG)


# Rule to cores, memory in MB, time limit in minutes and GPUs, for the embedded data set; larger
# data sets override them in the config, under `resources`. Trainings take their num_threads.
RESOURCES = {
    "make_chunk": (1, 1000, 60, 0),
    "make_videos": (1, 1000, 60, 0),
    "fit_savi": (None, 4000, 1440, 0),
    "score_savi": (2, 4000, 120, 0),
    "encode_slots": (2, 4000, 120, 0),
    "fit_predictor": (None, 4000, 1440, 0),
    "score_predictor": (2, 4000, 120, 0),
    "draw_slots": (1, 2000, 30, 0),
    "draw_rollouts": (1, 2000, 30, 0),
    "draw_curves": (1, 1000, 30, 0),
    "summarize": (1, 1000, 30, 0),
}
unknown = set(CONFIG.resources) - set(RESOURCES)
if unknown:
    raise WorkflowError(
        f"config is not valid:\n  resources names {', '.join(sorted(unknown))}; "
        f"the rules are {', '.join(RESOURCES)}"
    )


def resource_of(rule, kind):
    """Return how much of `threads`, `mem_mb`, `runtime` or `gpu` a rule gets."""
    default = RESOURCES[rule][("threads", "mem_mb", "runtime", "gpu").index(kind)]
    own = getattr(CONFIG.resources.get(rule), kind, None)
    return default if own is None else own


def training_threads(rule, section):
    """Return a threads function: the num_threads of the entry that is trained, or the override."""

    def of(wildcards):
        entries = {"savi": CONFIG.savi, "predictors": CONFIG.predictors}[section]
        name = wildcards.savi if section == "savi" else wildcards.predictor
        return resource_of(rule, "threads") or entries[name].training.num_threads

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


def chunks_of(wildcards):
    """Return the parts of a split, in order."""
    dataset = CONFIG.datasets[wildcards.dataset]
    num_videos = getattr(dataset.num_videos, wildcards.split)
    num_chunks = -(-num_videos // dataset.videos_per_chunk)
    return [
        f"results/{wildcards.dataset}/videos/{wildcards.split}/chunk{chunk}.h5"
        for chunk in range(num_chunks)
    ]


def slot_splits(chain):
    """Return the splits whose slots a chain needs: two to train on, and those that are scored."""
    scored = {CONFIG.evaluation[protocol].split for protocol in chain.protocols}
    return sorted({"train", "val"} | scored)


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
    names = (wildcards.dataset, wildcards.savi, int(wildcards.seed))
    return [
        f"results/{chain.dataset}/{chain.savi}/seed{chain.seed}/{predictor}/evaluation/{wildcards.protocol}.json"
        for chain in CHAINS
        if chain[:3] == names
        for predictor, protocol in chain.scored
        if protocol == wildcards.protocol
    ]


onstart:
    plan.show(workflow, CONFIG)
