"""What publishing is refused for: a page without a place for the results, and results that would be lost."""
