"""Analyses of what runs have left in the store; each is a folder."""
