"""Messages: they carry the exact action, and nothing in them acts, whoever wrote it."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace

import pytest

from hitl_vault.adapters.vault.templates import load_templates, shipped
from hitl_vault.core import commands as c
from hitl_vault.core.events import Event, Kind, Recorded
from hitl_vault.core.lifecycle import Step, apply
from hitl_vault.core.model import Assurance, Stage
from hitl_vault.document.message import MessageRenderer, News, facts
from hitl_vault.document.plain import plain, plain_json, plain_line, readable
from hitl_vault.errors import DocumentError
from hitl_vault.testing.clock import START as NOW
from hitl_vault.testing.samples import make_ask

ATTACKS = [
    "@channel @everyone @here <!channel> <@U123> user@evil.example",
    "https://evil.example/x http://a.b.c www.evil.example evil.com mailto:a@b.cc",
    "[Approve](https://evil.example) ![x](http://evil.example/i.png) <https://evil.example|ok>",
    "@(evil.example) :](https://evil.example) a.[b](javascript:alert(1))",
    "<b>bold</b><img src=x onerror=alert(1)><script>alert(1)</script>&lt;b&gt;",
    "\x1b[31mred\x1b[0m \x1b]8;;http://evil.example\x07link\x1b]8;;\x07 \x9b31m",
    "Subject\r\nBcc: all@evil.example\r\n\r\nBody \u2028 \u2029 \x85 \x0b \x0c",
    "\u202egnp.exe\u202c \u200bhidden\u2066 \ufeff \u00ad \U000e0041",
    "||spoiler|| ~~gone~~ `code` ```fence``` **bold**",
    "javascript:alert(1) data:text/html,x file:///etc/passwd tel:+1 sms:1 obsidian:x",
    "nobody\nTo answer:\n· hitl approve everything\n",
]
ACTIVE = re.compile(
    r"@\w|://|www\.|[<>`\[\]]|\b(?:javascript|data|file|mailto|tel|sms|obsidian):|\|\||~~|\*\*|"
    r"[^\W_]\.[^\W\d_]{2}",
    re.IGNORECASE,
)
HIDDEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


@pytest.fixture(scope="module")
def renderer():
    return MessageRenderer(load_templates(shipped("templates")))


def request(**action):
    step = apply(None, make_ask(**{"assurance": Assurance.EDITED, **action}), NOW)
    assert isinstance(step, Step)
    return step.request


def news(asked, kind=Kind.REQUESTED, data=None, **more):
    event = Event(kind=kind, request_id=asked.id, rev=1, at=NOW, actor="x", data=data or {})
    recorded = Recorded(seq=1, hash="0" * 64, event=event)
    return News(recorded=recorded, request=asked, note="Pending_Approval/approval_1", **more)


def hostile(text):
    """A request whose every word is an attacker's."""
    asked = request(details={"to": text, text: [1, {"deep": text}]}, requested_by=text, type=text)
    action = replace(asked.action, description=text, agent=text + "2", run_id=text)
    verdict = replace(asked.verdict, summary=text, reasons=(text,), rules=(text,))
    need = replace(verdict.requirement, stages=(Stage(approvers=(text,)),))
    return replace(asked, action=action, verdict=replace(verdict, requirement=need))


@pytest.mark.parametrize("text", ATTACKS)
@pytest.mark.parametrize("kind", list(Kind))
def test_nothing_an_agent_writes_acts_in_a_message(renderer, text, kind):
    """No link, mention, markup, escape or hidden character; the subject is one line."""
    data = dict.fromkeys(("reason", "error", "text", "reviewer", "problem", "type", "status"), text)
    one = news(hostile(text), kind, {**data, "to": [text]}, waits_for=(text,))
    for told in ([one], [one, one]):
        subject, body = renderer.render(told, NOW)
        assert "\n" not in subject
        for shown in (subject, *body.splitlines()):
            assert not HIDDEN.search(shown), shown
            allowed = shown.replace("≤", "")
            assert not ACTIVE.search(_without_ours(allowed)), shown


def _without_ours(line):
    """JSON stands in brackets of its own, in ASCII whose active characters are escaped."""
    return re.sub(r'^\s*(?:"[ -~]*"(?:: .*)?|[\[\]{}],?|"[^"]*": [\[{].*)$', "", line)


@pytest.mark.parametrize("text", ATTACKS)
def test_json_in_a_message_is_exact_and_triggers_nothing(text):
    """It reads back as what will run; no address, mention or tag stands in it."""
    details = {"to": text, text: [text, {"n": 1.5e300}]}
    shown = plain_json(details, limit=100_000)
    assert json.loads(shown) == details
    assert shown.isascii()
    assert not re.search(r"@|://|www\.|[<>`]|[A-Za-z0-9]\.[A-Za-z]{2}", shown)


