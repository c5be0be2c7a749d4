"""The one exception of this package that is no search's or run's."""

from __future__ import annotations


class StudyError(RuntimeError):
    """A study that cannot be run as asked; the message says what to do."""
