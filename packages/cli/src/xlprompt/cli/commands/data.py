"""`xlprompt data`: check what a folder holds and what is wrong with it, show examples of a source.

The reading is done by `xlprompt.data`, `xlprompt.cli.shown_examples` picks what to show; this file prints.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from xlprompt.cli.groups import Commands
from xlprompt.cli.options import json_option
from xlprompt.cli.shown_examples import Item, choose, find_parts, on_one_line
from xlprompt.data.how_many import how_many

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from xlprompt.data.sources.check import FolderReport

EXIT_PROBLEMS = 1


@click.group("data", cls=Commands, short_help="Look at data before training on them.")
def command() -> None:
    """Look at data before training on them."""


@command.command("check", short_help="Say what a folder holds and what is wrong with it.")
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
@click.pass_context
def check(ctx: click.Context, folder: Path, as_json: bool) -> None:
    """Say what FOLDER holds (task, language, split, format, count) and what is wrong with it.

    FOLDER may hold the official files as published (XNLI-1.0, MultiNLI, PAWS-X, WikiANN, Universal
    Dependencies) or JSON Lines, or be a task of your own: CSV, TSV, JSON Lines, Parquet, or words in
    columns. Exit code 1 means that something is wrong, or that nothing was found.

    \b
    Examples:
      xlprompt data check ../data
      xlprompt data check ../data --json
    """
    from xlprompt.data.sources.check import check_folder

    report = check_folder(folder)
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
    else:
        _print_report(report)
    if report.problems or not report.found:
        ctx.exit(EXIT_PROBLEMS)


def _print_report(report: FolderReport) -> None:
    from rich.table import Table
    from rich.text import Text

    from xlprompt.evaluation.fitted_table import show_table
    from xlprompt.evaluation.terminal import open_console

    # A piped listing keeps its columns: without a terminal rich would fold them at 80.
    console = open_console(soft_wrap=True)
    table = Table(title=Text(report.folder))
    for name in ("task", "language", "split", "format"):
        table.add_column(name, no_wrap=True)
    table.add_column("examples", justify="right", no_wrap=True)
    if any(found.skipped for found in report.found):
        table.add_column("left out", no_wrap=True)
    for found in report.found:
        left_out = ", ".join(f"{times:,} {reason}" for reason, times in found.skipped.items())
        row = (found.task, found.language, found.split, found.format, f"{found.count:,}", left_out)
        table.add_row(*row[: len(table.columns)])
    if report.found:
        if console.is_terminal:
            show_table(console, table)
        else:
            console.print(table)
    else:
        console.print("Nothing was found that xlprompt can read.")
    for problem in report.problems:
        place = f"{problem.file}:{problem.line}" if problem.line is not None else str(problem.file)
        console.print(Text(f"{place}: {problem.message}. {problem.fix or ''}".rstrip(), style="red"))
    for warning in report.warnings:
        console.print(Text(f"Note: {warning}", style="yellow"))
    console.print(f"{how_many(len(report.found), 'data set')}, {how_many(len(report.problems), 'problem')}")


@command.command("new", short_help="Write a first folder for a task of your own.")
@click.argument("folder", type=click.Path(path_type=Path))
def new(folder: Path) -> None:
    """Write an example of a task of your own into FOLDER, which is made: three topics in three languages.

    It has a commented task.yaml and CSV files, and trains as it is. Put your own files in their place.

    \b
    Examples:
      xlprompt data new ../topics
      xlprompt train experiments/mini/own-prompt.yaml --data ../topics
    """
    from xlprompt.data.sources.own.example import write_example
    from xlprompt.evaluation.terminal import offer, open_console

    for file in write_example(folder):
        click.echo(file)
    command = f"xlprompt train experiments/mini/own-prompt.yaml --data {shlex.quote(str(folder))}"
    offer(open_console(stderr=True), "Train on it", command)


@command.command("show", short_help="Print some examples.")
@click.argument("source", metavar="SOURCE")
@click.option("--task", "task_name", help="One task, such as xnli; default: all that SOURCE has.")
@click.option(
    "--languages",
    metavar="CODES",
    help="Such as en,de,sw; default: the first that SOURCE has, English where it is there; "
    "with --markdown all that it has.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    show_default=True,
    help="Where the examples are from.",
)
@click.option(
    "--examples", type=click.IntRange(min=1), default=3, show_default=True, help="How many of each task."
)
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a Markdown page, one table an example.")
@json_option
@click.pass_context
def show(
    ctx: click.Context,
    source: str,
    task_name: str | None,
    languages: str | None,
    split: str,
    examples: int,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Print some examples of SOURCE: 'mini' (the bundled benchmark), 'hub', or a folder.

    They are the first of every label, then the second of every label and so on; of tagged sentences, of
    every set of tags. Where languages share ids, all show the same examples, one below the other.

    \b
    Examples:
      xlprompt data show mini
      xlprompt data show mini --task xnli --languages en,de,sw
      xlprompt data show ../data --task ner --examples 10 --json
    """
    if as_markdown and as_json:
        raise click.UsageError("--markdown and --json exclude each other.")
    from xlprompt.data import open_source

    opened = open_source(source)
    codes = list(dict.fromkeys((languages or "").replace(",", " ").split()))
    parts = find_parts(opened, task_name, codes, split, every_language=as_markdown)
    items = [item for task, there in parts for item in choose(opened, task, there, split, examples)]
    if as_markdown:
        click.echo(_page(items, source=opened.name, split=split, made_by=_command_line(ctx)), nl=False)
    elif as_json:
        rows = [row for item in items for row in item.to_dicts(split)]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        _print_items(items)


