"""Text without labels, to predict labels for: typed, given by a program, or in a file or stream.

A file is JSON, in lines or an array, CSV or Parquet in the columns of the data folder's files; pairs as two
texts with a tab between them, under XNLI's or PAWS-X's header or none; sentences as words with spaces between
them, in CoNLL-U, or in lines as PAN-X's. Labels in it are not looked at. Rows that training leaves out are
left out; typed or given, refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from xlprompt.data.errors import DataError
from xlprompt.data.how_many import how_many
from xlprompt.data.sources.formats import conllu, panx
from xlprompt.data.sources.formats.jsonl import own_id, parse_object
from xlprompt.data.sources.formats.tsv import cells_of, check_header
from xlprompt.data.sources.lines import numbered_lines
from xlprompt.data.sources.own.rows import read_unlabeled, unlabeled_row
from xlprompt.data.sources.own.tables import in_columns, in_csv, is_csv, is_header, records
from xlprompt.data.sources.quoting import style_of
from xlprompt.data.sources.rows import Outcome, to_dataset, usable
from xlprompt.data.sources.strangers import other_format
from xlprompt.data.tasks.kinds.kind import Example
from xlprompt.data.tasks.rules import Skipped
from xlprompt.data.tasks.task_type import Place, Task

if TYPE_CHECKING:
    from datasets import Dataset

_HEAD = 5  # lines that tell the format
# What the files of XNLI and PAWS-X, and of XNLI-MT, call the texts of a pair.
_PUBLISHED = (("sentence1", "sentence2"), ("premise", "hypo"))
_ARGUMENTS = Path("arguments")
_GIVEN = Path("texts")
_TABLES = {".csv": "own-csv", ".parquet": "own-parquet"}
_SPAN_TAG = re.compile(r"O|[BIESLU]-\S+")
_CAPITALS = re.compile(r"[A-Z_]+(-\S+)?")
# A bracket alone, an object's first key, or a list that begins with a text.
_BEGINS_JSON = re.compile(r'\s*(\[\s*)?(\{\s*("[^"]*"\s*:.*)?)?|\s*\[\s*".*"[\s,\]]+')
_STOPS = ".!?。！？।۔؟။។"

Lines = Sequence[tuple[int, str]]


def typed_rows(task: Task, texts: Sequence[str]) -> list[Example]:
    """Rows from texts as they are typed: those of one example, or of as many as have one text each.

    Raises:
        DataError: Not as many texts as the task takes, or one that is blank or cannot be encoded.
    """
    one_each = len(task.text_fields) == 1
    return [
        _kept(
            _example(task, row, number, _ARGUMENTS, line := number + 1 if one_each else None),
            _ARGUMENTS,
            line,
        )
        for number, row in enumerate(task.kind.typed(task, texts))
    ]


def given_rows(task: Task, texts: Iterable[str | Sequence[str] | Mapping[str, Any]]) -> list[Example]:
    """Rows from values of a program: an example a value, none of them left out.

    Args:
        task: What the rows are for.
        texts: Strings where the task takes one text; tuples of its texts, or dictionaries by its fields; of a
            sentence the list of its words, or a string with spaces between them. Or a data frame whose
            columns are the task's fields. Dictionaries and frames may tell each one's `id` and `language`.

    Raises:
        DataError: A value is none of these, or a text is blank or cannot be encoded.
    """
    if hasattr(texts, "to_dict") and hasattr(texts, "columns"):
        frame: Any = texts  # pandas', which would give its columns' names
        texts = frame.astype(object).where(frame.notna(), None).to_dict("records")
    if isinstance(texts, str | Mapping):
        raise DataError("one example where a list is expected", file=_GIVEN, fix="Put it into a list.")
    rows = []
    for number, text in enumerate(texts):
        place = Place(number, _GIVEN, number + 1, labeled=False)
        record = _record(task, text, place)
        row = unlabeled_row(task, record, place._replace(row_id=own_id(record)))
        rows.append(_kept(row, _GIVEN, place.line))
    return rows


def _record(task: Task, text: Any, place: Place) -> dict[str, Any]:
    """The fields of one of `given_rows`."""
    if isinstance(text, Mapping):
        return {name: _plain(value) for name, value in text.items()}
    text = text.tolist() if hasattr(text, "tolist") else text
    fields = task.text_fields
    if isinstance(text, str) and len(fields) == 1:
        (parts,) = task.kind.typed(task, [text])
    elif isinstance(text, str) or not isinstance(text, Sequence):
        parts = ()
    else:
        parts = (list(text),) if task.kind.by_word else tuple(text)
    if len(parts) != len(fields):
        by_name = ", ".join(f'"{name}": …' for name in fields)
        raise place.error(
            f"{str(text)[:40]!r} where {task.name} takes {task.kind.typed_as(task)}",
            f"Give each example as a dictionary, {{{by_name}}}, or its parts in this order.",
        )
    return dict(zip(fields, parts, strict=True))


def _plain(value: Any) -> Any:
    """A cell as JSON would have it: NumPy's arrays, such as Parquet's lists, and tuples as lists; no NaN."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, float) and value != value:
        return None
    return list(map(_plain, value)) if isinstance(value, list | tuple) else value


