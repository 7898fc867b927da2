"""Runs a program of the package that something happens to at a chosen moment.

    python tests/helpers/killed.py ocvp.train_savi '{"on": "backward", "call": 5}' ARGUMENTS...

`on` names a function, `call` which of its calls. What happens there is SIGKILL, or with `sleep`
that many seconds pass, or with `memory` only so many MB more may be had.
"""

import importlib
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

import torch

from ocvp.runtime import program
from ocvp.training.predictor_task import PredictorTask
from ocvp.training.savi_task import SaviTask

FUNCTIONS = {
    "backward": (torch.Tensor, "backward"),
    "sync": (os, "fsync"),
    "rename": (Path, "replace"),
    "remove": (Path, "unlink"),
    "losses": (SaviTask, "losses"),
    "validation": (SaviTask, "validation_losses"),
    "predictor validation": (PredictorTask, "validation_losses"),
    "picture": (SaviTask, "images"),
}


def happen(plan):
    if "sleep" in plan:
        Path(plan["file"]).touch()
        time.sleep(plan["sleep"])
    elif "memory" in plan:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + plan["memory"] * 1_000_000
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    else:
        os.kill(os.getpid(), signal.SIGKILL)


def main(module, plan, *arguments):
    plan = json.loads(plan)
    owner, name = FUNCTIONS[plan["on"]]
    function, calls = getattr(owner, name), iter(range(1, 10**9))

    def watched(*args, **options):
        if next(calls) == plan["call"]:
            happen(plan)
        return function(*args, **options)

    setattr(owner, name, watched)
    sys.argv = [module, *arguments]
    program.run(importlib.import_module(module).main)


if __name__ == "__main__":
    main(*sys.argv[1:])
