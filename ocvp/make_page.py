"""Write the page of a study's rollouts: truth and all predictors side by side, to play and explore.

One HTML file that a browser opens from the disk; it asks for nothing from outside. Of each chain
and protocol it holds the best and the worst videos, and some between them.
"""

import argparse
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ocvp.compute.device import prepare_device
from ocvp.config.tree import Config
from ocvp.data.videos import VideoFile
from ocvp.evaluation.ranking import rank_videos, spread
from ocvp.evaluation.score_files import read_predictor_scores
from ocvp.models.loading import open_predictor, open_savi
from ocvp.pictures.compared import Comparison, checked_rollouts
from ocvp.pictures.rollout_page import (
    Group,
    as_json,
    group_content,
    listed_content,
    picked_content,
    render,
)
from ocvp.records.records import Making
from ocvp.runtime.files import all_or_none, check_writable, write_text
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import run
from ocvp.runtime.table_options import study_of, table_parser
from ocvp.study.pages import ShownChain, shown_chains, shown_files

logger = logging.getLogger("ocvp.make_page")

NUM_THREADS = 1
MAX_BYTES = 20_000_000
"""Of a page: browsers open it without delay."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    start_logging(args.log)
    making = Making("make_page", argv)
    check_writable(args.output)
    study, written = study_of(args)
    if study is None:
        raise ValueError("there is nothing to show: give --config")
    shown = shown_chains(study)
    if not shown:
        raise ValueError("there is nothing to show: no predictor of --config is evaluated")
    device = prepare_device(study.runtime.device, NUM_THREADS)
    making.read({role: list(map(Path, paths)) for role, paths in shown_files(shown).items()})
    with all_or_none([args.output]):
        write_text(args.output, page_of(study, shown, device))
        making.finish([args.output], written, device=device)
    logger.info("page: %s", args.output)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = table_parser("ocvp.make_page", __doc__, config_help="its rollouts are shown")
    parser.add_argument("--output", type=Path, required=True, help="page to write (HTML)")
    return parser.parse_args(argv)


def page_of(study: Config, chains: Sequence[ShownChain], device: torch.device) -> str:
    """Return the page of some chains of a study.

    Raises:
        ValueError: If files are missing, damaged, or do not belong together.
    """
    groups: list[dict[str, Any]] = []
    listed: list[dict[str, Any]] = []
    picked: list[str] = []
    for number, chain in enumerate(chains):
        group = read_group(chain)
        chosen = spread(group.ranking.videos, study.page.num_videos // len(chains))
        shown = zip(chosen, rollouts_of(chain, group, chosen, device), strict=True)
        for count, (video, rollouts) in enumerate(shown):
            content = as_json(picked_content(rollouts))
            if count == 0:
                groups.append(group_content(group, rollouts))
            elif sum(map(len, picked)) + len(content) > MAX_BYTES * (number + 1) // len(chains):
                text = "the page would be too large: it shows %d of %d videos of %s"
                logger.warning(text, count, len(chosen), chain)
                break
            listed.append({"group": number, **listed_content(group, video, rollouts)})
            picked.append(content)
    return render(study.name or "a study", groups, listed, picked)


def read_group(chain: ShownChain) -> Group:
    """Read what the page says of a chain's scores under a protocol."""
    scores = {name: read_predictor_scores(path) for name, path in chain.scores.items()}
    with VideoFile(chain.videos) as videos:
        fps = videos.attributes.get("fps")
    return Group(chain.names, scores, rank_videos(list(scores.values())), fps)


def rollouts_of(
    chain: ShownChain, group: Group, chosen: Sequence[int], device: torch.device
) -> Iterator[Comparison]:
    """Return the rollouts of chosen videos by all predictors of a chain."""
    return checked_rollouts(
        open_savi(chain.savi),
        {name: open_predictor(path) for name, path in chain.predictors.items()},
        *(chain.videos, chain.slots, chosen),
        protocol=next(iter(group.scores.values()))["protocol"],
        device=device,
    )


if __name__ == "__main__":
    run(main)
