"""`hitl review` where a rule demands a proof: signatures by a real key, codes, second factors."""

import pytest
from cli_support import Cli, Terminal
from ssh_kit import make_key, needs_ssh, run
from test_cli_assurance import ME, SURE, code_of, events


@pytest.fixture
def cli(workspace):
    cli = Cli(workspace / "vault")
    Cli(workspace).ok("init", str(cli.vault))
    (cli.vault / "Policy.md").write_text(SURE)
    yield cli
    cli.close()


@pytest.fixture
def key(cli):
    made = make_key(cli.vault.parent)
    cli.ok("reviewer", "key", ME, "--add", f"{made}.pub")
    return made


def press(terminal, key, *, times=1):
    """Press a key once the question stands there for so many times."""
    terminal.expect("[q]uit", times=times)
    terminal.send(key)


def vote(cli, id):
    (found,) = cli.show(id)["votes"]
    return found["reviewer"], found["assurance"], found["channel"]


@needs_ssh
def test_review_signs_every_answer_with_the_key(cli, key):
    """An approval, a rejection and a change: each is signed, whatever its rule asks for."""
    one, two, three = (cli.ask(kind, x=n) for n, kind in enumerate(("transfer", "a", "transfer")))
    editor = cli.vault / "editor.sh"
    editor.write_text("#!/bin/sh\nsed -i 's/2/7/' \"$1\"\n")
    editor.chmod(0o755)
    with Terminal(cli, "review", "--sign", key, env={"EDITOR": str(editor)}) as terminal:
        press(terminal, "a")
        terminal.expect("reason (may be empty):")
        terminal.send("fine\r")
        press(terminal, "r", times=2)
        terminal.expect("reason (may be empty):", times=2)
        terminal.send("\r")
        press(terminal, "e", times=3)
        terminal.expect("[y/N]")
        terminal.send("y")
        terminal.expect("reason (may be empty):", times=3)
        terminal.send("\r")
        terminal.expect("3 answered")
        assert terminal.end() == 0
    assert [cli.status(id) for id in (one, two, three)] == ["approved", "rejected", "approved"]
    assert [vote(cli, id) for id in (one, two, three)] == [(ME, "signed", "cli")] * 3
    assert cli.show(three)["details"] == {"x": 7}
    assert cli.show(one)["reason"] == "fine"
    cli.ok("audit", "verify")


@needs_ssh
def test_review_signs_each_of_a_group(cli, key):
    """One key press, a signature for each request: no two of them are the same."""
    ids = [cli.ask("transfer", "--by", "bot", amount=n) for n in (10, 20, 30)]
    with Terminal(cli, "review", "--group", "--sign", key) as terminal:
        terminal.expect("[o]ne by one")
        terminal.send("a")
        terminal.expect("reason, for each")
        terminal.send("checked\r")
        terminal.expect("3 answered")
        assert terminal.end() == 0
    assert [vote(cli, id) for id in ids] == [(ME, "signed", "cli")] * 3
    proofs = {cli.show(id)["history"][1]["data"]["proof"] for id in ids}
    assert len(proofs) == 3


@needs_ssh
def test_review_signs_in_the_name_of_whose_key_it_is(cli, key):
    id = cli.ask("transfer", x=1)
    other = make_key(cli.vault.parent, "alice")
    cli.ok("reviewer", "key", "alice", "--add", f"{other}.pub")
    with Terminal(cli, "review", "--as", "alice", "--sign", other) as terminal:
        press(terminal, "a")
        terminal.expect("reason")
        terminal.send("\r")
        terminal.expect("approved by alice")
        assert terminal.end() == 0
    assert vote(cli, id) == ("alice", "signed", "cli")


@needs_ssh
def test_review_asks_for_a_key_where_the_rule_demands_one(cli, key):
    """It says what is demanded; nothing typed is no answer; a key that counted serves the rest."""
    plain, one, two = cli.ask("a", x=0), cli.ask("transfer", x=1), cli.ask("transfer", x=2)
    with Terminal(cli, "review") as terminal:
        press(terminal, "a")
        terminal.expect("reason")
        terminal.send("\r")
        press(terminal, "a", times=2)
        terminal.expect("reason", times=2)
        terminal.send("\r")
        asks = f"{one}: its rule asks for an answer that is signed; here it is authenticated."
        terminal.expect(asks)
        terminal.expect("empty: do not answer):")
        terminal.send("\r")
        terminal.expect("not answered: it still waits")
        press(terminal, "a", times=3)
        terminal.expect("reason", times=3)
        terminal.send("\r")
        terminal.expect("empty: do not answer):", times=2)
        terminal.send("no-such-key\r")
        terminal.expect("there is no key file")
        press(terminal, "a", times=4)
        terminal.expect("reason", times=4)
        terminal.send("\r")
        terminal.expect("empty: do not answer):", times=3)
        terminal.send(f"{key}\r")
        terminal.expect(f"{one} approved by")
        press(terminal, "a", times=5)
        terminal.expect("reason", times=5)
        terminal.send("\r")
        terminal.expect(f"signing with {key}")
        terminal.expect(f"{two} approved by")
        assert terminal.end() == 0
    assert vote(cli, plain) == (ME, "authenticated", "cli")
    assert vote(cli, one) == vote(cli, two) == (ME, "signed", "cli")


