"""Worker processes that share what they import: one process imports it, and forks whenever a job asks.

`ForkServer` is the side of who runs jobs; `python -m xlprompt.studies.executors.fork_server` is the process
that forks. A forked process gets a job's pipes and log as its standard streams and speaks the protocol of
`xlprompt.studies.executors.worker_process`, as one that was begun from nothing does. It is alone in its
session, and its death costs no other. Where forking is not possible or not safe, processes are begun from
nothing.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

import numpy as np

from xlprompt.studies.executors.worker_process import Job

RUNS = (
    *("xlprompt.training.runs.train", "xlprompt.training.runs.evaluate", "xlprompt.studies.grid.ledger"),
    *("datasets", "seqeval.metrics", "sklearn.metrics", "scipy.stats", "transformers.modeling_utils"),
    *("mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store", "sqlalchemy.dialects.sqlite"),
    *("alembic.command", "matplotlib.backends.backend_agg", "matplotlib.pyplot"),
)
"""What runs import sooner or later: most of a worker's first seconds."""

# Threads of libraries that take care of forks themselves; of any other a fork would be a copy without it.
_FORK_SAFE_THREADS = {"jemalloc_bg_thd"}  # pyarrow's allocator
_STREAMS = 4  # that a request carries: three standard streams, and where the answer goes
_READY = b"!"
_FORK = b"f"


class WorkerProcess(Protocol):
    """The part of `subprocess.Popen` that a supervisor needs; leaving the context waits for the end."""

    pid: int

    @property
    def stdin(self) -> IO[str] | None:
        """What the process reads."""

    @property
    def stdout(self) -> IO[str] | None:
        """What it tells."""

    def terminate(self) -> None:
        """Send SIGTERM."""

    def kill(self) -> None:
        """Send SIGKILL."""

    def wait(self) -> int | None:
        """Wait for its end; returns its exit code, negative for a signal, None where nobody knows it."""

    def __enter__(self) -> Self:
        """Itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the pipes and wait."""


class ForkServer:
    """Begins worker processes of one kind: same threads, same folder; a context manager."""

    def __init__(self, imports: Sequence[str] = RUNS) -> None:
        """Start nothing yet.

        Args:
            imports: Modules that jobs need beside their own; those that are not there are passed over.
        """
        self._imports = imports
        self._starting = threading.Lock()
        self._useless = False
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def __enter__(self) -> Self:
        """Nothing to get ready: the first job starts the server."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the server; what it has begun ends as its supervisors say."""
        self.close()

    def close(self) -> None:
        """End the server at once, whatever it does; safe in a signal handler."""
        self._useless = True
        if self._process is not None:
            self._process.kill()

    def start(self, job: Job, log: IO[str], environment: Mapping[str, str]) -> WorkerProcess:
        """A process for a job, which it reads from its standard input.

        Args:
            job: Says which program and where.
            log: Where the process's own output goes.
            environment: The process's. What decides on threads must be the same in all calls.

        Raises:
            OSError: No process can be started.
        """
        with self._starting:
            if self._control is None and not self._useless:
                self._control = self._started(job, environment)
            control = self._control
        if control is not None:
            with contextlib.suppress(OSError):
                return ForkedProcess(control, job, log, environment)
            with self._starting:
                if self._control is control:  # has died: the next call starts another
                    self._control = None
        return begun_from_nothing(job, log, environment)

    def _started(self, job: Job, environment: Mapping[str, str]) -> socket.socket | None:
        """Start the server; None where it cannot fork."""
        if not hasattr(os, "pidfd_open"):  # Linux alone has it, and alone forks safely with these libraries
            self._useless = True
            return None
        own, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno()), job.module, *self._imports],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # what cannot be imported is told by a process begun from nothing
                env=dict(environment),
                cwd=job.directory,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        if self._useless:  # closed since
            self._process.kill()
        try:
            ready = own.recv(1) == _READY
        except OSError:
            ready = False
        if not ready:
            self._useless = True
            own.close()
            return None
        weakref.finalize(self, _ended, self._process, own)
        return own


