"""SSH signatures, by the real ssh-keygen: what counts, and everything that must not."""

from __future__ import annotations

import asyncio
import os
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ssh_kit import KINDS, make_key, needs_ssh, public, run

from hitl_vault.adapters.proof.ssh import SshProver, sealed, sign_with_ssh
from hitl_vault.adapters.ssh import keygen
from hitl_vault.adapters.ssh.allowed_signers import parse_signers
from hitl_vault.adapters.ssh.keygen import unarmoured
from hitl_vault.core.statement import (
    PAYLOAD_TYPE,
    Statement,
    pae,
    parse_envelope,
    statement_bytes,
)
from hitl_vault.errors import ConfigError, InvalidRequest, TrustError

pytestmark = needs_ssh
NOW = datetime.now(UTC)
BODY = statement_bytes(
    Statement(
        vault="v",
        request="pay-1",
        payload_sha256="a" * 64,
        answer="approve",
        reviewer="alice",
        at="2026-11-21T09:30:12Z",
    )
)


def judge(file, proof, reviewer="alice", at=NOW):
    """Return the name of the key that made a proof, by a file of signers."""
    envelope = proof if not isinstance(proof, str) else parse_envelope(proof)
    return found(file, envelope, reviewer, at).key_id


def found(file, envelope, reviewer="alice", at=NOW):
    """Return the key that made a proof, with its times."""
    return asyncio.run(SshProver(file).key_of(envelope, reviewer, at))


def says(file, proof, reviewer="alice", at=NOW):
    """Return why a proof is refused."""
    with pytest.raises(TrustError) as caught:
        judge(file, proof, reviewer, at)
    return str(caught.value)


@pytest.fixture
def key(workspace):
    return make_key(workspace)


@pytest.fixture
def signers(workspace, key):
    file = workspace / "allowed_signers"
    file.write_text(f"# keys\n\nalice {public(key)} her laptop\n")
    return file


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_key_signs_and_is_named_by_its_fingerprint(workspace, kind):
    key = make_key(workspace, kind=kind)
    file = workspace / "allowed_signers"
    file.write_text(f'alice namespaces="hitl-vault,git" {public(key)}\n')
    proof = sign_with_ssh(BODY, key)
    name = run("-lf", f"{key}.pub").decode().split()[1]
    assert judge(file, proof) == f"ssh:{name}"
    assert parse_envelope(proof).payload == BODY


def test_a_public_key_signs_where_an_agent_holds_the_private_one(workspace, key, signers):
    """The way of hardware tokens, too: the file names the key, somebody else holds it."""
    import subprocess

    said = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    agent = dict(part.split("=") for part in said.replace("\n", "").split(";") if "=" in part)
    before = dict(os.environ)
    os.environ.update({name.strip(): value for name, value in agent.items()})
    try:
        subprocess.run(["ssh-add", "-q", str(key)], check=True, capture_output=True)
        key.unlink()
        assert judge(signers, sign_with_ssh(BODY, Path(f"{key}.pub"))).startswith("ssh:SHA256:")
    finally:
        subprocess.run(["ssh-agent", "-k"], check=False, capture_output=True)
        os.environ.clear()
        os.environ.update(before)


def test_what_plain_ssh_keygen_signs_counts(workspace, key, signers):
    """A machine with nothing but OpenSSH can sign."""
    exact = workspace / "exact"
    exact.write_bytes(pae(PAYLOAD_TYPE, BODY))
    run("-Y", "sign", "-f", key, "-n", "hitl-vault", exact)
    blob = unarmoured((workspace / "exact.sig").read_text())
    assert judge(signers, sealed(BODY, blob))


@pytest.mark.parametrize("kind", KINDS)
def test_every_changed_byte_is_refused(tmp_path_factory, kind):
    """Whatever byte of the statement, the signature or the key's name is changed."""
    folder = tmp_path_factory.mktemp("ssh")
    key, file = make_key(folder, kind=kind), folder / "signers"
    file.write_text(f"alice {public(key)}\n")
    good = parse_envelope(sign_with_ssh(BODY, key))
    assert judge(file, good)

    @settings(max_examples=60)
    @given(st.data())
    def flip(data):
        field = data.draw(st.sampled_from(["payload", "signature"]))
        changed = bytearray(getattr(good, field))
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
        says(file, replace(good, **{field: bytes(changed)}))

    flip()
    says(file, replace(good, payload_type="text/plain"))
    says(file, replace(good, key_id=good.key_id + "x"))
    says(file, replace(good, signature=good.signature + b"\0"))
    says(file, replace(good, signature=good.signature[:-1]))


