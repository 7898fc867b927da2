"""A door for notebooks: video files, to read and to write (see `ocvp.data.videos`)."""

from ocvp.data.videos import Video, VideoFile, VideoWriter

__all__ = ["Video", "VideoFile", "VideoWriter"]
