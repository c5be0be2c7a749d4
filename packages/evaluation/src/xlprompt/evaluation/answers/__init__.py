"""What a model answers: its predictions, with or without alignment, and the file that holds them."""
