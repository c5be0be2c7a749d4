"""From a trained model to scores by language: predictions, metrics with standard errors, a transfer report.

It knows tasks and encoded examples (xlprompt.data) and runs a task model (xlprompt.models); it neither trains
nor tracks runs. `load_runs`, `compare` and `judge` make a study's statistics from stored predictions. The
names below are imported when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
