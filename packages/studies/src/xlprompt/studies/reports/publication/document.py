"""Places of a document that take results: each is marked by two comments, and replaced as a whole.

Nothing large is imported, so that a command can tell at once that a document has no place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path


class DocumentError(ValueError):
    """A document that has no place for the results, or cannot be written; the message says what to do."""


def require_places(document: Path, names: Collection[str]) -> None:
    """Refuse a document in which `replace_sections` could not put these sections.

    Raises:
        DocumentError: As `replace_sections`.
    """
    content = _read(document, names)
    for name in names:
        _around(document, content, name)


def replace_sections(
    document: Path,
    texts: Mapping[str, str],
    *,
    optional: Collection[str] = (),
    at_once: Callable[[], None] = lambda: None,
) -> None:
    """Put each text between `<!-- NAME begin -->` and `<!-- NAME end -->`, all of them or none.

    Args:
        document: A Markdown file.
        texts: By name.
        optional: Names that the document need not have.
        at_once: What is done when the new document is ready; where it fails, the old one stays.

    Raises:
        DocumentError: The document is missing, or the two comments of a name are not there once each, in this
            order.
    """
    content = _read(document, [name for name in texts if name not in optional])
    for name, text in texts.items():
        if name in optional and not any(comment in content for comment in _comments(name)):
            continue
        before, after = _around(document, content, name)
        content = f"{before}{text}{after}"
    new = document.with_name(f".{document.name}.new")
    try:
        new.write_text(content, encoding="utf-8")
        at_once()
        new.replace(document)
    finally:
        new.unlink(missing_ok=True)


def _comments(name: str) -> tuple[str, str]:
    return f"<!-- {name} begin -->\n", f"<!-- {name} end -->\n"


def _read(document: Path, required: Collection[str]) -> str:
    """The document's text; an error where there is none says which sections it has to have."""
    try:
        return document.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not in UTF-8"
        lines = ", ".join(f"'{comment.strip()}'" for name in required for comment in _comments(name))
        fix = f". Write it, with the lines {lines}" if isinstance(error, FileNotFoundError) else ""
        raise DocumentError(f"{document}: cannot be read ({reason}){fix}") from error


def _around(document: Path, content: str, name: str) -> tuple[str, str]:
    """What stands before a section's text and behind it, the comments among it."""
    begin, end = _comments(name)
    before, first, rest = content.partition(begin)
    _, second, after = rest.partition(end)
    if not first or not second or begin in rest or end in before + after:
        raise DocumentError(
            f"{document}: has no place for these results. Write the lines '{begin.strip()}' and "
            f"'{end.strip()}' where they should stand, once"
        )
    return f"{before}{begin}", f"{end}{after}"
