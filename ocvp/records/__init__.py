"""Which code makes what, and what made a product."""
