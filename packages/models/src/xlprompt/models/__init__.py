"""Decoder backbones with layer-wise prompts, task heads and the parameter budget.

The names below are imported when they are first used: a recipe is read, and a report written, without
transformers.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