def read_rows(task: Task, path: Path, stream: BinaryIO | None = None) -> list[Example]:
    """Rows of a file, each with its own id or else its number from 0; blank lines hold none.

    It is JSON Lines where its name says so (`.jsonl`, also `.jsonl.gz`) or its first line is a JSON object,
    and a table with the task's columns where it is called `.csv` or `.parquet`, is an array of JSON objects,
    or begins with a header of CSV. An array may hold texts instead.

    Args:
        task: What the rows are for.
        path: The file, gzipped where its name ends in `.gz`.
        stream: Read instead of the file; `path` then only names it in messages.

    Raises:
        DataError: The file or a row is not as it should be, or there is no row at all.
    """
    table = _TABLES.get(Path(path.name.lower().removesuffix(".gz")).suffix) if stream is None else None
    if table is not None:
        return _kept_rows(read_unlabeled(task, records(path, table, task.text_fields), path), path)
    other = other_format(path)
    if other is not None:
        raise other
    lines = list(_sound_lines(path, stream))
    if not any(text.strip() for _, text in lines):
        raise DataError("there is no text in it", file=path, fix="Give at least one line.")
    return _kept_rows(_from_lines(task, lines, path), path)


def _from_lines(task: Task, lines: Lines, path: Path) -> Iterable[Outcome]:
    """Rows of text whose form is told by the file's name or its first line."""
    filled = [(line, text) for line, text in lines if text.strip()]
    rows = [text for _, text in filled]
    if path.name.removesuffix(".gz").endswith(".jsonl") or _is_object(rows[0]):
        return (_from_json(task, text, place, path, line) for place, (line, text) in enumerate(filled))
    if (items := _array(rows, path)) is not None:
        return _from_array(task, items, path)
    if is_csv(rows, task.text_fields):
        return read_unlabeled(task, in_csv(lines, path, task.text_fields, head=rows[0]), path)
    return _from_words(task, lines, path) if task.kind.by_word else _from_columns(task, filled, path)


def _kept_rows(outcomes: Iterable[Outcome], path: Path) -> list[Example]:
    rows = list(usable(outcomes, file=path, language="the file's"))
    if not rows:
        raise DataError("there is no row in it, or each is left out", file=path, fix="Give at least one.")
    return rows


def unlabeled_dataset(task: Task, rows: Sequence[Example]) -> Dataset:
    """The rows in the schema that encoding takes; the labels in it mean nothing."""
    return to_dataset(task, rows, limit=None, fingerprint="unlabeled")


def _sound_lines(path: Path, stream: BinaryIO | None) -> Iterator[tuple[int, str]]:
    for line, text in numbered_lines(path, stream):
        if isinstance(text, DataError):
            raise text
        yield line, text


def _kept(outcome: Example | Skipped, file: Path, line: int | None) -> Example:
    if isinstance(outcome, Skipped):
        raise DataError(
            f"this text stands for one that is not there ({outcome.reason})",
            file=file,
            line=line,
            fix="Give the text itself.",
        )
    return outcome


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _array(rows: Sequence[str], path: Path) -> list[Any] | None:
    """The items of a JSON array, as pandas and `jq -s` write it; None where the text is something else.

    Raises:
        DataError: It is JSON of another form, or is broken; a text that merely begins with a bracket is none.
    """
    if not rows[0].lstrip().startswith(("[", "{")):
        return None
    try:
        values = json.loads("\n".join(rows))
    except (ValueError, RecursionError):
        values = None
    if isinstance(values, list):
        if any(all(isinstance(each, kind) for each in values) for kind in (dict, str)):
            return values
        is_meant = any(isinstance(each, dict | str | list) for each in values)
    else:
        is_meant = _BEGINS_JSON.fullmatch(rows[0]) is not None
    if not is_meant:
        return None
    raise DataError(
        "JSON that is neither an object a line nor an array of objects or of texts",
        file=path,
        fix="Write each object on a line of its own, as `jq -c .` does, or all in one array.",
    )


def _from_array(task: Task, items: Sequence[Any], path: Path) -> Iterator[Example | Skipped]:
    """Rows from the objects or texts of an array; what is wrong is told by the item, which has no line."""
    for position, item in enumerate(items):
        place = Place(position, path, None, own_id(item) if isinstance(item, dict) else None, labeled=False)
        try:
            yield unlabeled_row(task, _record(task, item, place), place)
        except DataError as problem:
            raise place.error(f"item {position + 1}: {problem.message}", problem.fix) from None


def _from_json(task: Task, text: str, position: int, path: Path, line: int) -> Example | Skipped:
    record = parse_object(text, path, line)
    return unlabeled_row(task, record, Place(position, path, line, own_id(record), labeled=False))


