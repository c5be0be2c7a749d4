"""Text in the width of a terminal: folded between words, and never within one.

A terminal breaks a line where its columns end, in the middle of a word. A command that is folded is
continued with backslashes, so that it can be pasted; one that a sentence ends with goes on lines of its own.
"""

from __future__ import annotations

import re

from rich.cells import cell_len

from xlprompt.evaluation.commands import COMMANDS, NAME

_WORDS = re.compile(r"(\s*)(\S+(?: [%±]\S*)*)")  # `7 %` is one
_WORDS_OF_A_SHELL = re.compile(r"""(\s*)((?:'[^']*'|"[^"]*"|\\.|[^\s'"])+)""")
_PROGRAM = rf"(?:'[^']*/{NAME}'|\S*/{NAME}|{NAME}) (?:{'|'.join(COMMANDS)})\b"
_ENDS_IN_A_COMMAND = re.compile(
    rf"(.*:) ({_PROGRAM}(?:(?![.,;] ).)*|make [a-z-]+(?: [A-Z_]+=\S+)*)"  # no sentence goes on behind it
)
_MARGIN = re.compile(r"[ \t]*")


def folded(text: str, width: int, *, hanging: int = 0) -> str:
    """Fold the lines of a text that are wider than a terminal, each behind its own margin.

    A word that is wider than the terminal, such as a path, is left whole on a line of its own. A command
    behind a colon at the end stays the same command: it goes below, and is folded as `folded_command` does.

    Args:
        text: One line or several.
        width: Columns of the terminal.
        hanging: Columns by which the lines that are added are moved in further.
    """
    lines = []
    for line in text.split("\n"):
        if cell_len(line) <= width:
            lines.append(line)
            continue
        further = _margin(line) + " " * hanging
        ending = _ENDS_IN_A_COMMAND.fullmatch(line)
        lines += _filled(_WORDS.findall(ending[1] if ending else line), width, further, "")
        if ending:
            lines.append(folded_command(f"{further}  {ending[2]}", width))
    return "\n".join(lines)


def folded_command(line: str, width: int) -> str:
    """Fold a shell's command between its words: what comes out is the same command."""
    if cell_len(line) <= width:
        return line
    words = _WORDS_OF_A_SHELL.findall(line)
    return "\n".join(_filled(words, width, _margin(line) + "    ", " \\"))


def _margin(line: str) -> str:
    found = _MARGIN.match(line)
    return found[0] if found else ""


def _filled(words: list[tuple[str, str]], width: int, further: str, goes_on: str) -> list[str]:
    """Lines of words, each with the space before it; all but the last line end in `goes_on`."""
    lines, line = [], "".join(words[0])
    for place, (space, word) in enumerate(words[1:], start=2):
        room = width - (len(goes_on) if place < len(words) else 0)
        if cell_len(line + space + word) > room:
            lines.append(line + goes_on)
            line = further + word
        else:
            line += space + word
    return [*lines, line]
