"""Hostile words of agents are shown, and do nothing: not to the page, not to who reads it."""

from __future__ import annotations

import re

import pytest
from inbox_kit import ask, browser, page_of, use_policy
from server_kit import serving

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</textarea></pre></blockquote></main><form action=https://evil.example><button>Approve",
    "javascript:alert(1)",
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "<!-- --><![CDATA[ ]]><svg/onload=alert(1)>",
    "approved by \u202eecila\u202c \u2066x\u2069 a\u200bb\u00ad \ufeff \U000e0041",
    "Zalgo" + "\u0301" * 60,
    "W" * 5000,
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea ✅ Approved ✅",
    "\x00\x07\x1b[31mred\x7f\x85\u2028\u2029end",
]
PATHS = [
    "/inbox",
    "/inbox/history",
    "/inbox/analytics",
    "/inbox/policy",
    "/inbox/audit",
    "/inbox/requests/{id}",
]
_BIDI = re.compile(
    "[\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)


def check_inert(page):
    """Nothing on the page came from anywhere but our own files, and nothing in it acts."""
    for one in page.walk():
        assert not [name for name in one.attrs if name.startswith("on")], one
        assert "style" not in one.attrs, one
        for name in ("src", "href", "action", "hx-get", "hx-post"):
            assert one.attrs.get(name, "/").startswith(("/", "#")), (one.tag, one.attrs)
        if one.tag == "script":
            assert one.attrs["src"].startswith("/inbox/static/")
            assert not one.children
    tags = {one.tag for one in page.walk()}
    assert not tags & {"style", "iframe", "img", "object", "embed", "base", "video", "math"}
    assert len(page.all("main")) == 1
    assert not _BIDI.search(page.raw)
    for one in page.walk():
        for name, value in one.attrs.items():
            typed = one.tag == "input" and name == "value"  # what the reader typed stays as it is
            assert typed or not _BIDI.search(value), one


async def everything(service, text):
    """Ask with this text in every place, comment, answer and fail with it."""
    from hitl_vault.errors import InvalidRequest

    request = None
    name = re.sub(r"[^\x20-\x7e]", "?", text)[:60]
    for kind in (text[:60], name):
        try:
            request = await ask(
                service,
                kind,
                description=text,
                details={"text": text, text[:50]: [text], "n": {"to": text}},
                requested_by=name.strip() or "bot",
                agent=name,
                run_id=name,
            )
            break
        except InvalidRequest:
            continue
    assert request is not None
    await service.hitl.comment(request.id, text, author=name.strip() or "x")
    done = await ask(service, "payment", description=text, details={"text": text})
    await service.hitl.approve(done.id, reviewer="bob", reason=text)
    await service.hitl.mark_failed(done.id, text)
    return request, done


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_text_is_inert_on_every_page(tmp_path, text):
    from hitl_vault.core.access import Scope

    async with serving(tmp_path / "vault", {"watching": False}) as service:
        request, done = await everything(service, text)
        alice = await browser(service, "alice", *Scope)
        for path in PATHS:
            check_inert(await page_of(alice, path.format(id=request.id)))
        check_inert(await page_of(alice, f"/inbox/requests/{done.id}"))
        found = await alice.get("/inbox/history", params={"q": text[:400], "by": text[:100]})
        from inbox_kit import parse

        check_inert(parse(found, found.status_code))


async def test_a_megabyte_of_words_is_cut_and_says_so(tmp_path):
    """The page stays small, in the queue most of all; how long it was is said."""
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault", {"watching": False}) as service:
        request = await ask(service, description="<b>long</b> " * 80_000)
        alice = await browser(service)
        queue = await alice.get("/inbox")
        assert len(queue.content) < 30_000
        answer = await alice.get(f"/inbox/requests/{request.id}")
        assert len(answer.content) < 200_000
        page = await page_of(alice, f"/inbox/requests/{request.id}")
        check_inert(page)
        assert "(20,000 of 960,000 characters are shown)" in page.one("blockquote").text


async def test_letters_that_look_alike_are_told_apart(tmp_path):
    """A name with letters of another script is written in plain ASCII too."""
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, details={"amount": 900, "to": "vend\u043er@x.org"})
        page = await page_of(await browser(service), "/inbox")
        card = page.one(id=f"card-{request.id}")
        assert card.one(class_="exact").text == '"vend\\u043er@x.org"'


MISLEADING = {
    "amount": 15,
    "\u0430mount": 1500,
    "a/b": 1,
    "a": {"b": 2},
    "": 3,
    "flag": "false",
    "really": False,
    "num": "1500",
    "nonet": "null",
}


async def test_names_and_texts_are_never_shown_as_what_they_only_look_like(tmp_path):
    """Such a card is answered where the exact JSON stands too, never in the queue."""
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, details=MISLEADING)
        alice = await browser(service)
        card = (await page_of(alice, "/inbox")).one(id=f"card-{request.id}")
        shown = card.one("dl", class_="values").all("div")
        assert [[one.one("dt").text, one.one("dd").text] for one in shown] == [
            ["amount", "15"],
            ['\u0430mount"\\u0430mount"', "1500"],
            ['"a/b"', "1"],
            ["a/b", "2"],
            ['""', "3"],
            ["flag", '"false"'],
            ["really", "false"],
            ["num", '"1500"'],
            ["nonet", '"null"'],
        ]
        assert "can be taken for another" in card.text
        assert not card.all("button")
        assert "Open it to answer" in card.text
        page = await page_of(alice, f"/inbox/requests/{request.id}")
        assert page.one("dl", class_="values").one("span").text == '"\\u0430mount"'
        assert page.all("button", value="approve")


async def test_a_type_of_letters_that_look_alike_is_spelt_out_and_not_approved_in_the_queue(
    tmp_path,
):
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, "p\u0430yment", description="Please")
        alice = await browser(service)
        title = 'P\u0430yment ("p\\u0430yment"): Please'
        card = (await page_of(alice, "/inbox")).one(id=f"card-{request.id}")
        assert card.one("h3").text == title
        assert not card.all("button")
        assert (await page_of(alice, f"/inbox/requests/{request.id}")).one("h1").text == title


async def test_a_problem_never_repeats_what_was_in_an_address(tmp_path):
    async with serving(tmp_path / "vault") as service:
        alice = await browser(service)
        for path in ("/inbox/requests/<script>x", "/inbox/history?status=<b>", "/inbox/<b>"):
            answer = await alice.get(path)
            assert answer.status_code in {404, 422}
            assert "<script>x" not in answer.text
            assert "<b>" not in answer.text
