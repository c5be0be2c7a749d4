"""The console that commands print to: text is printed as it is, and steers nothing."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from xlprompt.data.printable import printable


class _Console(Console):
    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text, keep="\n\t"), **options)


def open_console(**options: Any) -> Console:
    """A console that takes nothing in a text for markup, emoji or orders to the terminal.

    Names of files and models may hold brackets, colons and escape sequences.

    Args:
        options: Further ones of rich's `Console`.
    """
    return _Console(markup=False, emoji=False, **options)
