"""Train prompts for multilingual decoders, and label text by them: the ways in from Python.

`load`, `train`, `evaluate`, `import_peft`, `compare` and `runs` do what the commands do. They are imported
when they are first used: `import xlprompt` reads nothing heavy. The six distributions share this package:
this file belongs to `xlprompt-studies`, which needs all that it names, and the folders of the others join it.
"""

from pkgutil import extend_path

import lazy_loader

__path__[:] = extend_path(__path__, __name__)  # in place: the spec's list is the same one
if __spec__ is not None:  # as a namespace it lies in no one place; import-linter reads the six by that alone
    __spec__.has_location = False

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