@needs_ssh
def test_a_key_that_is_not_known_answers_nothing_in_a_review(cli, key):
    """It is refused and recorded; the request stays on the screen and waits."""
    id, stranger = cli.ask("transfer", x=1), make_key(cli.vault.parent, "stranger")
    with Terminal(cli, "review", "--sign", stranger) as terminal:
        press(terminal, "a")
        terminal.expect("reason")
        terminal.send("\r")
        terminal.expect("is not in allowed_signers")
        press(terminal, "q", times=2)
        terminal.expect("0 answered")
        assert terminal.end() == 0
    assert [event["kind"] for event in events(cli, id)] == ["requested", "refused"]
    assert cli.status(id) == "pending"


@needs_ssh
def test_a_passphrase_is_asked_for_by_ssh_keygen_itself(cli, key):
    run("-p", "-P", "", "-N", "open sesame", "-f", key)
    id = cli.ask("transfer", x=1)
    with Terminal(cli, "review", "--sign", key) as terminal:
        press(terminal, "a")
        terminal.expect("reason")
        terminal.send("\r")
        terminal.expect("passphrase")
        terminal.send("open sesame\r")
        terminal.expect(f"{id} approved by")
        assert terminal.end() == 0
        assert "sesame" not in terminal.text
    assert vote(cli, id) == (ME, "signed", "cli")


def test_review_asks_for_the_code_a_name_needs(cli):
    """Typed unseen; a wrong one is refused and recorded, and the right one proves the name."""
    id = cli.ask("grant", amount=1)
    cli.ok("code", "send", id, "--to", "alice")
    code = code_of(cli, id)
    wrong = f"{(int(code.replace(' ', '')) + 1) % 10**8:08d}"
    with Terminal(cli, "review", "--as", "alice") as terminal:
        press(terminal, "a")
        terminal.expect("reason")
        terminal.send("\r")
        terminal.expect("asks for an answer that is authenticated; here it is edited.")
        terminal.expect("[n]o answer")
        terminal.send("n")
        terminal.expect("not answered: it still waits")
        for typed, times in ((wrong, 1), (code, 2)):
            press(terminal, "a", times=times + 1)
            terminal.expect("reason", times=times + 1)
            terminal.send("\r")
            terminal.expect("[n]o answer", times=times + 1)
            terminal.send("c")
            terminal.expect("the one-time code you were sent (empty: do not answer):", times=times)
            terminal.send(f"{typed}\r")
        terminal.expect("approved by alice")
        assert terminal.end() == 0
        assert "not the one sent to alice" in terminal.text
        assert code not in terminal.text
    assert vote(cli, id) == ("alice", "authenticated", "code")
    assert [event["kind"] for event in events(cli, id)].count("refused") == 1


def test_review_asks_for_a_second_factor_where_it_is_told_to(cli):
    pyotp = pytest.importorskip("pyotp")
    app = pyotp.parse_uri(cli.ok("key", "totp", "alice").strip())
    id = cli.ask("grant", amount=1)
    with Terminal(cli, "review", "--as", "alice", "--totp") as terminal:
        press(terminal, "r")
        terminal.expect("reason")
        terminal.send("\r")
        terminal.expect("the code of your second factor (empty: do not answer):")
        terminal.send(f"{app.now()}\r")
        terminal.expect("rejected by alice")
        assert terminal.end() == 0
    assert vote(cli, id) == ("alice", "authenticated", "totp")


def test_what_needs_no_proof_is_not_asked_for_one(cli):
    """A name of one's own is authenticated by the system, and a rule that takes it asks no more."""
    id = cli.ask("secret", x=1)
    with Terminal(cli, "review", "--code") as terminal:
        press(terminal, "a")
        terminal.expect("reason")
        terminal.send("\r")
        terminal.expect(f"{id} approved by")
        assert terminal.end() == 0
        assert "do not answer" not in terminal.text


@pytest.mark.parametrize("more", [["--sign", "k", "--code"], ["--code", "--totp"], ["--sign", ""]])
def test_a_review_takes_one_kind_of_proof(cli, more):
    cli.ask("a", x=1)
    with Terminal(cli, "review", *more) as terminal:
        assert terminal.end() == 2
        assert "one of --sign, --code and --totp" in terminal.text or "empty" in terminal.text
