"""`xlprompt ui`: the MLflow UI on this machine's runs.

Starts MLflow's own server on the sqlite store, reachable from this machine only, and stops it at Ctrl-C.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xlprompt.cli.options import mlruns_option
from xlprompt.cli.said import say, wait

if TYPE_CHECKING:
    from types import FrameType

HOST = "127.0.0.1"
FIRST_PORT = 5000  # MLflow's own default
PORTS_TRIED = 50
START_SECONDS = 120.0  # a cold disk takes MLflow some twenty seconds


@click.command("ui", short_help="Open the MLflow UI on the runs.")
@mlruns_option
@click.option(
    "--port", type=click.IntRange(1, 65535), help=f"Default: the first free one from {FIRST_PORT} on."
)
def command(mlruns: Path, port: int | None) -> None:
    """Open the MLflow UI on the runs in the store, on 127.0.0.1 only. Ctrl-C stops it.

    \b
    Examples:
      xlprompt ui
      xlprompt ui --port 5005 --mlruns other/mlruns
    """
    from xlprompt.training.store.database import create_store, store_uri
    from xlprompt.training.store.shared.server import is_http, tracking_server, without_password

    if (server_uri := tracking_server(mlruns)) and is_http(server_uri):
        raise click.ClickException(
            f"{without_password(server_uri)} has a UI of its own: open it in a browser"
        )
    port = _choose_port(port)
    create_store(mlruns)  # here and not by the server, whose workers would race for it
    log = mlruns / "ui.log"
    signal.signal(signal.SIGTERM, _exit_on_signal)
    server = _start_server(store_uri(mlruns), mlruns, port, log)
    try:
        with wait("Starting the MLflow server"):
            _wait_until_up(server, port)
        _print_addresses(store_uri(mlruns), f"http://{HOST}:{port}")
        server.wait()
    except KeyboardInterrupt:
        click.echo("Stopped.")
        return
    finally:
        _stop(server)
    last_lines = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise click.ClickException(
        f"The MLflow server stopped by itself (exit code {server.returncode}). "
        f"Its last messages, from {log}:\n{last_lines}"
    )


def _choose_port(wanted: int | None) -> int:
    if wanted is not None:
        if not _is_free(wanted):
            raise click.ClickException(
                f"Port {wanted} is taken by another program. Choose another with --port, "
                "or leave --port away and a free one is taken."
            )
        return wanted
    for port in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        if _is_free(port):
            return port
    raise click.ClickException(
        f"No port from {FIRST_PORT} to {FIRST_PORT + PORTS_TRIED - 1} is free. Name one with --port."
    )


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the server does; without it a port that was closed a moment ago would look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _start_server(uri: str, mlruns: Path, port: int, log: Path) -> subprocess.Popen[bytes]:
    command_line = [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", uri, "--registry-store-uri", uri),
        *("--default-artifact-root", (mlruns / "artifacts").resolve().as_uri()),
        *("--host", HOST, "--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level warning"),
    ]
    environment = {
        **os.environ,
        # Its job queue serves LLM judges, which runs here do not use; it would cost processes and memory.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with log.open("wb") as messages:
        # A group of its own, so that stopping reaches the workers too.
        return subprocess.Popen(
            command_line, env=environment, stdout=messages, stderr=messages, start_new_session=True
        )


def _wait_until_up(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        connection = http.client.HTTPConnection(HOST, port, timeout=5)  # urllib would ask a proxy
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.2)
        finally:
            connection.close()
    if server.poll() is None:
        raise click.ClickException(f"The MLflow server did not answer within {START_SECONDS:.0f} seconds.")


def _print_addresses(uri: str, url: str) -> None:
    """The server's address, and those of the tables of runs.

    MLflow opens on its view for traces, which training runs do not have; the query names the other view.
    """
    from mlflow import MlflowClient

    from xlprompt.training.store.shown.view import list_address

    say(f"MLflow UI: {url}  (Ctrl-C stops it)")
    client = MlflowClient(uri)
    experiments = [e for e in client.search_experiments() if e.name != "Default"]
    for experiment in sorted(experiments, key=lambda e: e.name):
        say(f"  runs of {experiment.name}: {list_address(client, experiment.experiment_id, url)}")
    if experiments:
        say("Elsewhere in it, choose 'Model training' at the top left: it starts with 'GenAI'.")


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and its workers: kindly, and after ten seconds by force."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(timeout=10)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
