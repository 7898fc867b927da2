"""What a config may say: every key, and reading a whole one."""
