"""Grids and encodings with hand-computed values."""

import math

import torch

from ocvp.models.position import SoftPositionEmbedding, position_grid, sinusoidal_time_encoding


def test_grid_has_end_points_and_their_complements():
    grid = position_grid(3, 2)
    assert grid.shape == (3, 2, 4)
    assert grid[0, 0].tolist() == [-1.0, -1.0, 2.0, 2.0]
    assert grid[0, 1].tolist() == [-1.0, 1.0, 2.0, 0.0]
    assert grid[1, 0].tolist() == [0.0, -1.0, 1.0, 2.0]
    assert grid[2, 1].tolist() == [1.0, 1.0, 0.0, 0.0]


def test_grid_is_rounded_once():
    exact = -1.0 + 2.0 * 3 / 63
    assert position_grid(64, 64)[3, 0, 0].item() == torch.tensor(exact, dtype=torch.float64).float()


def test_embedding_is_a_projection_of_the_grid_outside_the_state():
    embedding = SoftPositionEmbedding(channels=5, size=(4, 6))
    expected = torch.einsum("hwk,ck->chw", position_grid(4, 6), embedding.projection.weight)
    expected = expected + embedding.projection.bias[:, None, None]
    torch.testing.assert_close(embedding()[0], expected)
    assert set(embedding.state_dict()) == {"projection.weight", "projection.bias"}


def test_time_encoding_alternates_sine_and_cosine():
    encoding = sinusoidal_time_encoding(3, 4)
    assert encoding[0].tolist() == [0.0, 1.0, 0.0, 1.0]
    expected = [math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)]
    torch.testing.assert_close(encoding[2], torch.tensor(expected))
    assert sinusoidal_time_encoding(3, 5).shape == (3, 5)
