"""CPU seconds and peak memory of what grows: encoding, a store of runs, a plan of cells, a report.

    OMP_NUM_THREADS=1 python experiments/bench/scale.py [--only store] [--share 0.1] [--json FILE]

Each is measured at three sizes, in a process of its own; it is linear where a thousand more take as long
between the larger two as between the smaller two. The store is one tiny run, whose rows are multiplied in
sqlite; the published runs are those of the mini study, given further seeds; sentences are the mini
benchmark's, repeated.
"""

import functools
import gzip
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import yaml
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
MINI = HERE.parent / "mini"
PUBLISHED = HERE.parent / "results" / "mini" / "runs.jsonl.gz"
XLPROMPT = (sys.executable, "-m", "xlprompt.cli")
TRAINED = ("train", str(MINI / "xnli-prompt.yaml"), "--steps", "2", "--limit", "8", "--languages", "en,de")
PER_VARIANT = 20  # cells: two tasks, two methods, five seeds

SIZES = {
    "encoding": ("tagged sentences", (250_000, 500_000, 1_000_000)),
    "store": ("runs", (250, 500, 1000)),
    "ledger": ("runs", (250, 500, 1000)),
    "plan": ("cells", (500, 1000, 2000)),
    "report": ("runs", (50, 100, 200)),
}
WHAT = {
    "encoding": "sentences encoded",
    "store": "`xlprompt runs` lists all",
    "ledger": "a study reads the store",
    "plan": "`xlprompt study --dry-run`, half as many runs in the store",
    "report": "`xlprompt report` of published runs",
}


def measured(command: tuple[str, ...], folder: Path) -> tuple[float, float]:
    """User and system seconds of a command, and its peak memory in GiB.

    A process inherits the peak of the one that starts it, so this one imports nothing large.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(HERE)])}
    environment |= {"XLPROMPT_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    with (folder / "log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        if process.returncode != 0:
            raise click.ClickException(f"{' '.join(command)} failed:\n{log.read()[-2000:]}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20


def encode_rows(number: int, data: str, folder: str) -> None:
    """Encode so many tagged sentences as a run does, into a cache; in a process of its own."""
    import datasets

    from xlprompt.data import TASKS
    from xlprompt.data.encoding.encode import encode
    from xlprompt.data.sources import open_source
    from xlprompt.data.tokens.settings import EncodingSettings
    from xlprompt.models import load_tokenizer

    task, tokenizer = TASKS["ner"], load_tokenizer("xglm-nano")
    rows = open_source(data).load(task, "en", "train")
    many = datasets.concatenate_datasets([rows] * -(-number // len(rows))).select(range(number))
    encoded = encode(many, task, tokenizer, EncodingSettings(), language="en", cache_dir=Path(folder))
    assert encoded.num_examples == number


def read_ledger(store: str, number: int) -> None:
    """Ask what a study asks of a store; in a process of its own."""
    from xlprompt.studies.grid.ledger import Ledger

    ledger = Ledger(Path(store))
    assert len(ledger.training_runs(["xnli"])) == number
    ledger.finished_cells(["xnli"])
    ledger.finished_groups(["xnli"])
    ledger.end_abandoned(["xnli"])


def multiply_runs(database: Path, number: int) -> None:
    """Let a store of one run have so many, that differ in their ids, seeds and times."""
    tables = {
        "runs": "run_uuid",
        "tags": "run_uuid",
        "params": "run_uuid",
        "metrics": "run_uuid",
        "latest_metrics": "run_uuid",
        "inputs": "source_id",
    }
    with closing(sqlite3.connect(database)) as store, store:
        (one,) = store.execute("SELECT run_uuid FROM runs")
        for table, key in tables.items():
            columns = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
            values = {column: column for column in columns}
            values[key] = f"substr({key}, 1, 24) || printf('%08x', i)"
            if table == "runs":
                values["start_time"] = "start_time + i"
            if table == "params":
                values["value"] = "CASE WHEN key = 'seed' THEN CAST(i AS TEXT) ELSE value END"
            if table == "inputs":
                values["input_uuid"] = "substr(input_uuid, 1, 24) || printf('%08x', i)"
            store.execute(
                "WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < ?) "
                f"INSERT INTO {table} ({', '.join(columns)}) "
                f"SELECT {', '.join(values[column] for column in columns)} FROM {table}, numbers "
                f"WHERE {key} = ?",
                (number, *one),
            )


@functools.cache
def one_run() -> tempfile.TemporaryDirectory[str]:
    """A folder with a store of one finished run, as long as this process lives."""
    folder = tempfile.TemporaryDirectory()
    measured((*XLPROMPT, *TRAINED), Path(folder.name))
    return folder


def make_store(folder: Path, number: int) -> Path:
    """A store of so many finished runs."""
    store = folder / "mlruns"
    shutil.copytree(Path(one_run().name) / "mlruns", store)
    multiply_runs(store / "mlflow.db", number)
    return store


def make_grid(folder: Path, cells: int) -> Path:
    """A grid of so many cells: two tasks, two methods, five seeds, and as many variants as it takes."""
    grid = {
        "tasks": ["xnli", "ner"],
        "methods": ["prompt", "finetune"],
        "seeds": 5,
        "recipe": f"{MINI}/{{task}}-{{method}}.yaml",
        "variants": {
            f"rate-{number}": {"optimizer.learning_rate": number / 1e5}
            for number in range(1, 1 + max(1, cells // PER_VARIANT))
        },
        "executor": {"threads": 1, "gpus": 0},
    }
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(grid, sort_keys=False), encoding="utf-8")
    return path


def multiply_published(path: Path, number: int) -> None:
    """Write the mini study's published runs with fewer or more seeds, so many runs in all."""
    with gzip.open(PUBLISHED, "rt", encoding="utf-8") as lines:
        header, *runs = map(json.loads, lines)
    runs.sort(key=lambda run: int(run["params"]["seed"]))
    several = 1 + max(int(run["params"]["seed"]) for run in runs)
    tasks = {run["tags"]["task"] for run in runs[:number]}
    header["tasks"] = {name: values for name, values in header["tasks"].items() if name in tasks}
    with gzip.open(path, "wt", encoding="utf-8") as out:
        out.write(json.dumps({**header, "runs": number}) + "\n")
        for place in range(number):
            run, more = runs[place % len(runs)], place // len(runs)
            seed = str(int(run["params"]["seed"]) + several * more)
            own = {"run_id": f"{place:032x}", "params": {**run["params"], "seed": seed}}
            out.write(json.dumps({**run, **own}) + "\n")


