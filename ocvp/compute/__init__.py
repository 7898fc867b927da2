"""Where and how numbers are computed: device, memory, random draws, processes that train together."""