def test_a_signature_for_another_purpose_is_refused(key, signers):
    raw = run("-Y", "sign", "-f", key, "-n", "git", input=pae(PAYLOAD_TYPE, BODY))
    proof = sealed(BODY, unarmoured(raw.decode()))
    assert says(signers, proof) == (
        "it was signed for another purpose: its namespace is 'git', not 'hitl-vault'"
    )


def test_a_key_that_nobody_knows_is_refused(workspace, signers):
    other = make_key(workspace, "other")
    assert "is not in allowed_signers" in says(signers, sign_with_ssh(BODY, other))


def test_nobody_signs_with_another_ones_key(workspace, key, signers):
    assert "is not bob's" in says(signers, sign_with_ssh(BODY, key), "bob")


def test_without_a_file_no_key_counts(workspace, key):
    assert "is not in none" in says(workspace / "none", sign_with_ssh(BODY, key))


def test_a_name_is_one_however_it_is_spelt(workspace, key):
    file = workspace / "signers"
    file.write_text(f'"Alice  Smith" {public(key)}\n')
    proof = sign_with_ssh(BODY, key)
    assert judge(file, proof, "alice smith")
    assert judge(file, proof, "ALICE SMITH")
    assert "is not alice's" in says(file, proof, "alice")


def test_a_key_of_two_people_is_nobodys(workspace, key):
    """On one line or on two: it would make one holder two of those a rule asks for."""
    file = workspace / "signers"
    proof = sign_with_ssh(BODY, key)
    for text in (f"alice,bob {public(key)}\n", f"alice {public(key)}\nbob {public(key)}\n"):
        file.write_text(text)
        assert "more than one person" in says(file, proof, "alice")


def test_a_line_that_cannot_be_read_holds_all_signatures_back(workspace, key):
    """It cannot be put on record either, so nobody would know who may sign."""
    file = workspace / "signers"
    file.write_text(f"alice {public(key)}\nnonsense\n")
    assert "until it is mended" in says(file, sign_with_ssh(BODY, key), "alice")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ('valid-before="20200101"', "has expired"),
        ('valid-after="20990101"', "is not valid yet"),
        ('namespaces="git,file"', "not allowed to sign for 'hitl-vault'"),
        ("cert-authority", "certificate authority"),
        ('cert-authority,namespaces="hitl-vault"', "certificate authority"),
        ("CERT-AUTHORITY", "certificate authority"),
        ("shiny", "the option 'shiny' is not known"),
        ('namespaces="git",namespaces="hitl-vault"', "stands twice"),
        ("namespaces", "needs a value"),
        ('cert-authority="no"', "takes no value"),
        ('namespaces="hitl-vault",', "neither an option"),
        ('namespaces="hitl-vault"cert-authority', "neither an option"),
        ('valid-before="later"', "is no time"),
    ],
)
def test_an_option_that_says_no_is_heeded(workspace, key, options, why):
    file = workspace / "signers"
    file.write_text(f"alice {options} {public(key)}\n")
    assert why in says(file, sign_with_ssh(BODY, key))


def test_a_key_is_judged_at_the_time_it_is_handed_in(workspace, key):
    """Signed in time, handed in too late: refused."""
    ends = NOW.astimezone() + timedelta(minutes=1)
    file = workspace / "signers"
    file.write_text(f'alice valid-before="{ends:%Y%m%d%H%M%S}" {public(key)}\n')
    proof = sign_with_ssh(BODY, key)
    assert judge(file, proof, at=NOW)
    assert "has expired" in says(file, proof, at=NOW + timedelta(minutes=2))


def test_a_key_is_given_with_the_times_of_its_line(workspace, key):
    """For the commit, which comes later: `valid-before` itself is the last moment that counts."""
    file = workspace / "signers"
    file.write_text(f'alice valid-after="20260101Z",valid-before="20990101Z" {public(key)}\n')
    made = found(file, parse_envelope(sign_with_ssh(BODY, key)))
    assert made.valid_from == datetime(2026, 1, 1, tzinfo=UTC)
    assert made.valid_until == datetime(2099, 1, 1, microsecond=1, tzinfo=UTC)
    file.write_text(f"alice {public(key)}\n")
    made = found(file, parse_envelope(sign_with_ssh(BODY, key)))
    assert (made.valid_from, made.valid_until) == (None, None)


def test_of_several_lines_the_one_that_counts_longest_gives_the_times(workspace, key):
    """And only one that is for answers: a longer one for git prolongs nothing."""
    file = workspace / "signers"
    file.write_text(
        f'alice valid-before="20970101Z" {public(key)}\n'
        f'alice valid-before="20980101Z" {public(key)}\n'
        f'alice namespaces="git" {public(key)}\n'
    )
    made = found(file, parse_envelope(sign_with_ssh(BODY, key)))
    assert made.valid_until == datetime(2098, 1, 1, microsecond=1, tzinfo=UTC)


