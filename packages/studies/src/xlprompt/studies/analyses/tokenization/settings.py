"""What can be asked about a tokenizer."""

from __future__ import annotations

from pathlib import Path

from xlprompt.data.sources import open_source
from xlprompt.data.tasks import BUNDLED
from xlprompt.data.tasks.own import OWN
from xlprompt.models import require_model
from xlprompt.studies.analyses.analysis import in_part, option, published_option
from xlprompt.training.recipes.settings import Settings as AnySettings


class Settings(AnySettings):
    """Count how a model's tokenizer cuts the text of a task, language by language, with intervals.

    Where the store, or a file of published runs (--runs), has a finished study of the model, the figures are
    correlated with the difference between prompt tuning and full fine-tuning. No weights are loaded. What
    comes out is kept as a run of the store, and in the study's report.

    Examples:
      xlprompt analyze tokenization
      xlprompt analyze tokenization --model gemma-3-270m --data ../data --task xnli
      xlprompt analyze tokenization --model gemma-3-270m --data ../data --runs results/runs.jsonl.gz
    """

    model: str = option("xglm-nano", "Whose tokenizer: a known name, hub id or folder.")
    data: str = option("mini", "The text: 'mini', 'hub' or a folder.")
    task: str = option(
        "pos",
        "Whose text. In pos and ner words are annotated, also where a language writes no spaces. "
        "'own' is the task that the data folder is.",
        choices=(*BUNDLED, OWN),
    )
    split: str = option("test", "Which of the task's sets.", choices=("train", "validation", "test"))
    languages: tuple[str, ...] | None = option(
        None,
        "Count these languages only, such as en,de,sw; default: all that the task has there.",
        metavar="CODES",
    )
    limit: int | None = option(None, "Use at most this many examples of each language.", above=1)
    runs: tuple[Path, ...] = published_option()

    @property
    def part(self) -> str:
        """What alone was asked for; empty where nothing is left out."""
        return in_part({"languages": self.languages, "limit": self.limit})

    def check(self, store: Path) -> None:
        """Refuse data or a model that are not there before anything large is imported."""
        open_source(self.data)
        require_model(self.model, weights=False)