def _encoding(number: int, folder: Path, data: str) -> tuple[float, float]:
    call = f"import scale; scale.encode_rows({number}, {data!r}, {str(folder / 'encoded')!r})"
    return measured((sys.executable, "-c", call), folder)


def _store(number: int, folder: Path, _: str) -> tuple[float, float]:
    make_store(folder, number)
    return measured((*XLPROMPT, "runs", "--limit", str(number)), folder)


def _ledger(number: int, folder: Path, _: str) -> tuple[float, float]:
    store = make_store(folder, number)
    call = f"import scale; scale.read_ledger({str(store)!r}, {number})"
    return measured((sys.executable, "-c", call), folder)


def _plan(number: int, folder: Path, _: str) -> tuple[float, float]:
    make_store(folder, max(1, number // 2))
    command = (*XLPROMPT, "study", str(make_grid(folder, number)), "--dry-run")
    measured(command, folder)  # what is read of the data once is kept from here on
    return measured(command, folder)


def _report(number: int, folder: Path, _: str) -> tuple[float, float]:
    multiply_published(folder / "runs.jsonl.gz", number)
    return measured((*XLPROMPT, "report", "--runs", "runs.jsonl.gz", "--out", "report"), folder)


MEASURES: dict[str, Callable[[int, Path, str], tuple[float, float]]] = {
    "encoding": _encoding,
    "store": _store,
    "ledger": _ledger,
    "plan": _plan,
    "report": _report,
}


def _sizes(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    if not re.fullmatch(r"[0-9]+(,[0-9]+)*", value):
        raise click.BadParameter("expected numbers with commas, as in 25,50,100")
    return tuple(map(int, value.split(",")))


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(SIZES)), help="These.  [default: all]")
@click.option("--share", default=1.0, show_default=True, help="Of the sizes: 0.1 is a quick look.")
@click.option("--sizes", callback=_sizes, help="Instead of the usual ones, with --only.")
@click.option("--data", default="mini", show_default=True, help="Whose English sentences: mini or a folder.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Also write the figures to this file.")
def main(
    only: tuple[str, ...], share: float, sizes: tuple[int, ...] | None, data: str, out: Path | None
) -> None:
    """Measure and print a table."""
    console, figures = Console(), {}
    data = data if data == "mini" else str(Path(data).absolute())
    table = Table(title="CPU seconds and peak memory at three sizes")
    for header in ("what", "size", "CPU seconds", "a thousand more", "peak GiB"):
        table.add_column(header, justify="left" if header == "what" else "right")
    for name in only or SIZES:
        unit, usual = SIZES[name]
        rows: list[dict[str, Any]] = []
        for number in sizes or [max(1, round(size * share)) for size in usual]:
            with tempfile.TemporaryDirectory() as folder, console.status(f"{name}: {number:,} {unit}"):
                seconds, memory = MEASURES[name](number, Path(folder), data)
            before = rows[-1] if rows else None
            slope = 1000 * (seconds - before["seconds"]) / (number - before["size"]) if before else None
            rows.append({"size": number, "seconds": seconds, "peak_gib": memory})
            console.print(f"{name}: {number:,} {unit}, {seconds:.2f} s, {memory:.2f} GiB", highlight=False)
            table.add_row(
                WHAT[name] if before is None else "",
                f"{number:,} {unit}",
                f"{seconds:.2f}",
                "" if slope is None else f"{slope:.3g}",
                f"{memory:.2f}",
            )
        figures[name] = rows
        table.add_section()
    console.print(table)
    if out is not None:
        out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
