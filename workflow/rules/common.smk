"""Config, wildcard constraints, and what all rules share.

Required: a config (config/config.yaml where none is given). Provides: CONFIG, CHAINS, ASKED_PROBES
(the chains that the study itself asks to probe), TABLE_FOLDERS; JOBS, which knows what a job reads;
what rules put into params and resources (`stage_config`, `stage_code`, `uncounted`,
`resource_of`, ...), and where figures and tables stand (`of_videos`, `tables`). What needs no object of Snakemake lies in `ocvp/study/`.
"""

import functools
import os

from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError

# Under another name: where a line of Python begins with `report`, Snakemake takes it for a keyword.
from snakemake.io import report as in_report
from snakemake.settings.types import DeploymentMethod
from snakemake.utils import update_config

from ocvp.config import grid, yaml_files
from ocvp.config.section import SPLITS
from ocvp.config.tree import STUDIES
from ocvp.config.whole import DEFAULT, read_as_written, runtime_json, with_name
from ocvp.records import rules as table
from ocvp.study import job_lines, plan
from ocvp.study.chains import (
    any_of,
    chains,
    chains_over_seeds,
    drawn_videos,
    names_of,
    paths,
    paths_of,
    slot_splits,
    video_splits,
)
from ocvp.study.jobs import Jobs
from ocvp.study.pages import page_path, shown_chains, shown_files
from ocvp.study.products import asked_probes, trained_models
from ocvp.study.rule_values import RuleValues, slot_chunk_options, uncounted
from ocvp.study.selection import warn_of_selection

PROJECT = Path(os.path.abspath(workflow.snakefile)).parents[2]
IS_IMPORTED = PROJECT != Path(os.path.abspath(workflow.basedir))
# The first rule of an importing workflow stays its default.
HAS_DEFAULT = workflow.default_target is not None

# A small override is merged over the default; a config with data sets stands for itself. The
# default is that of the folder in which results are made, else the one beside the Snakefile.
if "datasets" not in config:
    if IS_IMPORTED or not DEFAULT.is_file():
        DEFAULT = PROJECT / DEFAULT

    configfile: DEFAULT

    # Snakemake does not merge what an importing workflow gives.
    if "datasets" not in config:
        default = load_configfile(DEFAULT)
        update_config(default, config)
        config = default


def refusing(function):
    """Return a function whose ValueError ends the workflow with its text alone."""

    @functools.wraps(function)
    def of(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            raise WorkflowError(str(error)) from None

    return of


refusing(yaml_files.check_files)(workflow.configfiles)
WRITTEN = refusing(read_as_written)(refusing(with_name)(config, workflow.configfiles))
CONFIG = grid.expand(WRITTEN)
refusing(table.check_rules)(CONFIG)
CHAINS = chains(CONFIG)
ASKED_PROBES = asked_probes(CONFIG)
JOBS = Jobs(CONFIG)
# Tables lie in both: in the first those of the study that was run last, in the other its own, which
# no other study replaces.
TABLE_FOLDERS = ["results", f"results/{STUDIES}/{CONFIG.name}"]
SHOWN = shown_files(shown_chains(CONFIG))

refusing(plan.check_folder)(PROJECT)
plan.set_paths()

# As built from envs/ocvp.def; only `--software-deployment-method apptainer` looks at it, but
# Snakemake refuses a path with a space at once.
IMAGE = str(PROJECT / "envs" / "ocvp.sif")
if " " not in IMAGE:

    container: IMAGE

elif DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method:
    raise WorkflowError(f"Snakemake takes no image whose path holds a space: {IMAGE}")


wildcard_constraints:
    dataset=any_of({chain.dataset for chain in CHAINS}),
    savi=any_of({chain.savi for chain in CHAINS}),
    predictor=any_of({p for chain in CHAINS for p in chain.predictors}),
    protocol=any_of({e for chain in CHAINS for e in chain.protocols}),
    split="|".join(SPLITS),
    seed=r"\d+",
    chunk=r"\d+",


# --- params and resources -------------------------------------------------------------------------

VALUES = RuleValues(CONFIG, JOBS)
stage_config, stage_code = VALUES.stage_config, VALUES.stage_code
training_runtime, resource_of = VALUES.training_runtime, VALUES.resource_of
python = uncounted(lambda wildcards: plan.python_command())
runtime = uncounted(lambda wildcards: runtime_json(CONFIG))
# The whole config, with its grids and the study's name.
study = uncounted(lambda wildcards: WRITTEN.model_dump_json(exclude_unset=True))


# --- figures, tables and their places in the report ------------------------------------------------

VIDEOS = drawn_videos(CONFIG, JOBS.num_videos)
PICTURE = f".{CONFIG.figures.format}"
KINDS = {PICTURE: "strip", ".gif": "animation", f"_tracks{PICTURE}": "tracks"}
OF_SEEDS = "results/{dataset}/{savi}/figures/{protocol}_"
OF_CHAIN = "results/{dataset}/{savi}/seed{seed}/figures/{protocol}_"
OF_PREDICTOR = "results/{dataset}/{savi}/seed{seed}/{predictor}/figures/{protocol}_"
CHAIN_LABELS = {"data set": "{dataset}", "SAVi": "{savi}", "seed": "{seed}"}
PROTOCOL_LABELS = {**CHAIN_LABELS, "protocol": "{protocol}"}


def of_videos(start, ending, predictor):
    """Return a figure for each video, labelled so that each can be found in the report."""
    labels = {**PROTOCOL_LABELS, "predictor": predictor, "figure": KINDS[ending]}
    return [
        in_report(
            f"{start}{video}{ending}",
            caption="../report/rollout.rst",
            category="Rollouts",
            subcategory="{dataset}, {savi}, {protocol}",
            labels={**labels, "video": video},
        )
        for video in VIDEOS
    ]


def tables(name):
    """Return where a table is written; the report shows the one in `results/`."""
    first, *others = (f"{folder}/{name}.csv" for folder in TABLE_FOLDERS)
    caption = f"../report/{name}.rst"
    labels = {"table": name}
    return [
        in_report(first, caption=caption, category="Tables", labels=labels),
        *others,
    ]


onstart:
    plan.show(workflow, CONFIG, JOBS.listing)


# What Snakemake does not see by itself: said once, not again by each of its jobs.
if workflow.is_main_process and not IS_IMPORTED:
    plan.show_differences(CONFIG)
    warn_of_selection(CONFIG)
    job_lines.attach(
        workflow, functools.partial(plan.forecast, workflow, CONFIG, JOBS.listing)
    )
