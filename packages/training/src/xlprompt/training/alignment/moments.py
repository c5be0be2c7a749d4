"""Which text a language's hidden states are aligned by, and the maps that come of it.

The text is a language's development set, or its training set where it has no development set; it needs no
labels. A test set is never read for it: a language that has nothing else stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from xlprompt.data.how_many import how_many
from xlprompt.evaluation.answers.aligned import collect_states
from xlprompt.models import (
    FEWEST_STATES,
    FEWEST_TARGET_STATES,
    AffineMap,
    AlignmentKind,
    AlignmentSettings,
    Moments,
    Target,
    TaskModel,
    alignment_map,
    moments_of,
    target_of,
)
from xlprompt.training.errors import RunError
from xlprompt.training.inputs.chosen_data import unlabelled_split
from xlprompt.training.inputs.preparation import Setup, Split, load_split

# Of the training language: so many that what is found out about other languages is not about this one.
TARGET_SENTENCES = 1000


@dataclass(frozen=True)
class Text:
    """The unlabelled text that a language's moments are of.

    Attributes:
        split: `validation` or `train`.
        sentences: How many sentences or pairs at most.
        fingerprint: Of the source's whole split.
    """

    split: str
    sentences: int
    fingerprint: str


@dataclass(frozen=True)
class Alignment:
    """The moments of a trained model's states, by language.

    Attributes:
        sentences: Sentences of a language at most, as asked for.
        layer: The decoder layer, or None for what the head reads.
        train_language: The language that all are aligned to.
        target: Its moments and directions.
        moments: Of every other language that there is text of.
        texts: What they were taken from, the training language's included.
    """

    sentences: int
    layer: int | None
    train_language: str
    target: Target
    moments: Mapping[str, Moments]
    texts: Mapping[str, Text]

    def maps(
        self, language: str, kinds: Sequence[AlignmentKind], among: Collection[str]
    ) -> dict[AlignmentKind, AffineMap | None]:
        """A language's map of each kind; None, which leaves its states alone, where there is nothing to move.

        That is so for the training language, and without text for every kind but `subspace`, which other
        languages' text is enough for.

        Args:
            language: Whose states are moved.
            kinds: Which maps.
            among: The languages that `subspace` is made of, as far as there is text of them: those that are
                scored together, and not all that were measured before.
        """
        if language == self.train_language:
            return dict.fromkeys(kinds)
        means = [self.moments[code].mean for code in sorted(self.moments) if code in among]
        own = self.moments.get(language)
        return {kind: alignment_map(kind, own, self.target, means) for kind in kinds}

    def distance(self, language: str) -> float | None:
        """How far a language's mean lies from the training language's, before anything is moved.

        The root of the mean over dimensions of `((m - m_t) / s_t)**2`; None where nothing is known of it.
        """
        if language not in self.moments:
            return None
        own, there = self.moments[language], self.target.moments
        return float(((own.mean - there.mean) / there.deviation).square().mean().sqrt())

    def without_text(self, languages: Sequence[str]) -> tuple[str, ...]:
        """Those of the languages that have no text to be aligned by."""
        return tuple(code for code in languages if code not in self.texts)


def measure(
    setup: Setup,
    model: TaskModel,
    languages: Sequence[str],
    settings: AlignmentSettings,
    *,
    stored: Alignment | None = None,
    others: Sequence[Alignment] = (),
) -> Alignment | None:
    """Read the languages' unlabelled text with a trained model; what is found lies on the CPU.

    Args:
        setup: The run's.
        model: The trained model.
        languages: The languages to align.
        settings: How many sentences, and at which layer.
        stored: Moments that were measured with this model before, for the same settings. They are used for
            languages whose text is the same here or not here at all.
        others: Just measured with this model, for other numbers of sentences: what they know of the training
            language need not be read again.

    Returns:
        The moments; None where there is no text, or too little, of the training language, to which all are
        aligned. Other languages with too little, such as one sentence, are as those without.

    Raises:
        ModelError: The backbone has no such layer.
    """
    train_language = setup.recipe.data.train_language
    known = dict(stored.texts) if stored else {}
    target_text = find_text(setup, train_language, TARGET_SENTENCES)
    if stored and target_text in (None, known.get(train_language)):
        target, target_text = stored.target, known[train_language]
    elif same := [each for each in others if each.layer == settings.layer]:
        target, target_text, stored = same[0].target, same[0].texts[train_language], None
    elif target_text is not None:
        states = _states(setup, model, train_language, target_text, settings.layer)
        if len(states) < FEWEST_TARGET_STATES:
            return None
        target, stored = target_of(states).to("cpu"), None
    else:
        return None
    moments = dict(stored.moments) if stored else {}
    texts = known if stored else {}
    here = target.to(setup.device)  # sums over states are made where these are; what is kept is on the CPU
    for language in languages:
        if language == train_language:
            continue
        text = find_text(setup, language, settings.sentences)
        if text is not None and text != texts.get(language):
            moments.pop(language, None)
            texts.pop(language, None)
            states = _states(setup, model, language, text, settings.layer)
            if len(states) >= FEWEST_STATES:
                moments[language] = moments_of(states, here).to("cpu")
                texts[language] = text
    texts[train_language] = target_text
    return Alignment(settings.sentences, settings.layer, train_language, target, moments, texts)


def require_target_text(setup: Setup) -> None:
    """Refuse an alignment at the head to text of the training language that has no moments, before training.

    Raises:
        RunError: It has fewer than four places that are read.
    """
    alignment, language = setup.recipe.evaluation.alignment, setup.recipe.data.train_language
    if set(alignment.kinds) == {"none"} or alignment.layer is not None:
        return
    text = find_text(setup, language, TARGET_SENTENCES)
    if text is None:
        return
    found = read_text(setup, language, text).encoded.num_readouts
    if found < FEWEST_TARGET_STATES:
        raise RunError(
            f"{setup.source.name}: the {text.split} set of {setup.task.name} in '{language}', to which other "
            f"languages are aligned, is read at {how_many(found, 'place')}, and alignment needs "
            f"{FEWEST_TARGET_STATES}. Add sentences, which need no labels, or set "
            "evaluation.alignment.kinds to [none]"
        )


def find_text(setup: Setup, language: str, sentences: int) -> Text | None:
    """A language's unlabelled text in the run's source; None where it has none."""
    split = unlabelled_split(setup.source, setup.task, language)
    if split is None:
        return None
    return Text(split, sentences, setup.source.fingerprint(setup.task, language, split))


def read_text(setup: Setup, language: str, text: Text) -> Split:
    """The encoded text that `find_text` found; of several processes one encodes it for all."""
    with setup.processes.first_alone():
        return load_split(setup, language, text.split, limit=text.sentences, labeled=False)


def _states(setup: Setup, model: TaskModel, language: str, text: Text, layer: int | None) -> Tensor:
    part = read_text(setup, language, text)
    return collect_states(
        model,
        part.encoded,
        layer=layer,
        token_budget=setup.recipe.evaluation.token_budget,
        pad_id=setup.pad_id,
        device=setup.device,
        processes=setup.processes,
    )
