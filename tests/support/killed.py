"""Trains by a recipe in processes that kill themselves, each going on where the one before was killed.

Run by tests/training/store/test_kills.py: `python killed.py RECIPE ENGINE [STORE POINT]...`. A point is a
function, the number of the call that is fatal, and whether the process dies before or after it, as in
`mlflow:MlflowClient.create_run 1 after`; or a number of seconds; or `alone`. Without a recipe only the store
is made. All processes are forked from this one, which has imported everything and computed nothing: that
takes seconds only once.
"""

import functools
import importlib
import os
import signal
import sys
import threading
from pathlib import Path

import torch
from rich.console import Console

from xlprompt.training import load_recipe
from xlprompt.training.runs.train import train
from xlprompt.training.store.database import create_store
from xlprompt.training.store.interrupted import LATEST


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(point: str) -> None:
    """Replace the point's function by one that kills the process, or start a clock that does."""
    if " " not in point:
        threading.Timer(float(point), die).start()
        return
    place, number, when = point.split()
    module, _, path = place.partition(":")
    *owners, name = path.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    function, calls = getattr(owner, name), iter(range(1, sys.maxsize))

    @functools.wraps(function)
    def fatal(*args, **given):
        is_due = next(calls) == int(number)
        if is_due and when == "before":
            die()
        result = function(*args, **given)
        if is_due:
            die()
        return result

    setattr(owner, name, fatal)


def attempt(recipe: str, store: Path, engine: str, point: str) -> int:
    """Fork a process that trains; returns how it ended, as a shell would say it."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        torch.set_num_threads(1)
        if point != "alone":
            die_at(point)
        if recipe:
            values = load_recipe(recipe)
            train(values, store=store, console=Console(), engine=engine, resume=LATEST, device="cpu")
        else:
            create_store(store)
        status = 0
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    recipe, engine, *pairs = sys.argv[1:]
    for store, point in zip(pairs[::2], pairs[1::2], strict=True):
        print(f"== {point}: {attempt(recipe, Path(store), engine, point)}", flush=True)
