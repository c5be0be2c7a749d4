"""`xlprompt push`: a checkpoint with its recipe and card, to a folder or the Hugging Face hub.

The work is done by `xlprompt.training.exchange`; this file only reads arguments and says what came of it.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from xlprompt.cli.options import mlruns_option
from xlprompt.cli.said import say, wait


@click.command("push", short_help="Give a trained model away: a folder or hub repository with a card.")
@click.argument("run")
@click.argument("destination")
@click.option("--public", is_flag=True, help="Let everyone see the hub's repository, where one is made.")
@mlruns_option
def command(run: str, destination: str, public: bool, mlruns: Path) -> None:
    """Write the model of RUN with its recipe and a card of scores, data and cost to DESTINATION.

    RUN is "latest", a training run's name or the first letters of its id (`xlprompt runs` lists them), the
    folder of a checkpoint, or the hub id of one. DESTINATION is a folder, replaced if it was pushed to
    before, or a repository of the hub, OWNER/NAME where there is no folder OWNER; one that is made is private
    unless --public is given. `predict` and `evaluate` take either by name.

    \b
    Examples:
      xlprompt push latest ./xnli-prompt
      xlprompt push latest somebody/xglm-564m-xnli-prompt
      xlprompt predict somebody/xglm-564m-xnli-prompt "A man sleeps." "Nobody sleeps."
    """
    from xlprompt.training import find_directory, read_metadata
    from xlprompt.training.store.hub_folders import goes_to_hub

    if public and not goes_to_hub(destination):
        raise click.UsageError("--public is for a repository of the hub, and this is a folder. Leave it out")
    read_metadata(find_directory(run, mlruns)[0])
    with wait("Writing the model and its card"):
        from xlprompt.training.exchange.pushing import push  # which waits for torch

        pushed = push(run, destination, store=mlruns, public=public)
    for note in pushed.notes:
        say(note, err=True)
    click.echo(pushed.place)
    say(f"Score it anywhere: xlprompt evaluate {shlex.quote(destination)}", err=True)
