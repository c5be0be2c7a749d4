"""What a model costs, counted before anything is loaded: parameters, memory, FLOPs."""
