"""The file that says how people are told: read strictly, and again whenever it changes."""

from __future__ import annotations

import pytest

from hitl_vault.adapters.clock import SystemClock
from hitl_vault.adapters.notify.apprise import AppriseNotifier
from hitl_vault.adapters.notify.file import FileChannels
from hitl_vault.adapters.notify.webhook import WebhookNotifier
from hitl_vault.core.duties import ALERTS, DEFAULT_EVENTS, OF_REQUESTS
from hitl_vault.core.events import Kind
from hitl_vault.core.model import Risk
from hitl_vault.errors import ConfigError

WHOLE = """
[mail]
via = "apprise"
people = true

[ops]
via = "apprise"
urls = ["env:OPS", "ntfy://s3cr3t"]
events = ["requested", "lost"]
risk = "high"
to = ["finance"]
digest = "15m"
quiet = "22:00-07:00 Europe/Berlin"
urgent = "high"
tries = 3
limit = "5s"

[system]
via = "webhook"
url = "https://example.com/hook"
secret = ["file:keys/new", "file:keys/old"]
"""


@pytest.fixture
def channels(workspace):
    return FileChannels(workspace, SystemClock())


def write(channels, text):
    channels.path.write_text(text, encoding="utf-8")
    return channels


def test_every_key_is_read(channels):
    """As it is written."""
    found = write(channels, WHOLE).load()
    mail, ops, system = (found[name].way for name in ("mail", "ops", "system"))
    assert mail.people
    assert mail.events == DEFAULT_EVENTS
    assert ops.events == {Kind.REQUESTED, Kind.LOST}
    assert (ops.risk, ops.urgent, ops.to) == (Risk.HIGH, Risk.HIGH, ("finance",))
    assert (ops.digest_s, ops.tries) == (900, 3)
    assert ops.quiet is not None
    assert system.complete
    assert system.events == OF_REQUESTS | ALERTS
    assert isinstance(found["mail"].notifier, AppriseNotifier)
    assert isinstance(found["system"].notifier, WebhookNotifier)


def test_alerts_go_to_channels_and_webhooks_that_are_for_nobody_in_particular(channels):
    """And wherever `events` names them."""
    address = 'urls = ["json://localhost"]'
    found = write(
        channels,
        f"[plain]\nvia = 'apprise'\n{address}\n"
        f"[narrow]\nvia = 'apprise'\n{address}\nto = ['finance']\n"
        "[mail]\nvia = 'apprise'\npeople = true\n"
        "[oncall]\nvia = 'apprise'\npeople = true\nevents = ['alert_fired', 'alert_ended']\n",
    ).load()
    assert {name: channel.way.events & ALERTS for name, channel in found.items()} == {
        "plain": ALERTS,
        "narrow": frozenset(),
        "mail": frozenset(),
        "oncall": ALERTS,
    }


def test_without_a_file_nobody_is_told(channels):
    """And none is made."""
    assert channels.load() == {}
    assert not channels.path.exists()


