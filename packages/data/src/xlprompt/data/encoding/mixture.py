"""One training set of several languages' rows, in given shares.

The set is as large as one language's and is drawn before training, by a seed alone: steps, epochs and where a
run goes on from stay what they are with one language.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from datasets import Dataset, concatenate_datasets

from xlprompt.data.encoding.cache import no_progress_bars
from xlprompt.data.encoding.encode import Encoded
from xlprompt.data.errors import DataError
from xlprompt.data.fingerprints import fingerprint_of
from xlprompt.data.languages import language


def language_shares(languages: Sequence[str], exponent: float) -> dict[str, float]:
    """Shares of languages in proportion to their pre-training tokens to the power of `exponent`.

    0 gives all the same share, 1 shares as in pre-training, and what lies between smooths these (Conneau and
    Lample 2019, arXiv 1901.07291, section 3.1, with 0.5; XLM-R, arXiv 1911.02116, with 0.3).

    Args:
        languages: Their codes.
        exponent: Not negative.

    Returns:
        By code; they add up to 1.

    Raises:
        DataError: A language is not in the language table, or had no part in pre-training (with any
            `exponent` but 0).
    """
    tokens = {code: language(code).tokens for code in languages}
    if exponent and (unseen := [code for code, number in tokens.items() if not number]):
        raise DataError(
            f"{', '.join(unseen)} had no part in pre-training, so that no share follows from it",
            fix="Set data.language_exponent to 0, or leave the language out of data.also_train_on.",
        )
    weights = {code: float(number) ** exponent if exponent else 1.0 for code, number in tokens.items()}
    total = sum(weights.values())
    return {code: weight / total for code, weight in weights.items()}


def examples_by_language(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers of examples: one of each language, the others in these shares by largest remainders.

    Raises:
        DataError: There are more languages than examples.
    """
    if total < len(shares):
        raise DataError(
            f"{total} examples cannot be shared by {len(shares)} languages",
            fix="Raise data.limit, or name fewer languages in data.also_train_on.",
        )
    exact = {code: share * (total - len(shares)) for code, share in shares.items()}
    counts = {code: 1 + int(number) for code, number in exact.items()}
    by_remainder = sorted(exact, key=lambda code: int(exact[code]) - exact[code])  # the largest first
    for code in by_remainder[: total - sum(counts.values())]:
        counts[code] += 1
    return counts


def draw_examples(sizes: Mapping[str, int], counts: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    """Which examples of each language to take.

    All positions of a set of this size are shuffled and dealt out to the languages one after another. So of
    sets that are translations of each other each item comes in one language, and only one. A language with
    fewer examples than there are positions has some of them twice.

    Args:
        sizes: Examples that there are.
        counts: Examples to take.
        seed: Not negative.

    Returns:
        Places of examples by language, in rising order.
    """
    total = sum(counts.values())
    # Raw bits, since Generator.permutation may change between numpy versions (NEP 19).
    order = np.argsort(
        np.random.PCG64(np.random.SeedSequence([seed, total])).random_raw(total), kind="stable"
    )
    ends = np.cumsum(list(counts.values()))
    return {
        code: np.sort(order[end - counts[code] : end] % sizes[code])
        for code, end in zip(counts, ends, strict=True)
    }


def mix(parts: Mapping[str, Encoded], chosen: Mapping[str, np.ndarray]) -> Encoded:
    """The chosen examples of encoded languages as one set, a language after the other.

    Args:
        parts: By language, encoded with the same settings.
        chosen: Places of examples by language, from draw_examples.
    """
    with no_progress_bars():
        return _mixed(parts, chosen)


def _mixed(parts: Mapping[str, Encoded], chosen: Mapping[str, np.ndarray]) -> Encoded:
    first = next(iter(parts.values()))
    datasets: list[Dataset] = []
    tables: list[Dataset] = []
    before = 0
    for code, part in parts.items():
        places = chosen[code]
        # A long sentence is several rows, which stand together.
        begins = np.searchsorted(part.examples, places, side="left")
        counts = np.searchsorted(part.examples, places, side="right") - begins
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = part.dataset.select(np.repeat(begins, counts) + within)
        examples = before + np.repeat(np.arange(len(places)), counts)
        datasets.append(rows.remove_columns("example").add_column("example", examples))
        tables.append(part.table.select(places))
        before += len(places)
    return Encoded(
        first.task,
        first.settings,
        concatenate_datasets(datasets),
        concatenate_datasets(tables),
        truncated=sum(part.truncated for part in parts.values()),
        fingerprint=fingerprint_of(
            [[code, part.fingerprint, chosen[code].tolist()] for code, part in parts.items()]
        ),
    )
