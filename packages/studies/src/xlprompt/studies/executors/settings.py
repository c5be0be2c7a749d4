"""How a study's jobs are executed, as its grid file says it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from xlprompt.models import method_of
from xlprompt.training.recipes.settings import Settings


class SlurmSettings(Settings):
    """What each cell asks Slurm for, beside its GPUs (`executor.gpus`)."""

    partition: str | None = Field(default=None, description="Its partition; null: the cluster's default.")
    minutes: int = Field(
        default=60,
        ge=1,
        description="Time that a cell is granted. One that takes longer goes on in another job, from its "
        "training state, so a short time is safe and waits less.",
    )
    cpus: int | None = Field(default=None, ge=1, description="CPU cores; null: as many as its threads.")
    memory_gb: float | None = Field(
        default=None, gt=0, description="Main memory in GB; null: what the cluster gives by default."
    )
    account: str | None = Field(default=None, description="Whom the time is charged to.")
    stop_seconds: int = Field(
        default=120,
        ge=1,
        description="How long before its time is over a cell is told to write its training state; at most "
        "half of the time.",
    )
    extra: dict[str, str | int | bool] = Field(
        default_factory=dict,
        description="More options of sbatch by their long names, as in {qos: long, constraint: a100}.",
    )

    @field_validator("partition", "account", mode="before")
    @classmethod
    def _names_are_text(cls, value: object) -> object:
        """A name such as 2080 may be given as a number."""
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class ExecutorSettings(Settings):
    """How cells are run. Of it only `threads`, `gpus` and `engine` change results, by rounding."""

    kind: Literal["local", "ray", "slurm"] = Field(
        default="local",
        description="'local' (processes of this machine), 'ray' (a Ray cluster) or 'slurm' (jobs of a Slurm "
        "cluster).",
    )
    workers: int | None = Field(
        default=None,
        ge=0,
        description="Cells at a time on this machine; memory grows with them. null: as many as there are "
        "cores for their threads, or GPUs where they take one. 0: one after another in this very process, "
        "for debuggers. Of Slurm and of a Ray cluster: jobs in its queue at a time; null or 0: all.",
    )
    threads: int = Field(
        default=1,
        ge=1,
        description="CPU threads of a cell. Sums depend on it in their last digits, so it is fixed here and "
        "not shared out by the number of workers.",
    )
    gpus: float | None = Field(
        default=None,
        ge=0,
        description="GPUs of a cell; below 1, cells share one. 0 trains on the CPU even where there is a "
        "GPU. null: one where there is any.",
    )
    engine: Literal["torch", "deepspeed"] | None = Field(
        default=None,
        description="What full fine-tuning is trained by. Both take the same steps; in one process without a "
        "GPU DeepSpeed takes longer. null: DeepSpeed. All other methods are trained by plain torch.",
    )
    retries: int = Field(
        default=2,
        ge=0,
        description="How often a cell is tried again, from its training state, after its process has died. "
        "An error that it reports itself (data missing, training diverged) would come again and is final.",
    )
    slurm: SlurmSettings = Field(default_factory=SlurmSettings)

    def engine_of(self, method: str) -> str | None:
        """The engine that is asked for with a method; None for the method's own."""
        return self.engine if method_of(method).trains_backbone else None
