"""Recipes: one YAML file says everything about one run."""
