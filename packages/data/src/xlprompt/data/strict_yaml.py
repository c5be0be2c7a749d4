"""YAML as a person reads it: what a file would hide from its reader is refused.

A key that is given twice, a tag, aliases that multiply, and the words that YAML 1.1 takes for something else.
What keys and values mean is said by whoever reads the file.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_MOST_VALUES = 10_000  # with every alias written out; the largest recipe here has about a hundred
_DEEPEST = 50
_MOST_DIGITS = 40
# PyYAML raises ValueError and OverflowError at "\\U00FFFFFF" and its like.
UNREADABLE = (yaml.YAMLError, ValueError, OverflowError, RecursionError)


class _Refused(yaml.MarkedYAMLError):
    """Valid YAML that is none of ours."""


class StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader with the core schema of YAML 1.2, and without what hides a value.

    YAML 1.1 reads `off` (a dropout setting) and `no` (Norwegian) as false, `5e-3` as a string, `010` as 8,
    `1:30` as 90 and `2001-99-99` as a date. PyYAML takes the last of several equal keys.
    """

    def compose_document(self) -> yaml.Node:
        """The document's tree, examined before anything is built from it."""
        node = super().compose_document()
        assert node is not None  # as an empty document has none, and is not composed
        _examine(node, {})
        return node

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """A node, which may have no tag: `!!int x` would reach constructors that trust it."""
        event = self.peek_event()
        if tag := getattr(event, "tag", None):
            tag = tag.replace("tag:yaml.org,2002:", "!!")
            problem = f"the tag {tag} has no place here; write the value alone, and text in quotes"
            raise _Refused(None, None, problem, event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping with its keys as they are written, so that a variant may be called 8."""
        self.flatten_mapping(node)  # `<<`
        return {key.value: self.construct_object(value, deep=deep) for key, value in node.value}

    def construct_whole(self, node: yaml.ScalarNode) -> int:
        """An integer of YAML 1.2: decimal with leading zeros, `0o17` or `0x1F`."""
        if len(node.value) > _MOST_DIGITS:
            raise _Refused(None, None, f"a number of {len(node.value)} digits", node.start_mark)
        return int(node.value, 0 if node.value[:2] in ("0o", "0x") else 10)


StrictLoader.yaml_implicit_resolvers = {}
for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
):
    StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"(?:{_pattern})\Z"), _first)
StrictLoader.add_constructor("tag:yaml.org,2002:int", StrictLoader.construct_whole)


def _examine(node: yaml.Node, sizes: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """How many values a tree holds with its aliases written out, and how deep it is.

    Raises:
        _Refused: A key stands twice or is no word, text holds half a character, an alias stands inside
            of what it names, or there is too much of it.
    """
    if id(node) in sizes:
        known = sizes[id(node)]
        if known is None:
            raise _Refused(None, None, "an alias stands inside of what it names", node.start_mark)
        return known
    sizes[id(node)] = None
    if isinstance(node, yaml.ScalarNode):
        if any("\ud800" <= letter <= "\udfff" for letter in node.value):
            raise _Refused(None, None, "the text holds half a character (a surrogate)", node.start_mark)
        below = []
    else:
        if isinstance(node, yaml.MappingNode):
            _keys_stand_once(node)
        children = [each for pair in node.value for each in (pair if isinstance(pair, tuple) else (pair,))]
        below = [_examine(child, sizes) for child in children]
    size = 1 + sum(each for each, _ in below)
    depth = 1 + max((each for _, each in below), default=0)
    if size > _MOST_VALUES or depth > _DEEPEST:
        problem = f"more than {_MOST_VALUES:,} values, or nested more than {_DEEPEST} deep"
        raise _Refused(None, None, problem, node.start_mark)
    sizes[id(node)] = size, depth
    return size, depth


def _keys_stand_once(node: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise _Refused(None, None, "a key is a word, not a list or a section", key.start_mark)
        if key.value in lines:
            first = lines[key.value]
            where = f"in lines {first} and {line}" if first != line else f"in line {line}"
            problem = f"'{key.value}' stands twice, {where}; put both into one"
            raise _Refused(None, None, problem, key.start_mark)
        lines[key.value] = line


def problem_in(error: Exception) -> tuple[int | None, str]:
    """The line, where it is known, and what is wrong there."""
    if isinstance(error, RecursionError):
        return None, f"not valid YAML: nested more than {_DEEPEST} deep"
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    if not isinstance(error, yaml.YAMLError):
        problem = "an escape for a character that does not exist"
    if not isinstance(error, _Refused):
        problem = f"not valid YAML: {problem}. Check the indentation and the colons"
    return mark.line + 1 if mark else None, problem
