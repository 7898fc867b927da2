"""Where and how numbers are computed: device, memory, random draws, processes of a training."""
