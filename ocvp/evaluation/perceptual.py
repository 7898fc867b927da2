"""LPIPS with AlexNet and VGG, from weights that are already on disk.

The networks and their calibrated layers come with torchmetrics; the ImageNet weights of the
networks are torchvision's and are looked for in torch.hub's checkpoint folder. Only `download` does
what its name says; no stage calls it.

H, W pixels; leading dimensions (videos, frames) are free and kept.
"""

import logging
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from ocvp.runtime.files import file_digest

Network = Literal["alex", "vgg"]

logger = logging.getLogger(__name__)

# torchvision's IMAGENET1K_V1 weights. Written out, because importing torchvision takes as long as
# torch itself, and most machines have no weights to compute LPIPS with.
_URLS: dict[str, str] = {
    "alex": "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    "vgg": "https://download.pytorch.org/models/vgg16-397923af.pth",
}

MISSING = "the weights of LPIPS are missing; see make lpips-weights"
"""The reason in files of scores; which file is missing where, `unavailable_reason` says."""

MIN_SIDE = {"alex": 31, "vgg": 16}
"""Smallest side of a frame in pixels: below, the last pooling layer has nothing left to pool."""


def weights_path(network: Network) -> Path:
    """Return where torch.hub keeps the ImageNet weights of `network` (TORCH_HOME is obeyed).

    Raises:
        ValueError: If `network` is neither "alex" nor "vgg".
    """
    if network not in _URLS:
        raise ValueError(f"LPIPS network is {network!r}, allowed are {sorted(_URLS)}")
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(_URLS[network]).name


def unavailable_reason(network: Network) -> str | None:
    """Say why LPIPS with `network` cannot be computed, or return None where it can.

    The reason names the missing file, the folder it belongs in and where to get it.

    Raises:
        ValueError: If `network` is neither "alex" nor "vgg".
    """
    path = weights_path(network)
    if path.is_file():
        return None
    return (
        f"weights of LPIPS ({network}) are missing: no {path.name} in {path.parent}; "
        f"download {_URLS[network]} into that folder with `make lpips-weights` (or set TORCH_HOME)"
    )


def download(network: Network) -> Path:
    """Download the ImageNet weights of `network` unless they are there, and return where they are.

    Raises:
        ValueError: If what was downloaded does not have the checksum in its name.
        OSError: If the network or the disk fails.
    """
    path = weights_path(network)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        digits = path.stem.rsplit("-", 1)[1]  # of its sha256
        try:
            torch.hub.download_url_to_file(_URLS[network], str(path), digits, progress=False)
        except RuntimeError as error:
            raise ValueError(f"{_URLS[network]}: {error}") from None
    return path


class Lpips(nn.Module):
    """Learned perceptual distance (Zhang et al., 2018, version 0.1 of its weights).

    Args:
        network: "alex" (as in OCVP) or "vgg" (as in SlotFormer); the two are not comparable.
        device: Where to compute.

    Raises:
        ValueError: If `network` is unknown, its weights are missing (with
            `unavailable_reason`), or the file is not torchvision's format.
    """

    def __init__(self, network: Network, device: str | torch.device = "cpu") -> None:
        super().__init__()
        if reason := unavailable_reason(network):
            raise ValueError(reason)
        # Here, because it is slow to import and rarely used. What torchmetrics has for the public
        # fetches torchvision's weights by itself.
        from torchmetrics.functional.image.lpips import _LPIPS

        self.network = network
        # Built without weights, then filled from the file, so that nothing can start a download;
        # the layers' random initialisation must not advance the caller's random state.
        with torch.random.fork_rng(devices=[]):
            self.metric = _LPIPS(net=network, pnet_rand=True)
        _load_trunk(self.metric.net, weights_path(network))
        self.metric.requires_grad_(False)
        self.eval()
        self.to(device)

    @torch.no_grad()
    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the distance of each frame.

        Args:
            prediction: Predicted frames, shape (..., 3, H, W), in [0, 1]; H and W at
                least 31 for "alex", 16 for "vgg".
            target: True frames, the same shape and range.

        Returns:
            LPIPS, shape (...), 0 for identical frames, lower is better.

        Raises:
            ValueError: If the shapes differ, are not (..., 3, H, W), or the frame is too small.
        """
        if prediction.shape != target.shape or prediction.ndim < 3 or prediction.shape[-3] != 3:
            raise ValueError(
                "prediction and target must both have shape (..., 3, H, W), got "
                f"{tuple(prediction.shape)} and {tuple(target.shape)}"
            )
        side = MIN_SIDE[self.network]
        if min(prediction.shape[-2:]) < side:
            raise ValueError(
                f"LPIPS ({self.network}) needs frames of at least {side}x{side} pixels, "
                f"got {prediction.shape[-2]}x{prediction.shape[-1]}"
            )
        shape = (-1, *prediction.shape[-3:])
        features = [self._features(frames.reshape(shape)) for frames in (prediction, target)]
        distances = [
            layer((_unit(of_prediction) - _unit(of_target)).square()).mean(dim=(-3, -2, -1))
            for layer, of_prediction, of_target in zip(self.metric.lins, *features, strict=True)
        ]
        return sum(distances[1:], distances[0]).reshape(prediction.shape[:-3])

    def _features(self, frames: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return what the layers make of frames (F, 3, H, W) in [0, 1]: each (F, C, h, w)."""
        found: tuple[torch.Tensor, ...] = self.metric.net(self.metric.scaling_layer(2 * frames - 1))
        return found


def _unit(features: torch.Tensor) -> torch.Tensor:
    """Return features (F, C, h, w) with length 1 at each place.

    As published. torchmetrics (1.9) adds 1e-8 under the root instead, which changes LPIPS where
    features are all but zero.
    """
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _load_trunk(trunk: nn.Module, path: Path) -> None:
    """Fill the convolutions of an LPIPS network from a torchvision classifier's weights."""
    try:
        classifier = torch.load(path, map_location="cpu", weights_only=True)
        # The network is cut into slices, but each layer keeps its number: slice2.3 is features.3.
        weights = {
            name: classifier["features." + name.split(".", 1)[1]] for name in trunk.state_dict()
        }
        trunk.load_state_dict(weights)
    except Exception as error:  # torch.load fails in many ways on a damaged file
        raise ValueError(
            f"{path} cannot be read as torchvision's {path.name}: {error}; delete it and "
            "download it again"
        ) from error
    # torchvision puts the first digits of the file's sha256 into its name.
    if not file_digest(path).startswith(path.stem.rsplit("-", 1)[1]):
        logger.warning(
            "%s does not have the checksum in its name: LPIPS values from it are not the published "
            "metric",
            path,
        )
