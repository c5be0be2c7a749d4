"""CPU seconds of commands that a person waits for: errors, the list of runs, one prediction, a report.

    python experiments/bench/first_seconds.py [--rounds 3] [--json FILE]

Each command runs in a process of its own, as it is typed, in an empty folder; user and system time of its
process and of those that it starts are summed, and the least of the rounds is shown. A run of seconds is
trained first, which is not counted.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

EXPERIMENTS = Path(__file__).resolve().parents[1]
MINI = EXPERIMENTS / "mini"
PUBLISHED = EXPERIMENTS / "results" / "mini" / "runs.jsonl.gz"

# By what a person waits for: the command, and the seconds that it may take.
COMMANDS: tuple[tuple[str, str, float], ...] = (
    ("a wrong recipe", "train nothere.yaml", 1.5),
    ("a wrong key", f"train {MINI}/xnli-prompt.yaml --set schedule.stesp=3", 1.5),
    ("a wrong data folder", f"train {MINI}/xnli-prompt.yaml --data nothere", 1.5),
    ("a wrong model folder", f"train {MINI}/xnli-prompt.yaml --model ./nothere", 1.5),
    ("a wrong task", f"study {MINI}/study.yaml --tasks nope", 1.5),
    ("a wrong search", f"search {MINI}/search.yaml --task nope", 1.5),
    ("a wrong run to score", "evaluate nothere", 1.5),
    ("a wrong run to ask", "predict nothere text", 1.5),
    ("a wrong analysis", "analyze granularity nothere.yaml", 1.5),
    ("a wrong model to count", "params --model ./nothere", 1.5),
    ("a report on nothing", "report --mlruns nothere", 1.5),
    ("the list of runs", "runs", 3.0),
    ("a dry run", f"study {MINI}/study.yaml --dry-run", 3.0),
    ("one sentence labeled", "predict latest text hypothesis", 4.0),
    ("the published report", f"report --runs {PUBLISHED}", 8.0),
)
TRAINED = f"train {MINI}/xnli-prompt.yaml --steps 2 --limit 8 --languages en,de"


@click.command()
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Of each command.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Also write the figures to this file.")
def main(rounds: int, out: Path | None) -> None:
    """Measure the commands and print their CPU seconds."""
    figures = measured(rounds, Console())
    if out is not None:
        out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def measured(rounds: int, console: Console) -> dict[str, float]:
    """CPU seconds by what a person waits for, in a table too."""
    with tempfile.TemporaryDirectory() as folder:
        with console.status("Training for a moment"):
            cpu_seconds(TRAINED, Path(folder))
        figures = {}
        for name, command, _ in COMMANDS:
            with console.status(name):
                figures[name] = min(cpu_seconds(command, Path(folder)) for _ in range(rounds))
    table = Table(title=f"CPU seconds, the least of {rounds} rounds")
    for header in ("what", "seconds", "at most"):
        table.add_column(header, justify="left" if header == "what" else "right")
    for name, _, most in COMMANDS:
        table.add_row(
            name, f"{figures[name]:.2f}", f"{most:.1f}", style="red" if figures[name] > most else ""
        )
    console.print(table)
    return figures


def cpu_seconds(command: str, folder: Path) -> float:
    """User and system seconds of a command of xlprompt, which may be refused but must not crash."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "xlprompt.cli", *command.split(" ")],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "Traceback" in done.stderr or done.returncode not in (0, 2):
        raise click.ClickException(f"xlprompt {command} failed:\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
