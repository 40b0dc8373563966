"""Text of agents shown and disarmed."""

from __future__ import annotations

import hashlib
import json

import pytest

from hitl_vault.document.inert import action_json, fence, inert, inert_line, one_line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Pay the invoice, please.", "Pay the invoice, please."),
        ("50% of file_name at 10:30 (a-b) @x", "50% of file_name at 10:30 (a-b) @x"),
        ("[x](y)", "&#91;x&#93;(y)"),
        ("![[n]]", "!&#91;&#91;n&#93;&#93;"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("a::b", "a&#58;&#58;b"),
        ("https://x.y", "https&#58;//x.y"),
        ("www.x.y", "www&#46;x.y"),
        ("JavaScript:x", "JavaScript&#58;x"),
        ("`code`", "&#96;code&#96;"),
        ("%%x%%", "&#37;&#37;x&#37;&#37;"),
        ("==x==", "\\=\\=x\\=\\="),
        ("*a* _b_ ~c~ $d |e", "\\*a\\* \\_b\\_ \\~c\\~ \\$d \\|e"),
        ("C:\\x", "C:\\\\x"),
        ("# head\n#tag", "\\# head\n\\#tag"),
        ("x ^approve", "x &#94;approve"),
        ("{{x}}", "&#123;&#123;x&#125;&#125;"),
        ("- a\n+ b\n1. c\n2) d\n---\n===", "\\- a\n\\+ b\n1\\. c\n2\\) d\n\\---\n\\=\\=\\="),
        ("    code\n\tcode", "code\ncode"),
        ("a\r\nb\rc\u2028d\x85e\x0bf", "a\nb\nc\nd\ne\nf"),
        ("a\n\n\n\n\nb\n\n", "a\n\nb"),
        ("a\u202eb\u200bc", "a⟨U+202E⟩b⟨U+200B⟩c"),
        ("✅\ufe0f ok", "✅ ok"),
        ("a\ufe0f", "a⟨U+FE0F⟩"),
        ("\U000e0041", "⟨U+E0041⟩"),
        ("a\xa0b\u3000c", "a b c"),
        ("é 日本 привет", "é 日本 привет"),
        ("", ""),
        (" \n\t\n", ""),
    ],
)
def test_prose_is_shown_and_does_nothing(text, shown):
    """Each construct an editor or plugin would act on is shown as the characters it is made of."""
    assert inert(text) == shown


def test_prose_that_is_cut_says_so():
    """A long text shows how much is missing, and the digest of all of it."""
    text = "word " * 5000
    shown = inert(text, limit=100)
    assert shown.endswith(
        "⟨cut: 100 of 25,000 characters are shown; sha256 of all "
        f"{hashlib.sha256(text.encode()).hexdigest()}⟩"
    )
    assert len(shown) < 300
    assert inert(" " * 50, limit=10).startswith("⟨cut: 10 of 50")


def test_a_line_is_one_line():
    """A heading or table cell takes any text without breaking."""
    assert inert_line("a\nb\r\n c\t|d") == "a b c \\|d"
    assert inert_line("# x") == "\\# x"
    assert inert_line("x" * 300) == f"{'x' * 200}… ⟨200 of 300 characters⟩"
    assert inert_line("") == ""


def test_stacked_accents_are_named():
    """Marks that paint over other lines are named after the third."""
    assert visible("x" + "\u0335" * 5).count("⟨U+0335⟩") == 2


def test_one_line_keeps_words():
    """White space of any kind becomes one space."""
    assert one_line("  a\n\n b\u2003c ") == "a b c"


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"a": "<%* x %> & `::` [[x]] ![y](z) %% {{x}} https://x"},
        {":": ":", "::": "::::", "\\:": "\\::\\"},
        {"n": [1, 1.5, -0.0, 1e300, 2**53 - 1, None, True, [], {}, [[]], ["[["]]},
        {"u": "é😀\u202e\x00\x7f\u2028", "é": {"😀": ""}},
    ],
)
def test_json_is_exact_and_quiet(details):
    """The details come back exactly, from ASCII text that triggers nothing."""
    shown = action_json(details)
    assert json.loads(shown) == details
    assert json.dumps(json.loads(shown)) == json.dumps(details)
    assert shown.isascii()
    for active in ("<", ">", "&", "`", "::", "[[", "![", "](", "%%", "{{", "://", "\x7f"):
        assert active not in shown


def test_a_fence_is_longer_than_what_it_holds():
    """No body closes its own code block."""
    assert fence("text", "a\n````\nb") == "`````text\na\n````\nb\n`````"
    assert fence("json", "{}") == "```json\n{}\n```"
