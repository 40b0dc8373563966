"""Webhooks and Apprise against real servers: taken, refused, hanging, dripping, redirecting."""

from __future__ import annotations

import base64
import json
import logging
import os
import time
from dataclasses import replace

import pytest
import standardwebhooks
from receiver import Receiver

from hitl_vault.adapters.clock import SystemClock
from hitl_vault.adapters.notify.apprise import AppriseNotifier, load
from hitl_vault.adapters.notify.secrets import Secrets
from hitl_vault.adapters.notify.webhook import WebhookNotifier
from hitl_vault.core.tracing import Trace
from hitl_vault.errors import ConfigError, NotSent
from hitl_vault.ports_telling import Message
from hitl_vault.testing.clock import FakeClock

KEY = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
OLD_KEY = "whsec_" + base64.b64encode(b"an older key, 24 bytes long").decode()
MESSAGE = Message(
    id="vault-7-hook",
    subject="An answer is needed",
    body="Pay 1500 – é\n",
    facts={"vault": "vault", "events": [{"kind": "requested", "seq": 7}]},
)
SECRET = "s3cr3t-in-the-address"


@pytest.fixture(scope="module", autouse=True)
def loaded():
    load()  # its plugins take a while


def webhook(folder, url, *keys, limit_s=5.0, clock=None):
    return WebhookNotifier(
        "hook",
        url=url,
        keys=keys or (KEY,),
        secrets=Secrets(folder=folder),
        clock=clock or SystemClock(),
        limit_s=limit_s,
    )


def apprise(folder, *urls, limit_s=5.0):
    return AppriseNotifier("mail", urls=urls, secrets=Secrets(folder=folder), limit_s=limit_s)


def made(kind, folder, port, limit_s=5.0):
    if kind == "webhook":
        return webhook(folder, f"http://127.0.0.1:{port}/{SECRET}", limit_s=limit_s)
    return apprise(folder, f"json://user:{SECRET}@127.0.0.1:{port}/{SECRET}", limit_s=limit_s)


both = pytest.mark.parametrize("kind", ["webhook", "apprise"])


@both
async def test_a_message_that_is_taken_is_taken_once(workspace, kind):
    """One request, with what was to be told."""
    with Receiver(200) as receiver:
        await made(kind, workspace, receiver.port).send(MESSAGE)
    ((path, _, body),) = receiver.taken
    assert path == f"/{SECRET}"
    assert "Pay 1500 – é" in json.dumps(json.loads(body), ensure_ascii=False)


async def test_the_trace_of_what_is_told_is_passed_on(workspace):
    """As the two headers of W3C Trace Context; none where it is of none, or of several."""
    trace = Trace(traceparent=f"00-{'4' * 32}-{'a' * 16}-01", tracestate="k=v")
    with Receiver(200) as receiver:
        hook = made("webhook", workspace, receiver.port)
        await hook.send(replace(MESSAGE, trace=trace))
        await hook.send(MESSAGE)
    first, second = ({k.lower(): v for k, v in one[1].items()} for one in receiver.taken)
    assert (first["traceparent"], first["tracestate"]) == (trace.traceparent, "k=v")
    assert "traceparent" not in second


@both
@pytest.mark.parametrize("status", [500, 503, 404, 401, 429])
async def test_a_refusal_says_its_status_and_no_secret(workspace, kind, status, caplog, capfd):
    """It may be taken later; nothing of the address, nor of what was answered, is shown."""
    caplog.set_level(logging.DEBUG, "hitl_vault")
    with Receiver(status) as receiver:
        with pytest.raises(NotSent, match=str(status)) as caught:
            await made(kind, workspace, receiver.port).send(MESSAGE)
    assert caught.value.again
    printed = "".join(capfd.readouterr())
    chain = f"{caught.value} {caught.value.__cause__} {caplog.text} {printed}"
    assert SECRET not in chain
    assert "receiver" not in chain
    assert len(receiver.taken) == 1


@both
@pytest.mark.parametrize("how", ["hang", "drip"])
async def test_a_target_that_never_ends_is_left_after_its_time(workspace, kind, how):
    """Also one that answers a byte now and then, which no time limit of a socket notices."""
    with Receiver(how) as receiver:
        begun = time.monotonic()
        with pytest.raises(NotSent, match=r"0\.4 s|did not take") as caught:
            await made(kind, workspace, receiver.port, limit_s=0.4).send(MESSAGE)
        assert time.monotonic() - begun < 3
    assert caught.value.again
    assert SECRET not in str(caught.value)


@both
async def test_a_redirect_is_not_followed(workspace, kind):
    """Neither the message nor a credential goes where the address did not say."""
    with Receiver(200) as elsewhere:
        with Receiver(f"http://127.0.0.1:{elsewhere.port}/stolen") as receiver:
            with pytest.raises(NotSent, match="302") as caught:
                await made(kind, workspace, receiver.port).send(MESSAGE)
    assert caught.value.again
    assert len(receiver.taken) == 1
    assert elsewhere.taken == []


