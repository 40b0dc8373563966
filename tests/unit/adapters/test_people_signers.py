"""Keys on record, in OpenSSH's own form."""

import shutil
import subprocess
from datetime import UTC, datetime

import pytest

from hitl_vault.adapters.ssh.allowed_signers import keys_on_record, parse_signers
from hitl_vault.adapters.ssh.editing import with_key, without_key, without_person
from hitl_vault.errors import ConfigError, InvalidRequest

ED = "AAAAC3NzaC1lZDI1NTE5AAAAIJc8x+sMAdDRhRfIF4j5dpvVtXkOf7ot86O2VBcsUPVX"
ED_PRINT = "SHA256:6Sj8iBQZzVxqpfAeT2m52YykhiYVhhC48V+zDkdxZSM"
OTHER = "AAAAC3NzaC1lZDI1NTE5AAAAIB5+wHOCvdAXxx19B84tvO9lFoz5E/2AXfO462s+C7k6"
UNTIL = datetime(2027, 1, 1, 12, 30, tzinfo=UTC)


def keys(text):
    return keys_on_record(text, name="allowed_signers")


def test_a_key_is_written_for_our_namespace_and_its_times_in_utc():
    text, key = with_key(
        "# mine\n", name="Carol D", key=f"ssh-ed25519 {ED} a b\n", valid_before=UNTIL
    )
    assert text.startswith('# mine\n"Carol D" namespaces="hitl-vault",valid-before="2027010112')
    assert keys(text) == (key,)
    assert (key.fingerprint, key.valid_before, key.line) == (ED_PRINT, UNTIL, 2)
    assert key.is_for_answers
    assert not key.has_expired(UNTIL)


def test_other_lines_are_read_as_openssh_reads_them():
    (key,) = keys(
        f'a,b cert-authority,namespaces="git,hitl-vault",valid-after="20260101Z" ssh-ed25519 {ED}\r\n'
    )
    assert key.principals == ("a", "b")
    assert key.is_authority
    assert key.valid_after == datetime(2026, 1, 1, tzinfo=UTC)
    (key,) = keys(f"*@x ssh-ed25519 {ED} c")
    assert key.namespaces is None
    (key,) = keys(f'a namespaces="git" ssh-ed25519 {ED}')
    assert not key.is_for_answers


@pytest.mark.parametrize(
    "line",
    [
        "alice",
        f"alice ssh-ed25519 {ED[:-3]}",
        f"alice ssh-rsa {ED}",
        f"alice nonsense ssh-ed25519 {ED}",
        f'alice namespace="x" ssh-ed25519 {ED}',
        f'alice valid-before="soon" ssh-ed25519 {ED}',
        f'alice valid-before="20271399" ssh-ed25519 {ED}',
    ],
)
def test_a_line_that_cannot_be_read_is_named(line):
    with pytest.raises(ConfigError, match="allowed_signers:2: "):
        keys(f"# a comment\n{line}\n")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n", "private key"),
        ("hello", "one SSH public key"),
        (f"ssh-ed25519 {ED}\nssh-ed25519 {OTHER}\n", "one SSH public key"),
        ("ssh-dss AAAA", "not accepted"),
        ("ssh-ed25519-cert-v01@openssh.com AAAA", "not accepted"),
        (f"ssh-ed25519 {ED[:-3]}x", "damaged"),
    ],
)
def test_only_one_whole_public_key_is_taken_and_no_secret_is_repeated(given, said):
    with pytest.raises(InvalidRequest, match=said) as caught:
        with_key("", name="alice", key=given)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["*", "a?", "!a", "a,b", 'a"b', "a#b"])
def test_no_name_becomes_a_pattern(name):
    with pytest.raises(InvalidRequest, match="cannot stand in the name"):
        with_key("", name=name, key=f"ssh-ed25519 {ED}")


def test_one_key_proves_one_person():
    text, _ = with_key("", name="alice", key=f"ssh-ed25519 {ED}")
    with pytest.raises(InvalidRequest, match="on record for alice"):
        with_key(text, name="bob", key=f"ssh-ed25519 {ED}")


def test_a_key_goes_by_its_fingerprint_and_every_other_byte_stays():
    text, _ = with_key("# x\r\n\n", name="alice", key=f"ssh-ed25519 {ED}")
    both, _ = with_key(text, name="alice", key=f"ssh-ed25519 {OTHER}")
    left, gone = without_key(both, name="ALICE", beginning=keys(both)[1].fingerprint[:16])
    assert (left, gone.fingerprint) == (text, keys(both)[1].fingerprint)
    for beginning in ("SHA256:", "SHA256:nothing-like-it", ""):
        with pytest.raises(InvalidRequest, match="names no one key"):
            without_key(both, name="alice", beginning=beginning)


def test_who_leaves_goes_from_every_line():
    mine, _ = with_key("", name="alice", key=f"ssh-ed25519 {ED}")
    shared = f'{mine}bob,alice namespaces="hitl-vault" ssh-ed25519 {OTHER} team\n'
    left, gone = without_person(shared, name="Alice")
    assert left == f'bob namespaces="hitl-vault" ssh-ed25519 {OTHER} team\n'
    assert len(gone) == 2


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="OpenSSH is not installed")
@pytest.mark.parametrize("name", ["alice", "Carol D"])
def test_openssh_takes_what_was_written(tmp_path, name):
    """A real signature verifies under the written line, in our namespace only."""
    quiet = {"check": True, "capture_output": True, "cwd": tmp_path}
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "k"], **quiet)
    text, key = with_key("", name=name, key=(tmp_path / "k.pub").read_text())
    (tmp_path / "signers").write_text(text)
    (tmp_path / "m").write_text("yes")
    shown = subprocess.run(["ssh-keygen", "-lf", "k.pub"], text=True, **quiet).stdout
    assert key.fingerprint in shown
    for space, fine in (("hitl-vault", True), ("git", False)):
        (tmp_path / "m.sig").unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-Y", "sign", "-f", "k", "-n", space, "m"], **quiet)
        verify = ["ssh-keygen", "-Y", "verify", "-f", "signers", "-I", name, "-n", space]
        done = subprocess.run(
            [*verify, "-s", "m.sig"], input=b"yes", capture_output=True, cwd=tmp_path
        )
        assert (done.returncode == 0) is fine


def test_a_line_is_the_same_on_record_and_in_a_proof():
    """One reading: what is on record counts, unless it says why not; times as OpenSSH has them."""
    text = (
        f'alice valid-before="20270101Z" ssh-ed25519 {ED}\n'
        f'* valid-before="20270101utc" ssh-ed25519 {OTHER}\n'
    )
    one, pattern = parse_signers(text)
    assert keys(text) == (one.on_record(), pattern.on_record())
    assert (
        one.limits.valid_before == pattern.limits.valid_before == datetime(2027, 1, 1, tzinfo=UTC)
    )
    assert (one.problem, pattern.is_broken) == ("", False)
    assert "pattern" in pattern.problem
