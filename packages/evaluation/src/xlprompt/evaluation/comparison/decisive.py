"""How many more seeds or languages would decide a claim that a study left undecided.

Studies like the seen one are simulated (simulated.py) with more and more seeds, or languages, and judged by
the verdicts' own rules. A number decides a claim where at least four fifths of its studies do. This takes
what was seen for the truth: a difference that was seen by luck will need more. So it helps in planning and is
no evidence for or against a claim.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from xlprompt.evaluation.comparison.compared import Comparison
from xlprompt.evaluation.comparison.rulings import MARGIN, Ruling
from xlprompt.evaluation.comparison.simulated import Rulings, SeenStudy
from xlprompt.evaluation.comparison.verdicts import CLAIMED_PERCENT, OVER_PERCENT, GranularityEffect, Verdict
from xlprompt.evaluation.scores.metrics import BOOTSTRAP_SEED

POWER = 0.8
"""Share of simulated studies that must decide."""

SIMULATIONS = 200
"""Studies of each size; a share near POWER then has a standard error of three points."""

MOST_SEEDS, MOST_LANGUAGES = 30, 100
"""Sizes beyond which nothing is tried."""

_SIZES = (*range(2, 11), 12, 15, 20, 25, *range(30, 101, 10))


@dataclass(frozen=True)
class Need:
    """What would decide an undecided claim.

    Attributes:
        seeds: Seeds of each task and method, in all; None where no number up to MOST_SEEDS does.
        languages: Zero-shot languages in all, with the seeds that there are; None where no number up to
            MOST_LANGUAGES does, or where more languages cannot.
        both: Seeds and languages in all that do together, where neither does alone; None where they do not.
        likely: How most of the simulated studies decide it.
        brief: In a few words.
        text: In sentences, with what was tried.
    """

    seeds: int | None
    languages: int | None
    both: tuple[int, int] | None
    likely: Ruling | None
    brief: str
    text: str


def what_decides(
    comparison: Comparison,
    verdicts: Sequence[Verdict],
    *,
    fertility: Mapping[str, float] | None = None,
    granularity: GranularityEffect | None = None,
    margin: float = MARGIN,
    simulations: int = SIMULATIONS,
    seed: int = BOOTSTRAP_SEED,
) -> tuple[Need | None, ...]:
    """Say of each undecided claim what would decide it.

    Args:
        comparison: The study.
        verdicts: What `judge` made of it.
        fertility: As for `judge`.
        granularity: As for `judge`.
        margin: As for `judge`.
        simulations: Studies of each size.
        seed: Of the simulation; the same study gives the same numbers.

    Returns:
        One for each verdict; None where it is decided.
    """
    open_claims = [verdict.verdict == "undecided" for verdict in verdicts]
    if not any(open_claims):
        return (None,) * len(verdicts)
    tasks = comparison.tasks.values()
    fewest = min(len(seeds) for task in tasks for seeds in (task.method_seeds, task.baseline_seeds))
    if fewest < 2:
        needs = (_ONE_SEED, _with_share(verdicts[1], _ONE_SEED), _ONE_SEED, _ONE_SEED)
        return tuple(need if each else None for need, each in zip(needs, open_claims, strict=True))
    slope, slope_seeds = (granularity.slope, granularity.seeds) if granularity else (None, 0)
    seen = SeenStudy(comparison, margin, fertility, slope, slope_seeds)
    search = _Search(seen, simulations, seed, first=open_claims[0])
    first = search.need("first") if open_claims[0] else None
    return (
        first,
        _with_share(verdicts[1], first) if open_claims[1] else None,
        search.need("third") if open_claims[2] else None,
        _with_experiment(search.need("fourth"), granularity) if open_claims[3] else None,
    )


_ONE_SEED = Need(
    *(None, None, None, None, "needs three seeds"),
    "One seed shows no spread, so nothing can be simulated. Three seeds of each task and method (SEEDS=3) "
    "are the least that decides anything.",
)

_NO_OTHER_LANGUAGE = Need(
    *(None, None, None, None, "needs other languages"),
    "No number of seeds would decide it, as every language that was scored was trained on, too.",
)


@dataclass(frozen=True)
class _Found:
    """The least size that decides; of none, the share that the largest one decides."""

    size: int | None
    share: float
    likely: Ruling | None


class _Search:
    """Simulated studies by size, drawn once for all claims."""

    def __init__(self, seen: SeenStudy, simulations: int, seed: int, *, first: bool) -> None:
        """Take what they are drawn from.

        Args:
            seen: The study.
            simulations: Studies of each size.
            seed: Of the draws.
            first: Whether the first claim is judged.
        """
        self._seen, self._simulations, self._seed, self._first = seen, simulations, seed, first
        self._judged: dict[tuple[str, int], list[Rulings]] = {}

    def need(self, claim: str) -> Need:
        """What would decide one claim, which is a field of Rulings."""
        if claim != "first" and not self._seen.languages:
            return _NO_OTHER_LANGUAGE
        now = self._seen.seeds
        limit = getattr(self._seen.judged(self._seen.scores, endless=True, first=self._first), claim)
        seeds = None
        if limit != "undecided":
            seeds = self._least(claim, "seeds", now, MOST_SEEDS)
        languages, had = None, len(self._seen.languages)
        if claim != "first":  # which is about all languages, so that more of them show no more of it
            languages = self._least(claim, "languages", had, MOST_LANGUAGES)
        alone = {
            kind: each
            for kind, each in (("seeds", seeds), ("languages", languages))
            if each is not None and each.size is not None
        }
        together = None
        if claim != "first" and not alone:
            together = self._least(claim, "both", 1, min(MOST_SEEDS // now, MOST_LANGUAGES // max(had, 1)))
        times = None if together is None else together.size
        both = None if times is None else (times * now, times * had)
        found = [*alone.values(), *([together] if together and both else [])]
        if alone:
            sizes = " or ".join(f"{each.size} {kind}" for kind, each in alone.items())
            brief = f"{sizes} would decide it, likely as {found[0].likely}"
        elif both:
            brief = f"{both[0]} seeds and {both[1]} languages would decide it, likely as {found[0].likely}"
        else:
            brief = _no_brief(seeds, languages)
        sentences = _sentences(claim, seeds, languages, now, had)
        if both and together:
            sentences.append(
                f"{both[0]} seeds and {both[1]} languages together would: {_percent(together.share)} % do, "
                f"most as {together.likely}."
            )
        return Need(
            seeds.size if seeds else None,
            languages.size if languages else None,
            both,
            found[0].likely if found else None,
            brief,
            " ".join(sentences),
        )

    def _least(self, claim: str, kind: str, now: int, most: int) -> _Found:
        sizes = [size for size in _SIZES if now < size <= most]
        if not sizes:
            return _Found(None, 0.0, None)
        share, likely = self._share(claim, kind, sizes[-1])
        if share < POWER:
            return _Found(None, share, likely)
        low, high = 0, len(sizes) - 1  # the place of the least that decides lies between
        while low < high:
            middle = (low + high) // 2
            if self._share(claim, kind, sizes[middle])[0] >= POWER:
                high = middle
            else:
                low = middle + 1
        return _Found(sizes[low], *self._share(claim, kind, sizes[low]))

    def _share(self, claim: str, kind: str, size: int) -> tuple[float, Ruling | None]:
        """The share of studies of a size that decide a claim, and how most of these do."""
        rulings: list[Ruling] = [getattr(each, claim) for each in self._studies(kind, size)]
        decided = [each for each in rulings if each != "undecided"]
        likely = Counter(decided).most_common(1)[0][0] if decided else None
        return len(decided) / len(rulings), likely

    def _studies(self, kind: str, size: int) -> list[Rulings]:
        if (kind, size) not in self._judged:
            rng = np.random.default_rng([self._seed, size, len(kind)])
            self._judged[kind, size] = [self._study(kind, size, rng) for _ in range(self._simulations)]
        return self._judged[kind, size]

    def _study(self, kind: str, size: int, rng: np.random.Generator) -> Rulings:
        seen = self._seen
        if kind == "seeds":
            return seen.judged(seen.with_seeds(size, rng), rng=rng, first=self._first)
        if kind == "both":  # so many times as many
            scores = seen.with_seeds(size * seen.seeds, rng)
            languages = seen.with_languages(size * len(seen.languages), rng)
            return seen.judged(scores, languages, rng=rng, first=False)
        return seen.judged(seen.scores, seen.with_languages(size, rng), first=False)


def _percent(share: float) -> int:
    """Rounded down, so that 79.5 % are not told as what they miss."""
    return int(100 * share + 1e-9)


def _no_brief(seeds: _Found | None, languages: _Found | None) -> str:
    if seeds is None:
        also = "" if languages is None else f", nor would {MOST_LANGUAGES} languages"
        return f"more seeds alone would not decide it{also}"
    return f"not within {MOST_SEEDS} seeds{'' if languages is None else f' or {MOST_LANGUAGES} languages'}"


def _sentences(claim: str, seeds: _Found | None, languages: _Found | None, now: int, had: int) -> list[str]:
    """What was tried, and what came out."""
    texts = []
    if seeds is None:
        why = "the draw of test examples" if claim == "first" else "the choice of languages or test examples"
        texts.append(
            f"No number of seeds alone would decide it: at the differences seen, {why} leaves it open."
        )
    elif seeds.size is None:
        texts.append(
            f"Not within {MOST_SEEDS} seeds of each task and method: {_percent(seeds.share)} % of simulated "
            "studies decide it there."
        )
    else:
        texts.append(
            f"With {seeds.size} seeds of each task and method instead of {now}, {_percent(seeds.share)} % of "
            f"simulated studies decide it, most as {seeds.likely}."
        )
    if languages is not None and languages.size is None:
        texts.append(
            f"Nor within {MOST_LANGUAGES} zero-shot languages like these {had}, at the seeds there are "
            f"({_percent(languages.share)} %)."
            if seeds is None or seeds.size is None
            else f"More languages alone would not, up to {MOST_LANGUAGES}."
        )
    elif languages is not None:
        texts.append(
            f"With {languages.size} zero-shot languages like these {had}, at the seeds there are, "
            f"{_percent(languages.share)} % do, most as {languages.likely}."
        )
    return texts


def _with_share(second: Verdict, first: Need | None) -> Need:
    """The second claim follows the first where shares are as claimed, and else was not put to the test."""
    shares = second.evidence["trainable_percent"].values()
    if None in shares:
        text = "No number of seeds or languages would decide it, but the runs' trainable shares."
        return Need(None, None, None, None, "needs the trainable shares", text)
    if first is not None and all(share < OVER_PERCENT for share in shares):
        return replace(first, text=f"As the first claim. {first.text}")
    text = (
        "No number of seeds or languages would decide it, but prompts that train at most "
        f"{CLAIMED_PERCENT} % of the parameters."
    )
    return Need(None, None, None, None, "needs shorter prompts", text)


def _with_experiment(need: Need, granularity: GranularityEffect | None) -> Need:
    if granularity is not None:
        return need
    text = "Supported it can only be with the experiment on token granularity (make granularity)."
    return replace(need, text=f"{need.text} {text}")
