"""Fingerprints of what an encoding is made from: the rows and the tokenizer.

Equal inputs have equal fingerprints on any machine and in any process. Which files the rows came from, and at
which revision, is the source's business and not known here.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import json
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast

_ROWS_AT_ONCE = 100_000  # of a data set while it is hashed; it decides the hash of larger ones

# Writing out a vocabulary of 262,144 words takes 0.3 s, and a run encodes some 20 languages with it.
_KNOWN_TOKENIZERS: weakref.WeakKeyDictionary[PreTrainedTokenizerFast, tuple[int, str]] = (
    weakref.WeakKeyDictionary()
)


def fingerprint_of(parts: object) -> str:
    """Hash anything JSON can hold, independent of the order of keys.

    Args:
        parts: Nested dicts, lists, strings, numbers, booleans and None.

    Returns:
        A sha256 in hexadecimal.
    """
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def code_fingerprint(*names: str) -> str:
    """Hash the source files of modules and whole packages, and of the tables that lie beside them.

    Args:
        names: Dotted names; nothing is imported for it but the packages that they stand in.

    Returns:
        A sha256 in hexadecimal.
    """
    files: list[Path] = []
    for name in names:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        folders = spec.submodule_search_locations
        files += (
            [
                file
                for folder in folders
                for file in Path(folder).rglob("*")
                if file.suffix in (".py", ".yaml")
            ]
            if folders
            else [Path(str(spec.origin))]
        )
    return fingerprint_of(sorted(hashlib.sha256(file.read_bytes()).hexdigest() for file in files))


def rows_fingerprint(dataset: Dataset, columns: Sequence[str]) -> str:
    """Hash the content of a dataset's columns, values and types, in row order.

    Args:
        dataset: Any dataset; selected or sliced ones hash like a fresh copy of the same rows.
        columns: The columns that count.

    Returns:
        A sha256 in hexadecimal.
    """
    rows = dataset.select_columns(list(columns)).with_format("arrow")
    hashed = _Hashed()
    with pa.ipc.new_stream(pa.PythonFile(hashed, "w"), rows[:0].schema) as stream:
        for start in range(0, max(1, len(rows)), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            # A slice keeps its offsets into the whole; taking its rows makes buffers that hold nothing else.
            places = pa.array(np.arange(len(part)), pa.int64())
            taken = [column.take(places).combine_chunks() for column in part.columns]
            stream.write_table(pa.Table.from_arrays(taken, schema=part.schema))
    return hashed.sha256.hexdigest()


class _Hashed(io.RawIOBase):
    """A file that keeps nothing but the hash of what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.sha256 = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self.sha256.update(content)
        return memoryview(content).nbytes


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerFast) -> str:
    """Hash all that decides which ids a text becomes: the backend's own serialization and the specials.

    The result is remembered for each tokenizer object until tokens are added to it.

    Args:
        tokenizer: A fast tokenizer (one with a `backend_tokenizer`).

    Returns:
        A sha256 in hexadecimal.
    """
    size = len(tokenizer)
    known = _KNOWN_TOKENIZERS.get(tokenizer)
    if known is not None and known[0] == size:
        return known[1]
    serialized = tokenizer.backend_tokenizer.to_str()
    # Before this key stand the truncation and padding of the latest call, which say nothing of the ids.
    body = serialized[serialized.index('"added_tokens"') :]
    specials = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    value = fingerprint_of([hashlib.sha256(body.encode()).hexdigest(), specials])
    _KNOWN_TOKENIZERS[tokenizer] = (size, value)
    return value
