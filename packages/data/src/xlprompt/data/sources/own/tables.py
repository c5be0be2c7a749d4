"""Rows of an own task's files with their lines: CSV, TSV, JSON Lines, Parquet, words in columns.

What the rows mean is not known here. A Parquet file's numbers of labels become their names, by the names that
stand in that very file: files of two languages may number them differently.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from xlprompt.data.errors import DataError
from xlprompt.data.how_many import how_many
from xlprompt.data.sources.formats import jsonl, tsv
from xlprompt.data.sources.lines import first_lines, numbered_lines
from xlprompt.data.sources.quoting import unquoted

Records = Iterator[tuple[int, dict[str, Any] | DataError]]


class Unnamed(int):
    """A label's number that has no name beside the others', such as the hub's -1 of rows without a label."""


_AGAIN = "The row is cut off or has a stray separator; correct it."
_ROWS_AT_ONCE = 4096


def columns_of(path: Path, format_name: str) -> tuple[str, ...]:
    """The names of a table's columns; none of a file of words in columns, or an empty one.

    Raises:
        DataError: The file cannot be read, or has no header.
    """
    if format_name == "own-columns":
        return ()
    if format_name == "own-parquet":
        return tuple(_opened(path).schema_arrow.names)
    if format_name == "own-jsonl":
        _, first = next(jsonl.records(path), (0, {}))
        if isinstance(first, DataError):
            raise first
        return tuple(map(str, first))
    for line, text in numbered_lines(path):
        if isinstance(text, DataError):
            raise text
        if format_name == "own-tsv":
            return tuple(map(unquoted, text.split("\t")))
        return tuple(_cells(text, _delimiter(text), path, line))
    return ()


def records(path: Path, format_name: str, wanted: Sequence[str]) -> Records:
    """Read a file.

    Args:
        path: The file.
        format_name: Its format.
        wanted: Columns that have to be there; of words in columns the names for the words and their tags.

    Yields:
        Line number (of Parquet the row's, from 1), and the row or what is wrong with it.
    """
    try:
        yield from _READERS[format_name](path, wanted)
    except DataError as problem:
        yield problem.line or 1, problem


def texts(path: Path, format_name: str, fields: Sequence[str]) -> Records:
    """Read a file as `records` does, the last of whose columns, with the answers, need not be there."""
    if format_name != "own-columns":
        yield from records(path, format_name, fields[:-1])
        return
    try:
        yield from _columns(path, fields, untagged=True)
    except DataError as problem:
        yield problem.line or 1, problem


def _csv(path: Path, wanted: Sequence[str]) -> Records:
    yield from in_csv(numbered_lines(path), path, wanted, head=next(iter(first_lines(path, 1)), ""))


def in_csv(
    lines: Iterable[tuple[int, str | DataError]], path: Path, wanted: Sequence[str], *, head: str
) -> Records:
    """Commas or semicolons between cells, which are quoted where they hold one, and may go over lines.

    Args:
        lines: Numbers and texts, or what is wrong with a line.
        path: For messages.
        wanted: Columns that have to be there.
        head: The line of the header, which tells what is between cells.
    """

    def sound() -> Iterator[str]:
        for _, text in lines:
            if isinstance(text, DataError):
                raise text
            yield f"{text}\n"

    reader = csv.reader(sound(), delimiter=_delimiter(head), strict=True)
    header: list[str] | None = None
    begun = 1
    while True:
        begun = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"not CSV ({error})",
                file=path,
                line=begun,
                fix="A text with a quotation mark in it stands between quotation marks, and each inside is "
                "doubled; of one that nothing closes the row begins here.",
            ) from None
        if not cells:
            continue
        if header is None:
            header = tsv.check_header(cells, wanted, path, begun)
        elif cells == header:
            yield (
                begun,
                DataError("the header stands here again", file=path, line=begun, fix="Delete this line."),
            )
        elif len(cells) != len(header):
            problem = f"{how_many(len(cells), 'column')} where the header has {len(header)}"
            yield begun, DataError(problem, file=path, line=begun, fix=_AGAIN)
        else:
            yield begun, dict(zip(header, cells, strict=True))


