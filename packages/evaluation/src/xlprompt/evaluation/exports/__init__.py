"""Stored predictions as files of the field's own evaluators; each of these is a module."""
