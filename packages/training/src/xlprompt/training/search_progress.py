"""What is said before the workers of a search begin, and what is seen while they are at it."""

from __future__ import annotations

import signal
import statistics
from collections.abc import Sequence
from contextlib import closing

from rich.console import Console

from xlprompt.training.asked_search import AskedSearch
from xlprompt.training.executors import Executor
from xlprompt.training.plan import wall_seconds
from xlprompt.training.progress import duration
from xlprompt.training.search_report import score_text
from xlprompt.training.search_space import describe, show
from xlprompt.training.search_trials import SearchTrials, Trial
from xlprompt.training.search_worker import SearchJob
from xlprompt.training.signals import handled
from xlprompt.training.study_progress import StudyProgress, study_progress
from xlprompt.training.worker_process import Event, Job


def plan_text(search: AskedSearch, trials: SearchTrials) -> str:
    """What is searched, and how much of it is left."""
    known = trials.trials()
    running = sum(each.state == "running" for each in known)
    left = trials.budget - len(known)
    steps = search.recipe.schedule.steps
    lines = [
        f"Search {search.title}: {trials.budget} trials of {steps} steps at most; "
        f"{len(known) - running} done, "
        + (f"{running} running elsewhere, " if running else "")
        + f"{left} to run"
    ]
    if left:
        seconds = whole_seconds(known)
        executor = search.settings.executor
        workers = (
            f"{executor.workers or 1} at a time, {executor.threads} thread{'s' * (executor.threads > 1)} each"
        )
        lines[0] += f", {workers}"
        if seconds:
            whole = [statistics.median(seconds)] * left
            lines[0] += f"; about {duration(wall_seconds(whole, executor.workers or 1))}"
        shipped = trials.shipped
        width = max(map(len, shipped))
        for key, knob in search.space.items():
            lines.append(f"  {key:<{width}}  {describe(knob)}; the recipe has {show(shipped[key])}")
    return "\n".join(lines)


def run_workers(
    jobs: Sequence[SearchJob],
    executor: Executor,
    trials: Sequence[Trial],
    left: int,
    console: Console,
) -> tuple[tuple[str, ...], int | None]:
    """Have workers run trials until there are enough; returns their errors, and the signal that came, if any.

    Args:
        jobs: One for each worker.
        executor: Runs them.
        trials: Those that count already, by which time is estimated.
        left: Number of trials that are left to run.
        console: Where progress goes.
    """
    seconds = whole_seconds(trials)
    ended: list[int] = []
    stopped: list[int] = []
    failures: list[str] = []
    interrupted = False

    def time_left() -> str:
        if not seconds:
            return ""
        each = [statistics.median(seconds)] * max(0, left - len(ended))
        return f"about {duration(wall_seconds(each, len(jobs)))} left" if each else ""

    with (
        executor,
        study_progress(console, cells=left, left=time_left, what="trials", last="ending") as progress,
    ):

        def on_signal(number: int) -> None:
            stopped.append(number)
            executor.stop()
            if len(stopped) == 1:
                progress.say("Stopping: trials end after the step that they are in. Once more kills them")

        def report(job: Job, event: Event) -> None:
            if event["event"] == "trial ended" and event["state"] not in ("stopped", "failed"):
                ended.append(event["trial"])
                if event["state"] == "complete":
                    seconds.append(event["seconds"])
            _show(progress, job, event)

        with (
            handled(on_signal, signal.SIGINT, signal.SIGTERM),
            closing(executor.run(jobs, report)) as outcomes,
        ):
            for outcome in outcomes:
                interrupted = interrupted or outcome.state == "stopped"
                if outcome.state == "failed":
                    failures.append(f"{outcome.job.name}: {outcome.error} (log: {outcome.job.log})")
    number = stopped[0] if stopped else signal.SIGINT  # which the training loop may have caught
    return tuple(failures), number if interrupted or stopped else None


def _show(progress: StudyProgress, job: Job, event: Event) -> None:
    """Let people see what a worker tells."""
    kind = event["event"]
    if kind == "lost":
        then = "another trial takes the place of its own" if event["again"] else "giving up"
        progress.say(f"{job.name}: its process died ({event['reason']}); {then}")
    if "trial" not in event:
        return
    name = f"trial {event['trial']}"
    if kind == "trial ended":
        score = score_text(event.get("score"), event.get("stderr"))
        words = {"complete": score, "pruned": f"{score}, cut short at step {event.get('step')}"}
        progress.ended(name, words.get(event["state"], str(event["state"])))
        return
    if kind == "trial":
        values = (f"{key.rpartition('.')[2]} {show(value)}" for key, value in event["values"].items())
        progress.say(f"{name}: {', '.join(values)}")
    progress.event(name, event)


def whole_seconds(trials: Sequence[Trial]) -> list[float]:
    """What whole trials took."""
    return [each.seconds for each in trials if each.state == "complete" and each.seconds is not None]
