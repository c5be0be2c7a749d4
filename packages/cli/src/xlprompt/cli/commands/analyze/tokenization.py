"""`xlprompt analyze tokenization`: how finely a tokenizer cuts each language, and what that goes with.

The work is done by `xlprompt.studies.analyses.tokenization.measure`; this file prints its tables.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from xlprompt.cli.options import (
    json_option,
    languages_option,
    mlruns_option,
    out_option,
    refuse_page_beside_json,
    runs_option,
)


@click.command("tokenization", short_help="How finely a tokenizer cuts each language, and what goes with it.")
@click.option(
    "--model", default="xglm-nano", show_default=True, help="Whose tokenizer: a known name, hub id or folder."
)
@click.option("--data", default="mini", show_default=True, help="The text: 'mini', 'hub' or a folder.")
@click.option(
    "--task",
    default="pos",
    show_default=True,
    help="Whose text. In pos and ner words are annotated, also where a language writes no spaces.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    show_default=True,
    help="Which of the task's sets.",
)
@languages_option
@click.option("--limit", type=click.IntRange(min=1), help="Use at most this many examples of each language.")
@runs_option
@out_option
@mlruns_option
@json_option
def command(
    model: str,
    data: str,
    task: str,
    split: str,
    languages: tuple[str, ...] | None,
    limit: int | None,
    runs: tuple[Path, ...],
    out: Path,
    mlruns: Path,
    as_json: bool,
) -> None:
    """Count how a model's tokenizer cuts the text of a task, language by language, with intervals.

    Where the store, or a file of published runs (--runs), has a finished study of the model, the figures are
    correlated with the difference between prompt tuning and full fine-tuning. No weights are loaded. What
    comes out is kept as a run of the store, and in the study's report.

    \b
    Examples:
      xlprompt analyze tokenization
      xlprompt analyze tokenization --model gemma-3-270m --data ../data --task xnli
      xlprompt analyze tokenization --model gemma-3-270m --data ../data --runs results/runs.jsonl.gz
    """
    from xlprompt.cli.tables import show_section
    from xlprompt.evaluation.terminal import open_console
    from xlprompt.studies.analyses.tokenization.measure import analyze_tokenization

    refuse_page_beside_json(as_json)
    console = open_console(stderr=as_json)
    findings = analyze_tokenization(
        mlruns,
        model=model,
        source=data,
        task_name=task,
        console=console,
        split=split,
        languages=languages,
        limit=limit,
        published=runs,
    )
    if as_json:
        click.echo(json.dumps(findings.analysis.to_dict(), indent=2, ensure_ascii=False))
        return
    show_section(console, findings.section, out)
