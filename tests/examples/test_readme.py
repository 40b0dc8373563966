"""What the README tells a newcomer to type works as it says."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from people import a_person

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def type_in(folder: Path, *command: str) -> str:
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def test_the_first_program_asks_pays_once_and_remembers(workspace):
    """The first program of the README runs as printed, and a second run does not pay again."""
    program = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert program is not None
    assert README[: program.start()].count("\n") < 25
    (workspace / "agent.py").write_text(program[1], encoding="utf-8")
    type_in(workspace, "hitl", "init", "vault")
    with a_person(workspace / "vault", "approve"):
        first = type_in(workspace, sys.executable, "agent.py")
    again = type_in(workspace, sys.executable, "agent.py")
    assert first == again == "paid 1500 USD to vendor@example.com\n"
    assert len(list((workspace / "vault" / "Pending_Approval").glob("*.md"))) == 1


def test_the_walk_with_curl_ends_with_a_receipt(workspace):
    """What the README says to type beside a running service asks, approves, claims and reports."""
    block = README.partition("With nothing but curl")[2].split("```")[1].removeprefix("sh\n")
    type_in(workspace, "hitl", "init", "vault")
    with a_service(workspace / "vault") as url:
        script = "set -eu\n" + block.replace("http://127.0.0.1:8020", url).replace(
            "\ncurl", "\necho\ncurl"
        )
        told = type_in(workspace / "vault", "bash", "-c", script)
    ended = json.loads(told.splitlines()[-1])
    assert (ended["status"], ended["outcome"]["result"]) == ("executed", {"receipt": "R-88123"})
    note = (workspace / "vault" / "Pending_Approval" / "approval_inv-1.md").read_text()
    assert "R-88123" in note


@contextmanager
def a_service(vault: Path) -> Iterator[str]:
    """`hitl serve` on a free port, until the block ends."""
    hitl = Path(sys.executable).with_name("hitl")
    command = [hitl, "serve", "--port", "0", "--vault", vault]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stderr is not None
            told = ""
            while (found := re.search(r"http://127\.0\.0\.1:\d+", told)) is None:
                line = running.stderr.readline()
                assert line, told
                told += line
            yield found[0]
        finally:
            running.terminate()
            running.communicate(timeout=30)


def test_every_command_of_the_readme_runs(workspace):
    """The commands listed under 'The command line' exist and end well on a fresh vault."""
    block = README.partition("## The command line")[2].split("```")[1]
    commands = [line.partition("#")[0].split() for line in block.splitlines() if "hitl" in line]
    assert len(commands) >= 8
    type_in(workspace, "hitl", "init", "vault")
    type_in(
        workspace, "hitl", "request", "--vault", "vault", "--type", "payment", "--detail", "a=1"
    )
    for command in commands:
        name = command[1:3] if command[1] in {"audit", "policy"} else command[1:2]
        if name[0] in {"run", "watch", "review"}:  # they wait for a person
            type_in(workspace, "hitl", *name, "--help")
        else:
            arguments = ["20"] if name[0] == "show" else []
            type_in(workspace, "hitl", *name, "--vault", "vault", *arguments)
