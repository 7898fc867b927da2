"""The embedded data set: rigid bodies on a table, simulated and ray-cast."""
