"""`xlprompt serve`: trained models behind one HTTP server on this machine, with a page to try them.

The work is done by `xlprompt.training.serving`; this file reads arguments, chooses the port and waits.
"""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import click

from xlprompt.cli.options import device_option, mlruns_option, model_place_option
from xlprompt.cli.said import say, wait

HOST = "127.0.0.1"
FIRST_PORT = 8000
PORTS_TRIED = 50
GRACE_SECONDS = 10  # for requests that are being answered when the server is stopped


@click.command("serve", short_help="Answer HTTP requests with trained models.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--port", type=click.IntRange(1, 65535), help=f"Default: the first free one from {FIRST_PORT} on."
)
@click.option(
    "--max-texts", type=click.IntRange(1), default=64, show_default=True, help="Most examples of a request."
)
@click.option(
    "--max-characters",
    type=click.IntRange(1),
    default=20_000,
    show_default=True,
    help="Most characters of an example.",
)
@click.option(
    "--max-waiting",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Most requests that wait; those beyond are refused (429).",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds after which a request is given up (504).",
)
@model_place_option
@device_option
@mlruns_option
def command(
    runs: tuple[str, ...],
    port: int | None,
    max_texts: int,
    max_characters: int,
    max_waiting: int,
    timeout: float,
    model: str | None,
    device: str | None,
    mlruns: Path,
) -> None:
    """Serve the models of RUNs on 127.0.0.1, until Ctrl-C: a page at /, POST /predict, and what /docs lists.

    A RUN is a run's name, the first letters of its id, latest, a checkpoint's folder, or the hub id of one.
    Prompts and heads stand on one backbone in memory, however many they are; requests that come at the same
    time are answered together. A model that changes its backbone (LoRA, fine-tuning) has one of its own.

    \b
    Examples:
      xlprompt serve latest
      xlprompt serve xnli-prompt-xglm-nano-seed0 pos-prompt-xglm-nano-seed0 --port 8001
      curl http://127.0.0.1:8000/predict --json '{"task": "pos", "texts": ["Ein Mann schläft"]}'
    """
    listener = _listen(port)  # first: that a port is taken should be said before models are loaded
    try:
        _check(runs, mlruns, model, device)
        with wait("Loading the models"):
            import uvicorn

            from xlprompt.training.serving.app import create_app
            from xlprompt.training.serving.limits import Limits
            from xlprompt.training.serving.shelf import load_shelf

            shelf = load_shelf(runs, mlruns, device=device, model=model)
        limits = Limits(texts=max_texts, characters=max_characters, queue=max_waiting, seconds=timeout)
        settings = uvicorn.Config(
            create_app(shelf, limits),
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        names = ", ".join(each.name for each in shelf)
        held = "one backbone" if shelf.backbones == 1 else f"{shelf.backbones} backbones"
        say(f"Serving {names} on {held}: http://{HOST}:{listener.getsockname()[1]}  (Ctrl-C stops it)")
        uvicorn.Server(settings).run(sockets=[listener])
    except KeyboardInterrupt:
        click.echo("Stopped.")
    finally:
        listener.close()


def _check(runs: tuple[str, ...], mlruns: Path, model: str | None, device: str | None) -> None:
    """Refuse what is not there, without waiting for torch."""
    from xlprompt.models import require_model
    from xlprompt.training import find_directory, read_metadata
    from xlprompt.training.inputs.checks import check_device

    check_device(device)
    if model is not None:
        require_model(model)
    for run in runs:
        read_metadata(find_directory(run, mlruns)[0])


def _listen(wanted: int | None) -> socket.socket:
    """A socket that connections may come to from now on; they wait until the models are loaded."""
    ports = range(FIRST_PORT, FIRST_PORT + PORTS_TRIED) if wanted is None else [wanted]
    for port in ports:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen(2048)
            return listener
        except OSError as error:
            listener.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
    if wanted is None:
        raise click.ClickException(
            f"No port from {FIRST_PORT} to {FIRST_PORT + PORTS_TRIED - 1} is free. Name one with --port."
        )
    raise click.ClickException(
        f"Port {wanted} is taken by another program, or not allowed. Choose another with --port, or leave "
        "--port away and a free one is taken."
    )
