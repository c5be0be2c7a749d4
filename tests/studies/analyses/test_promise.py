"""An analysis is one folder and one entry of the list: its command, chapter and brief rows follow."""

import json
import sys
from textwrap import dedent

import pytest
from click.testing import CliRunner
from published_studies import study

from xlprompt.cli.main import main
from xlprompt.studies.analyses import analysis
from xlprompt.studies.reports.published_runs import write_published

TOY = {
    "settings": '''
        from pathlib import Path

        from xlprompt.studies.analyses.analysis import option
        from xlprompt.training.recipes.settings import Settings as AnySettings


        class Settings(AnySettings):
            """Count the runs of a study.

            Examples:
              xlprompt analyze toy --runs runs.jsonl.gz
            """

            runs: tuple[Path, ...] = option((), "A file of published runs.")
            methods: tuple[str, ...] | None = option(None, "Some of the methods.")
        ''',
    "findings": """
        from collections import Counter


        def count(runs, methods):
            found = Counter(run.tags["method"] for run in runs)
            return {name: number for name, number in found.items() if not methods or name in methods}
        """,
    "section": """
        from xlprompt.studies.reports.page import Section, Table


        def counts_section(counts):
            rows = tuple((name, str(number)) for name, number in counts.items())
            return Section(
                "Toy: how many",
                (Table("Runs by method", ("method", "runs"), rows),),
                brief=Table("toys", ("method", "runs"), rows, "Runs of a method."),
            )
        """,
    "measure": """
        from toys.counts.findings import count
        from toys.counts.section import counts_section
        from xlprompt.data import TASKS
        from xlprompt.studies.analyses.analysis import Outcome
        from xlprompt.studies.reports.kept_sections import log_section
        from xlprompt.studies.reports.sources import open_runs


        def measure(settings, *, store, console):
            runs = open_runs(store, settings.runs, "Run some").finished_cells(list(TASKS))
            counts = count(runs, settings.methods)
            section = counts_section(counts)
            run_id = log_section(store, "toy", runs[0].tags["model"], section, findings=counts)
            return Outcome(counts, {"counts": counts}, [section], run_id)
        """,
}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The folder, in a package of its own, and the entry."""
    folder = tmp_path / "packages" / "toys" / "counts"
    folder.mkdir(parents=True)
    for name, text in TOY.items():
        (folder / f"{name}.py").write_text(dedent(text))
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    entry = analysis.Analysis("toy", "Counts runs.", package="toys.counts")
    monkeypatch.setattr(analysis, "ANALYSES", (*analysis.ANALYSES, entry))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "toys"]:
        del sys.modules[name]


@pytest.mark.integration
def test_an_analysis_is_one_folder_and_one_entry_of_the_list(toy, tmp_path):
    runs, store = tmp_path / "runs.jsonl.gz", tmp_path / "mlruns"
    write_published(runs, study())

    def xlprompt(*arguments):
        result = CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    assert "Counts runs." in xlprompt("analyze", "--help")
    assert "--methods NAMES" in xlprompt("analyze", "toy", "--help")
    asked = ("analyze", "toy", "--runs", runs, "--mlruns", store)
    assert json.loads(xlprompt(*asked, "--json")) == {"counts": {"prompt": 2, "finetune": 2}}
    shown = xlprompt(*asked, "--methods", "prompt", "--out", tmp_path / "page")
    assert [line.split() for line in shown.splitlines() if line.strip().startswith("prompt")] == [
        ["prompt", "2"]
    ]
    assert "## Toy: how many" in (tmp_path / "page" / "analysis.md").read_text()

    readme = tmp_path / "README.md"
    places = ("mini", "mini-toys")
    readme.write_text("".join(f"<!-- {place} begin -->\n<!-- {place} end -->\n" for place in places))
    report = ("publish", tmp_path / "mini", "--readme", readme, "--runs", runs, "--mlruns", store)
    xlprompt(*report, "--out", tmp_path / "report")
    assert "### Runs by method\n\n| method | runs |" in (tmp_path / "report" / "report.md").read_text()
    assert "\n| method | runs |\n| --- | --- |\n| prompt | 2 |\n\nRuns of a method.\n" in readme.read_text()
    assert "Toy: how many" in readme.read_text()
