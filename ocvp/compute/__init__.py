"""Where and how numbers are computed: device, random draws, processes that share a training."""
