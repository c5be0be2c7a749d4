"""What can be asked about alignment."""

from __future__ import annotations

from pathlib import Path

from xlprompt.studies.analyses.analysis import option
from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.ledger import require_store
from xlprompt.training.recipes.settings import Settings as AnySettings


class Settings(AnySettings):
    """Compare stored predictions with and without alignment, by language and seed by seed.

    The predictions are made by --sweep for a whole study, by `xlprompt evaluate RUN_ID --align
    mean,mean_scale` for one run, or by training runs whose recipe names kinds in evaluation.alignment.kinds.
    What comes out is kept for `xlprompt report`. A fixed rule takes a setting, and what it gains is told on
    the tasks and languages that had no part in the choice. --sweep goes on where it was stopped; without more
    options it takes mean, mean_scale, principal and subspace of 5, 10, 20, 50, 100 and 200 sentences, at the
    head.

    Examples:
      xlprompt analyze alignment
      xlprompt analyze alignment --task pos --json
      xlprompt analyze alignment --sweep
      xlprompt analyze alignment --sweep --tasks pos --align mean_scale --align-layer 2,3,head --workers 2
    """

    tasks: tuple[str, ...] = option(
        (),
        "Some of the tasks, such as xnli,pos; without --sweep such a look leaves the report's section as it "
        "is.",
        names=("--tasks", "--task"),
        multiple=True,
    )
    model: str | None = option(None, "Backbone; default: all that the store has.")
    sweep: bool = option(
        False,
        "First score every finished run of the newest study of the model with alignment, but for what has "
        "been scored already. The options from here to --workers belong to it.",
    )
    methods: tuple[str, ...] = option((), "Some of the methods, such as prompt,finetune.")
    seeds: int | tuple[int, ...] | None = option(None, "How many seeds, or a list such as 0,4.")
    align: tuple[str, ...] = option(
        (), "Kinds of alignment: mean, mean_scale, principal, subspace.", metavar="KINDS"
    )
    align_sentences: tuple[int, ...] = option(
        (),
        "Unlabelled sentences of a language that this is made of, at most. Several, such as 5,50,500, give a "
        "curve.",
    )
    align_layer: tuple[int | None, ...] = option(
        (),
        "Where: a decoder layer's number, or 'head' for what the head reads. Several, such as 6,12,head, are "
        "compared.",
    )
    languages: tuple[str, ...] = option(
        (),
        "Score these languages only, such as en,de,sw; default: the recipe's choice.",
        metavar="CODES",
    )
    limit: int | None = option(None, "Score at most this many test examples of each language.", above=1)
    data: str | None = option(
        None, "Where the data lie now, if not where they lay in training: 'mini', 'hub' or a folder."
    )
    device: str | None = option(None, "cpu or cuda; default: a GPU where there is one.")
    workers: int | None = option(
        None, "Runs to score at a time; they share the cores and the GPU. [default: 1]", above=1
    )

    def check(self, store: Path) -> None:
        """Refuse options that do not go together, and a store that is not there, before any large import."""
        if not self.sweep:
            self.require_nothing_to_score()
        require_store(
            store, "Run a study first: make all-tasks" if self.sweep else "Name the one that holds the runs"
        )

    def require_nothing_to_score(self) -> None:
        """Refuse what belongs to `sweep`.

        Raises:
            StudyError: It is there.
        """
        named = [name for name, value in self if value and name not in ("tasks", "model")]
        if named:
            option = named[0].replace("_", "-")
            raise StudyError(f"--{option} says what to score, which is done with --sweep only")
