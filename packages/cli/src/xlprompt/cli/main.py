"""Entry point of the command `xlprompt`: names its subcommands, and says in one line what went wrong.

A subcommand lives in the module of its name in `commands` and is imported when it is asked for. Those modules
import the heavy libraries inside their functions, so that `--help` answers at once.
"""

from __future__ import annotations

import codecs
import importlib.metadata
import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from xlprompt.cli.file_errors import file_errors_explained
from xlprompt.cli.groups import Commands
from xlprompt.evaluation.commands import COMMANDS, NAME, program
from xlprompt.training.store.shown.origin import working_for

# Read by OpenMP when torch is imported: how long an idle thread spins before it sleeps. A moment is
# as fast as forever and leaves the cores to others; not at all makes a small model's step a quarter slower.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
# Read when tqdm is imported: no library's bar comes between our own lines. Transformers draws one over a GGUF
# file, which none of its settings takes away. Whether downloads have one, the hub's library decides.
os.environ.setdefault("TQDM_DISABLE", "1")

_ARGUMENTS = "xlprompt.arguments"
_ESCAPED = "xlprompt-escaped"
_LINE_END = "\n"
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class XlpromptGroup(Commands):
    """The group of all commands, which turns known errors into one red line."""

    names = COMMANDS

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the program; usage and hints name it as it is typed here."""
        if len(args) < 2 and not extra.get("prog_name"):
            # What a shell is given to complete commands with, click makes of the bare name.
            extra["prog_name"] = NAME if f"_{NAME.upper()}_COMPLETE" in os.environ else program()
        return super().main(*args, **extra)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Begin a command; from here on nothing that is printed can fail for the terminal's encoding."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors=_ESCAPED)
        given = list(args)
        with _folded_errors():
            context = super().make_context(info_name, args, parent, **extra)
        context.meta[_ARGUMENTS] = given
        return context

    def invoke(self, ctx: click.Context) -> object:
        """Run the subcommand; an error that xlprompt raised on purpose ends in a message and exit code 2."""
        try:
            with _folded_errors(), file_errors_explained(), working_for(ctx.meta[_ARGUMENTS]):
                return super().invoke(ctx)
        except KeyboardInterrupt:
            click.secho("Interrupted.", fg="red", err=True)
            ctx.exit(EXIT_INTERRUPTED)
        except Exception as error:
            if ctx.params.get("debug") or not _is_for_the_user(error):
                raise
            from xlprompt.cli.said import say
            from xlprompt.data.printable import printable

            say(f"Error: {printable(str(error), keep=_LINE_END)}", err=True, fg="red")
            ctx.exit(EXIT_USER_ERROR)


@contextmanager
def _folded_errors() -> Iterator[None]:
    """Within it the errors of a call, which click shows, are folded for the terminal."""
    from xlprompt.cli.said import in_width

    try:
        yield
    except click.ClickException as error:
        word = "Error: "  # which click puts before it
        shown = in_width(f"{word}{error.format_message()}", sys.stderr).removeprefix(word)
        error.format_message = lambda: shown  # type: ignore[method-assign]
        raise


def _is_for_the_user(error: Exception) -> bool:
    """Whether xlprompt raised it to be read, as a DataError; all else is a bug and keeps its traceback."""
    return type(error).__module__.split(".")[0] == "xlprompt"


def _escape(error: UnicodeError) -> tuple[str, int]:
    r"""Stand in for what an encoding lacks, as JSON writes it (``\u00e9``), so that JSON stays JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    units = (int.from_bytes(text[place : place + 2]) for place in range(0, len(text), 2))
    return "".join(f"\\u{unit:04x}" for unit in units), error.end


codecs.register_error(_ESCAPED, _escape)


class _SaidOnce(logging.Filter):
    """Lets each note on data and on which run is meant through once: both are looked up several times."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        is_note = record.levelno <= logging.INFO and record.name.startswith("xlprompt.data")
        if not is_note and record.name != "xlprompt.training.store.find":
            return True
        text = record.getMessage()
        is_new = text not in self._said
        self._said.add(text)
        return is_new


class _LogLines(logging.Handler):
    """Lines of the log as all else is printed: above a live line, and folded for a terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        from xlprompt.cli.said import say

        say(self.format(record), err=True)


def _version() -> str:
    try:
        return importlib.metadata.version("xlprompt-cli")
    except importlib.metadata.PackageNotFoundError:
        return "unknown (not installed; run: make setup)"


@click.group(
    cls=XlpromptGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(_version(), "-V", "--version", prog_name="xlprompt")
@click.option("--debug", is_flag=True, envvar="XLPROMPT_DEBUG", help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Tune prompts for a multilingual decoder language model on English, and see what transfers.

    A prompt is a few trained keys and values in front of every layer of a frozen model. Train one on a
    task in English, and xlprompt scores it on every language that the data have.

    \b
    A first run, and a look at it:
      xlprompt train experiments/mini/xnli-prompt.yaml
      xlprompt ui
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[_LogLines()])
    logging.getLogger("xlprompt").setLevel(logging.DEBUG if debug else logging.INFO)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _LogLines):  # others are none of ours
            handler.filters[:] = [_SaidOnce()]
