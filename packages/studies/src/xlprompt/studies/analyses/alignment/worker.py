"""The process that scores a run with alignment: `python -m xlprompt.studies.analyses.alignment.worker`.

How it hears of its job and tells how it goes is said in `xlprompt.studies.executors.worker_process`. A
scoring that is stopped is made anew: it takes less than a training state would be worth.
"""

from __future__ import annotations

import gc
import json
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xlprompt.studies.executors.worker_process import Report, serve
from xlprompt.training.machine.signals import handled

if TYPE_CHECKING:
    from rich.console import Console

SWEEP_TAG = "alignment_scoring"


@dataclass(frozen=True)
class AlignmentJob:
    """One run to score.

    Attributes:
        name: Such as `pos-prompt-xglm-nano-seed0`.
        task: Its task.
        run_id: The training run.
        digest: Of all that the scores depend on; a tag of the run that holds them.
        kinds: Kinds of alignment.
        sentences: Numbers of unlabelled sentences.
        layers: Decoder layers, None for what the head reads.
        languages: What is scored; None for the recipe's choice.
        limit: At most this many test examples of each language.
        data: Where the data are.
        device: As in `train`.
        store: Folder of the MLflow store.
        threads: CPU threads.
        directory: What relative paths are relative to.
    """

    name: str
    task: str
    run_id: str
    digest: str
    kinds: tuple[str, ...]
    sentences: tuple[int, ...]
    layers: tuple[int | None, ...]
    languages: tuple[str, ...] | None
    limit: int | None
    data: str | None
    device: str | None
    store: str
    threads: int
    directory: str

    @property
    def module(self) -> str:
        """This one."""
        return "xlprompt.studies.analyses.alignment.worker"

    @property
    def log(self) -> Path:
        """Where its own output goes."""
        return Path(self.store) / "alignment-logs" / f"{self.name}.log"

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), ensure_ascii=True)

    def run(self, report: Report, console: Console) -> str:
        """Score it; returns the MLflow run that holds the scores."""
        from xlprompt.studies.grid.ledger import TRAINED_BY_TAG, Ledger
        from xlprompt.training.runs.evaluate import evaluate

        store = Path(self.store)
        with handled(_stop, signal.SIGTERM):
            evaluate(
                self.run_id,
                store=store,
                console=console,
                source=self.data,
                languages=self.languages,
                limit=self.limit,
                device=self.device,
                align=self.kinds,
                align_sentences=self.sentences,
                align_layers=self.layers,
                tags={SWEEP_TAG: self.digest, TRAINED_BY_TAG: self.run_id},
            )
        gc.collect()  # models hold references to themselves, and the next one needs the memory
        return Ledger(store).finished_runs(self.task, SWEEP_TAG, self.digest)[0].run_id


def _stop(number: int) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    """Score the run on standard input."""
    return serve(lambda line: AlignmentJob(**json.loads(line)))


if __name__ == "__main__":
    sys.exit(main())
