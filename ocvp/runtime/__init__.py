"""How a program runs: options, messages, files, processes, signals. It changes no product."""
