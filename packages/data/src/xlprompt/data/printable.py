"""Text from outside, made safe to print: what steers a terminal or cannot be encoded stands escaped."""

from __future__ import annotations

import re

# Control characters (an escape sequence can rename a window or hide a line), separators that break a line,
# and halves of characters, which no encoding can hold.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str, *, keep: str = "") -> str:
    r"""Escape the characters of a text that are not to be printed, as Python writes them (``\x1b``).

    Args:
        text: Any text. A byte of a file name that is not UTF-8 is shown as that byte.
        keep: Characters that stay as they are, such as a newline.
    """
    return _UNPRINTABLE.sub(lambda match: match[0] if match[0] in keep else _escape(match[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    if character in _NAMED:
        return _NAMED[character]
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte that is not UTF-8 (PEP 383)
        code -= 0xDC00
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"
