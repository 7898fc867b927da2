"""Score what the probes of a SAVi read of the objects in predicted slots, frame by frame.

The probes were fitted on SAVi's own slots. Predicted slots stand beside those of the last context
frame (`copy_last_slots`), these as they changed last (`constant_velocity`), and SAVi's own of the
same future frames (`ceiling`).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ocvp.compute.device import prepare_device
from ocvp.config.tree import PredictorScoring
from ocvp.evaluation.predictor_probes import probe_predictor
from ocvp.evaluation.probes import load_probes
from ocvp.evaluation.protocols import check_protocol
from ocvp.models.loading import check_belongs, open_predictor, open_savi
from ocvp.records.records import Making
from ocvp.runtime.environment import made_by
from ocvp.runtime.files import all_or_none, check_writable, file_digest, write_json
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import read_runtime, read_section, run, stage_parser

PROGRAM = "ocvp.probe_predictor"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    start_logging(args.log)
    making = Making("probe_predictor", argv)
    check_writable(args.output)
    stage = read_section(PredictorScoring, args.config, "--config")
    runtime = read_runtime(args.runtime)
    device = prepare_device(runtime.device, stage.num_threads)
    environment = made_by(device)
    checkpoints = {"savi": open_savi(args.savi), "predictor": open_predictor(args.predictor)}
    savi, predictor = (checkpoint.build(device) for checkpoint in checkpoints.values())
    check_belongs(checkpoints["predictor"], checkpoints["savi"])
    digests = {name: checkpoint.digest for name, checkpoint in checkpoints.items()}
    probes = load_probes(args.probes, digests["savi"])

    # --- checks that all of it belongs together
    protocol = stage.protocol
    num_videos = check_protocol(protocol, predictor, args.videos, args.slots, digests["savi"])
    digests["videos"] = file_digest(args.videos)
    names = ("savi", "predictor", "probes", "videos", "slots")
    files = {name: getattr(args, name) for name in names}
    making.read(files, {files[name]: digest for name, digest in digests.items()})
    # --- scores, and what made them
    paths = (args.videos, args.slots)
    metrics = probe_predictor(savi, predictor, probes, *paths, protocol, runtime)
    result = {
        "protocol": protocol.model_dump(mode="json"),
        "num_videos": num_videos,
        "digests": digests,
        "config": stage.model_dump(mode="json"),
        "trained": {name: checkpoint.trained for name, checkpoint in checkpoints.items()},
        "made_by": environment,
        "metrics": metrics,
    }
    with all_or_none([args.output]):
        write_json(args.output, result)
        making.finish([args.output], stage, device=device)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = stage_parser(
        __doc__, PROGRAM, config_help="`protocol`, an entry of `evaluation`, and its threads"
    )
    files = parser.add_argument_group("files")
    files.add_argument("--savi", type=Path, required=True, help="checkpoint of the SAVi (savi.pt)")
    files.add_argument(
        "--predictor", type=Path, required=True, help="checkpoint of the predictor (predictor.pt)"
    )
    files.add_argument(
        "--probes", type=Path, required=True, help="probes of the SAVi's slots (probe.tensors)"
    )
    files.add_argument("--videos", type=Path, required=True, help="videos to score on (HDF5)")
    files.add_argument("--slots", type=Path, required=True, help="SAVi's slots of them (HDF5)")
    files.add_argument("--output", type=Path, required=True, help="scores to write (JSON)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
