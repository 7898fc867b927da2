"""The published code's checkpoints and parameter files, as ours."""
