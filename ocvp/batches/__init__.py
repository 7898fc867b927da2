"""What models are given: windows of videos and slots, in batches, on a device."""
