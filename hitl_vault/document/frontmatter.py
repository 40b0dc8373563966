"""Owns the front matter: its bounds, its values, how a value is written. Never guesses.

Positions count characters of the note without its byte order mark. `frontmatter.parse` is not used
to read notes: it swallows a block that does not close, and rewrites line ends, which loses the
positions. Its handler protocol is: any tool of that library reads our notes with `StrictHandler`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import yaml
from frontmatter.default_handlers import BaseHandler

from hitl_vault.core.strict_yaml import YamlProblem, compose_mapping, value_of
from hitl_vault.document.inert import INVISIBLE
from hitl_vault.document.outline import CONFLICT, MIXED
from hitl_vault.document.words import shortened
from hitl_vault.errors import DocumentError

KEYS = (
    "id",
    "type",
    "status",
    "reviewer",
    "reason",
    "action",
    "risk",
    "requested_by",
    "created",
    "expires",
    "payload_sha256",
    "tags",
)
"""The properties of every document, in their order."""

CODE = "code"
"""The property for a one-time code, in the notes of requests that one can answer."""

_OURS = frozenset({*KEYS, CODE})
_MAX_EXPLAINED = 1_000  # a line this long was not typed
_TYPED = frozenset({"status", "reviewer", "reason", CODE})
_OPEN = re.compile(r"---[ \t]*\r?\n")
_CLOSE = re.compile(r"^---[ \t]*\r?$", re.MULTILINE)
_ODD_LINE_END = re.compile("\r(?!\n)|[\x85\u2028\u2029]")
_MIXED_LINE = re.compile(r"^(?:<{7}|>{7}|\|{7})(?: |\r?$)|^={7}\r?$", re.MULTILINE)
# what people type and YAML takes for something else: a second colon, or a sign that begins a form
_NEEDS_QUOTES = re.compile(
    r"(?P<key>[a-z_0-9]+):[ \t]+(?P<value>[^\s\"'].*?:(?:[ \t].*)?|[-@`%&*!|>{}\[\],?].*?)\s*"
)
_PLAIN_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_NOT_A_WORD = frozenset(
    {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}  # some YAML readers' own words
)
_LAST_SHORT = 0xFFFF
_SAFE = frozenset(" .,;:!?'()+/@-_")
_ALL_SAFE = re.compile(r"(?:[A-Za-z0-9 .,;!?'()+@_-]|:(?!:)|/(?!/))*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One property: its key and value as YAML nodes, and where they stand in the note."""

    key: yaml.ScalarNode
    value: yaml.Node
    offset: int

    @property
    def line(self) -> int:
        """The 1-based line of the key in the note."""
        return int(self.key.start_mark.line) + 2

    def span(self, node: yaml.Node) -> tuple[int, int]:
        """Return where the text of `node` starts and ends in the note."""
        return node.start_mark.index + self.offset, node.end_mark.index + self.offset


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontMatter:
    """The properties of a note by name, and where the note's body starts."""

    entries: dict[str, Entry]
    body_start: int
    body_line: int


class StrictHandler(BaseHandler):
    """A python-frontmatter handler that refuses what `strict_yaml` refuses."""

    FM_BOUNDARY = re.compile(r"^---[ \t]*\r?$", re.MULTILINE)
    START_DELIMITER = END_DELIMITER = "---"

    def split(self, text: str) -> tuple[str, str]:
        """Return the block and the body.

        Raises:
            DocumentError: The block does not open at the very start, or does not close.
        """
        start, end, body = _bounds(text)
        return text[start:end], text[body:]

    def load(self, fm: str) -> dict[str, Any]:
        """Return the values of a block; only `true` and `false` are booleans.

        Raises:
            DocumentError: It is not a plain mapping.
        """
        value: dict[str, Any] = value_of(_compose(fm))
        return value

    def export(self, metadata: dict[str, object], **_: object) -> str:
        """Return a block with the given values; texts are quoted."""
        return "\n".join(f"{key}: {json.dumps(value)}" for key, value in metadata.items())


