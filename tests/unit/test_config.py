"""Where settings come from, and what is wrong with them."""

from __future__ import annotations

import pytest

from hitl_vault.config import STATE_FOLDER, Settings, find_vault, load_settings
from hitl_vault.errors import ConfigError, VaultNotFound


@pytest.fixture
def root(workspace):
    (workspace / STATE_FOLDER).mkdir()
    return workspace


def write(root, text, name="config.toml"):
    data = text if isinstance(text, bytes) else text.encode()
    (root / STATE_FOLDER / name).write_bytes(data)


def test_without_any_source_the_defaults_count(root):
    """A vault needs no configuration."""
    assert load_settings(root, {}, {}) == Settings()


def test_the_later_source_wins(root):
    """File, then environment, then the call."""
    write(root, "settle_s = 5\ntimeout_s = '2h'\npolicy = 'rules/My policy.md'")
    found = load_settings(root, {"HITL_SETTLE_S": "3", "HITL_WATCH": "polling"}, {"settle_s": 0})
    assert found == Settings(
        settle_s=0, timeout_s=7200, policy="rules/My policy.md", watch="polling"
    )


def test_durations_may_be_texts_everywhere(root):
    """Seconds or texts with units, from each source."""
    write(root, 'timeout_s = "1h30m"')
    found = load_settings(root, {"HITL_RESCAN_S": "500"}, {"archive_after_s": "2d"})
    assert (found.timeout_s, found.rescan_s, found.archive_after_s) == (5400, 500, 172800)


def test_whole_numbers_come_from_each_source(root):
    """Limits and thresholds; 0 is a number too."""
    write(root, "max_pending_per_agent = 20\nalert_pending = 0")
    found = load_settings(root, {"HITL_MAX_REQUESTS_PER_MINUTE": "30"}, {"alert_expired": 5})
    assert (found.max_pending_per_agent, found.max_requests_per_minute) == (20, 30)
    assert (found.alert_pending, found.alert_expired) == (0, 5)


def test_the_environment_of_other_tools_is_left_alone(root):
    """Only names of settings are read; what is not nearly one may be anybody's."""
    others = ("HITL_VAULT", "HITL_OTHER", "HITL_TOKEN", "HITL_API_KEY", "HITL_S", "HITL_", "PATH")
    others += ("HITL_WATCH_DOG_URL", "HITL_URL", "HITL_HOME", "HITL_DEBUG", "hitl_setle_s")
    assert load_settings(root, dict.fromkeys(others, "1"), {}) == Settings()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("HITL_SETLE_S", "HITL_SETTLE_S"),
        ("HITL_SETTLE", "HITL_SETTLE_S"),
        ("HITL_TIMEOUT", "HITL_TIMEOUT_S"),
        ("HITL_TIME_OUT_S", "HITL_TIMEOUT_S"),
        ("HITL_WACTH", "HITL_WATCH"),
        ("HITL_POLICIY", "HITL_POLICY"),
        ("HITL_PENDING_FOLDERS", "HITL_PENDING_FOLDER"),
        ("HITL_VALT", "HITL_VAULT"),
        ("HITL_Setle_S", "HITL_SETTLE_S"),
    ],
)
def test_a_misspelt_variable_is_named_with_the_right_one(root, typed, meant):
    """A setting somebody believes to have set never does nothing in silence."""
    with pytest.raises(ConfigError, match=f"the environment: {typed} .* did you mean {meant}"):
        load_settings(root, {typed: "1"}, {})


