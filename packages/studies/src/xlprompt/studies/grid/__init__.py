"""Grids: the cells of a study, which of them have been run, and what came of all."""
