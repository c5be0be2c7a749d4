"""`xlprompt export`: a trained prompt or adapter for other programs.

The work is done by `xlprompt.training.exchange`; this file only reads arguments and says what came of it.
"""

from __future__ import annotations

from pathlib import Path

import click

from xlprompt.cli.options import mlruns_option, model_place_option


@click.command("export", short_help="Write a trained prompt or adapter for PEFT.")
@click.argument("run")
@click.option(
    "--format",
    "form",
    type=click.Choice(["peft"]),
    default="peft",
    show_default=True,
    help="peft: a folder that peft.PeftModel.from_pretrained loads, with the head beside it.",
)
@click.option(
    "--to",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder; an earlier export there is replaced.",
)
@model_place_option
@mlruns_option
def command(run: str, form: str, folder: Path, model: str | None, mlruns: Path) -> None:
    """Write the model of RUN for another program.

    RUN is "latest", a training run's name or the first letters of its id (`xlprompt runs` lists them), the
    folder of a checkpoint, or the hub id of one.

    PEFT holds prompts of the schemes layers and input, LoRA and (IA)3; its model is loaded from the folder
    and compared with the checkpoint's before the folder gets its name. A README beside says how to use it.

    \b
    Examples:
      xlprompt export latest --format peft --to adapter
      xlprompt export xnli-lora-xglm-564M-seed0 --to adapter --model ../xglm-564M
    """
    from xlprompt.training import find_checkpoint
    from xlprompt.training.exchange.peft_export import export_to_peft

    found, _ = find_checkpoint(run, mlruns)
    exported = export_to_peft(found, folder, model=model)
    for note in exported.notes:
        click.echo(note, err=True)
    click.echo(
        f"PEFT's hidden states differ from the checkpoint's by {exported.difference:.1e} at most.", err=True
    )
    click.echo(exported.folder)
