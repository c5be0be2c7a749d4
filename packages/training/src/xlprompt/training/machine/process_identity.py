"""Names for processes by which others can find out, later and elsewhere, whether they are still there."""

from __future__ import annotations

import platform

import psutil


def this_process() -> str:
    """The machine, the process's number, and when it began, since numbers are used again."""
    process = psutil.Process()
    return f"{platform.node()} {process.pid} {process.create_time():.2f}"


def machine_of(process: str) -> str:
    """The machine of a process, as `this_process` names it."""
    return process.partition(" ")[0]


def is_gone(process: str) -> bool:
    """Whether a process of this machine, as `this_process` names it, has ended."""
    return _is_there(process) is False


def is_there(process: str) -> bool:
    """Whether a process of this machine, as `this_process` names it, is still running."""
    return _is_there(process) is True


def _is_there(process: str) -> bool | None:
    """None for another machine's process, or where nobody knows whose it is."""
    number, _, began = process.partition(" ")[2].partition(" ")
    if machine_of(process) != platform.node() or not number.isdigit():
        return None
    try:
        found = psutil.Process(int(number))
        # One that was killed and not waited for, as in a container whose first process does not, is dead.
        return f"{found.create_time():.2f}" == began and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
