"""What a report says of a run besides its predictions, as plain data that the store's reader fills in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xlprompt.evaluation.comparison.learning import LanguageCurves


@dataclass(frozen=True)
class RunFacts:
    """What is known of one run besides its predictions; None or empty where it is not.

    Attributes:
        task: Task name.
        method: Method name.
        seed: Its seed.
        model: Name of the backbone.
        total_params: Parameters of the backbone.
        trainable_params: Those trained, head included.
        trainable_percent: What trains in percent of the backbone's.
        seconds: What the run took.
        memory_mib: Peak memory.
        device: What it ran on: `cpu`, or a GPU's name.
        trained_on: Test score of the training language, in percent.
        zero_shot: Mean test score of the other languages, in percent.
        curve: Steps and the development scores there, in percent, by step.
        text_loss: Language codes to the language-model loss on their test sets' text, in nats a token,
            before and after training.
        language_curves: Scores of samples of every language by step, where the run made them.
    """

    task: str
    method: str
    seed: int
    model: str
    total_params: int | None = None
    trainable_params: int | None = None
    trainable_percent: float | None = None
    seconds: float | None = None
    memory_mib: float | None = None
    device: str | None = None
    trained_on: float | None = None
    zero_shot: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    text_loss: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    language_curves: LanguageCurves | None = None


@dataclass(frozen=True)
class Fertility:
    """Tokens a word by language, all from one task's test sets, so that languages can be compared.

    Attributes:
        task: The task.
        by_language: Language codes to tokens a word.
    """

    task: str
    by_language: Mapping[str, float]