def _from_columns(task: Task, lines: Lines, path: Path) -> Iterator[Example | Skipped]:
    """Texts from lines of cells: under a header that names them among others, or of nothing else."""
    line, text = lines[0]
    known = (task.text_fields, *(names for names in _PUBLISHED if len(names) == len(task.text_fields)))
    bare = [cell.strip('"') for cell in text.split("\t")]
    # Or the first line is a text, with its own marks.
    has_header = any(is_header(bare, names) for names in known)
    style = style_of((text.split("\t") for _, text in lines), header=has_header)
    head = cells_of(text, style, path, line)
    wanted = next((names for names in known if is_header(head, names)), None)
    if wanted is None:
        width = len(task.text_fields)
        columns = list(range(width))
    else:
        columns, width = [check_header(head, wanted, path, line).index(name) for name in wanted], len(head)
        lines = lines[1:]
    for position, (line, text) in enumerate(lines):
        cells = cells_of(text, style, path, line)
        if len(cells) != width:
            raise DataError(
                f"{how_many(len(cells), 'column')} where "
                + (
                    f"{task.name} takes {task.kind.typed_as(task)}"
                    if wanted is None
                    else f"the header has {width}"
                ),
                file=path,
                line=line,
                fix=(
                    "Put one tab between texts and none into them" if width > 1 else "Put no tab into a text"
                )
                + ", or give JSON Lines.",
            )
        record = {} if wanted is None else dict(zip(head, cells, strict=True))
        record |= zip(task.text_fields, (cells[column] for column in columns), strict=True)
        yield unlabeled_row(task, record, Place(position, path, line, own_id(record), labeled=False))
    if not lines:
        raise DataError("there is no row below the header", file=path, line=1, fix="Give at least one.")


def _from_words(task: Task, lines: Lines, path: Path) -> Iterator[Outcome]:
    """Sentences from CoNLL-U, from PAN-X's lines, from a word a line, or one a line."""
    filled = [text for _, text in lines if text.strip()]
    head = [text for text in filled if not text.startswith("#")][:_HEAD] or filled[:_HEAD]
    if conllu.holds(head):
        yield from conllu.sentences(task, lines, path, count(), labeled=False)
    elif panx.holds(head):
        yield from panx.sentences(task, "", lines, path, labeled=False)
    elif _are_columns(task, lines):
        for position, (line, record) in enumerate(in_columns(lines, path, ("words", "tags"), untagged=True)):
            if isinstance(record, DataError):
                raise record
            yield _example(task, (record["words"],), position, path, line)
    else:
        for position, (line, text) in enumerate((line, text) for line, text in lines if text.strip()):
            if "\t" in text or text.startswith("-DOCSTART-"):
                raise DataError(
                    "a line of columns where a sentence is words with spaces between them",
                    file=path,
                    line=line,
                    fix="Give sentences, JSON Lines, CoNLL-U, lines of <language>:<word><TAB><tag>, or all "
                    "lines of a word and its tag.",
                )
            yield _example(task, (text.split(),), position, path, line)


def _are_columns(task: Task, lines: Lines) -> bool:
    """Whether all lines are a word and its tag, with other columns between them or none.

    Where blank lines end sentences, words alone are columns too. So are words with tags in any capitals, if
    tabs part them or one is the task's or O: sentences may end in capitals too.
    """
    texts = [text for _, text in lines if not text.startswith(("#", "-DOCSTART-"))]
    rows = [text.split() for text in texts]
    filled = [row for row in rows if row]
    if len(filled) < 2 or any(len(row) != len(filled[0]) for row in filled):
        return False
    if len(filled[0]) == 1:
        return len(_blocks(rows)) > 1 and not _are_sentences([word for (word,) in filled])
    tags = [row[-1] for row in filled]
    if all(tag in task.labels or _SPAN_TAG.fullmatch(tag) for tag in tags):
        return True
    if all(rows[rows.index(filled[0]) :]) or not any(len(block) > 1 for block in _blocks(rows)):
        return False
    told = all("\t" in text for text in texts if text.strip()) or not {"O", *task.labels}.isdisjoint(tags)
    return told and all(map(_CAPITALS.fullmatch, tags)) and not all(row[0].isupper() for row in filled)


def _blocks(rows: Sequence[list[str]]) -> list[list[list[str]]]:
    """The rows between blank ones."""
    return [list(block) for has_words, block in groupby(rows, bool) if has_words]


def _are_sentences(words: Sequence[str]) -> bool:
    """Whether a full stop is written to one of these, as where no spaces are, and none stands alone."""
    return any(word[-1] in _STOPS for word in words) and all(word.strip(_STOPS) for word in words)


def _example(
    task: Task, texts: Sequence[Any], position: int, path: Path, line: int | None
) -> Example | Skipped:
    record = dict(zip(task.text_fields, texts, strict=True))
    return task.example(record, Place(position, path, line, labeled=False))
