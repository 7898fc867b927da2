"""Draw curves over the predicted frames: of `metrics`, of their mean over `seeds`, and of what
`probes` read.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ocvp.config.tree import Figures
from ocvp.evaluation.score_files import predictor_of, read_predictor_scores
from ocvp.pictures.curves import metric_curves, predictor_styles, score_panels
from ocvp.pictures.saving import save_figure
from ocvp.records.records import Making
from ocvp.runtime.files import all_or_none, check_writable
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import read_section, run, stage_parser

PROGRAM = "ocvp.curves"
RULES = {"metrics": "draw_curves", "seeds": "draw_seed_curves", "probes": "draw_probes"}
"""The rule behind each kind of curves."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    start_logging(args.log)
    making = Making(RULES[args.kind], argv)
    check_writable(args.output)
    settings = read_section(Figures, args.config, "--config")
    metrics: dict[str, list[Mapping[str, Any]]] = {}
    for path in args.scores:
        found = read_predictor_scores(path)["metrics"]
        metrics.setdefault(predictor_of(path), []).append(found)
    num_seeds = max(map(len, metrics.values()))
    title = "metrics over the predicted frames"
    title += f", mean and deviation over {num_seeds} seeds" if num_seeds > 1 else ""
    styles = predictor_styles(list(metrics))
    name = args.title or args.scores[0].stem
    figure = metric_curves(score_panels(metrics), styles, f"{name}: {title}")
    with all_or_none([args.output]):
        save_figure(args.output, figure)
        making.read({"scores": args.scores})
        making.finish([args.output], settings)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = stage_parser(__doc__, PROGRAM, "the section `figures` of the config")
    files = parser.add_argument_group("files")
    files.add_argument("kind", choices=RULES, help="what the scores are of")
    files.add_argument(
        "--scores",
        type=Path,
        nargs="+",
        required=True,
        help="scores of predictors under one protocol (PREDICTOR/evaluation/PROTOCOL.json, or "
        "probe for evaluation)",
    )
    files.add_argument("--output", type=Path, required=True, help="figure to write (PNG, PDF, SVG)")
    files.add_argument("--title", default="", help="what stands above it (default: the protocol)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
