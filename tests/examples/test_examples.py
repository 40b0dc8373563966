"""Every example runs, with a person who answers its notes."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from people import a_person

from hitl_vault.adapters.ledger.reader import LedgerReader
from hitl_vault.core.chain import Head
from hitl_vault.ports import Filter

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture
def vault(workspace: Path) -> Path:
    folder = workspace / "vault"
    run = [sys.executable, "-m", "hitl_vault", "init", str(folder)]
    subprocess.run(run, check=True, capture_output=True)
    return folder


def run_example(name: str, vault: Path, command: Callable[[str], list[str]]) -> str:
    bin_folder = str(Path(sys.executable).parent)
    env = os.environ | {"PATH": f"{bin_folder}:{os.environ['PATH']}", "HITL_SETTLE_S": "0.2"}
    done = subprocess.run(
        [*command(str(EXAMPLES / name)), str(vault)],
        capture_output=True,
        text=True,
        timeout=90,
        env=env,
        check=False,
    )
    return f"{done.stdout}\n{done.stderr}\nexit {done.returncode}"


def python(path: str) -> list[str]:
    return [sys.executable, path]


def shell(path: str) -> list[str]:
    return ["sh", path]


def ledger(vault: Path) -> LedgerReader:
    return LedgerReader(vault / ".hitl" / "ledger.db")


def statuses(vault: Path) -> list[str]:
    reader = ledger(vault)
    try:
        assert isinstance(reader.verify(), Head)
        return sorted(request.status.value for request in reader.find(Filter()))
    finally:
        reader.close()


def test_payment_pays_once_after_a_person_ticked_approve(vault):
    """The payment example pays exactly what was approved, and says so in the ledger."""
    with a_person(vault, "approve"):
        said = run_example("payment.py", vault, python)
    assert "paid 1500 USD to vendor@example.com for INV-2024-001" in said
    assert said.endswith("exit 0")
    assert statuses(vault) == ["executed"]


def test_payment_does_not_pay_after_a_rejection(vault):
    """Rejected means not paid, and the exit code says it."""
    with a_person(vault, "reject"):
        said = run_example("payment.py", vault, python)
    assert "Not paid" in said
    assert "paid 1500" not in said
    assert said.endswith("exit 3")
    assert statuses(vault) == ["rejected"]


def test_a_guarded_function_runs_once_however_often_it_is_called(vault):
    """The second run of the program returns the recorded result."""
    with a_person(vault, "approve"):
        first = run_example("guarded_function.py", vault, python)
        second = run_example("guarded_function.py", vault, python)
    assert "'deleted': 42" in first
    assert "'deleted': 42" in second
    assert statuses(vault) == ["executed"]


def test_a_shell_command_is_gated_and_runs_once(vault):
    """`hitl run` deploys after approval; the same key does not deploy again."""
    with a_person(vault, "approve"):
        first = run_example("gated_deploy.sh", vault, shell)
        second = run_example("gated_deploy.sh", vault, shell)
    assert "deployed 1.4.2" in first
    assert first.endswith("exit 0")
    assert "deployed 1.4.2" not in second
    assert second.endswith("exit 0")
    assert statuses(vault) == ["executed"]


def test_several_agents_share_a_vault_and_each_order_is_bought_once(vault):
    """Four agents, three orders: the repeated one gets the recorded answer."""
    with a_person(vault, "approve"):
        said = run_example("several_agents.py", vault, python)
    assert said.count("A-100 bought for 600") == 2
    assert said.count("bought for") == 4
    assert statuses(vault) == ["executed"] * 3


def test_a_killed_agent_gets_its_answer_when_it_is_started_again(vault):
    """kill -9 while waiting, the same line again, the same request, paid once."""
    with a_person(vault, "approve"):
        said = run_example("crash_and_resume.py", vault, python)
    assert "was killed" in said
    assert "paid 900 EUR" in said
    assert statuses(vault) == ["executed"]


def test_a_vault_can_have_its_own_template(vault):
    """The note carries the vault's own banner and is a valid ballot all the same."""
    said = run_example("custom_template.py", vault, python)
    assert "Finance desk" in said
    assert said.endswith("exit 0")
    assert statuses(vault) == ["cancelled"]


def test_two_of_three_people_approve_and_one_veto_ends_it(vault):
    """One signs, one types a code into the note as on a phone; a rejection is final."""
    said = run_example("two_of_three.py", vault, python)
    assert "alice: approve (signed, over cli)" in said
    assert "bob: approve (authenticated, over code)" in said
    assert "Released after approval by alice and bob" in said
    assert "Not released:" in said
    assert "payroll ran this morning" in said
    assert said.endswith("exit 0")
    assert statuses(vault) == ["approved", "rejected"]


def test_an_agent_far_from_no_vault_says_what_is_missing(tmp_path):
    """One line that says what to do, and no traceback."""
    said = run_example("remote_agent.py", tmp_path / "vault", python)
    assert "hitl init" in said
    assert "Traceback" not in said
    assert said.endswith("exit 2")


def test_an_agent_far_from_the_vault_pays_once_what_was_approved_in_it(vault):
    """It asks over HTTP, a person ticks the note, it pays; started again, it does not pay again."""
    with a_person(vault, "approve"):
        first = run_example("remote_agent.py", vault, python)
        second = run_example("remote_agent.py", vault, python)
    for said in (first, second):
        assert "paid 1500 to vendor@example.com for INV-2024-002" in said
        assert said.endswith("exit 0")
    assert statuses(vault) == ["executed"]
