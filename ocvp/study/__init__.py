"""What a study builds, and what of it no longer fits."""
