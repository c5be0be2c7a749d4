"""Which code a result came from: a hash over the installed sources that can change one.

Hashed are the `.py` files, byte by byte, of every module of xlprompt that `xlprompt.training.run` imports,
directly or through others, but for those that only show or write down what others computed. So a new command,
a report or a README leaves results valid, and a changed model, loop or metric does not. Where the code lies,
and what git says, plays no part. Other libraries are not in it; their versions stand in each run's tags.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

ENTRY = "xlprompt.training.run"
WITHOUT_INFLUENCE = frozenset(
    {
        "xlprompt.evaluation.alignment_table",
        "xlprompt.evaluation.chart",
        "xlprompt.evaluation.table",
        "xlprompt.evaluation.fitted_table",
        "xlprompt.training",  # its names only; the modules behind them count by themselves
        "xlprompt.training.environment",
        "xlprompt.training.overview",
        "xlprompt.training.progress",
        "xlprompt.training.recipe_errors",
        "xlprompt.training.run_labels",
        "xlprompt.training.tracker",
    }
)


@functools.cache
def code_version(entry: str = ENTRY) -> str:
    """SHA-256 over names and contents of the modules that can change a result of the module `entry`."""
    digest = hashlib.sha256()
    for name, path in sorted(modules_behind_a_result(entry).items()):
        digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def modules_behind_a_result(entry: str = ENTRY) -> dict[str, Path]:
    """The modules that `entry` reaches by imports of xlprompt, itself included, and their files."""
    found: dict[str, Path] = {}
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        if name in found or name in WITHOUT_INFLUENCE:
            continue
        file = _source(name)
        if file is None:
            continue
        found[name] = file
        waiting.extend(_imports(file))
        waiting.append(name.rpartition(".")[0])  # importing a module runs its package first
    return found


def _source(name: str) -> Path | None:
    """The file of a module; None where the name is a namespace, or a function or class in a module."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


def _imports(file: Path) -> Iterator[str]:
    """What a file imports from xlprompt, anywhere in it but under `if TYPE_CHECKING`.

    What stands there in a package's `__init__.py` counts: the package imports it when it is first asked for.
    """
    is_package = file.name == "__init__.py"
    waiting: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not is_package:
            waiting.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("xlprompt."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("xlprompt"):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)  # a module, perhaps
        waiting.extend(ast.iter_child_nodes(node))
