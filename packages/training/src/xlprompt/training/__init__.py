"""Recipes, the training loop, checkpoints and tracking: from a YAML file to a trained prompt and its scores.

`train`, `evaluate` and `predict` are the ways in. What is measured, and how, is decided in
`xlprompt.evaluation`. The names below are imported when they are first used, so that `xlprompt ui` need not
wait for torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