@both
async def test_nobody_listening_is_said_without_the_address(workspace, kind):
    """It may be there later."""
    with Receiver() as receiver:
        port = receiver.port
    with pytest.raises(NotSent) as caught:
        await made(kind, workspace, port).send(MESSAGE)
    assert caught.value.again
    assert SECRET not in str(caught.value)


async def test_a_webhook_that_is_gone_is_never_tried_again(workspace):
    """That is what 410 says."""
    with Receiver(410) as receiver:
        with pytest.raises(NotSent, match="410") as caught:
            await made("webhook", workspace, receiver.port).send(MESSAGE)
    assert not caught.value.again


async def test_a_webhook_is_verified_by_the_schemes_own_library(workspace):
    """By each of two keys, so that one can take the other's place; changed bytes are not."""
    with Receiver() as receiver:
        url = f"http://127.0.0.1:{receiver.port}/hook"
        await webhook(workspace, url, KEY, OLD_KEY).send(MESSAGE)
    ((_, headers, body),) = receiver.taken
    for key in (KEY, OLD_KEY):
        told = standardwebhooks.Webhook(key).verify(body, headers)
        assert told["type"] == "hitl.requested"
        assert told["data"]["events"] == MESSAGE.facts["events"]
    assert {name.lower(): value for name, value in headers.items()}["webhook-id"] == MESSAGE.id
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(KEY).verify(body.replace(b"1500", b"9500"), headers)


async def test_each_try_is_signed_for_its_own_time_under_the_same_id(workspace):
    """A message tried hours later is still young enough to be taken."""
    clock = FakeClock()
    with Receiver(500, 200) as receiver:
        hook = webhook(workspace, f"http://127.0.0.1:{receiver.port}/", clock=clock)
        with pytest.raises(NotSent):
            await hook.send(MESSAGE)
        clock.advance(7200)
        await hook.send(MESSAGE)
    first, second = (
        {name.lower(): value for name, value in headers.items()} for _, headers, _ in receiver.taken
    )
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 7200
    assert first["webhook-signature"] != second["webhook-signature"]


def test_the_signature_is_that_of_the_scheme():
    """A known key, id, time and body give the known signature."""
    from datetime import UTC, datetime

    signer = standardwebhooks.Webhook(b"0123456789abcdef0123456789abcdef")
    at = datetime.fromtimestamp(1700000000, UTC)
    assert signer.sign("evt_1", at, '{"a":1}') == "v1,E91RjL3XwKNvhbIjLEB4Oo053Uu727CszikrY+6s9HE="


@pytest.mark.parametrize(
    ("url", "key", "problem"),
    [
        ("env:HITL_NO_SUCH", KEY, "the environment has no HITL_NO_SUCH"),
        ("file:keys/none", KEY, "keys/none cannot be read"),
        ("file:keys/open", KEY, "chmod 600"),
        ("file:keys/empty", KEY, "holds no secret"),
        ("ftp://example.com/secret", KEY, "not such as https"),
        ("http://example.com/secret", KEY, "must begin with https"),
        ("https://example.com/secret", "whsec_%%%", "not such as whsec_"),
        ("https://example.com/secret", "", "not such as whsec_"),
    ],
)
async def test_what_is_set_up_wrongly_is_said_without_the_secret(workspace, url, key, problem):
    """By naming the reference."""
    keys = workspace / "keys"
    keys.mkdir()
    (keys / "open").write_text("https://example.com/secret")
    (keys / "open").chmod(0o644)
    (keys / "empty").write_text("\n")
    (keys / "empty").chmod(0o600)
    with pytest.raises(NotSent, match=problem) as caught:
        await webhook(workspace, url, key).send(MESSAGE)
    assert "/secret" not in str(caught.value)
    assert "%%%" not in str(caught.value)


async def test_addresses_come_from_files_and_the_environment(workspace, monkeypatch):
    """Read at each message, so that a changed secret counts at once."""
    (workspace / "keys").mkdir()
    file = workspace / "keys" / "chat"
    with Receiver() as receiver:
        os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
        file.write_text(
            f"json://127.0.0.1:{receiver.port}/one\njson://127.0.0.1:{receiver.port}/two\n"
        )
        monkeypatch.setenv("HITL_TEST_CHAT", f"json://127.0.0.1:{receiver.port}/three")
        await apprise(workspace, "file:keys/chat", "env:HITL_TEST_CHAT").send(MESSAGE)
    assert sorted(path for path, *_ in receiver.taken) == ["/one", "/three", "/two"]


async def test_a_person_is_told_at_their_own_addresses(workspace):
    """Those in the record of reviewers, in place of the notifier's."""
    with Receiver() as receiver:
        await apprise(workspace).send(MESSAGE, [f"json://127.0.0.1:{receiver.port}/alice"])
    assert [path for path, *_ in receiver.taken] == ["/alice"]
    with pytest.raises(NotSent, match="no address"):
        await apprise(workspace).send(MESSAGE)


