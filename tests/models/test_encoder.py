"""The encoder keeps frames apart and positions in row-major order."""

import pytest
import torch

from ocvp.models.encoder import Encoder


@pytest.mark.parametrize(
    ("resolution", "channels", "downsampled", "expected"),
    [
        ((16, 24), (4, 4), 0, (16, 24)),
        ((16, 24), (4, 4), 3, (4, 6)),
        ((16, 24), (4, 4), 1, (8, 12)),
        ((64, 64), (4, 4, 4, 4), 3, (8, 8)),
        ((17, 9), (4, 4, 4), 3, (3, 2)),
        ((17, 9), (4, 4, 4), 2, (5, 3)),
    ],
)
def test_feature_size(resolution, channels, downsampled, expected):
    encoder = Encoder(
        resolution=resolution, channels=channels, mlp_dim=6, num_downsampled=downsampled
    )
    assert encoder.feature_size == expected
    features = encoder(torch.rand(2, 3, *resolution))
    assert features.shape == (2, expected[0] * expected[1], 6)


def test_a_pixel_changes_its_own_position_of_its_own_frame():
    torch.manual_seed(0)
    encoder = Encoder(resolution=(5, 7), channels=(8,), mlp_dim=6, kernel_size=1)
    frames = torch.rand(3, 3, 5, 7)
    changed = frames.clone()
    changed[1, :, 2, 4] += 1.0
    moved = (encoder(frames) - encoder(changed)).abs().sum(dim=-1) > 1e-6
    assert moved.nonzero().tolist() == [[1, 2 * 7 + 4]]