def test_a_byte_order_mark_is_no_error(root):
    """Some editors write one."""
    write(root, b"\xef\xbb\xbfsettle_s = 2\r\n")
    assert load_settings(root, {}, {}).settle_s == 2


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("settel_s", 1, "unknown setting 'settel_s'; did you mean 'settle_s'"),
        ("zzz", 1, "unknown setting 'zzz'; known: "),
        ("max_pending_per_agent", -1, "max_pending_per_agent must be a whole number, 0 or more"),
        ("max_pending_per_agent", 1.5, "must be a whole number"),
        ("max_requests_per_minute", True, "must be a whole number"),
        ("alert_pending", "ten", "must be a whole number"),
        ("alert_expired", 10**7, "at most 1,000,000"),
        ("alert_oldest_s", "soon", "alert_oldest_s: 'soon' is not a duration"),
        ("timeout_s", "soon", "timeout_s: 'soon' is not a duration"),
        ("timeout_s", -1, "timeout_s: -1 is not a duration"),
        ("timeout_s", True, "timeout_s: True is not a duration"),
        ("timeout_s", 10**400, "timeout_s: "),
        ("timeout_s", float("nan"), "timeout_s: nan is not a duration"),
        ("timeout_s", None, "timeout_s: None is not a duration"),
        ("timeout_s", 0, "timeout_s must be more than 0"),
        ("use_within_s", "0s", "use_within_s must be more than 0"),
        ("rescan_s", 0, "rescan_s must be more than 0"),
        ("watch", "always", "watch must be one of auto, events, polling"),
        ("watch", 1, "watch must be a text"),
        ("policy", "", "policy must be a text"),
        ("policy", "../Policy.md", "policy must be a plain path inside the vault"),
        ("pending_folder", "/tmp/x", "pending_folder must be a plain path"),
        ("pending_folder", "a//b", "pending_folder must be a plain path"),
        ("pending_folder", "a/", "pending_folder must be a plain path"),
        ("pending_folder", ".hidden", "pending_folder must be a plain path"),
        ("pending_folder", "a\\b", "pending_folder must be a plain path"),
        ("pending_folder", "C:", "pending_folder must be a plain path"),
        ("pending_folder", "a\x00b", "pending_folder must be a plain path"),
        ("pending_folder", "a\nb", "pending_folder must be a plain path"),
        ("pending_folder", "inbox ", "pending_folder must be a plain path"),
        ("pending_folder", "inbox.tmp", "pending_folder must be a plain path"),
        ("done_folder", ["Done"], "done_folder must be a text"),
        ("approved_folder", "pending_approval", "four different folders"),
        ("approved_folder", "Done", "four different folders"),
        ("done_folder", "Approved/Done", "'Approved' and 'Approved/Done'"),
    ],
)
def test_each_mistake_names_the_key_and_its_source(root, key, value, says):
    """Whoever set it knows what to change, and where."""
    with pytest.raises(ConfigError) as wrong:
        load_settings(root, {}, {key: value})
    assert says in str(wrong.value)
    assert str(wrong.value).startswith("the call: ") or "_folder" in key


def test_the_source_is_named(root):
    """The file with its path, the environment with its variable's setting."""
    write(root, "settle_s = 'x'")
    with pytest.raises(ConfigError, match=r"config\.toml: settle_s"):
        load_settings(root, {}, {})
    write(root, "")
    with pytest.raises(ConfigError, match="the environment: watch"):
        load_settings(root, {"HITL_WATCH": "x"}, {})


@pytest.mark.parametrize("text", ["settle_s =", b"\xff", "a = 1\na = 2", "[watch]\nx = 1"])
def test_a_file_that_cannot_be_read_is_named(root, text):
    """No TOML, no UTF-8, keys twice, tables nobody knows."""
    write(root, text)
    with pytest.raises(ConfigError, match=r"config\.toml"):
        load_settings(root, {}, {})


def test_a_folder_in_the_files_place_is_named(root):
    """Whatever cannot be read is a ConfigError."""
    (root / STATE_FOLDER / "config.toml").mkdir()
    with pytest.raises(ConfigError, match=r"config\.toml"):
        load_settings(root, {}, {})


# which vault


def test_a_named_vault_must_be_one(root, workspace):
    """The message says how to make it one."""
    assert find_vault(workspace, str(root)) == root.resolve()
    for named in (str(root / "no"), "~nobody-has-this-name/vault"):
        with pytest.raises(VaultNotFound, match="hitl init"):
            find_vault(workspace, named)


def test_the_nearest_parent_is_the_vault(root):
    """From anywhere within."""
    deep = root / "a" / "b"
    deep.mkdir(parents=True)
    assert find_vault(deep, None) == root.resolve()
    (root / "a" / STATE_FOLDER).mkdir()
    assert find_vault(deep, None) == (root / "a").resolve()


def test_no_vault_says_how_to_make_one(tmp_path):
    """Outside every vault."""
    with pytest.raises(VaultNotFound, match="--vault or HITL_VAULT"):
        find_vault(tmp_path, None)


@pytest.mark.parametrize("given", ["https://desk.example.com", " http://10.0.0.1:8020/ ", ""])
def test_where_people_reach_the_service_is_kept_without_its_last_slash(tmp_path, given):
    (tmp_path / ".hitl").mkdir()
    found = load_settings(tmp_path, {}, {"serve_url": given})
    assert found.serve_url == given.strip().rstrip("/")


@pytest.mark.parametrize(
    "given",
    ["desk.example.com", "ftp://a", "https://", "https://a/b", "https://a?b", "https://a b", 7],
)
def test_what_no_link_can_be_made_of_is_refused(tmp_path, given):
    (tmp_path / ".hitl").mkdir()
    with pytest.raises(ConfigError, match="serve_url"):
        load_settings(tmp_path, {}, {"serve_url": given})