def parse_front_matter(text: str) -> FrontMatter:
    """Read the front matter of a note given without its byte order mark.

    Raises:
        DocumentError: It is missing, not closed, not a plain mapping, or misspells one of ours.
    """
    start, end, body = _bounds(text)
    block = text[start:end]
    entries = {
        key.value: Entry(key=key, value=value, offset=start) for key, value in _compose(block).value
    }
    if entries.keys() - _OURS:
        _refuse_lookalikes(entries)
    return FrontMatter(entries=entries, body_start=body, body_line=text.count("\n", 0, body) + 1)


def _bounds(text: str) -> tuple[int, int, int]:
    opened = _OPEN.match(text)
    if opened is None and text.startswith(CONFLICT):
        raise DocumentError(MIXED, line=1)
    if opened is None:
        raise DocumentError("the note does not start with its properties (a line `---`)", line=1)
    closed = _CLOSE.search(text, opened.end())
    if closed is None:
        raise DocumentError("the properties are not closed by a line `---`", line=1)
    after = text.find("\n", closed.start())
    return opened.end(), closed.start(), len(text) if after < 0 else after + 1


def _compose(block: str) -> yaml.MappingNode:
    odd = _ODD_LINE_END.search(block)
    if odd is not None:
        line = block.count("\n", 0, odd.start()) + 2
        raise DocumentError("a line ends with a character that editors do not show", line=line)
    mixed = _MIXED_LINE.search(block)
    if mixed is not None:
        raise DocumentError(MIXED, line=block.count("\n", 0, mixed.start()) + 2)
    try:
        return compose_mapping(block)
    except YamlProblem as error:
        problem = _explained(block.split("\n")[error.line - 1], error.problem)
        raise DocumentError(problem, line=error.line + 1) from error


def _explained(line: str, problem: str) -> str:
    """Return what to do about a line that YAML cannot read, where that is known."""
    if "quoted scalar" in problem:
        return f"a quote is opened and not closed ({problem})"
    bare = _NEEDS_QUOTES.fullmatch(line[:_MAX_EXPLAINED])
    if bare is None or bare["key"] not in _TYPED:
        return problem
    key, value = bare["key"], shortened(bare["value"].replace('"', "'"), limit=80)
    said = f'put quotes around the text of the property {key}: "{value}"'
    if key != "status":
        return said
    return f"{said}; or write the one word there, and why in the property reason"


def _refuse_lookalikes(entries: dict[str, Entry]) -> None:
    # Obsidian treats `Status` and `status` as one property: one of them would be read by nobody
    for name, entry in entries.items():
        plain = name.strip().casefold()
        if name not in _OURS and plain in _OURS:
            raise DocumentError(
                f"write the property as `{plain}`, in small letters", line=entry.line
            )


def text_of(entry: Entry | None) -> str | None:
    """Return the value as the text typed: "" for nothing, None for what is not one value.

    A list of one is taken for its element, because editors turn a property into a list.
    """
    if entry is None:
        return ""
    node = entry.value
    if isinstance(node, yaml.SequenceNode) and len(node.value) <= 1:
        if not node.value:
            return ""
        node = node.value[0]
    if not isinstance(node, yaml.ScalarNode):
        return None
    typed: str = node.value.rstrip("\n")
    if not node.style and typed.lower() in {"", "~", "null"}:
        return ""
    return typed


def quoted(text: str, *, names: bool = False) -> str:
    """Return the text as a double-quoted YAML value, in ASCII.

    With `names`, letters of any script stay readable; everything that could be markup is escaped
    all the same.
    """
    if _ALL_SAFE.fullmatch(text):
        return f'"{text}"'
    inner = "".join(_quote(char, names) for char in text)
    return '"' + inner.replace("::", ":\\u003A").replace("//", "/\\u002F") + '"'


def _quote(char: str, names: bool) -> str:
    if char.isascii() and (char.isalnum() or char in _SAFE):
        return char
    if names and char.isalpha() and char not in INVISIBLE:
        return char
    code = ord(char)
    # a pair of surrogates, as JSON writes it, is no character in YAML
    return f"\\u{code:04X}" if code <= _LAST_SHORT else f"\\U{code:08X}"


def word_or_quoted(text: str) -> str:
    """Return the text plain if every YAML reader takes it for the same word, else quoted."""
    if _PLAIN_WORD.fullmatch(text) and text.lower() not in _NOT_A_WORD:
        return text
    return quoted(text)
