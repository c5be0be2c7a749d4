"""Throughput and memory of `xlprompt serve` against one `mlflow models serve` process for each task.

    python experiments/bench/serving.py xnli-prompt-xglm-nano-seed0 pos-prompt-xglm-nano-seed0 ...

Runs are trained ones of a store (`make xnli-prompt pos-prompt sib200-prompt` makes three). Both sides answer
the same requests, of one example each, the tasks in turn, from as many clients at a time; rounds alternate,
and the ratio is the median over rounds, so a noisy machine disturbs both alike. Memory is each side's
proportional set size when it has answered, shared pages counted once. Processor time is told as well: where
other programs run, three processes get more of the cores than one, and it alone says what an answer costs.
"""

import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import psutil
from common import write_results
from rich.console import Console
from rich.table import Table

from xlprompt.data.sources import open_source
from xlprompt.training.runs.predictor import open_predictor
from xlprompt.training.store.checkpoint import load_checkpoint
from xlprompt.training.store.database import find_model
from xlprompt.training.store.find import find_run_id
from xlprompt.training.store.pyfunc_files import write_pyfunc_files

HOST = "127.0.0.1"
START_SECONDS = 240
TOLERANCE = (
    2e-3  # in a probability: rows of other requests change the batch's shape, and bfloat16 sums with it
)


@dataclass(frozen=True)
class Asked:
    """A request, in both forms, and what `predict` answers."""

    model: int
    ours: bytes
    theirs: bytes
    label: Any
    probability: Any


@dataclass(frozen=True)
class Side:
    """A server that runs: its process, and its port for each model."""

    name: str
    processes: Sequence[psutil.Process]
    ports: Sequence[int]
    path: str


