"""Scores of one run by language, with standard errors, as tables and charts."""
