"""Files that others read, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file under another name beside it and rename it, so that half of it never has its name.

    Args:
        path: The file, in a folder that is there.
        content: Bytes, or text that is written as UTF-8.

    Raises:
        OSError: It cannot be written; an existing file is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
