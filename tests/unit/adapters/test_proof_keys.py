"""The files of shared keys, code keys and second factors: who may read them, what they hold."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta

import pytest

from hitl_vault.adapters.proof.code_key import FileCodeKey
from hitl_vault.adapters.proof.hmac import HmacKeys
from hitl_vault.adapters.proof.secret_files import load_toml, save_secret, toml_text
from hitl_vault.adapters.proof.totp import TotpFactors
from hitl_vault.errors import ConfigError, StorageError

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(workspace):
    return workspace / "keys"


def test_a_code_key_is_made_once_and_for_its_owner_alone(folder):
    made = FileCodeKey(folder / "code.key").load()
    assert len(made) == 32
    assert FileCodeKey(folder / "code.key").load() == made
    assert (mode(folder), mode(folder / "code.key")) == (0o700, 0o600)
    assert [file.name for file in folder.iterdir()] == ["code.key"]


def test_a_secret_that_others_may_read_is_not_used(folder):
    FileCodeKey(folder / "code.key").load()
    for bits in (0o640, 0o604, 0o620):
        (folder / "code.key").chmod(bits)
        with pytest.raises(ConfigError, match=r"code\.key: others may read it"):
            FileCodeKey(folder / "code.key").load()


def test_a_broken_code_key_is_named_and_not_shown(folder):
    save_secret(folder / "code.key", b"secretsecret")
    with pytest.raises(ConfigError) as caught:
        FileCodeKey(folder / "code.key").load()
    assert "secretsecret" not in str(caught.value)


def test_a_file_in_place_of_the_folder_of_secrets_is_named(workspace):
    (workspace / "keys").write_text("")
    with pytest.raises(StorageError, match=r"hmac\.toml: cannot be stored"):
        save_secret(workspace / "keys" / "hmac.toml", b"")


def test_a_shared_key_comes_back_as_it_was_made(folder):
    keys = HmacKeys(folder / "hmac.toml", {"SECRET": "of the environment"})
    ends = NOW + timedelta(days=90)
    one = keys.add('Ann "é" \x7f', "ann-1", NOW, until=ends)
    two = keys.add("bob", "bob-1", NOW, until=None, env="SECRET")
    assert keys.load() == {"ann-1": one, "bob-1": two}
    assert len(keys.secret_of(one)) == 32
    assert keys.secret_of(two) == b"of the environment"
    assert mode(folder / "hmac.toml") == 0o600
    assert one.secret not in repr(one) + str(one)


def test_a_retired_key_stays_listed_and_its_secret_goes(folder):
    keys = HmacKeys(folder / "hmac.toml")
    made = keys.add("ann", "ann-1", NOW, until=None)
    keys.retire("ann-1", NOW + timedelta(days=1))
    assert keys.load()["ann-1"].ends_at == NOW + timedelta(days=1)
    assert made.secret not in (folder / "hmac.toml").read_text()
    with pytest.raises(ConfigError, match="already"):
        keys.add("ann", "ann-1", NOW, until=None)
    with pytest.raises(ConfigError, match="no key"):
        keys.retire("ann-2", NOW)


@pytest.mark.parametrize(
    "text",
    [
        "[a]\nsecret = 'c2VjcmV0'\nfrom = 2026-01-01T00:00:00Z",
        "[a]\nreviewer = 'x'\nsecret = 'c2VjcmV0'",
        "[a]\nreviewer = 'x'\nsecret = 'c2VjcmV0'\nfrom = 2026-01-01",
        "[a]\nreviewer = 'x'\nsecret = 'c2VjcmV0'\nfrom = 2026-01-01T00:00:00Z\nmore = 1",
        "a = 'c2VjcmV0'",
        "[a]\nreviewer = 'x'\nsecret = 'c2VjcmV0",
        "['a b']\nreviewer = 'x'\nfrom = 2026-01-01T00:00:00Z",
    ],
)
def test_a_broken_file_of_keys_is_named_and_not_shown(folder, text):
    save_secret(folder / "hmac.toml", text.encode())
    with pytest.raises(ConfigError, match=r"hmac\.toml") as caught:
        HmacKeys(folder / "hmac.toml").load()
    assert "c2VjcmV0" not in str(caught.value)
    assert caught.value.__cause__ is None or "c2VjcmV0" not in str(caught.value.__cause__)


@pytest.mark.parametrize("secret", ["", "c2hvcnQ=", "!!!"])
def test_a_secret_that_is_missing_or_short_is_refused(folder, secret):
    text = f"[a]\nreviewer = 'x'\nsecret = '{secret}'\nfrom = 2026-01-01T00:00:00Z\n"
    save_secret(folder / "hmac.toml", text.encode())
    keys = HmacKeys(folder / "hmac.toml")
    with pytest.raises(ConfigError):
        keys.secret_of(keys.load()["a"])


def test_a_variable_that_is_not_set_is_named(folder):
    keys = HmacKeys(folder / "hmac.toml", {})
    made = keys.add("ann", "ann-1", NOW, until=None, env="ANN_SECRET")
    with pytest.raises(ConfigError, match="ANN_SECRET"):
        keys.secret_of(made)


def test_texts_are_written_as_toml_reads_them(folder):
    for text in ("plain", 'q"uo\\te', "é\n\t\x00\x7f", "😀"):
        save_secret(folder / "t.toml", f"a = {toml_text(text)}".encode())
        assert load_toml(folder / "t.toml") == {"a": text}


# second factors


@pytest.fixture
def pyotp():
    return pytest.importorskip("pyotp")


def test_a_second_factor_is_that_of_the_authenticator_app(folder, pyotp):
    factors = TotpFactors(folder / "totp.toml")
    address = factors.enrol("Ann", "vault")
    app = pyotp.parse_uri(address)
    assert (app.issuer, app.name, mode(folder / "totp.toml")) == ("hitl-vault", "Ann@vault", 0o600)
    step = int(NOW.timestamp()) // 30
    for late in (0, 29, -30, 30):
        at = NOW + timedelta(seconds=late)
        assert factors.step_of("ann", app.at(NOW), at) == step
    assert factors.step_of("ann", app.at(NOW), NOW + timedelta(seconds=61)) is None
    spaced = f"{app.at(NOW)[:3]} {app.at(NOW)[3:]}"
    assert factors.step_of("ann", spaced, NOW) == step
    for typed in ("", "000", "é" * 6, "1" * 7):
        assert factors.step_of("ann", typed, NOW) is None


def test_a_second_factor_is_made_once_and_taken_away(folder, pyotp):
    factors = TotpFactors(folder / "totp.toml")
    factors.enrol("Ann", "vault")
    with pytest.raises(ConfigError, match="already"):
        factors.enrol("ANN", "vault")
    factors.retire("ann")
    assert factors.names() == []
    for work in (lambda: factors.step_of("ann", "1", NOW), lambda: factors.retire("ann")):
        with pytest.raises(ConfigError, match="no second factor"):
            work()


def test_without_the_extra_it_is_said_what_to_install(folder, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyotp", None)
    with pytest.raises(ConfigError, match=r"hitl-vault\[totp\]"):
        TotpFactors(folder / "totp.toml").enrol("ann", "vault")
