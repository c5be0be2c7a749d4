"""Real processes that are forked from one that has imported what they need."""

import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from xlprompt.studies.executors.fork_server import ForkServer
from xlprompt.studies.executors.local import Supervisor

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="forks on Linux alone"),
]

PROGRAM = """
import json, os, signal, sys, time
from pathlib import Path
from dataclasses import dataclass
from xlprompt.studies.executors.worker_process import serve

@dataclass
class Toy:
    name: str
    directory: str
    threads: int
    does: str

    def run(self, report, console):
        import torch
        sent = {"parent": os.getppid(), "session": os.getsid(0), "folder": os.getcwd()}
        sent |= {"card": os.environ.get("CUDA_VISIBLE_DEVICES"), "threads": torch.get_num_threads()}
        files = [os.path.realpath(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd")]
        sent |= {"open": files, "omp": os.environ["OMP_NUM_THREADS"]}
        report({"event": "there", **sent})
        print("said on standard output")
        if self.does == "wait":
            Path(f"{self.name}.waits").touch()
            try:
                time.sleep(60)
            finally:
                Path(f"{self.name}.ends").touch()
        if self.does == "fail":
            raise ValueError("as it was told to")
        if self.does == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return "0" * 32

def main():
    def end(number, frame):
        raise SystemExit(128 + number)
    signal.signal(signal.SIGTERM, end)
    return serve(lambda line: Toy(**json.loads(line)))

if __name__ == "__main__":
    sys.exit(main())
"""


# What a library may do when it is imported.
UNSAFE = """
import os, threading, time
if os.environ.get("TOY_THREAD"):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
"""


@dataclass(frozen=True)
class Toy:
    name: str
    directory: str
    does: str = ""
    threads: int = 1
    module: str = "toy_worker"

    @property
    def log(self) -> Path:
        return Path(self.directory) / f"{self.name}.log"

    def to_json(self) -> str:
        told = {"name": self.name, "directory": self.directory, "threads": self.threads, "does": self.does}
        return json.dumps(told)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toys")
    (folder / "toy_worker.py").write_text(PROGRAM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, sys.path)]))
        yield folder


@pytest.fixture(scope="module")
def server(folder):
    with ForkServer(["torch", "no_such_module"]) as server:
        yield server


@pytest.fixture
def supervised(server, folder):
    """A supervisor of a job that the one server of these tests begins, and what it reports."""

    def make(name, does="", retries=0, **environment):
        events = []
        supervisor = Supervisor(
            Toy(name, str(folder), does),
            retries=retries,
            report=events.append,
            environment=environment,
            start=server.start,
        )
        return supervisor, events

    return make


@pytest.fixture
def pool():
    with ThreadPoolExecutor(3) as pool:
        yield pool


def wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not come"
        time.sleep(0.02)


def test_a_forked_job_has_its_own_session_folder_environment_streams_and_log(supervised, server, folder):
    pids = set()
    for name, card in (("first", "3"), ("second", "")):
        supervisor, events = supervised(name, CUDA_VISIBLE_DEVICES=card)
        outcome = supervisor.run()
        assert (outcome.state, outcome.run_id) == ("finished", "0" * 32)
        started, told = events
        assert told["parent"] == server._process.pid  # it was forked
        assert told["session"] == started["pid"]
        assert (told["folder"], told["card"]) == (str(folder), card)
        assert (told["omp"], told["threads"]) == ("1", 1)
        # Standard streams, where events go, and the listing itself: nothing of the server or of other jobs.
        assert len([each for each in told["open"] if not each.startswith("/dev/")]) <= 5
        log = (folder / f"{name}.log").read_text()
        assert "said on standard output" in log
        pids.add(started["pid"])
    assert len(pids) == 2


def test_one_that_fails_or_is_killed_says_so_and_costs_no_other(supervised, folder, pool):
    beside, _ = supervised("beside", "wait")
    running = pool.submit(beside.run)
    wait_for(folder / "beside.waits")
    failed, _ = supervised("failed", "fail")
    assert failed.run().error == "ValueError: as it was told to"
    died, events = supervised("died", "die", retries=1)
    outcome = died.run()
    assert outcome.error.startswith("its process died 2 times: SIGKILL (the system kills so")
    assert [event["event"] for event in events] == ["started", "there", "lost"] * 2
    assert not running.done()
    beside.stop()
    assert running.result(30).state == "stopped"
    assert (folder / "beside.ends").exists()  # it was let end by itself


def test_one_that_nobody_waits_for_any_more_ends_by_itself(server, folder):
    job = Toy("orphan", str(folder), "wait")
    with job.log.open("a") as log:
        process = server.start(job, log, {**os.environ, "OMP_NUM_THREADS": "1"})
    process.stdin.write(job.to_json() + "\n")
    process.stdin.flush()
    wait_for(folder / "orphan.waits")
    process.stdin.close()
    assert process.wait() == 128 + signal.SIGTERM
    assert "Nobody waits for this run any more" in job.log.read_text()
    process.kill()  # its number may be another's by now: nothing is killed


def test_a_server_that_is_killed_costs_no_job_and_is_replaced(supervised, server, folder, pool):
    before = server._process.pid
    left, _ = supervised("left", "wait")
    running = pool.submit(left.run)
    wait_for(folder / "left.waits")
    server._process.kill()
    server._process.wait()
    after, events = supervised("after")
    assert after.run().state == "finished"  # begun from nothing
    assert events[-1]["parent"] == os.getpid()
    again, events = supervised("again")
    assert again.run().state == "finished"
    assert events[-1]["parent"] == server._process.pid != before
    assert not running.done()
    left.kill()
    assert running.result(30).state == "stopped"


def test_where_forking_is_unsafe_processes_begin_from_nothing(folder, monkeypatch):
    (folder / "sitecustomize.py").write_text(UNSAFE)
    monkeypatch.setenv("TOY_THREAD", "yes")
    events = []
    with ForkServer([]) as server:
        supervisor = Supervisor(
            Toy("unsafe", str(folder)), retries=0, report=events.append, start=server.start
        )
        assert supervisor.run().state == "finished"
        assert server._useless
    assert events[-1]["parent"] == os.getpid()