def is_csv(rows: Sequence[str], wanted: Sequence[str]) -> bool:
    """Tell whether lines are CSV: the first names these columns among others, be it in other case.

    Where it names the one column alone, texts with a comma or a quotation mark in them are quoted.
    """
    head, *below = rows
    try:
        names = next(csv.reader([head], delimiter=_delimiter(head)), [])
        if not is_header(names, wanted):
            return False
        return len(names) > 1 or all(
            len(cells) == 1 for cells in csv.reader((f"{text}\n" for text in below), strict=True)
        )
    except csv.Error:  # a text that is longer than a cell may be, or no CSV
        return False


def is_header(names: Sequence[str], wanted: Sequence[str]) -> bool:
    """Tell whether a line's cells name these columns, in any case: then they are no text."""
    if set(wanted) <= set(names):
        return True
    in_prose = any(name.startswith(" ") for name in names)  # "Text, he said"
    return not in_prose and {name.lower() for name in wanted} <= {name.lower() for name in names}


def _delimiter(head: str) -> str:
    return ";" if ";" in head and "," not in head else ","


def _cells(text: str, delimiter: str, path: Path, line: int) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise DataError(f"not CSV ({error})", file=path, line=line, fix="Mend the header.") from None


def _tsv(path: Path, wanted: Sequence[str]) -> Records:
    header: list[str] | None = None
    for line, record in tsv.records(path, wanted):
        if isinstance(record, dict):
            header = header or list(record)
            if list(record.values()) == header:
                again = DataError(
                    "the header stands here again", file=path, line=line, fix="Delete this line."
                )
                yield line, again
                continue
        yield line, record


def _json_lines(path: Path, wanted: Sequence[str]) -> Records:
    for line, record in jsonl.records(path):
        missing = [] if isinstance(record, DataError) else [name for name in wanted if name not in record]
        if missing and isinstance(record, dict):
            there = ", ".join(map(str, record)) or "none"
            problem = f"missing column {missing[0]!r}"
            yield line, DataError(problem, file=path, line=line, fix=f"The row's columns: {there}.")
        else:
            yield line, record


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise DataError(f"not a Parquet file ({reason})", file=path, fix="Get it again.") from None


def _parquet(path: Path, wanted: Sequence[str]) -> Records:
    file = _opened(path)
    schema = file.schema_arrow
    if missing := [name for name in wanted if name not in schema.names]:
        raise DataError(
            f"missing column {', '.join(map(repr, missing))}",
            file=path,
            fix=f"The file's columns: {', '.join(schema.names)[:200]}.",
        )
    plain = [field.name for field in schema if _is_plain(field.type)]
    for name in wanted:
        if name not in plain:
            raise DataError(
                f"the column {name!r} is nested ({schema.field(name).type})",
                file=path,
                fix="Give texts, labels, or lists of them, each in a column of its own.",
            )
    names = _label_names(schema)
    row = 0
    try:
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=plain):
            for record in batch.to_pylist():
                row += 1
                yield row, {key: _named(value, names.get(key)) for key, value in record.items()}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"cannot be read ({str(error)[:200]})", file=path, line=row + 1) from None


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    return not pa.types.is_nested(kind) or _are_answers(kind)


def _are_answers(kind: pa.DataType) -> bool:
    """Whether values are of spans: texts with their places, as in SQuAD on the hub."""
    return pa.types.is_struct(kind) and kind.get_field_index("text") >= 0


