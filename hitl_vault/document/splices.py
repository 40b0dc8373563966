"""Owns replacing pieces of a note by position. Never changes a byte outside them.

Values of properties are replaced where their YAML nodes stand, so comments, the order of keys,
quotes, list forms and line ends stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import yaml

from hitl_vault.document.frontmatter import Entry
from hitl_vault.document.reading import Document

BLANK = re.compile(r"[ \t]*\r?\n")


class Splices:
    """Replacements in one note, collected and then made at once."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._found: list[tuple[int, int, str]] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def text(self) -> str:
        """Return the note's text with all replacements made."""
        parts: list[str] = []
        at, text = 0, self.document.text
        for start, end, new in sorted(self._found, key=lambda splice: splice[:2]):
            if start < at:
                continue  # inside a piece that is replaced as a whole
            parts += (text[at:start], new)
            at = end
        return "".join((*parts, text[at:]))

    def replace(self, start: int, end: int, new: str) -> None:
        """Put `new` in place of what stands from `start` to `end`."""
        if self.document.text[start:end] != new:
            self._found.append((start, end, new))

    def insert(self, at: int, *lines: str) -> None:
        """Put lines, each with the note's line end, before the character at `at`."""
        self.replace(at, at, self.joined([*lines, ""]))

    def remove_lines(self, start: int, end: int) -> None:
        """Take out whole lines, and one blank line below them."""
        blank = BLANK.match(self.document.text, end)
        self.replace(start, blank.end() if blank else end, "")

    def joined(self, lines: Sequence[str]) -> str:
        """Return lines with the note's line ends between them."""
        return self.document.newline.join(lines)

    def set_property(self, key: str, value: str) -> None:
        """Give a property that is there a value, written as YAML."""
        entry = self.document.entries.get(key)
        if entry is None:
            return
        node = _single(entry.value)
        start, end = entry.span(node)
        typed = self.document.text[start:end]
        if isinstance(node, yaml.ScalarNode) and typed.strip():
            self.replace(start, start + len(typed.rstrip()), value)
        elif typed == "[]":
            self.replace(start, end, f"[{value}]")
        elif isinstance(node, yaml.ScalarNode) and node is not entry.value:
            self.replace(start, start, f" {value}")
        else:
            colon = self.document.text.index(":", entry.span(entry.key)[1])
            self.replace(colon + 1, max(colon + 1, _last_leaf_end(entry)), f" {value}")

    def set_word(self, key: str, word: str) -> None:
        """Give a property a plain word, in the quotes that stand around the present value."""
        entry = self.document.entries.get(key)
        if entry is None:
            return
        node = _single(entry.value)
        style = node.style if isinstance(node, yaml.ScalarNode) else None
        quote = style if style in {'"', "'"} else ""
        self.set_property(key, f"{quote}{word}{quote}")

    def set_tag(self, ours: frozenset[str], wanted: str) -> None:
        """Replace the first of `ours` among the tags; other tags stay."""
        entry = self.document.entries.get("tags")
        if entry is None:
            return
        node = entry.value
        for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(item, yaml.ScalarNode) and item.value in ours:
                at = self.document.text.index(item.value, entry.span(item)[0])
                self.replace(at, at + len(item.value), wanted)
                return


def _single(node: yaml.Node) -> yaml.Node:
    if isinstance(node, yaml.SequenceNode) and len(node.value) == 1:
        return _single(node.value[0])
    return node


def _last_leaf_end(entry: Entry) -> int:
    node = entry.value
    # a block collection ends where the next key starts; its last element ends before
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return entry.span(node)[1]
