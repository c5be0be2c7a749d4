"""Addresses of sqlite databases as SQLAlchemy, and so MLflow and Optuna, read them."""

from __future__ import annotations

from pathlib import Path


def sqlite_uri(file: Path) -> str:
    """The address of a database, whose folder may have any letter in its name."""
    path = file.absolute().as_posix()
    # SQLAlchemy decodes the path. MLflow makes its folder before that, unless the driver is named.
    coded = path.replace("%", "%25").replace("?", "%3F")
    return f"sqlite:///{path}" if coded == path else f"sqlite+pysqlite:///{coded}"
