"""hitl serve and hitl token, as commands."""

import json
import re
import signal
import socket
import stat
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest
from cli_support import Cli, Terminal

_SERVING = re.compile(r"at (https?://[^;\s]+);")
_LINK = re.compile(r"https?://\S+/sign-in/link#(\S+)")


@pytest.fixture
def cli(workspace):
    cli = Cli(workspace / "vault")
    cli.vault.mkdir()
    cli.ok("init", ".")
    yield cli
    cli.close()


def served(cli, *arguments):
    """Start the service; return the child and its address, once it says so."""
    child = cli.start("serve", "--port", "0", *arguments)
    first = child.stderr.readline()
    assert _SERVING.search(first), first + child.stderr.read()
    return child, _SERVING.search(first)[1]


def status(url, token="", **headers):
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=10
        ) as got:
            return got.status
    except urllib.error.HTTPError as error:
        return error.code


def test_it_serves_who_has_a_token_until_it_is_told_to_end(cli):
    """A token made by one command counts for another at once, and ends at once."""
    child, url = served(cli)
    token = cli.ok("token", "create", "--agent", "bot").strip()
    assert status(f"{url}/api/v1/requests", token) == 200
    assert status(f"{url}/api/v1/requests") == 401
    cli.ok("token", "revoke", token.split("_")[1][:6])
    assert status(f"{url}/api/v1/requests", token) == 401
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=20) == 0


def test_it_says_what_it_serves_and_keeps_its_link_for_a_terminal(cli):
    """In a pipe, which may be kept, there is no link that signs anybody in."""
    child, url = served(cli)
    said = child.stderr.readline() + child.stderr.readline()
    assert f"{url}/inbox" in said
    assert "hitl token link" in said
    assert "#" not in said
    assert not (cli.vault / ".hitl/keys/links.toml").exists()
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=20) == 0


def test_on_a_terminal_its_link_signs_in_who_started_it_once(cli):
    """The link is stored as a digest only."""
    with Terminal(cli, "serve", "--port", "0", columns=200) as terminal:
        code = _LINK.search(terminal.expect("/sign-in/link#") + terminal.expect("\n", times=3))[1]
        stored = (cli.vault / ".hitl/keys/links.toml").read_text()
        assert code.split("_", 1)[0] in stored
        assert code.split("_", 1)[1] not in stored
        terminal.send("\x03")
        assert terminal.end() == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "--tls-cert"),
        (["--host", "::"], "--behind-proxy"),
        (["--host", "192.0.2.7"], "--insecure"),
        (["--host", "0.0.0.0", "--insecure"], "--url is needed"),
        (["--host", "0.0.0.0", "--insecure", "--open"], "this machine alone"),
        (["--open", "--behind-proxy", "127.0.0.1"], "this machine alone"),
        (["--behind-proxy", "127.0.0.1"], "--url is needed"),
        (["--behind-proxy", "*", "--url", "https://a.example"], "no address"),
        (["--tls-cert", "a.pem"], "both are needed"),
        (["--tls-cert", "a.pem", "--tls-key", "b.pem"], "cannot be used"),
        (["--url", "hitl.example.com"], "must be such as"),
        (["--url", "https://hitl.example.com/desk"], "without a path"),
    ],
    ids=" ".join,
)
def test_it_is_not_reached_from_elsewhere_unless_that_is_made_safe(cli, arguments, said):
    """It ends with 2 and says what to do, before it listens."""
    ended = cli.run("serve", "--port", "0", *arguments)
    assert ended.returncode == 2, ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_in_use_is_named(cli):
    """Not a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = cli.run("serve", "--port", str(port))
    assert ended.returncode == 2
    assert f"port {port} of 127.0.0.1 is in use" in ended.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "prot"),
        ("port = 'x'", "$.port"),
        ("port =", "server.toml"),
        ("session = 'soon'", "session"),
        ("session_idle = 0", "session_idle"),
        ("[oidc]\nissuer = 'https://a'", "client_id"),
    ],
)
def test_a_wrong_setting_is_named(cli, text, said):
    """With its file, and nothing is served."""
    (cli.vault / ".hitl/server.toml").write_text(text + "\n")
    ended = cli.run("serve")
    assert ended.returncode == 2, ended.stderr
    assert "server.toml" in ended.stderr
    assert said in ended.stderr


def test_what_is_said_on_the_command_line_wins_over_the_file(cli):
    """And what is not said is read from the file."""
    (cli.vault / ".hitl/server.toml").write_text('port = 1\nurl = "https://hitl.example"\n')
    _, url = served(cli)
    assert not url.endswith(":1")
    assert status(f"{url}/sign-in", Host="hitl.example") == 200
    assert status(f"{url}/sign-in", Host="evil.example") == 421


def test_a_vault_that_cannot_be_opened_is_not_served(cli):
    """The error is that of every other command."""
    (cli.vault / ".hitl/ledger.db").write_bytes(b"not a ledger" * 1000)
    ended = cli.run("serve", "--port", "0")
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stderr.startswith("hitl: ")


def test_behind_a_proxy_its_word_of_who_calls_counts(cli):
    """Failures are counted for the address that the trusted proxy names, and cookies are secure."""
    _, url = served(cli, "--behind-proxy", "127.0.0.1", "--url", "https://hitl.example")
    asked = f"{url}/api/v1/requests"
    for _ in range(30):
        last = status(asked, "hitl_0123456789_x", **{"X-Forwarded-For": "10.0.0.1"})
    assert last == 429
    assert status(asked, "hitl_0123456789_x", **{"X-Forwarded-For": "10.0.0.2"}) == 401
    request = urllib.request.Request(f"{url}/sign-in", headers={"Host": "hitl.example"})
    with urllib.request.urlopen(request, timeout=10) as got:
        assert got.headers["set-cookie"].startswith("__Host-")


def test_over_tls_the_cookie_is_bound_to_it(cli):
    """A certificate and its key are enough."""
    make_certificate(cli.vault)
    _, url = served(cli, "--tls-cert", "cert.pem", "--tls-key", "key.pem")
    assert url.startswith("https://")
    import ssl

    context = ssl.create_default_context(cafile=cli.vault / "cert.pem")
    with urllib.request.urlopen(f"{url}/sign-in", context=context, timeout=10) as got:
        assert got.headers["set-cookie"].startswith("__Host-hitl_form_")
        assert "Secure" in got.headers["set-cookie"]
        assert got.headers["strict-transport-security"]


def make_certificate(folder):
    """Put a certificate for this machine into a folder."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


