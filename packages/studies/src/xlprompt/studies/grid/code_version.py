"""Which code a result came from: a hash over the definitions that can change one.

The walk begins at the function that makes a result, such as `xlprompt.training.runs.train.train`, and follows
every name that a definition uses to xlprompt's own functions, classes and constants, wherever they are
imported from. Hashed are their syntax trees, without docstrings, descriptions of settings, comments, type
hints of functions, imports, and the file that they stand in. So a file that is moved, renamed or split, a
reworded docstring, a new command or another rule of the report leave results valid; a changed number in the
loop does not. Other libraries are not in it: their versions stand in each run's tags.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ENTRY = "xlprompt.training.runs.train.train"
WITHOUT_INFLUENCE = frozenset(
    {
        "Curves",
        "Environment",
        "KeptStates",
        "LanguageCurve",
        "MlflowTracker",
        "NullTracker",
        "Phase",
        "Phases",
        "ShowProgress",
        "Tracker",
        "bar_chart",
        "connect",
        "counted",
        "curve_samples",
        "curve_steps",
        "explain",
        "log_recipe",
        "log_text",
        "open_console",
        "open_reader",
        "plan_table",
        "read_environment",
        "run_name",
        "run_tags",
        "score_table",
        "scores_note",
        "show_table",
        "sweep_figure",
        "sweep_table",
        "training_progress",
        "true_end_state",
        "waiting",
        "warn_of_absent_labels",
        "write_pyfunc_files",
    }
)
"""Definitions that only tell the user or the store what a run does; the walk stops at them."""
_OWN = "xlprompt"


@dataclass(frozen=True, order=True)
class Definition:
    """A function, class or constant at the top of a module; `name` is empty for what runs on import."""

    module: str
    name: str


@functools.cache
def code_version(entry: str = ENTRY) -> str:
    """SHA-256 over the definitions that can change a result of the function `entry`, a dotted path."""
    return version_of(definitions_behind_a_result(entry).values())


def version_of(definitions: Iterable[Iterable[ast.stmt]]) -> str:
    """SHA-256 over the statements of definitions, in whatever order and place they stand."""
    texts = sorted(json.dumps([_canonical(statement) for statement in each]) for each in definitions)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def definitions_behind_a_result(entry: str = ENTRY) -> dict[Definition, list[ast.stmt]]:
    """The definitions that `entry` reaches by the names that it and they use, and their statements."""
    found: dict[Definition, list[ast.stmt]] = {}
    module, _, name = entry.rpartition(".")
    waiting = [Definition(module, name)]
    while waiting:
        one = waiting.pop()
        if one in found or one.name in WITHOUT_INFLUENCE:
            continue
        file = _module(one.module)
        found[one] = file.definitions[one.name] if one.name else file.effects
        waiting.append(Definition(one.module, ""))
        package = one.module.rpartition(".")[0]
        if package:  # importing a module runs its package first
            waiting.append(Definition(package, ""))
        for statement in found[one]:
            waiting.extend(file.used_by(statement))
    return {one: statements for one, statements in found.items() if statements}


@dataclass
class _Module:
    """A module's top level, without what only a reader needs.

    Attributes:
        definitions: Statements by the name that they bind; several where it is bound more than once.
        imports: By the name that an import anywhere in it binds: a module, and a name in it or None.
        effects: Statements that bind nothing and run on import, such as a registration.
    """

    name: str
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    effects: list[ast.stmt] = field(default_factory=list)

    def used_by(self, node: ast.AST) -> Iterator[Definition]:
        """The definitions that a part of this module names."""
        chain = _dotted(node)
        if chain is None:
            for child in ast.iter_child_nodes(node):
                yield from self.used_by(child)
        elif chain[0] in self.definitions:
            yield Definition(self.name, chain[0])
        elif chain[0] in self.imports:
            yield from _imported(self.imports[chain[0]], chain[1:])


def _imported(origin: tuple[str, str | None], rest: list[str]) -> Iterator[Definition]:
    """Where a name that was imported, and what follows it after dots, is defined."""
    module, name = origin
    path = [name, *rest] if name else rest
    while path and _source(f"{module}.{path[0]}") is not None:
        module, path = f"{module}.{path[0]}", path[1:]
    file = _module(module)
    if not path:  # the module itself is handed on, so anything in it may be used
        yield from (Definition(module, each) for each in file.definitions)
    elif path[0] in file.definitions:
        yield Definition(module, path[0])
    elif path[0] in file.imports:
        yield from _imported(file.imports[path[0]], path[1:])


@functools.cache
def _module(name: str) -> _Module:
    module, source = _Module(name), _source(name)
    if source is None:
        return module  # a namespace
    tree = ast.parse(source.read_bytes())
    module.imports = dict(_imports(tree, name))
    stub = source.with_suffix(".pyi")  # of a package that imports its names when they are first asked for
    if stub.is_file():
        module.imports |= dict(_imports(ast.parse(stub.read_bytes()), name))
    for statement in _top_level(_ForReaders().visit(tree).body):
        names = _bound(statement)
        for bound in names:
            module.definitions.setdefault(bound, []).append(statement)
        if not names and not isinstance(statement, ast.Pass):
            module.effects.append(statement)
    return module


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """A module's statements, and those of `if TYPE_CHECKING`."""
    for statement in body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            yield from _top_level(statement.body)
        else:
            yield statement


