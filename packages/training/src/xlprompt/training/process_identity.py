"""Names for processes by which others can find out, later and elsewhere, whether they are still there."""

from __future__ import annotations

import platform

import psutil


def this_process() -> str:
    """The machine, the process's number, and when it began, since numbers are used again."""
    process = psutil.Process()
    return f"{platform.node()} {process.pid} {process.create_time():.2f}"


def is_gone(process: str) -> bool:
    """Whether a process of this machine, as `this_process` names it, has ended."""
    machine, _, rest = process.partition(" ")
    number, _, began = rest.partition(" ")
    if machine != platform.node() or not number.isdigit():
        return False  # another machine's, or nobody knows whose
    try:
        return f"{psutil.Process(int(number)).create_time():.2f}" != began
    except psutil.NoSuchProcess:
        return True
