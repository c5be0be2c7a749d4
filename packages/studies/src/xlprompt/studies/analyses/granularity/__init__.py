"""What a finer cut of the text does to the methods."""
