"""Films and folders of pictures of one's own."""
