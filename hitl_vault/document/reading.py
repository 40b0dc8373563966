"""Owns reading a note into a `Document`: whole, or not at all. Never takes a torn one.

Whole means: UTF-8; front matter from the first byte to its closing line; our end marker with the
same id on a line of its own; every code block closed. What people write below the marker is theirs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml

from hitl_vault.core.model import is_valid_id
from hitl_vault.document.frontmatter import CODE, Entry, parse_front_matter, text_of
from hitl_vault.document.outline import CHANGES, DECIDE, WILL_RUN, Fence, Outline, outline
from hitl_vault.document.words import clean
from hitl_vault.errors import DocumentError

MAX_BYTES = 4_194_304
"""Larger files are not read: the largest action in JSON, shown twice, is far below."""

MAX_REVIEWER, MAX_REASON, MAX_CODE = 120, 2_000, 80

_BOM = b"\xef\xbb\xbf"
UTF16 = re.compile(rb"\xff\xfe|\xfe\xff|-\x00-\x00|\x00-\x00-")
"""How a note begins that was saved as UTF-16, with a byte order mark or without."""

_REMARK = re.compile(r"(?:^|[ \t])#+(?P<words>[^\r\n]*\w[^\r\n]*)", re.MULTILINE)
_MARKER_LINE = re.compile(rb"^%% hitl:end \S+ %%[ \t]*\r?$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A note that is whole. Positions count characters of `text`, which has no byte order mark."""

    text: str
    bom: bool
    newline: str
    path: str
    id: str
    entries: dict[str, Entry]
    body_start: int
    outline: Outline

    @property
    def status_text(self) -> str | None:
        """The status as typed: "" for none, None where it is not one value."""
        return text_of(self.entries.get("status"))

    @property
    def status_remark(self) -> str:
        """The words behind a `#` beside the status; "" for none. YAML does not read them."""
        entry = self.entries.get("status")
        if entry is None:
            return ""
        node = entry.value
        if isinstance(node, yaml.SequenceNode) and node.value:
            node = node.value[0]
        _, key_end = entry.span(entry.key)
        start, end = entry.span(node)
        if isinstance(node, yaml.ScalarNode) and node.style in {"|", ">"}:
            start = end = self.text.index("\n", start)  # a block: its words begin on the next line
        before, after = self.text[key_end:start], self.text[end:].partition("\n")[0]
        found = _REMARK.search(before) or _REMARK.search(after)
        return "" if found is None else found["words"].strip()

    @property
    def payload_sha256(self) -> str | None:
        """The digest the note names."""
        return text_of(self.entries.get("payload_sha256"))

    @property
    def reviewer(self) -> str:
        """The name given, cleaned and on one line; "" for none."""
        return clean(self._typed("reviewer"), limit=MAX_REVIEWER)

    @property
    def reason(self) -> str:
        """The reason given, cleaned and on one line; "" for none."""
        return clean(self._typed("reason"), limit=MAX_REASON)

    @property
    def code(self) -> str:
        """The one-time code as typed; "" for none."""
        return clean(self._typed(CODE), limit=MAX_CODE)

    @property
    def action_fence(self) -> Fence | None:
        """The block that shows what will run; None if there is not exactly one, in plain sight."""
        return _seen(self.fence(WILL_RUN))

    @property
    def changes_fence(self) -> Fence | None:
        """The block for changed details; None if there is not exactly one, in plain sight."""
        return _seen(self.fence(DECIDE, CHANGES))

    def fence(self, section: str, part: str = "") -> Fence | None:
        """Return the one `json` block of a section or part, None if there is not exactly one."""
        found = [
            fence
            for fence in self.outline.fences
            if (fence.section, fence.part) == (section, part) and fence.language == "json"
        ]
        return found[0] if len(found) == 1 else None

    def typed(self, key: str) -> str:
        """Return the source text of a property's value."""
        entry = self.entries.get(key)
        if entry is None:
            return ""
        start, end = entry.span(entry.value)
        return self.text[start:end].strip()

    def body_of(self, fence: Fence) -> str:
        """Return what stands between the first and last line of a code block."""
        return self.text[fence.opening.end : fence.closing.start]

    def encode(self, text: str) -> bytes:
        """Return another text as this note's bytes."""
        return (_BOM if self.bom else b"") + text.encode()

    def _typed(self, key: str) -> str:
        entry = self.entries.get(key)
        text = text_of(entry)
        if text is not None:
            return text
        node = entry.value if entry is not None else None
        if isinstance(node, yaml.SequenceNode) and all(
            isinstance(item, yaml.ScalarNode) for item in node.value
        ):
            return ", ".join(item.value for item in node.value)
        return self.typed(key)


def parse_document(data: bytes, *, path: str = "") -> Document:
    """Read a note strictly.

    Args:
        data: The bytes of the file.
        path: Its name, for messages and errors only.

    Raises:
        DocumentError: It is torn, or not one of our notes; `path` and `line` say where.
    """
    try:
        return _parse(data, path)
    except DocumentError as error:
        raise DocumentError(error.problem, path=path, line=error.line) from error


def id_within(data: bytes) -> str:
    """Return the id that the properties of a file name, whatever else it is; "" for none."""
    try:
        front = parse_front_matter(data.removeprefix(_BOM).decode("utf-8", "replace"))
    except DocumentError:
        return ""
    id_ = text_of(front.entries.get("id")) or ""
    return id_ if is_valid_id(id_) else ""


def looks_torn(data: bytes, written: bytes | None = None) -> bool:
    """Return True for what a crash or a save in progress leaves of one of our notes.

    That is: nothing, only NUL bytes, or a note that opens as ours do and ends before its end
    marker. Wait; if it stays so, it may be written again from the ledger. A note that somebody
    replaced by other text, or that is longer than `written` (what we would write), is not torn.
    """
    rest = data.rstrip(b"\x00").removeprefix(_BOM)
    if not rest.strip():
        return True
    if _MARKER_LINE.search(rest):
        return False
    if written is not None and len(data) > len(written):
        return False
    return rest.startswith(b"---") or b"---".startswith(rest)


def _seen(fence: Fence | None) -> Fence | None:
    return fence if fence is not None and not fence.hidden else None


def _parse(data: bytes, path: str) -> Document:
    if len(data) > MAX_BYTES:
        raise DocumentError(f"the file is larger than {MAX_BYTES:,} bytes")
    if UTF16.match(data):
        raise DocumentError("the file is UTF-16 text; save it as UTF-8")
    bom = data.startswith(_BOM)
    try:
        text = data.removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DocumentError("the file is not UTF-8 text", line=line) from error
    if not text.strip():
        raise DocumentError("the file is empty")
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        raise DocumentError("the file holds NUL bytes", line=line)
    front = parse_front_matter(text)
    id_ = text_of(front.entries.get("id"))
    if not id_ or not is_valid_id(id_):
        raise DocumentError("the property `id` is missing or changed", line=2)
    found = outline(text, front.body_start, front.body_line)
    if found.marker is None:
        raise DocumentError("the end of the note is missing (its last line, `%% hitl:end … %%`)")
    if found.marker_id != id_:
        raise DocumentError("the last line names another id", line=found.marker.number)
    newline = text.find("\n")
    return Document(
        text=text,
        bom=bom,
        newline="\r\n" if text[newline - 1] == "\r" else "\n",
        path=path,
        id=id_,
        entries=front.entries,
        body_start=front.body_start,
        outline=found,
    )