def _print_items(items: Sequence[Item]) -> None:
    from rich.text import Text

    from xlprompt.evaluation.terminal import open_console

    console = open_console(highlight=False)
    for number, item in enumerate(items):
        if number:
            console.print()
        head = (item.task.name, on_one_line(item.id), item.label)
        console.print(Text("  ".join(filter(None, head)), style="bold"))
        for code in item.rows:
            for place, line in enumerate(item.lines(code).values()):
                words = [Text.assemble(word, (tag and f"/{tag}", "cyan")) for word, tag in line]
                _print_line(console, "" if place else code, Text(" ").join(words))


def _print_line(console: Console, code: str, text: Text) -> None:
    """Print a text behind its language; wrapped for a screen, but one line for a program that reads it.

    Not as a table: a border to the right of a right-to-left text would be drawn in the midst of it.
    """
    from rich.text import Text

    margin = f"  {code:<4}"
    lines = text.wrap(console, console.width - len(margin)) if console.is_terminal else [text]
    for number, line in enumerate(lines):
        console.print(Text(margin if number == 0 else " " * len(margin)) + line, soft_wrap=True)


def _command_line(ctx: click.Context) -> str:
    """The command as it was called, on one line and without options that were left at their default."""
    words = ["xlprompt", "data", "show", ctx.params["source"]]
    for option in ctx.command.params:
        if not isinstance(option, click.Option) or option.name is None:
            continue
        if ctx.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
            words += [option.opts[0]] if option.is_flag else [option.opts[0], str(ctx.params[option.name])]
    return on_one_line(shlex.join(words))


def _page(items: Sequence[Item], *, source: str, split: str, made_by: str) -> str:
    lines = [
        f"# Examples of {on_one_line(source)}",
        "",
        f"Printed by `{made_by}`; do not edit.",
        "",
        f"- They are of the {split} split: the first of every label, then the second of every label and so",
        "  on; of tagged sentences, of every set of tags that the first language has.",
        "- The lines of a table are one example in several languages.",
        "- A word is followed by its tag, unless that is O.",
    ]
    task = ""
    for item in items:
        if item.task.name != task:
            task = item.task.name
            lines += ["", f"## {task}"]
        lines += [
            "",
            f"### {_escaped(on_one_line(item.id))}" + (f": {item.label}" if item.label else ""),
            "",
        ]
        lines += _table(item)
    return "\n".join(lines) + "\n"


def _table(item: Item) -> list[str]:
    from xlprompt.data import language

    columns = item.lines(next(iter(item.rows)))
    lines = [f"| language | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    for code in item.rows:
        cells = [
            _escaped(" ".join(f"{word}/{tag}" if tag else word for word, tag in line))
            for line in item.lines(code).values()
        ]
        if language(code).script in ("Arabic", "Hebrew"):
            cells = [f'<span dir="rtl">{cell}</span>' for cell in cells]
        lines.append(f"| {language(code).name} | {' | '.join(cells)} |")
    return lines


def _escaped(text: str) -> str:
    """The text with a backslash before what Markdown would read as its own."""
    return re.sub(r"([\\`*_\[\]<>|~&])", r"\\\1", text)
