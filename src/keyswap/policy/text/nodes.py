"""YAML text as nodes that know where they stand.

Built from PyYAML's events without its constructors: no tags, no anchors or aliases (what an alias brings in does not
stand where it counts), no merge keys, no second document, no directives, every key once. The work is not recursive,
and what is wrong in one place does not hide what is wrong in the next.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import yaml

from keyswap.policy.text.characters import unseen
from keyswap.policy.text.marks import Mark, Trouble
from keyswap.policy.text.scalars import Scalar, scalar

# The policy's own depth is five.
MAX_DEPTH = 16

Loc = tuple[str | int, ...]
"""The way from the top of a document to one of its nodes: `("egress", 2, "host")`."""


class Broken:
    """Stands for a value that could not be read; its problem has been told."""


@dataclass(slots=True)
class Node:
    """One value and its place."""

    mark: Mark
    value: "Scalar | list[Node] | dict[str, Node] | Broken"
    key: Mark | None = None
    """Where its key stands; None in a list and at the top."""

    def plain(self) -> object:
        """The same without places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def walk(self, loc: Loc = ()) -> "Iterator[tuple[Loc, Node]]":
        """This node and all below it, in the order of the file."""
        yield loc, self
        if isinstance(self.value, dict):
            for key, node in self.value.items():
                yield from node.walk((*loc, key))
        if isinstance(self.value, list):
            for index, node in enumerate(self.value):
                yield from node.walk((*loc, index))

    def at(self, loc: Loc) -> "tuple[Node, bool]":
        """The node at `loc`, or the last one on the way to it; and whether it is the one itself."""
        node = self
        for part in loc:
            if isinstance(node.value, dict) and part in node.value:
                node = node.value[str(part)]
            elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
            else:
                return node, False
        return node, True


def read(text: str) -> tuple[Node | None, list[Trouble]]:
    """The document of a YAML text (None: there is none to go on with), and everything that is wrong with its form."""
    troubles = unseen(text)
    if troubles:
        return None, troubles
    builder = _Builder(text)
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        return None, [*builder.troubles, Trouble(_mark(error.problem_mark), *_syntax(error.problem or ""))]
    except Trouble as trouble:
        return None, [*builder.troubles, trouble]
    return builder.root, builder.troubles


@dataclass(slots=True)
class _Open:
    """A collection that has not ended."""

    node: Node
    key: tuple[str, Mark] | None = None
    wants_key: bool = True
    keys: dict[str, Mark] = field(default_factory=dict)


class _Builder:
    def __init__(self, text: str) -> None:
        self.root: Node | None = None
        self.troubles: list[Trouble] = []
        self._text = text
        self._open: list[_Open] = []
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        """Take the next event. Raises Trouble where going on makes no sense."""
        mark = _mark(event.start_mark)
        match event:
            case yaml.DocumentStartEvent():
                self._document(event, mark)
            case yaml.AliasEvent():
                self._tell(mark, "an alias (*)", "write the value out")
                self._place(Node(mark, Broken()))
            case yaml.ScalarEvent():
                self._place(Node(mark, self._scalar(event, mark)))
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._enter(event, mark)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._open.pop()
            case _:
                pass

    def _document(self, event: yaml.DocumentStartEvent, mark: Mark) -> None:
        self._documents += 1
        if self._documents > 1:
            raise Trouble(mark, "a second document", "write one document, without a line of --- between")
        if event.version or event.tags:
            self._tell(mark, "a directive (%)", "remove it")

    def _scalar(self, event: yaml.ScalarEvent, mark: Mark) -> Scalar | Broken:
        if self._decorated(event, mark):
            return Broken()
        try:
            return scalar(event, self._text[_index(event.start_mark) : _index(event.end_mark)], mark)
        except Trouble as trouble:
            self.troubles.append(trouble)
            return Broken()

    def _enter(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, mark: Mark) -> None:
        if len(self._open) == MAX_DEPTH:
            raise Trouble(mark, "too many levels inside one another", "a policy has five at most")
        node = Node(mark, {} if isinstance(event, yaml.MappingStartEvent) else [])
        self._decorated(event, mark)
        self._place(node)
        self._open.append(_Open(node))

    def _decorated(self, event: yaml.NodeEvent, mark: Mark) -> bool:
        if event.anchor is not None:
            self._tell(mark, "an anchor (&)", "remove it, and write the value out where it is needed")
        if getattr(event, "tag", None) is not None:
            self._tell(mark, "a tag (!)", "remove it")
            return True
        return False

    def _place(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        top = self._open[-1]
        if isinstance(top.node.value, list):
            top.node.value.append(node)
        elif top.wants_key:
            top.key, top.wants_key = self._key(top, node), False
        else:
            top.wants_key = True
            if top.key is not None and isinstance(top.node.value, dict):
                name, node.key = top.key
                top.node.value[name] = node

    def _key(self, top: _Open, node: Node) -> tuple[str, Mark] | None:
        if isinstance(node.value, Broken):
            return None
        if not isinstance(node.value, str):
            self._tell(node.mark, "a key that is not text", "write a name, in quotes if YAML takes it for a number")
            return None
        if node.value in top.keys:
            first = top.keys[node.value].line
            self._tell(node.mark, f"this key stands here for the second time, first in line {first}", "keep one")
            return None
        top.keys[node.value] = node.mark
        return node.value, node.mark

    def _tell(self, mark: Mark, what: str, todo: str) -> None:
        self.troubles.append(Trouble(mark, what, todo))


class _YamlMark(Protocol):
    index: int
    line: int
    column: int


def _mark(mark: _YamlMark | None) -> Mark:
    return Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)


def _index(mark: _YamlMark | None) -> int:
    return mark.index if mark else 0


# PyYAML's texts quote the file, so only their beginnings are looked at and our own words are used.
_SYNTAX = (
    ("mapping values are not allowed", "a colon where none can stand", "indent the line like its neighbours, or quote"),
    ("could not find expected ':'", "a key without a colon", "write `key: value`"),
    ("expected <block end>", "the indentation does not fit", "indent the line like its neighbours"),
    ("expected ',' or", "a [ or { that is not closed", "close it, or write the comma that is missing"),
    ("expected the node content", "a value cannot begin here", 'put it in quotes, like "::1/128"'),
    ("found unexpected end of stream", "a quote that is not closed", "close it"),
    ("found undefined alias", "an alias (*)", "write the value out"),
    ("found character", "a value cannot begin with this character", "put the value in quotes"),
    ("expected alphabetic or numeric", "an & or * that names nothing", "put the value in quotes"),
    ("did not find expected alphabetic", "an & or * that names nothing", "put the value in quotes"),
    ("found unknown escape", "an escape (\\) inside double quotes", "write the characters, in single quotes"),
)


def _syntax(problem: str) -> tuple[str, str]:
    for beginning, what, todo in _SYNTAX:
        if problem.startswith(beginning):
            return what, todo
    return "this is not readable as YAML", "look at the indentation, quotes and brackets of this line and the one above"
