"""Frames, slots, rollouts and curves as pictures."""
