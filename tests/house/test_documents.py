"""The documentation: short, linked, plain, and its commands exist."""

import importlib.util
import re
from pathlib import Path

import click
import pytest
from documents import DOCS, ROOT, blocks, make_checkout, pages, xlprompt_calls

from xlprompt.cli.main import main

pytestmark = pytest.mark.integration

OUTSIDE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("packages/*/README.md"))]
OUTSIDE += [ROOT / "experiments" / "README.md"]
LONGEST_SENTENCE = 25


def test_the_readme_is_two_screens_and_no_page_is_long():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
    lengths = {page: len(page.read_text(encoding="utf-8").splitlines()) for page in DOCS.rglob("*.md")}
    assert {page: length for page, length in lengths.items() if length > 250} == {}


def test_every_page_stands_in_a_menu():
    assert set(DOCS.rglob("*.md")) == {*pages()} - {ROOT / "README.md"}


def sentences(text: str) -> list[str]:
    """Of paragraphs and lists, without code, tables, pictures and addresses."""
    text = re.sub(r"```.*?```|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"^(?:\||#)[^\n]*$|!\[[^\]]*\]\([^)]*\)", "", text, flags=re.MULTILINE)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    parts = re.split(r"\n\s*\n|\n *- |\n\d\. ", text)
    return [each for part in parts for each in re.split(r"(?<=[.?!:])[*)]*\s+", " ".join(part.split()))]


def test_the_readmes_sentences_are_short():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = sentences(text)
    assert len(found) > 40
    assert [each for each in found if len(each.split()) > LONGEST_SENTENCE] == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles)
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", OUTSIDE, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_outside_the_site_lead_somewhere(page):
    """Those of the site are checked when it is built."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = page.parent.joinpath(path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_every_command_and_option_in_the_documents_exists(tmp_path):
    checkout, wrong, seen = make_checkout(tmp_path), [], set()
    for page in {*pages(), *OUTSIDE}:
        for command in {command for block in blocks(page) for command in block.commands()} - seen:
            seen.add(command)
            try:
                for call in xlprompt_calls(command, checkout):
                    parse(call)
            except (ValueError, click.ClickException) as error:
                wrong.append(f"{page.name}: {command}: {error}")
    assert len(seen) > 80
    assert wrong == []


def test_servers_of_mlflow_that_the_documents_start_are_for_this_machine_alone():
    commands = {each for page in {*pages(), *OUTSIDE} for block in blocks(page) for each in block.commands()}
    servers = [each for each in commands if re.search(r"\bmlflow (server|ui|models serve)\b", each)]
    assert len(servers) >= 2
    assert [each for each in servers if "--host 127.0.0.1" not in each] == []


def parse(arguments: list[str]) -> None:
    """Reads a command line as click would before it runs anything.

    Raises:
        click.ClickException: There is no such command or option, or an argument too few or too many.
    """
    command: click.Command = main
    context = click.Context(main, info_name="xlprompt")
    while isinstance(command, click.Group):
        if arguments[:1] in (["--help"], ["--debug"]):
            return
        _, command, arguments = command.resolve_command(context, list(arguments))
        context = click.Context(command, parent=context)
    values, rest, _ = command.make_parser(context).parse_args(list(arguments))
    needed = [each for each in command.params if isinstance(each, click.Argument) and each.required]
    if rest or any(not values.get(each.name) for each in needed):
        raise click.UsageError(f"arguments: {rest or needed}")


def test_the_readmes_table_is_what_the_published_runs_say(tmp_path):
    spec = importlib.util.spec_from_file_location("overview", DOCS / "overview.py")
    overview = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(overview)
    readme, figure = tmp_path / "README.md", tmp_path / "overview.svg"
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    readme.write_text(text, encoding="utf-8")
    overview.main(readme, figure)
    assert readme.read_text(encoding="utf-8") == text, "out of date: python docs/overview.py"
    assert figure.stat().st_size < 100_000
    assert overview.FIGURE.read_text(encoding="utf-8").startswith("<?xml")