def _bound(statement: ast.stmt) -> list[str]:
    """The names that a statement gives something to; none for `a.b = c` and `a[b] = c`, which change `a`."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = [each for one in statement.targets for each in getattr(one, "elts", [one])]
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _imports(tree: ast.Module, module: str) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """What the imports of a file bind, those of xlprompt alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == _OWN:
                    yield (alias.asname, (alias.name, None)) if alias.asname else (_OWN, (_OWN, None))
        elif isinstance(node, ast.ImportFrom):
            source = f"{module}.{node.module}" if node.level else str(node.module)
            if source.split(".")[0] == _OWN:
                yield from ((alias.asname or alias.name, (source, alias.name)) for alias in node.names)


def _dotted(node: ast.AST) -> list[str] | None:
    """The parts of `a.b.c`; None for anything else."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute) and (rest := _dotted(node.value)):
        return [*rest, node.attr]
    return None


@functools.cache
def _source(name: str) -> Path | None:
    """The file of a module of xlprompt, which is not imported for it; None for what is no module."""
    spec = importlib.util.find_spec(_OWN)
    for root in (spec and spec.submodule_search_locations) or ():
        path = Path(root, *name.split(".")[1:])
        for file in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


class _ForReaders(ast.NodeTransformer):
    """Takes away what says something to a reader and nothing to Python: text, hints, imports."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:  # noqa: N802
        """Its type hints."""
        self.generic_visit(node)
        node.returns = None
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:  # noqa: N802
        """A docstring."""
        self.generic_visit(node)
        return ast.Pass() if isinstance(node.value, ast.Constant) else node

    def visit_Call(self, node: ast.Call) -> ast.AST:  # noqa: N802
        """The description of a setting."""
        self.generic_visit(node)
        if _dotted(node.func) == ["Field"]:
            node.keywords = [each for each in node.keywords if each.arg != "description"]
        return node

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> ast.AST:  # noqa: N802
        """Where a name comes from."""
        return ast.Pass()

    visit_ImportFrom = visit_Import  # noqa: N815


def _canonical(node: object) -> Any:
    """A syntax tree as JSON holds it, the same for every version of Python."""
    if isinstance(node, ast.AST):
        fields = {name: _canonical(value) for name, value in ast.iter_fields(node) if name not in _IGNORED}
        return [type(node).__name__, {name: each for name, each in fields.items() if each not in (None, [])}]
    if isinstance(node, list):
        return [_canonical(each) for each in node if not isinstance(each, ast.Pass)]
    return node if isinstance(node, str | bool | int) or node is None else repr(node)


_IGNORED = frozenset({"ctx", "kind", "type_comment", "type_params"})
