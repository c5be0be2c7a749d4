"""What a run knows of its machine: signals, memory, versions, its own process."""