def test_a_changed_file_is_read_again_and_a_broken_one_is_said(channels):
    """What is mended counts at once."""
    write(channels, WHOLE)
    assert len(channels.load()) == 3
    assert channels.load() is channels.load()
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"notify\.toml"):
            write(channels, "[mail").load()
    assert set(write(channels, '[a]\nvia = "apprise"\npeople = true\n').load()) == {"a"}
    channels.path.unlink()
    assert channels.load() == {}


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("via = 'pigeon'", "needs via, one of apprise, webhook"),
        ("urls = ['s3cr3t://x']", "needs via"),
        ("via = 'apprise'", "needs either urls"),
        ("via = 'apprise'\nurls = ['s3cr3t://x']\npeople = true", "needs either urls"),
        ("via = 'apprise'\nurls = []", "urls: must hold a text"),
        ("via = 'apprise'\nurls = [7]", "urls: must be a text"),
        ("via = 'apprise'\npeople = 'yes'", "people: must be true or false"),
        ("via = 'apprise'\npeople = true\nquite = '22:00-07:00 UTC'", "did you mean quiet"),
        ("via = 'apprise'\npeople = true\nurl = 's3cr3t'", "has no key 'url'"),
        ("via = 'apprise'\npeople = true\nevents = ['requestd']", "did you mean 'requested'"),
        ("via = 'apprise'\npeople = true\nevents = []", 'events: must be "all" or a list'),
        ("via = 'apprise'\npeople = true\nrisk = 'huge'", "risk: 'huge' is none"),
        ("via = 'apprise'\npeople = true\nto = 'finance'", "to: must be a list of names"),
        ("via = 'apprise'\npeople = true\nquiet = '22-7'", "quiet: '22-7' is not a time"),
        ("via = 'apprise'\npeople = true\ndigest = '2d'", "digest: must be from 1 s to 86400 s"),
        ("via = 'apprise'\npeople = true\nlimit = '2m'", "limit: must be from 1 s to 60 s"),
        ("via = 'apprise'\npeople = true\ntries = 0", "tries: must be a number from 1 to 100"),
        ("via = 'webhook'\nurl = 'https://x/s3cr3t'", "needs url and secret"),
        ("via = 'webhook'\nurl = 'http://x/s3cr3t'\nsecret = 'env:K'", "begins with https"),
        ("via = 'webhook'\nurl = 'https://x'\nsecret = 'env:K'\npeople = true", "no key 'people'"),
    ],
)
def test_what_is_wrong_names_the_file_the_way_and_the_key(channels, table, problem):
    """And never a value that may be secret."""
    with pytest.raises(ConfigError) as caught:
        write(channels, f"[ops]\n{table}\n").load()
    said = str(caught.value)
    assert problem in said
    assert "notify.toml: [ops]" in said
    assert "s3cr3t" not in said


@pytest.mark.parametrize("name", ["Ops", "a_b", '"a b"', f"{'x' * 41}"])
def test_a_ways_name_is_plain(channels, name):
    """It stands in the ids of messages."""
    with pytest.raises(ConfigError, match="small letters"):
        write(channels, f"[{name}]\nvia = 'apprise'\npeople = true\n").load()


def test_a_value_outside_of_a_table_is_said(channels):
    """With how to write it."""
    with pytest.raises(ConfigError, match="must be a table"):
        write(channels, "ops = 'json://s3cr3t'\n").load()


def test_it_is_known_whether_the_file_holds_a_secret_itself(channels):
    """So that who can read it is looked at only then."""
    assert write(channels, WHOLE).has_secrets()
    assert not write(channels, WHOLE.replace(', "ntfy://s3cr3t"', "")).has_secrets()
    assert not write(channels, "[broken").has_secrets()


def test_what_messages_hide_is_set_for_all_ways_and_for_each(workspace):
    """The vault's own list holds everywhere; a way may hide more, and can show nothing of it."""
    (workspace / "notify.toml").write_text(
        '[a]\nvia = "apprise"\nurls = ["json://x"]\nredact = ["Card", "/customer/email"]\n'
        '[b]\nvia = "webhook"\nurl = "https://x.org"\nsecret = "env:S"\nredact = []\n'
    )
    ways = FileChannels(workspace, SystemClock(), ("pin",)).load()
    assert ways["a"].way.redaction.rules == ("card", "pin", "/customer/email")
    assert ways["b"].way.redaction.rules == ("pin",)


@pytest.mark.parametrize("value", ['"card"', "[1]", '[""]', '["/"]', "{}", '["\u200b"]'])
def test_a_list_of_what_to_hide_that_names_nothing_is_an_error(workspace, value):
    (workspace / "notify.toml").write_text(
        f'[a]\nvia = "apprise"\nurls = ["json://x"]\nredact = {value}\n'
    )
    with pytest.raises(ConfigError, match=r"notify.toml: \[a\] redact: "):
        FileChannels(workspace, SystemClock()).load()