# hitl token


def test_a_token_is_shown_once_and_stored_as_a_digest(cli):
    """Its file is for its owner alone."""
    made = cli.json("token", "create", "--reviewer", "alice", "--scope", "read")
    secret = made["token"].split("_", 2)[2]
    file = cli.vault / ".hitl/keys/tokens.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert secret not in file.read_text()
    [listed] = cli.json("token", "list")
    assert "token" not in listed
    assert (listed["name"], listed["scopes"], listed["caller"]) == ("alice", "read", "reviewer")
    assert secret not in cli.ok("token", "list")


@pytest.mark.parametrize("scope", ["vote", "operate"])
def test_an_agents_token_is_never_made_for_more_than_asking_and_reading(cli, scope):
    """Nothing is stored."""
    ended = cli.run("token", "create", "--agent", "bot", "--scope", scope)
    assert ended.returncode == 2
    assert f"can never hold {scope}" in ended.stderr
    assert cli.json("token", "list") == []


def test_a_token_of_somebody_not_on_record_is_not_made(cli):
    """Where a record of reviewers is kept, the name must be in it; it is taken as it is there."""
    cli.ok("reviewer", "add", "Alice", "--role", "finance")
    ended = cli.run("token", "create", "--reviewer", "alise")
    assert ended.returncode == 2
    assert "not on record" in ended.stderr
    assert "did you mean Alice?" in ended.stderr
    assert cli.json("token", "create", "--reviewer", "alice")["name"] == "Alice"
    assert cli.run("token", "link", "--reviewer", "mallory").returncode == 2


def test_a_token_without_an_end_is_made_only_when_asked_for(cli):
    """90 days otherwise."""
    assert cli.json("token", "create", "--agent", "a", "--for", "always")["counts"] == "always"
    assert cli.json("token", "create", "--agent", "b")["counts"].startswith("until ")


def test_a_link_is_short_lived_and_can_be_revoked(cli):
    """It is listed beside the tokens."""
    assert cli.run("token", "link", "--reviewer", "alice", "--for", "2d").returncode == 2
    made = cli.json("token", "link", "--reviewer", "alice")
    assert made["link"].startswith("http://127.0.0.1:8020/sign-in/link#")
    [listed] = cli.json("token", "list")
    assert (listed["caller"], listed["id"]) == ("link", made["id"])
    cli.ok("token", "revoke", made["id"][:4])
    assert cli.json("token", "list") == []


def test_the_beginning_of_an_id_is_enough_if_it_names_one(cli):
    """Else nothing is revoked."""
    for name in "ab":
        cli.ok("token", "create", "--agent", name)
    assert cli.run("token", "revoke", "").returncode == 2
    assert cli.run("token", "revoke", "zz").returncode == 2
    first = cli.json("token", "list")[0]
    cli.ok("token", "revoke", first["id"][:9])
    counts = {one["name"]: one["counts"] for one in cli.json("token", "list")}
    assert counts["a"].startswith("no: ended")
    assert counts["b"].startswith("until")


# hitl doctor


def checks(cli):
    """Return what the doctor finds of the service."""
    found = json.loads(cli.run("doctor", "--json").stdout)["checks"]
    about = {"tokens", "sessions", "service", "keys"}
    return {(one["mark"], one["found"]) for one in found if one["what"] in about}


def test_the_doctor_names_what_is_wrong_with_tokens(cli):
    """Scopes that somebody wrote in, tokens for ever, and of people who left."""
    assert not checks(cli)
    cli.ok("token", "create", "--reviewer", "mallory")
    agent = cli.json("token", "create", "--agent", "bot", "--for", "always")["id"]
    cli.ok("reviewer", "add", "alice")
    file = cli.vault / ".hitl/keys/tokens.toml"
    file.write_text(file.read_text().replace('["ask"]', '["ask", "vote"]'))
    found = checks(cli)
    assert ("wrong", f"the file gives {agent}, an agent's, vote") in found
    assert ("look", f"these count for ever: {agent} (bot)") in found
    assert [text for mark, text in found if mark == "look" and "mallory" in text]
    assert ("note", "2 count, 0 signed in") in found
    file.chmod(0o644)
    found = checks(cli)
    assert [text for mark, text in found if mark == "wrong" and "others may read it" in text]


def test_the_doctor_names_a_setting_that_does_not_serve(cli):
    """Before anybody waits for a service that does not start."""
    (cli.vault / ".hitl/server.toml").write_text('host = "0.0.0.0"\n')
    assert [text for mark, text in checks(cli) if mark == "wrong" and "--tls-cert" in text]
