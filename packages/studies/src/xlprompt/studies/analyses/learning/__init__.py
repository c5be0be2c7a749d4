"""How fast and how steadily each language is learned, by scores of samples made in training."""
