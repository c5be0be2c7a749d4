"""The console of all commands: text is printed as it is, steers nothing, and is folded between words."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from xlprompt.data.printable import printable
from xlprompt.evaluation.commands import as_typed
from xlprompt.evaluation.folding import folded, folded_command


class _Console(Console):
    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(as_typed(printable(text, keep="\n\t")), **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; long lines stay whole in a file, and are folded for a terminal, which would break words."""
        if self.is_terminal and options.get("soft_wrap", self.soft_wrap):
            if all(isinstance(each, str) for each in objects):
                typed = (as_typed(printable(text, keep="\n\t")) for text in objects)
                objects = tuple(folded(text, self.width) for text in typed)
            elif all(isinstance(each, Text) for each in objects):
                options["soft_wrap"] = False  # rich folds it between words
        super().print(*objects, **options)


def open_console(**options: Any) -> Console:
    """A console that takes nothing in a text for markup, emoji or orders to the terminal.

    Names of files and models may hold brackets, colons and escape sequences.

    Args:
        options: Further ones of rich's `Console`.
    """
    return _Console(markup=False, emoji=False, **options)


def offer(console: Console, what: str, command: str) -> None:
    """Print a command for the reader to paste, on the line of what it does or below that.

    Args:
        console: Where to.
        what: Such as `Score it again`.
        command: Quoted for a shell; of this program it begins with `xlprompt`.
    """
    typed = as_typed(printable(command))
    line = f"{what}: {typed}"
    if console.is_terminal and len(line) > console.width:
        line = f"{what}:\n{folded_command(f'  {typed}', console.width)}"
    console.print(line, highlight=False, markup=False, soft_wrap=True)
