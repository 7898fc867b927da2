"""Download the weights that LPIPS needs: AlexNet's and VGG's, from download.pytorch.org (0.8 GB).

They go to where torch.hub keeps its files (TORCH_HOME is obeyed). Scores that were made without
them stay as they are; the program says how to make them anew.
"""

from collections.abc import Sequence
from typing import get_args

from ocvp.evaluation.perceptual import Network, download
from ocvp.runtime.program import program_parser, run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    program_parser(__doc__, "ocvp.lpips_weights").parse_args(argv)
    for network in get_args(Network):
        print(f"LPIPS ({network}): {download(network)}")
    print("Scores with LPIPS: snakemake --cores 2 --forcerun score_savi score_predictor")
    return 0


if __name__ == "__main__":
    run(main)
