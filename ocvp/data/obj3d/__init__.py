"""Obj3D: a folder of pictures for each video."""
