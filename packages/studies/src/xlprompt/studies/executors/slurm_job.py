"""What runs inside a Slurm job: one worker process, supervised, and a file of what it tells.

The file is how the study hears of it: the folder of the store is shared by all nodes, and nothing else needs
to be. Its last line says how the cell ended; a job that was killed leaves none.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

from xlprompt.studies.executors.local import Supervisor
from xlprompt.studies.executors.worker_process import Event, Job

EVENTS_FILE = "events.jsonl"
ENDED = "ended"  # the event that is a job's last

# Slurm sends it before the granted time is over, as submitit asks it to, and a study when it is stopped.
STOP_SIGNAL = signal.SIGUSR2


def supervise(job: Job, folder: str, *, retries: int, on_gpu: bool) -> str:
    """Do a job in a worker process of this node; returns how it ended.

    The worker writes its training state and ends when the Slurm job is cancelled, or is about to be.

    Args:
        job: What the worker does.
        folder: Where the file of events goes.
        retries: How often a worker that died is replaced.
        on_gpu: Whether Slurm has granted a GPU.
    """
    # Slurm signals every process of a job. A worker knows SIGTERM, but SIGUSR2 would kill it: it inherits it
    # blocked, and a thread of this process waits for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, [STOP_SIGNAL])
    environment = {} if on_gpu else {"CUDA_VISIBLE_DEVICES": ""}
    lock = threading.Lock()
    with (Path(folder) / EVENTS_FILE).open("a", encoding="utf-8", buffering=1) as file:

        def report(event: Event) -> None:
            with lock:
                file.write(json.dumps(event) + "\n")

        report({"event": "placed", "node": os.uname().nodename, "job": os.environ.get("SLURM_JOB_ID", "")})
        supervisor = Supervisor(job, retries=retries, report=report, environment=environment)
        signal.signal(signal.SIGTERM, lambda *_: supervisor.stop(tell=False))
        threading.Thread(target=_stop_when_asked, args=(supervisor,), daemon=True).start()
        outcome = supervisor.run()
        report({"event": ENDED, "state": outcome.state, "run_id": outcome.run_id, "error": outcome.error})
    return outcome.state


def _stop_when_asked(supervisor: Supervisor) -> None:
    signal.sigwait([STOP_SIGNAL])
    supervisor.stop()
