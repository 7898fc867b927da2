"""From raw files to HDF5: videos and slots on disk."""
