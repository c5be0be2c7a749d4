"""How a study's jobs are executed, as its grid file says it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from xlprompt.models import method_of
from xlprompt.training.recipes.settings import Settings


class ExecutorSettings(Settings):
    """How cells are run. Of it only `threads`, `gpus` and `engine` change results, by rounding."""

    kind: Literal["local", "ray"] = Field(
        default="local", description="'local' (processes of this machine) or 'ray' (a Ray cluster)."
    )
    workers: int | None = Field(
        default=None,
        ge=0,
        description="Cells at a time on this machine; memory grows with them. null: as many as there are "
        "cores for their threads, or GPUs where they take one. 0: one after another in this very process, "
        "for debuggers.",
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

    def engine_of(self, method: str) -> str | None:
        """The engine that is asked for with a method; None for the method's own."""
        return self.engine if method_of(method).trains_backbone else None
