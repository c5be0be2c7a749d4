"""Hyper-parameter searches: trials of one task and method, and what they came to."""