def questions(folders: Sequence[Path], number: int, language: str) -> list[Asked]:
    """Test examples of each model's task in turn, with the answers of `predict`."""
    by_model = []
    for model, folder in enumerate(folders):
        predictor = open_predictor(load_checkpoint(folder))
        task = predictor.task
        rows = open_source(str(predictor.recipe.data.source)).load(task, language, "test")
        columns = task.columns[:-1]
        texts = [[rows[place][name] for name in columns] for place in range(-(-number // len(folders)))]
        examples = [dict(zip(task.text_fields, each, strict=True)) for each in texts]
        answers = predictor.predict(examples, language=language)
        by_model.append(
            [
                Asked(
                    model,
                    json.dumps({"task": task.name, "texts": [example], "language": language}).encode(),
                    json.dumps({"dataframe_records": [{**example, "language": language}]}).encode(),
                    answer.label,
                    answer.probability,
                )
                for example, answer in zip(examples, answers, strict=True)
            ]
        )
    return [each for turn in zip(*by_model, strict=True) for each in turn][:number]


async def post(port: int, path: str, body: bytes, streams: dict[int, Any]) -> tuple[int, bytes]:
    """One request over a connection that is kept open, or a new one where the server has closed it."""
    kept = port in streams
    if not kept:
        streams[port] = await asyncio.open_connection(HOST, port)
    reader, writer = streams[port]
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    try:
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        top = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(top.partition("content-length:")[2].partition("\r\n")[0])
        return int(top.split()[1]), await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        del streams[port]
        if not kept:
            raise click.ClickException(f"port {port} closed the connection ({error})") from error
    return await post(port, path, body, streams)


async def load(side: Side, asked: Sequence[Asked], clients: int) -> tuple[float, list[Any]]:
    """Send all requests, `clients` at a time; seconds, and the first prediction of each."""
    answers: list[Any] = [None] * len(asked)
    places = iter(range(len(asked)))

    async def client() -> None:
        streams: dict[int, Any] = {}
        for place in places:
            each = asked[place]
            body = each.ours if side.name == "xlprompt" else each.theirs
            status, content = await post(side.ports[each.model], side.path, body, streams)
            if status != 200:
                raise click.ClickException(f"{side.name} answered {status}: {content[:300]!r}")
            answers[place] = json.loads(content)["predictions"][0]
        for _, writer in streams.values():
            writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return time.perf_counter() - start, answers


def differing(asked: Sequence[Asked], answers: Sequence[Any]) -> int:
    """How many answers are not those of `predict`."""
    count = 0
    for each, answer in zip(asked, answers, strict=True):
        pairs = [(each.probability, answer["probability"])]
        if isinstance(each.probability, list):
            pairs = list(zip(each.probability, answer["probability"], strict=True))
        near = all(abs(one - other) <= TOLERANCE for one, other in pairs)
        count += not (near and each.label == answer["label"])
    return count


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(command: Sequence[str], port: int, threads: int) -> Iterator[psutil.Process]:
    """A server that answers /health, in a process group of its own, which ends with the block."""
    # MLflow calls uvicorn by its name.
    path = os.pathsep.join((os.path.dirname(sys.executable), os.environ.get("PATH", "")))
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": str(threads), "NO_PROXY": HOST}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise click.ClickException(f"{' '.join(command)} did not start")
            time.sleep(0.2)
        yield psutil.Process(process.pid)
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def answers(port: int) -> bool:
    """Whether a server says that it is well."""
    try:
        with socket.create_connection((HOST, port), timeout=30) as connection:
            connection.sendall(b"GET /health HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


def family(side: Side) -> list[psutil.Process]:
    """A side's processes and their children."""
    return [child for each in side.processes for child in (each, *each.children(recursive=True))]


def memory(side: Side) -> int:
    """Their proportional set size in bytes."""
    return sum(process.memory_full_info().pss for process in family(side))


def processor_seconds(side: Side) -> float:
    """Their processor time until now."""
    times = [process.cpu_times() for process in family(side)]
    return sum(each.user + each.system for each in times)


def sides(
    stack: ExitStack, runs: Sequence[str], folders: Sequence[Path], mlruns: Path, threads: int
) -> list[Side]:
    """Start both."""
    port, serve = free_port(), "from xlprompt.cli.main import main; main()"
    command = [sys.executable, "-c", serve, "serve", *runs, "--port", str(port), "--mlruns", str(mlruns)]
    ours = Side(
        "xlprompt", [stack.enter_context(started(command, port, threads))], [port] * len(runs), "/predict"
    )
    ports, processes = [], []
    for folder in folders:
        ports.append(free_port())
        mlflow = ["-m", "mlflow", "models", "serve", "--model-uri", str(folder), "--env-manager", "local"]
        command = [sys.executable, *mlflow, "--host", HOST, "--port", str(ports[-1])]
        processes.append(stack.enter_context(started(command, ports[-1], threads)))
    return [ours, Side("mlflow", processes, ports, "/invocations")]


@click.command()
@click.argument("runs", nargs=-1, required=True)
@click.option("--mlruns", type=click.Path(path_type=Path), default=Path("mlruns"), show_default=True)
@click.option("--clients", default=32, show_default=True, help="Requests at a time.")
@click.option("--requests", default=384, show_default=True, help="Requests of a round.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--language", default="de", show_default=True, help="Of the test examples that are asked.")
@click.option("--threads", default=2, show_default=True, help="Of torch, in each process.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Also write the figures here.")
def main(
    runs: tuple[str, ...],
    mlruns: Path,
    clients: int,
    requests: int,
    rounds: int,
    language: str,
    threads: int,
    out: Path | None,
) -> None:
    """Measure RUNS of a store behind both servers."""
    folders = [find_model(mlruns, find_run_id(run, mlruns)).directory for run in runs]
    for folder in folders:
        if not (folder / "MLmodel").is_file():  # trained before runs kept one
            task = load_checkpoint(folder).metadata.known_task
            assert task is not None
            write_pyfunc_files(folder, task)
    asked = questions(folders, requests, language)
    figures: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        both = sides(stack, runs, folders, mlruns, threads)
        for side in both:
            figures[side.name] = {"requests_per_second": [], "processor_ms": [], "differing": 0}
            asyncio.run(load(side, asked[: 2 * clients], clients))
        for _ in range(rounds):
            for side in both:
                before = processor_seconds(side)
                seconds, found = asyncio.run(load(side, asked, clients))
                spent = processor_seconds(side) - before
                figures[side.name]["processor_ms"].append(1000 * spent / len(asked))
                figures[side.name]["requests_per_second"].append(len(asked) / seconds)
                figures[side.name]["differing"] += differing(asked, found)
        for side in both:
            figures[side.name]["memory_bytes"] = memory(side)
    show(figures, Console(), len(runs), clients)
    if out is not None:
        write_results(out, {"clients": clients, "requests": requests, **figures}, "cpu", Console())


def show(figures: Mapping[str, Mapping[str, Any]], console: Console, models: int, clients: int) -> None:
    """A table of both, and their ratio."""
    table = Table(title=f"{models} tasks, {clients} requests at a time")
    for column in (
        "server",
        "processes",
        "requests/s",
        "CPU ms/request",
        "memory",
        "answers unlike predict's",
    ):
        table.add_column(column, justify="left" if column == "server" else "right")
    for name, each in figures.items():
        speed = statistics.median(each["requests_per_second"])
        processes = "1" if name == "xlprompt" else str(models)
        spent = f"{statistics.median(each['processor_ms']):.1f}"
        held = f"{each['memory_bytes'] / 2**20:,.0f} MiB"
        table.add_row(name, processes, f"{speed:.1f}", spent, held, str(each["differing"]))
    console.print(table)
    for what, key in (("requests/s", "requests_per_second"), ("CPU ms/request", "processor_ms")):
        rounds = zip(figures["xlprompt"][key], figures["mlflow"][key], strict=True)
        ratios = [one / other if key == "requests_per_second" else other / one for one, other in rounds]
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        console.print(f"{what}: {statistics.median(ratios):.2f} times (rounds: {each})")


if __name__ == "__main__":
    main()