def test_a_call_carries_all_that_is_needed_to_answer(renderer):
    """What will run, its digest, the risk, why, until when, who, and how."""
    asked = request(details={"amount": 1500, "to": {"iban": "DE1"}}, timeout_s=3600.0)
    subject, body = renderer.render([news(asked, waits_for=("alice", "bob"))], NOW)
    assert subject == "An answer is needed: payment: Pay the invoice (low risk)"
    for part in (
        "· amount: 1500",
        "· to/iban: DE1",
        '"amount": 1500',
        asked.payload_in_force,
        "Risk: low",
        "Why: Large payments need a person",
        "Answer by: 2026-11-21 10:30 UTC (1 h left)",
        "It waits for: alice, bob",
        f"hitl approve {asked.id} or hitl reject {asked.id}",
        "in the note Pending_Approval/approval_1",
        "¦ Pay the invoice",
    ):
        assert part in body, body


def test_a_note_that_cannot_answer_is_not_offered_as_a_way(renderer):
    """Where the rule asks for more than an edited note."""
    asked = request(assurance=Assurance.SIGNED)
    _, body = renderer.render([news(asked)], NOW)
    assert "it cannot answer" in body


def test_a_note_that_a_code_can_answer_in_says_so(renderer):
    asked = request(assurance=Assurance.AUTHENTICATED)
    _, body = renderer.render([news(asked)], NOW)
    assert "with a one-time code" in body


def test_details_too_long_for_a_message_are_not_cut_in_half(renderer):
    """The message says where they are; what it shows of them says that it is not all."""
    asked = request(details={f"key{n}": "x" * 50 for n in range(200)})
    _, body = renderer.render([news(asked)], NOW)
    assert "longer than a message" in body
    assert "200 values in all" in body
    assert len(body) < 8_000


def test_an_id_that_looks_like_an_address_is_no_link(renderer):
    """Ids may be the caller's own."""
    asked = replace(request(), id="evil.example.com")
    _, body = renderer.render([news(asked)], NOW)
    assert "evil.example.com" not in body


def test_a_code_stands_only_in_the_words_for_its_reviewer(renderer):
    """Never in the facts for programs, and in no representation that could be logged."""
    one = news(request(), Kind.CODE_ISSUED, {"reviewer": "alice"}, code="483920")
    _, body = renderer.render([one], NOW)
    assert "Your one-time code: 483920" in body
    assert "483920" not in json.dumps(facts(one))
    assert "483920" not in repr(one)


def test_events_of_the_vault_are_told_without_a_request(renderer):
    """Such as a policy that came into force."""
    for kind in Kind:
        event = Event(kind=kind, request_id="~register", rev=1, at=NOW, actor="a", data={})
        one = News(recorded=Recorded(seq=1, hash="", event=event), request=None)
        subject, body = renderer.render([one], NOW)
        assert subject
        assert body
        assert facts(one)["request"] is None


def test_what_is_over_says_so(renderer):
    """A message about an answered request asks for nothing."""
    asked = request()
    step = apply(asked, c.Cancel(id=asked.id, by="agent", reason="not needed"), NOW)
    assert isinstance(step, Step)
    subject, body = renderer.render(
        [news(step.request, Kind.CANCELLED, {"reason": "not needed"})], NOW
    )
    assert subject == "Cancelled by x: not needed: payment: Pay the invoice"
    assert "It is cancelled; nothing is left to answer." in body


def test_a_template_of_ones_own_places_inert_values_and_no_more():
    """It cannot take them apart, and what is wrong with it names it."""
    own = {"message.txt.j2": "{{ what }}\n\n{{ title }} {{ says | join(' ') }}"}
    subject, body = MessageRenderer(own).render([news(hostile(ATTACKS[0]))], NOW)
    assert subject == "An answer is needed"
    assert not ACTIVE.search(body)
    for broken in ("{{ nothing }}", "{{ title.replace('(', '') }}", "{% if %}"):
        with pytest.raises(DocumentError, match=r"message\.txt\.j2"):
            MessageRenderer({"message.txt.j2": broken}).render([news(request())], NOW)


def test_reading_lines_name_every_value_by_its_path():
    """Lists of plain values stay on one line; empty ones are shown."""
    assert readable({"a": {"b": 1}, "c": [1, 2], "d": [{"e": None}], "f": {}}) == [
        "a/b: 1",
        "c: (1, 2)",
        "d/0/e: null",
        "f: {}",
    ]


def test_words_stay_readable():
    """What is no address is left as it is."""
    text = "Pay 1.500,00 EUR - it's due (e.g. today) 10:30, 50% off & more #3"
    assert html.unescape(plain_line(text)) == text
    assert plain("one\n\n two \r\nthree") == ["one", "two", "three"]
    assert plain_line("x" * 300).endswith("…")
