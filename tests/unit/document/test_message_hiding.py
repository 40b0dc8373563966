"""What a message does not show: named details, wherever they stand; everything else stays."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_vault.adapters.vault.templates import load_templates, shipped
from hitl_vault.core.events import Event, Kind, Recorded
from hitl_vault.core.lifecycle import apply
from hitl_vault.core.model import Answer, Requirement, Status
from hitl_vault.core.redaction import HIDDEN, Redaction, parse_redaction
from hitl_vault.document.message import MessageRenderer, News, facts, without
from hitl_vault.testing.clock import START as NOW
from hitl_vault.testing.samples import make_ask, make_claim, make_edit, make_finish, make_vote

SECRET = "4111-2222-3333"
RULES = parse_redaction(["card", "/customer/email"])


@pytest.fixture(scope="module")
def renderer():
    return MessageRenderer(load_templates(shipped("templates")))


def asked(details, **changes):
    request = apply(None, make_ask(details=details), NOW).request
    return replace(request, **changes)


def news(request, kind=Kind.REQUESTED, **data):
    event = Event(kind=kind, request_id="pay-1", rev=1, at=NOW, actor="x", data=data)
    recorded = Recorded(seq=1, hash="0" * 64, event=event)
    return News(recorded=recorded, request=request, note="Pending_Approval/pay-1.md")


def told(renderer, *found, rules=RULES):
    """Return everything a message says: subject, body and facts, alone and in a digest."""
    shown = [without(one, rules) for one in found]
    texts = [*renderer.render(shown, NOW), *renderer.render([*shown, *shown], NOW)]
    return "\n".join([*texts, json.dumps([facts(one) for one in shown], ensure_ascii=False)])


def test_a_named_detail_is_hidden_and_the_message_still_lets_one_answer(renderer):
    """It names what it hides, and carries the digest of the whole and how to answer."""
    request = asked(
        {"amount": 5, "card": SECRET, "customer": {"email": "ann@x.org", "name": "Ann"}}
    )
    one = without(news(request), RULES)
    _, body = renderer.render([one], NOW)
    for part in (
        "· amount: 5",
        "· card: (redacted)",
        "· customer/email: (redacted)",
        "· customer/name: Ann",
        "Hidden here, and shown in the note: /card, /customer/email",
        "the digest is that of the whole:",
        f"Digest: {request.payload_in_force}",
        "hitl approve pay-1 or hitl reject pay-1",
        "in the note Pending_Approval/pay-1.md",
    ):
        assert part in body, body
    assert "exactly" not in body
    shown = facts(one)["request"]
    assert shown["details"]["customer"] == {"email": HIDDEN, "name": "Ann"}
    assert shown["hidden"] == ["/card", "/customer/email"]
    assert shown["payload_sha256"] == request.payload_in_force
    assert SECRET not in told(renderer, news(request))


def test_without_rules_a_message_is_exact(renderer):
    one = news(asked({"card": SECRET}))
    assert without(one, Redaction()) is one
    _, body = renderer.render([one], NOW)
    assert "The same, exactly, as JSON:" in body
    assert SECRET in body


def test_what_is_recorded_and_what_the_note_shows_stay_whole():
    request = asked({"card": SECRET})
    without(news(request), RULES)
    assert request.details == {"card": SECRET}


@pytest.mark.parametrize(
    "name",
    [
        "card",
        "CARD",
        "Card ",
        "c\u200bard",
        "\uff43\uff41\uff52\uff44",
        "card\ufe0f",
        " card\n",
        "ca\u00adrd",
    ],
)
@pytest.mark.parametrize("deep", [False, True])
def test_no_spelling_of_a_name_shows_what_it_names(renderer, name, deep):
    """Case, width, spaces and signs nobody sees; alone, in objects and in lists of them."""
    details = {name: SECRET} if not deep else {"a": [{"b": {name: {"x": [SECRET, 1]}}}]}
    assert SECRET not in told(renderer, news(asked(details)))


@pytest.mark.parametrize(
    "name", ["discard", "card_id", "cards", "/card", "a/card", "[redacted]", "@all", "c\u0430rd"]
)
def test_another_name_is_shown_as_it_is(name):
    """A part of the name, a path that looks like it, a letter of another script."""
    shown = without(news(asked({name: "value"})), parse_redaction(["card"]))
    assert (shown.request.details, shown.hidden) == ({name: "value"}, ())


def test_a_value_that_says_it_is_hidden_is_not_taken_for_one(renderer):
    """The message names what it hides, so an agent cannot pretend to it."""
    one = without(news(asked({"to": HIDDEN})), RULES)
    _, body = renderer.render([one], NOW)
    assert one.hidden == ()
    assert "Hidden here" not in body


@pytest.mark.parametrize(
    "name", ["@everyone", "https://evil.example/x", "a\n· to: me", "<b>", "~1/"]
)
def test_hostile_names_of_what_is_hidden_do_nothing(renderer, name):
    details = {name: {"card": SECRET}, SECRET: 1, f"x{SECRET}": 2}
    text = told(renderer, news(asked(details)))
    assert SECRET not in text.replace(json.dumps(details), "")
    body = renderer.render([without(news(asked(details)), RULES)], NOW)[1]
    line = next(line for line in body.splitlines() if line.startswith("Hidden here"))
    assert not {"<", ">", "@e", "://"} & {
        line[n : n + size] for size in (1, 2, 3) for n in range(len(line))
    }
    shown = without(news(asked(details)), RULES).request.details
    assert sorted(map(str, shown.values())) == sorted(
        [str({"card": HIDDEN}), "1", "2"]
    )  # none is lost


@pytest.mark.parametrize("secret", [SECRET, "a/b/c", "x~y~z"])
def test_the_names_of_what_is_hidden_show_no_hidden_value(renderer, secret):
    """A value that is a key as well, above what is hidden, in places and in changes."""
    request = asked({"card": secret, secret: {"card": 1}})
    changes = [[f"/{secret.replace('~', '~0').replace('/', '~1')}/n", "1", "2"]]
    one = news(request, Kind.EDITED, changes=changes)
    text = told(renderer, one)
    assert secret not in text
    assert changes[0][0] not in text
    assert without(one, RULES).hidden == ("/card", f"/{HIDDEN}/card")


def test_many_hidden_places_are_counted(renderer):
    details = {f"n{n}": {"card": n} for n in range(14)}
    _, body = renderer.render([without(news(asked(details)), RULES)], NOW)
    assert "/n9/card, 4 more" in body


def test_prose_that_repeats_a_hidden_value_does_not_show_it(renderer):
    """Description, summary, reasons, remarks, another detail: wherever it stands again."""
    request = asked({"card": SECRET, "memo": f"by {SECRET}"}, reason=f"ok {SECRET}")
    request = replace(
        request,
        action=replace(request.action, description=f"Pay with {SECRET}"),
        verdict=replace(request.verdict, summary=f"{SECRET} pays", reasons=(f"as {SECRET}",)),
    )
    found = [
        news(request, Kind.COMMENTED, text=f"is {SECRET} right?"),
        news(request, Kind.CANCELLED, reason=SECRET),
        news(request, Kind.FAILED, error=f"{SECRET} was declined"),
        news(request, Kind.VOTED, reason=SECRET, proof="signed, and the reason is in it"),
    ]
    text = told(renderer, *found)
    assert SECRET not in text
    assert "signed, and the reason" not in text
    assert "by [redacted]" in text


def test_changes_and_results_do_not_show_it(renderer):
    request = asked({"card": "old-4444", "n": 1})
    need = Requirement(answers=tuple(Answer))
    request = replace(request, verdict=replace(request.verdict, requirement=need))
    edit = make_edit(request, requirement=need, card=SECRET)
    step = apply(request, make_vote(request, edit=edit), NOW)
    edited = next(event for event in step.events if event.kind is Kind.EDITED)
    assert SECRET in str(edited.data)
    text = told(renderer, news(step.request, Kind.EDITED, **edited.data))
    assert SECRET not in text
    assert "old-4444" not in text
    assert step.request.payload_in_force in text
    running = apply(step.request, make_claim(step.request), NOW).request
    result = {"Card": "another", "log": [f"took {SECRET}"], "status": "fine"}
    done = apply(running, make_finish(running, result=result), NOW)
    assert done.request.status is Status.EXECUTED
    text = told(renderer, news(done.request, Kind.EXECUTED, **done.events[0].data))
    assert SECRET not in text
    assert "another" not in text
    assert '"status": "fine"' in text


@pytest.mark.parametrize(
    "value", ["executed", "approve", "pending", "2026", "sha256", "pay-1", "the"]
)
def test_a_hidden_value_that_is_a_word_of_ours_spoils_no_message(renderer, value):
    """An agent chooses the value: the message is made all the same, with its digest and commands."""
    request = asked({"card": value})
    running = apply(request, make_vote(request), NOW).request
    running = apply(running, make_claim(running), NOW).request
    done = apply(running, make_finish(running, result={"at": 1}), NOW).request
    rules = parse_redaction(["card", "at", "status", "by", "result"])
    for one in (request, running, done):
        shown = without(news(one, payload_sha256=one.payload_in_force), rules)
        assert facts(shown)["request"]["payload_sha256"] == one.payload_in_force
        assert facts(shown)["data"]["payload_sha256"] == one.payload_in_force
        assert shown.request.status is one.status
        assert "Request: pay-1" in renderer.render([shown], NOW)[1]
    assert "hitl approve pay-1" in renderer.render([without(news(request), rules)], NOW)[1]


def test_what_a_grant_allows_a_hidden_value_to_be_is_not_shown():
    event = Event(
        kind=Kind.GRANTED,
        request_id="~register",
        rev=1,
        at=NOW,
        actor="alice",
        data={
            "type": "payment",
            "bounds": [["/card", json.dumps(SECRET), None, False], ["/n", "1", None, False]],
        },
    )
    one = News(recorded=Recorded(seq=1, hash="0", event=event), request=None)
    assert SECRET not in str(facts(without(one, RULES)))
    assert facts(without(one, RULES))["data"]["bounds"][1] == ["/n", "1", None, False]


names = st.text(max_size=8) | st.sampled_from(["card", "Card", "a", "/", "~0", "0"])
trees = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(names, trees, max_size=4), st.lists(names, max_size=4))
def test_wherever_it_is_nested_it_is_never_shown(renderer, details, path):
    """Any details, with the secret under `card` at any depth: no part of a message holds it."""
    inner = details
    for name in path:
        below = inner.get(name)
        inner[name] = below if isinstance(below, dict) else {}
        inner = inner[name]
    inner["card"] = {"deep": [SECRET]}
    assert SECRET not in told(renderer, news(asked(details)))
