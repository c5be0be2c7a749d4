"""Runs of the store in formats of other programs."""
