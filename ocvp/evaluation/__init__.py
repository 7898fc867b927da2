"""Every score, beside its baselines, and the rows of the tables."""