def test_one_line_in_force_is_enough(workspace, key):
    file = workspace / "signers"
    file.write_text(
        f'alice valid-before="20200101" {public(key)}\nalice namespaces="hitl-vault" {public(key)}\n'
    )
    assert judge(file, sign_with_ssh(BODY, key))


@pytest.mark.parametrize("principal", ["*", "ali*", "alic?", "alice,!bob", "*,alice", "!mallory,*"])
def test_a_pattern_is_nobodys_name(workspace, key, principal):
    file = workspace / "signers"
    file.write_text(f"{principal} {public(key)}\n")
    assert "pattern" in says(file, sign_with_ssh(BODY, key))


def test_a_certificate_does_not_count(workspace, key):
    authority = make_key(workspace, "authority")
    run("-q", "-s", authority, "-I", "alice", "-n", "alice", f"{key}.pub")
    file = workspace / "signers"
    file.write_text(f"alice cert-authority {public(authority)}\nalice {public(key)}\n")
    signed = run(
        "-Y", "sign", "-f", f"{key}-cert.pub", "-n", "hitl-vault", input=pae(PAYLOAD_TYPE, BODY)
    )
    assert says(file, sealed(BODY, unarmoured(signed.decode())))


@pytest.mark.parametrize("name", ["-O", "alice\nbob ssh-ed25519 AAAA", '"', "alice ", "* "])
def test_no_name_of_a_reviewer_reaches_ssh_keygen(signers, key, name):
    """A name is compared here, so it can be neither an option nor a line of the file."""
    proof = sign_with_ssh(BODY, key)
    if name.strip() == "alice":
        assert judge(signers, proof, name)
    else:
        assert "is not" in says(signers, proof, name)


def test_what_verifying_writes_is_readable_by_nobody_else(workspace, key, signers, monkeypatch):
    seen = []
    real = keygen.subprocess.run

    def watched(argv, **options):
        for flag in ("-f", "-s"):
            file = Path(argv[argv.index(flag) + 1])
            seen.append(stat.S_IMODE(file.parent.stat().st_mode))
            seen.append(file)
        assert options.get("shell") is None
        assert options["timeout"] > 0
        return real(argv, **options)

    proof = sign_with_ssh(BODY, key)
    monkeypatch.setattr(keygen.subprocess, "run", watched)
    assert judge(signers, proof)
    assert seen[0] == seen[2] == 0o700
    assert not seen[1].exists()
    assert not seen[3].exists()


def test_without_ssh_keygen_it_is_said_what_to_install(key, signers, monkeypatch):
    proof = sign_with_ssh(BODY, key)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="openssh-client"):
        judge(signers, proof)
    with pytest.raises(ConfigError, match="openssh-client"):
        sign_with_ssh(BODY, key)


def test_an_ssh_keygen_that_hangs_or_lies_is_not_believed(workspace, key, signers, monkeypatch):
    proof = sign_with_ssh(BODY, key)
    fake = workspace / "ssh-keygen"
    for script, why in (("exec sleep 30", "no answer in"), ("exit 0", "not right")):
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o700)
        monkeypatch.setenv("PATH", f"{workspace}:/usr/bin:/bin")
        monkeypatch.setattr(keygen, "_VERIFY_S", 0.2)
        assert why in says(signers, proof)


def test_a_key_that_cannot_sign_is_named(workspace):
    with pytest.raises(InvalidRequest, match="there is no key file"):
        sign_with_ssh(BODY, workspace / "none")
    bad = workspace / "bad"
    bad.write_text("no key")
    bad.chmod(0o600)
    with pytest.raises(InvalidRequest, match="did not sign with"):
        sign_with_ssh(BODY, bad)


@pytest.mark.parametrize(
    "text", ["", "x", "-----BEGIN SSH SIGNATURE-----\n!\n-----END SSH SIGNATURE-----"]
)
def test_what_is_no_signature_is_refused(text):
    with pytest.raises(TrustError):
        unarmoured(text)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_as_a_signature_or_refused(data):
    for blob in (data, b"SSHSIG\0\0\0\1" + data):
        try:
            keygen.read_signature(blob)
        except TrustError:
            pass


@given(st.text(max_size=200))
def test_any_text_is_read_as_signers(text):
    for signer in parse_signers(text):
        assert signer.problem or signer.key_type


def test_bad_lines_of_signers_are_named(workspace, key):
    text = f'"alice {public(key)}\nalice\nalice ssh-ed25519 !!\nalice ssh-dss AAAA\n'
    found = list(parse_signers(text))
    assert [signer.line for signer in found] == [1, 2, 3, 4]
    assert all(signer.problem for signer in found)