def _label_names(schema: pa.Schema) -> dict[str, Sequence[str]]:
    """Names of labels by column, from what the datasets library writes into its files."""
    found: dict[str, Sequence[str]] = {}
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        for column, feature in features.items():
            inner = feature.get("feature", feature) if isinstance(feature, dict) else {}
            inner = inner if isinstance(inner, dict) else {}
            if inner.get("_type") == "ClassLabel" and isinstance(inner.get("names"), list):
                found[column] = [str(name) for name in inner["names"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return found  # without it, or with another kind of it, numbers stay numbers
    return found


def _named(value: Any, names: Sequence[str] | None) -> Any:
    if names is None:
        return value
    if isinstance(value, list):
        return [_named(each, names) for each in value]
    if not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else Unnamed(value)


def _columns(path: Path, wanted: Sequence[str], *, untagged: bool = False) -> Records:
    yield from in_columns(numbered_lines(path), path, wanted, untagged=untagged)


class _Line(NamedTuple):
    """A line of columns: its number, its cells, and whether tabs part them."""

    number: int
    cells: list[str]
    has_tabs: bool

    @property
    def form(self) -> tuple[int, bool]:
        """What lines of words have in common."""
        return len(self.cells), self.has_tabs


def in_columns(
    lines: Iterable[tuple[int, str | DataError]], path: Path, wanted: Sequence[str], *, untagged: bool = False
) -> Records:
    """Sentences of a word a line with its tag, the last of its columns; blank lines end them.

    Lines in front of a sentence that begin with # and have other columns than its words are comments, as in
    MultiCoNER and Universal NER.

    Args:
        lines: Numbers and texts, or what is wrong with a line.
        path: For messages.
        wanted: The names for the words, which are the first column, and for the tags. One that is a number is
            the column itself, from 1.
        untagged: Whether a sentence in one column is words without tags.
    """
    word, tag = (
        int(name) - 1 if name.isdigit() else place for name, place in zip(wanted, (0, -1), strict=True)
    )
    sentence: list[_Line] = []
    for number, text in chain(lines, [(0, "")]):
        if isinstance(text, DataError):
            yield number, text
            return
        line = _Line(number, text.split("\t") if "\t" in text else text.split(), "\t" in text)
        if text.strip() and line.cells[0] != "-DOCSTART-":
            sentence.append(line)
            continue
        rows = _without_comments(sentence)
        sentence = []
        if not rows:
            continue
        if untagged and all(len(row.cells) == 1 for row in rows):
            yield rows[0].number, {wanted[0]: [row.cells[0] for row in rows]}
            continue
        problem = next(filter(None, (_wrong_columns(row, rows[0], (word, tag), path) for row in rows)), None)
        if problem is not None:
            yield problem.line or rows[0].number, problem
        else:
            columns = zip(wanted, (word, tag), strict=True)
            yield rows[0].number, {name: [row.cells[column] for row in rows] for name, column in columns}


def _without_comments(sentence: Sequence[_Line]) -> Sequence[_Line]:
    """The lines of words: from the first that does not begin with #, and those before it in its form."""
    begins = next((at for at, line in enumerate(sentence) if not line.cells[0].startswith("#")), None)
    if begins is None:  # hashtags alone, or comments
        return [] if all(line.cells[0].split()[0] == "#" for line in sentence) else sentence
    while begins and sentence[begins - 1].form == sentence[begins].form:
        begins -= 1
    return sentence[begins:]


def _wrong_columns(row: _Line, first: _Line, wanted: tuple[int, int], path: Path) -> DataError | None:
    (word, column), cells = wanted, row.cells
    if len(cells) != len(first.cells):
        message = f"{how_many(len(cells), 'column')} where the sentence begins with {len(first.cells)}"
    elif len(cells) == 1:
        message = "a word without a tag"
    elif max(word, column) >= len(cells):
        what = "tags" if column >= len(cells) else "words"
        message = f"{how_many(len(cells), 'column')}, and the {what} are in column {max(word, column) + 1}"
    elif not cells[word].strip() or not cells[column].strip():
        message = "an empty word or tag"
    else:
        return None
    return DataError(
        message,
        file=path,
        line=row.number,
        fix="A line is a word and its tag, the same columns in all; mend it.",
    )


_READERS: Mapping[str, Callable[[Path, Sequence[str]], Records]] = MappingProxyType(
    {
        "own-csv": _csv,
        "own-tsv": _tsv,
        "own-jsonl": _json_lines,
        "own-parquet": _parquet,
        "own-columns": _columns,
    }
)
