"""Studies are many runs: grids of cells, searches, the executors that run them, reports and analyses.

`run_study` and `run_search` are the ways in. One run is the business of `xlprompt.training`. The names below
are imported when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
