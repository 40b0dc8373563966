"""Grants, joins, limits and alerts on the command line."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cli_support import Cli, until

from hitl_vault.cli.options import parse_until
from hitl_vault.errors import InvalidRequest

POLICY = """\
```yaml hitl-policy
default: ask
rules:
  - id: small
    when: action.type == "payment" && details.amount < 500
    effect: ask
    answers: [approve, reject, edit]
    grant: {uses: 3, within: 7d}
```
"""


@pytest.fixture
def cli(workspace):
    cli = Cli(workspace)
    cli.ok("init", ".")
    (workspace / "Policy.md").write_text(POLICY)
    yield cli
    cli.close()


def pay(cli, amount=100, to="v@example.com", *more):
    return cli.ask("payment", "--by", "invoice-agent", *more, amount=amount, to=to)


def test_an_approval_grants_the_same_again(cli):
    """approve --grant: within its bounds the next ones are approved, and say under what."""
    id = pay(cli)
    (record,) = cli.json("approve", id, "--grant", "--uses", "2", "--until", "3d",
                         "--at-most", "amount=400")  # fmt: skip
    grant = record["grant"]
    assert grant["bounds"] == [
        {"path": "/amount", "at_most": 400.0},
        {"path": "/to", "equals": "v@example.com"},
    ]
    assert (grant["from_request"], grant["assurance"], grant["left"]) == (id, "authenticated", 2)
    asked = cli.run("request", "-t", "payment", "--by", "invoice-agent", "--details",
                    json.dumps({"amount": 400, "to": "v@example.com"}))  # fmt: skip
    assert f"approved under {grant['id']}" in asked.stderr
    assert cli.status(pay(cli, 401)) == "pending"
    assert cli.status(pay(cli, 1, "other")) == "pending"
    assert cli.status(pay(cli, 1)) == "approved"
    assert cli.status(pay(cli, 1)) == "pending"
    shown = cli.ok("grant", "show", grant["id"])
    assert "0 of 2" in shown
    assert asked.stdout.splitlines()[0] in shown
    assert cli.json("stats")["under_grants"] == 2
    audit = cli.ok("audit", "show")
    assert f"approves (authenticated, over grant): under {grant['id']}" in audit
    assert f"{grant['id']} is used for" in audit
    cli.ok("audit", "verify")


def test_a_grant_around_a_change_is_around_the_changed_value(cli):
    cli.ok("approve", pay(cli), "--set", "amount=50", "--grant", "--uses", "1", "--until", "1d")
    assert cli.status(pay(cli, 100)) == "pending"
    assert cli.status(pay(cli, 50)) == "approved"


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--uses", "4", "--until", "1d"], 1, "at most 3 uses"),
        (["--uses", "1", "--until", "8d"], 1, "at most until"),
        (["--uses", "1"], 2, "--uses 3 --until friday"),
        (["--uses", "1", "--until", "whenever"], 2, "none of 3d, friday and 2026-12-01"),
        (["--uses", "1", "--until", "1d", "--any", "cc"], 2, "'cc' is not a value"),
        (["--uses", "1", "--until", "1d", "--at-most", "amount"], 2, "amount=500"),
        (["--uses", "1", "--until", "1d", "--at-most", "amount=9"], 2, "between 0 and 9"),
    ],
)
def test_where_no_such_grant_can_be_made_nothing_is_approved(cli, options, code, says):
    """Nobody approves in the belief that it is granted too."""
    id = pay(cli)
    done = cli.run("approve", id, "--grant", *options)
    assert done.returncode == code
    assert says in done.stderr
    assert cli.status(id) == "pending"
    assert cli.json("grant", "list", "--all") == []


def test_options_of_a_grant_without_it_are_a_mistake(cli):
    done = cli.run("approve", pay(cli), "--uses", "3")
    assert done.returncode == 2
    assert "belong to --grant" in done.stderr


def test_grants_are_made_listed_and_taken_back(cli):
    """add, list, show and revoke, by the beginning of the id; and what would not work is said."""
    made = cli.json("grant", "add", "--type", "payment", "--agent", "invoice-agent", "--equals",
                    "to=v@example.com", "--at-most", "amount=400", "--any", "memo", "--uses", "3",
                    "--until", "7d", "-m", "rent")  # fmt: skip
    assert {bound["path"] for bound in made["bounds"]} == {"/to", "/amount", "/memo"}
    assert cli.status(pay(cli)) == "pending"  # without the memo it is not what was granted
    assert "amount ≤ 400" in cli.ok("grant", "list")
    short = made["id"][:12]
    assert "rent" in cli.ok("grant", "show", short)
    assert cli.json("grant", "revoke", short, "-m", "enough")["in_force"] is False
    assert cli.json("grant", "list") == []
    assert [one["id"] for one in cli.json("grant", "list", "--all")] == [made["id"]]
    assert "revoked" in cli.ok("grant", "list", "--all")
    assert cli.run("grant", "show", "nope").returncode == 9
    assert cli.run("grant", "revoke", "nope").returncode == 9


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--type", "deploy", "--equals", "app=web"], "allows no standing grants here"),
        (["--type", "payment", "--at-most", "amount=900"], "allows no standing grants here"),
        (["--type", "payment", "--at-most", "amount=9"], ""),
    ],
)
def test_a_grant_that_answers_nothing_by_now_says_so(cli, options, says):
    done = cli.run("grant", "add", "--agent", "bot", "--uses", "1", "--until", "1d", *options)
    assert done.returncode == 0
    assert ("answers nothing" in cli.ok("doctor")) == bool(says)
    assert (f"as it stands it answers nothing: the policy {says}" in done.stderr) == bool(says)


def test_a_repeat_joins_only_when_it_says_so(cli):
    one, two = pay(cli), pay(cli)
    assert one != two
    assert pay(cli, 100, "v@example.com", "--join") == one
    done = cli.run("request", "-t", "x", "--join", "--key", "k")
    assert done.returncode == 2
    assert "join is for asking without a key" in done.stderr


def test_too_many_requests_end_with_10_and_change_nothing(cli):
    (cli.vault / ".hitl" / "config.toml").write_text("max_pending_per_agent = 1\n")
    pay(cli)
    done = cli.run("request", "-t", "payment", "--by", "invoice-agent", "-d", "a=1", "--json")
    assert done.returncode == 10
    assert json.loads(done.stdout)["error"]["code"] == "too_many"
    assert "at most 1 may wait" in done.stderr
    assert len(cli.pending()) == 1


def test_alerts_end_with_11_and_silence_means_that_none_fires(cli):
    """For cron: output and exit code only where something is beyond its threshold."""
    done = cli.run("alerts")
    assert (done.returncode, done.stdout) == (0, "")
    assert cli.json("alerts") == []
    (cli.vault / ".hitl" / "config.toml").write_text("alert_pending = 1\n")
    pay(cli)
    pay(cli)
    for command in (["alerts"], ["stats", "--alerts"]):
        done = cli.run(*command)
        assert (done.returncode, done.stdout) == (11, "2 requests wait for an answer\n")
    found = json.loads(cli.run("alerts", "--json").stdout)
    assert found == [
        {
            "name": "pending",
            "message": "2 requests wait for an answer",
            "value": 2,
            "threshold": 1,
            "since": None,
        }
    ]
    assert cli.run("stats", "--alerts", "--since", "1d").returncode == 2


def test_a_running_desk_puts_alerts_on_record(cli):
    """Once, also where two run; `hitl alerts` then says since when, and the record shows it."""
    (cli.vault / ".hitl" / "config.toml").write_text("alert_pending = 1\n")
    pay(cli)
    pay(cli)
    watching = [cli.start("watch"), cli.start("watch")]
    until(lambda: json.loads(cli.run("alerts", "--json").stdout)[0]["since"])
    line = cli.run("alerts").stdout
    assert line.startswith("2 requests wait for an answer (it fires since 20")
    shown = cli.ok("audit", "show")
    assert shown.count("an alert fires: 2 requests wait for an answer") == 1
    assert len(watching) == 2
    cli.ok("audit", "verify")


def test_until_is_the_end_of_a_day_or_after_a_while():
    """A day counts to its end, in local time; the nearest of that name, today included."""
    now = datetime(2026, 11, 27, 9, 30).astimezone()  # a Friday

    def ends(text):
        return parse_until(text, now).astimezone(now.tzinfo)

    midnight = datetime(2026, 11, 28).astimezone()
    assert ends("friday") == ends("Fri") == ends("today") == midnight
    assert ends("saturday") == ends("tomorrow") == midnight + timedelta(days=1)
    assert ends("thursday") == midnight + timedelta(days=6)
    assert ends("2026-12-01") == datetime(2026, 12, 2).astimezone()
    assert ends("3d") == now + timedelta(days=3)
    zone = timezone(timedelta(hours=2))
    assert parse_until("2026-12-01T10:00+02:00") == datetime(2026, 12, 1, 10, tzinfo=zone)
    assert parse_until("friday", now).tzinfo is UTC
    for text in ("", "fr", "someday", "2026-13-01"):
        with pytest.raises(InvalidRequest, match="until"):
            parse_until(text, now)
