"""`xlprompt export`: a run in the format of another program.

The work is done by `xlprompt.training.exchange` and `xlprompt.training.exports`; this file only reads
arguments and says what came of it.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from xlprompt.cli.options import (
    json_option,
    mlruns_option,
    model_place_option,
    refuse_unused,
    split_names,
)
from xlprompt.cli.said import command_in_width, say, wait
from xlprompt.data.how_many import how_many

PEFT = "peft"
PREDICTIONS = ("xtreme", "conll", "ud")


@click.command("export", short_help="Write a run for PEFT or for the field's evaluators.")
@click.argument("run")
@click.option(
    "--format",
    "form",
    type=click.Choice([PEFT, *PREDICTIONS]),
    default=PEFT,
    show_default=True,
    help="Whose format.",
)
@click.option(
    "--to",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder; an earlier export of the same kind there is replaced.",
)
@click.option(
    "--split",
    type=click.Choice(["test", "validation"]),
    help="Of predictions: of which set. [default: test]",
)
@click.option("--data", help="Of predictions: where the data lie now, if not where they lay.")
@click.option(
    "--languages",
    callback=split_names,
    metavar="CODES",
    help="Of predictions: these languages only, such as en,de,sw. [default: all that were scored]",
)
@model_place_option
@mlruns_option
@json_option
def command(
    run: str,
    form: str,
    folder: Path,
    split: str | None,
    data: str | None,
    languages: tuple[str, ...] | None,
    model: str | None,
    mlruns: Path,
    as_json: bool,
) -> None:
    """Write the model of RUN, or its predictions, for another program.

    RUN is "latest", a training run's name or the first letters of its id (`xlprompt runs` lists them); of a
    model also a checkpoint's folder or hub id, of predictions also the id of an evaluation.

    \b
    peft    a folder that peft.PeftModel.from_pretrained loads, with the head
            and a README beside it: prompts of the schemes layers and input,
            LoRA and (IA)3. It is compared with the checkpoint first.
    xtreme  google-research/xtreme's evaluate.py: xnli, pawsx, ner, pos and
            xquad; xcopa in XTREME-R
    conll   conlleval: ner, and pos with its -r
    ud      conll18_ud_eval.py: pos, of which its UPOS figure counts

    \b
    Examples:
      xlprompt export latest --to adapter
      xlprompt export xnli-lora-xglm-564M-seed0 --to adapter --model ../xglm-564M
      xlprompt export latest --format xtreme --to build/xtreme
    """
    if form == PEFT:
        for name in ("split", "data", "languages"):
            refuse_unused(True, name, "is about predictions, which peft has none of. Leave it out")
        _export_model(run, folder, model, mlruns, as_json)
    else:
        refuse_unused(True, "model", f"is about models, which --format {form} does not write. Leave it out")
        _export_predictions(run, form, folder, split or "test", data, languages, mlruns, as_json)


def _export_model(run: str, folder: Path, model: str | None, mlruns: Path, as_json: bool) -> None:
    from xlprompt.models import require_model
    from xlprompt.training import find_directory, load_checkpoint, read_metadata

    directory, _ = find_directory(run, mlruns)
    read_metadata(directory)
    if model is not None:
        require_model(model)
    with wait("Writing the adapter and comparing it"):
        from xlprompt.training.exchange.peft_export import export_to_peft  # which waits for torch

        exported = export_to_peft(load_checkpoint(directory), folder, model=model)
    if as_json:
        said = {
            "folder": str(exported.folder),
            "difference": exported.difference,
            "notes": list(exported.notes),
        }
        click.echo(json.dumps(said, indent=2, ensure_ascii=False))
        return
    for note in exported.notes:
        say(note, err=True)
    say(f"PEFT's hidden states differ from the checkpoint's by {exported.difference:.1e} at most.", err=True)
    click.echo(exported.folder)


def _export_predictions(
    run: str,
    form: str,
    folder: Path,
    split: str,
    data: str | None,
    languages: tuple[str, ...] | None,
    mlruns: Path,
    as_json: bool,
) -> None:
    from xlprompt.training.store.find import find_run_id

    run_id = find_run_id(run, mlruns)
    with wait("Writing the predictions"):
        from xlprompt.training.exports.predictions import export_predictions  # which waits for torch

        exported = export_predictions(
            run_id, form, folder, store=mlruns, split=split, source=data, languages=languages
        )
    if as_json:
        said = {
            "files": list(map(str, exported.files)),
            "command": exported.command,
            "notes": list(exported.notes),
        }
        click.echo(json.dumps(said, indent=2, ensure_ascii=False))
        return
    say(f"{how_many(len(exported.files), 'file')} in {folder}. Score them with")
    click.echo(command_in_width(f"  {exported.command}"))
    for note in exported.notes:
        say(f"Note: {note}")