@pytest.mark.parametrize("how", [500, "hang", "unknown", "unread"])
async def test_an_address_that_fails_keeps_no_other_from_being_told_once(workspace, how):
    """The others are told at once, and left out at the next try; their tags hold no secret."""
    with Receiver() as good, Receiver(how if how in (500, "hang") else 200) as bad:
        bad_url = {"unknown": f"nonsense://{SECRET}", "unread": "env:HITL_NO_SUCH"}.get(
            how, f"json://127.0.0.1:{bad.port}/{SECRET}"
        )
        url = f"json://user:{SECRET}@127.0.0.1:{good.port}/one"
        notifier = apprise(workspace, bad_url, url, url, limit_s=1.5)
        with pytest.raises(NotSent, match=r"1 of 2 addresses took it") as caught:
            await notifier.send(MESSAGE)
        assert len(good.taken) == 1
        assert len(caught.value.taken) == 1
        assert SECRET not in f"{caught.value} {caught.value.taken}"
        tries = len(bad.taken)
        with pytest.raises(NotSent) as again:
            await notifier.send(MESSAGE, but=caught.value.taken)
        assert again.value.taken == caught.value.taken
        assert len(good.taken) == 1
        if how == 500:
            bad.answers = [200]
            await notifier.send(MESSAGE, but=caught.value.taken)
            assert len(bad.taken) == tries + 2
            assert len(good.taken) == 1


async def test_tags_are_of_one_message(workspace):
    """Who took another message is told of this one."""
    with Receiver() as good, Receiver(500) as bad:
        notifier = apprise(workspace, *(f"json://127.0.0.1:{at.port}/" for at in (good, bad)))
        with pytest.raises(NotSent) as caught:
            await notifier.send(MESSAGE)
        with pytest.raises(NotSent):
            await notifier.send(replace(MESSAGE, id="vault-8-mail"), but=caught.value.taken)
        assert len(good.taken) == 2


@pytest.mark.parametrize("url", [f"nonsense://{SECRET}", SECRET, f"mailto://{SECRET}"])
async def test_an_address_apprise_does_not_know_is_not_shown(workspace, url):
    """Only its kind is: of most kinds every other part may be secret."""
    with pytest.raises(NotSent, match="none that Apprise knows") as caught:
        await apprise(workspace, url).send(MESSAGE)
    assert SECRET not in str(caught.value)


async def test_a_plugin_that_raises_or_hangs_does_neither_to_us(workspace):
    """A plugin of one's own: what it raises may hold the address; a hanging thread is left behind,
    and only so many of them."""
    import threading

    library, release = load(), threading.Event()
    from apprise.decorators import notify

    @notify(on="raising", name="raising")
    def raising(body, title, notify_type, *args, **kwargs):
        raise RuntimeError(f"cannot reach {SECRET}")

    @notify(on="hanging", name="hanging")
    def hanging(body, title, notify_type, *args, **kwargs):
        release.wait(30)
        return True

    try:
        with pytest.raises(NotSent) as caught:
            await apprise(workspace, f"raising://{SECRET}").send(MESSAGE)
        assert SECRET not in str(caught.value)
        slow = apprise(workspace, "hanging://here", limit_s=0.05)
        for _ in range(8):
            with pytest.raises(NotSent, match="longer than"):
                await slow.send(MESSAGE)
        with pytest.raises(NotSent, match="still hang"):
            await slow.send(MESSAGE)
    finally:
        release.set()
        for schema in ("raising", "hanging"):
            library.apprise.N_MGR.remove(schema)


@pytest.mark.parametrize("format", ["text", "html", "markdown"])
async def test_a_message_stays_inert_however_apprise_converts_it(workspace, format):
    """Converted to HTML, its text is text: no tag but line breaks, no link."""
    import re

    with Receiver() as receiver:
        notifier = apprise(workspace, f"json://127.0.0.1:{receiver.port}/?format={format}")
        body = '· to: v(@)example(.)com\n  {\n  "a": "\\u003cb\\u003e"\n¦ ‹b›x‹/b› & https(:)//x\n'
        await notifier.send(Message(id="1", subject="s", body=body, facts={}))
    shown = json.loads(receiver.taken[0][2])["message"]
    assert not re.findall(r"<(?!br ?/?>|/?(?:p|html|body|head|pre|div)\b)[^>]*>", shown), shown
    assert "href" not in shown
    assert "mailto" not in shown


def test_without_its_libraries_the_extra_is_named(monkeypatch):
    """The base install has neither."""
    import sys

    from hitl_vault.adapters.notify import webhook as hooks

    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.setitem(sys.modules, "apprise", None)
    for needs in (hooks.libraries, load):
        with pytest.raises(ConfigError, match=r"hitl-vault\[notify\]"):
            needs()