class ForkedProcess:
    """A process that a fork server has begun; see `WorkerProcess`."""

    def __init__(
        self, control: socket.socket, job: Job, log: IO[str], environment: Mapping[str, str]
    ) -> None:
        """Ask for it.

        Raises:
            OSError: The server is gone.
        """
        their_input, our_input = os.pipe()
        our_output, their_output = os.pipe()
        self.stdin = open(our_input, "w", encoding="utf-8")  # noqa: SIM115
        self.stdout = open(our_output, encoding="utf-8")  # noqa: SIM115
        self._answers, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            socket.send_fds(control, [_FORK], [their_input, their_output, log.fileno(), theirs.fileno()])
            theirs.close()
            number, descriptors, _, _ = socket.recv_fds(self._answers, 32, 1)
            if not descriptors:
                raise ConnectionResetError("the fork server has ended")
        except OSError:
            for each in (self.stdin, self.stdout, self._answers, theirs):
                each.close()
            raise
        finally:
            os.close(their_input)
            os.close(their_output)
        self.pid = int(number)
        self._handle = descriptors[0]  # of this process, whoever gets its number later
        weakref.finalize(self, os.close, self._handle)
        start = {"module": job.module, "directory": job.directory, "environment": dict(environment)}
        with contextlib.suppress(BrokenPipeError):
            self.stdin.write(json.dumps(start) + "\n")
            self.stdin.flush()

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._send(signal.SIGKILL)

    def wait(self) -> int | None:
        """Wait for its end; None where the server was killed before it could tell the exit code."""
        select.select([self._handle], [], [])
        try:
            code = self._answers.recv(32)
        except OSError:
            return None
        return int(code) if code else None

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the pipes and wait."""
        self.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        select.select([self._handle], [], [])
        self._answers.close()

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)


def begun_from_nothing(job: Job, log: IO[str], environment: Mapping[str, str]) -> WorkerProcess:
    """A process for a job that imports everything itself; arguments as of `ForkServer.start`."""
    return subprocess.Popen(
        [sys.executable, "-m", job.module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        encoding="utf-8",
        env=dict(environment),
        cwd=job.directory,
        start_new_session=True,  # Ctrl-C comes to this process alone, which passes it on
    )


def _ended(process: subprocess.Popen[bytes], control: socket.socket) -> None:
    control.close()
    process.kill()
    process.wait()


def main() -> int:
    """Import what jobs need, and fork for whoever holds the other end of the socket; a fork does its job."""
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in sys.argv[2:]:
        with contextlib.suppress(ImportError):  # who needs it will say so
            importlib.import_module(name)
    if not _forks_safely():
        return 1
    gc.collect()
    gc.freeze()  # what is here stays, and is not copied for being looked through
    try:
        control.send(_READY)
    except OSError:  # nobody waits for it any more
        return 0
    return _do_a_job() if _serve(control) else 0


def _forks_safely() -> bool:
    """Whether a copy of this process with the calling thread alone is whole, and no GPU has been touched."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    others = [name for name in names if name not in _FORK_SAFE_THREADS]
    opened = [os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()]
    return len(others) == 1 and not any(path.startswith(("/dev/nvidia", "/dev/kfd")) for path in opened)


def _serve(control: socket.socket) -> bool:
    """Fork for each request and tell how each fork ended; True in a fork, False when nobody asks any more."""
    children: dict[int, tuple[int, socket.socket]] = {}  # by handle: number, and where the end is told
    # One that asks anew each time: epoll's interest would be shared with the forks.
    with selectors.PollSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not control:
                    handle = int(key.fd)
                    selector.unregister(handle)
                    _tell_the_end(handle, *children.pop(handle))
                    continue
                request, streams, _, _ = socket.recv_fds(control, 1, _STREAMS)
                if not request:
                    return False
                number = os.fork()
                if not number:
                    _become_a_worker(control, streams, children)
                    return True
                answers = socket.socket(fileno=streams.pop())
                for stream in streams:
                    os.close(stream)
                handle = os.pidfd_open(number)
                children[handle] = number, answers
                selector.register(handle, selectors.EVENT_READ)
                with contextlib.suppress(OSError):
                    socket.send_fds(answers, [str(number).encode()], [handle])


def _tell_the_end(handle: int, number: int, answers: socket.socket) -> None:
    _, status = os.waitpid(number, 0)
    os.close(handle)
    with answers, contextlib.suppress(OSError):  # nobody may wait any more
        answers.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become_a_worker(
    control: socket.socket, streams: list[int], children: Mapping[int, tuple[int, socket.socket]]
) -> None:
    """Take the streams, and let go of what is the server's and of its other forks."""
    os.setsid()
    control.close()
    for handle, (_, answers) in children.items():
        os.close(handle)
        answers.close()
    *standard, answer = streams
    os.close(answer)
    for place, stream in enumerate(standard):
        os.dup2(stream, place)
        os.close(stream)


def _do_a_job() -> int:
    """Run the program that standard input names first, in its folder and environment."""
    start = json.loads(sys.stdin.readline() or "null")
    if start is None:
        return 1
    np.random.seed()  # as in a process begun from nothing; Python's own numbers are drawn anew by themselves
    os.environ.clear()
    os.environ.update(start["environment"])
    os.chdir(start["directory"])
    return int(importlib.import_module(start["module"]).main())


if __name__ == "__main__":
    sys.exit(main())
