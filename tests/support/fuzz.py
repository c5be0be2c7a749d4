"""Fuzz tests: a check is called with drawn values for some seconds, the same ones in every run.

The tests together take a minute. ``XLPROMPT_FUZZ_SECONDS=1200 pytest tests -k fuzz -s`` takes twenty, and
goes on where the minute ends.
"""

import os
import time
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

EXAMPLES = 50  # a round; a failing one is then made as small as possible
SCALE = float(os.environ.get("XLPROMPT_FUZZ_SECONDS", "60")) / 60

ODD = [
    "\ud83d",
    "\udcff",
    "\0",
    "\x1b[31m",
    "\x9b",
    "\t",
    "\r",
    "\n",
    "\ufeff",
    "\u2028",
    "[/red]",
    '"',
    '""',
    "\\",
]
"""Pieces that steer terminals, end lines, quote, or cannot be encoded."""


def odd_text(*pieces: str, most: int = 4) -> st.SearchStrategy[str]:
    """Draw text of any characters, of odd pieces, and of the pieces given."""
    part = st.sampled_from([*ODD, *pieces]) | st.characters()
    return st.lists(part, max_size=most).map("".join)


def json_values(text: st.SearchStrategy[str]) -> st.SearchStrategy[object]:
    """Draw any value that JSON can hold, and numbers that it cannot but Python reads."""
    numbers = st.one_of(st.integers(), st.floats(), st.sampled_from([10**30, -1, 0, 2**63]))
    leaves = st.one_of(st.none(), st.booleans(), numbers, text)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=4,
    )


def fuzz(check: Callable[..., None], *, seconds: float, **strategies: st.SearchStrategy) -> None:
    """Call a check with drawn values for about so many seconds of the minute, and print with how many."""
    end = time.monotonic() + seconds * SCALE
    rounds = 0
    while rounds == 0 or time.monotonic() < end:
        setting = settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        setting(seed(rounds)(given(**strategies)(check)))()
        rounds += 1
    print(f"{rounds * EXAMPLES:,} inputs")
