"""Directives that say what the code says, when the site is built, so that no page of reference goes stale.

- `settings MODULE:CLASS`: the keys of a YAML file, from the pydantic model that reads it.
- `tasks`: each bundled task, from its file.
- `methods`: what each method trains.
- `metrics MODULE`: names of figures, from the constants of a module.
"""

from __future__ import annotations

import importlib
import inspect
import types
import typing
from collections.abc import Iterator
from enum import Enum
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx


class _Written(Directive):
    """Parses the Markdown that `lines` gives, in place."""

    required_arguments = 1

    def lines(self) -> Iterator[str]:
        """What a page would have to say, line by line."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Called by docutils."""
        container = nodes.Element()
        source = f"<{self.name}>"
        text = StringList([*self.lines()], source=source)
        self.state.nested_parse(text, self.content_offset, container, match_titles=True)
        return container.children


class SettingsDirective(_Written):
    """The keys of a settings class, those of its parts too."""

    def lines(self) -> Iterator[str]:
        """A table a class."""
        module, _, name = self.arguments[0].partition(":")
        kind = getattr(importlib.import_module(module), name)
        if any(_part(field.annotation) for field in kind.model_fields.values()):
            yield from ("## At the top", "")  # sections go into the page at once, and all else behind them
        yield from _keys(kind, "")


class TasksDirective(_Written):
    """A term for each task: what it is, its kind, fields, labels, metrics, languages."""

    required_arguments = 0

    def lines(self) -> Iterator[str]:
        """A section a task."""
        from xlprompt.data.tasks import BUNDLED

        for name, task in BUNDLED.items():
            text = inspect.getdoc(importlib.import_module(f"xlprompt.data.tasks.{name}")) or ""
            rows = {
                "kind": task.kind.name,
                "fields": ", ".join(f"`{field}`" for field in task.fields),
                "labels": ", ".join(f"`{label}`" for label in task.labels) or "none",
                "metrics": f"{', '.join(task.metrics)} (the first judges)",
                "languages": f"{len(task.languages)}: {' '.join(task.languages)}",
                "on the hub": f"`{task.hub.repository}`" if task.hub else "nowhere",
                "version": str(task.version),
            }
            yield from (f"## {name}", "", *_plain(text).splitlines(), "", "| | |", "|---|---|")
            yield from (f"| {what} | {_cell(value)} |" for what, value in rows.items())
            yield ""


class MethodsDirective(_Written):
    """A row for each method: what it trains beside the head."""

    required_arguments = 0

    def lines(self) -> Iterator[str]:
        """A row a method."""
        from xlprompt.models import REGISTRY

        yield from ("| method | trains beside the head | settings |", "|---|---|---|")
        for method in REGISTRY:
            keys = ", ".join(f"`{method.name}.{key}`" for key in method.model_fields)
            yield f"| `{method.name}` | {method.trains} | {keys or 'none'} |"
        yield ""


class MetricsDirective(_Written):
    """The upper-case texts of a module, which are names of figures or their beginnings."""

    def lines(self) -> Iterator[str]:
        """A row a constant."""
        module = importlib.import_module(self.arguments[0])
        yield from ("| name | constant |", "|---|---|")
        for constant, value in vars(module).items():
            if constant.isupper() and isinstance(value, str):
                yield f"| `{value}` | `{constant}` |"
        yield ""


def _keys(kind: type[BaseModel], prefix: str) -> Iterator[str]:
    """A table of a model's own keys, then the same of each part, under its name."""
    parts = {name: part for name, field in kind.model_fields.items() if (part := _part(field.annotation))}
    plain = {name: field for name, field in kind.model_fields.items() if name not in parts}
    if plain:
        yield from ("| key | values | default | what it is |", "|---|---|---|---|")
        for name, field in plain.items():
            values, default = _values(field), _default(field)
            yield f"| `{prefix}{name}` | {values} | {default} | {_cell(_plain(field.description or ''))} |"
        yield ""
    for name, part in parts.items():
        what = kind.model_fields[name].description or inspect.getdoc(part) or ""
        yield from (f"## {prefix}{name}", "", _plain(what).partition("\n\n")[0], "")
        yield from _keys(part, f"{prefix}{name}.")


def _part(annotation: Any) -> type[BaseModel] | None:
    """The settings class that a key holds, also where it may be null."""
    for each in _alternatives(annotation):
        if isinstance(each, type) and issubclass(each, BaseModel) and each.model_fields:
            return each
    return None


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _values(field: FieldInfo) -> str:
    """What a key may hold: a kind of value, or its choices, and bounds."""
    bounds = [
        f"{sign} {getattr(rule, name):g}"
        for rule in field.metadata
        for name, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
        if getattr(rule, name, None) is not None
    ]
    return ", ".join([" or ".join(map(_name, _alternatives(field.annotation))), *bounds])


def _name(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is type(None):
        return "null"
    if origin is typing.Literal:
        return ", ".join(f"`{each}`" for each in arguments)
    if origin in (tuple, list):
        return f"list of {_name(next(iter(arguments), Any))}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_name, arguments))
    if origin is typing.Annotated:
        return _name(arguments[0])
    if origin is dict or annotation is dict:
        return "mapping"
    words = {str: "text", int: "whole number", float: "number", bool: "true, false", Any: "anything"}
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*must be given*"
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return ""
    value = value.value if isinstance(value, Enum) else value
    words = {None: "null", True: "true", False: "false"}
    known = isinstance(value, bool) or value is None
    return f"`{words[value]}`" if known else f"`{list(value) if isinstance(value, tuple) else value!r}`"


def _plain(text: str) -> str:
    """Docstrings' double backticks as Markdown has them."""
    return text.replace("``", "`")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _reference_pages(app: Sphinx, env: Any, *changes: Any) -> list[str]:
    """Read anew in every build: the code that they are made from may have changed where they have not."""
    return [name for name in env.found_docs if name.startswith("reference/")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("env-get-outdated", _reference_pages)
    app.add_directive("settings", SettingsDirective)
    app.add_directive("tasks", TasksDirective)
    app.add_directive("methods", MethodsDirective)
    app.add_directive("metrics", MetricsDirective)
    return {"version": "1", "parallel_read_safe": True}
