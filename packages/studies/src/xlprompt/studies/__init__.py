"""Studies are many runs: grids of cells, searches, the executors that run them, reports and analyses.

`run_study` and `run_search` are the ways in. One run is the business of `xlprompt.training`. The names below
are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlprompt.studies.errors import StudyError
    from xlprompt.studies.grid.study import StudyResult, run_study
    from xlprompt.studies.search.search import SearchResult, run_search
    from xlprompt.studies.search.space import SearchError

__all__ = [
    "SearchError",
    "SearchResult",
    "StudyError",
    "StudyResult",
    "run_search",
    "run_study",
]

_HOMES = {
    "errors": ("StudyError",),
    "grid.study": (
        "StudyResult",
        "run_study",
    ),
    "search.search": (
        "SearchResult",
        "run_search",
    ),
    "search.space": ("SearchError",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
