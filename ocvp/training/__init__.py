"""What both trainings are: the loop, its tasks, its states, its faults."""
