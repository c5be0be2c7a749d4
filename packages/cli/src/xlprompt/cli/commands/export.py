"""`xlprompt export`: a run in the format of another program.

The work is done by the module that `FORMATS` names; this file only reads arguments and prints what came out.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from xlprompt.cli.options import json_option, languages_option, mlruns_option

FORMATS = ("xtreme", "conll", "ud")


@click.command("export", short_help="Write a run's predictions for the field's evaluators.")
@click.argument("run")
@click.option("--format", "form", type=click.Choice(FORMATS), required=True, help="Whose format.")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the files, made where it is not there.",
)
@click.option(
    "--split",
    type=click.Choice(["test", "validation"]),
    default="test",
    show_default=True,
    help="Whose predictions.",
)
@click.option("--data", help="Where the data lie now, if not where they lay; read by conll and ud for words.")
@languages_option
@mlruns_option
@json_option
def command(
    run: str,
    form: str,
    folder: Path,
    split: str,
    data: str | None,
    languages: tuple[str, ...] | None,
    mlruns: Path,
    as_json: bool,
) -> None:
    """Write the predictions of RUN, a training or evaluation in the store, into a folder.

    \b
    xtreme  google-research/xtreme's evaluate.py: xnli, pawsx, ner, pos and xquad; xcopa in XTREME-R
    conll   conlleval: ner, and pos with its -r
    ud      conll18_ud_eval.py: pos, of which its UPOS figure counts

    \b
    Example:
      xlprompt export 0123456789abcdef0123456789abcdef --format xtreme --to build/xtreme
    """
    from xlprompt.training.exports.predictions import export_predictions

    exported = export_predictions(
        run, form, folder, store=mlruns, split=split, source=data, languages=languages
    )
    if as_json:
        found = {
            "files": list(map(str, exported.files)),
            "command": exported.command,
            "notes": exported.notes,
        }
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    click.echo(f"{len(exported.files)} files in {folder}. Score them with\n  {exported.command}")
    for note in exported.notes:
        click.echo(f"Note: {note}")
