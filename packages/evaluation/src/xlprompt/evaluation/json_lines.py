"""Gzipped JSON Lines, written whole or not at all."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def write_json_lines(path: Path, values: Iterable[Any]) -> None:
    """Write each value as a line; the same values give the same bytes.

    Missing folders are made, an existing file is replaced.

    Args:
        path: The file.
        values: What JSON can hold.
    """
    text = "".join(f"{json.dumps(value, ensure_ascii=False)}\n" for value in values)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(gzip.compress(text.encode("utf-8"), mtime=0))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
