"""The networks, and the file that holds one."""
