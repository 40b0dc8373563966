"""The blocking twin serves a vault and a service alike."""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from client_kit import EVERYTHING, POLICY, server_process

from hitl_vault import (
    ConfigError,
    InvalidRequest,
    NotOpen,
    Orchestrator,
    Rejected,
    Status,
    blocking,
    connecting,
)
from hitl_vault.cli.starting import make_vault

DETAILS = {"amount": 1500}


@pytest.fixture(params=["embedded", "remote"])
def desks(request, workspace):
    """An agent's and a reviewer's desk, both for plain code."""
    root = workspace / "vault"
    if request.param == "embedded":
        make_vault(root)
        (root / "Policy.md").write_text(POLICY)
        with blocking.connect(root, settle_s=0) as hitl:
            yield hitl, hitl
        return
    with server_process(root) as server:
        asyncio.run(server.start())
        bot = server.token("agent", "bot")
        alice = server.token("reviewer", "alice", *EVERYTHING)
        with (
            blocking.connect(server.url, token=bot) as hitl,
            blocking.connect(server.url, token=alice) as reviewer,
        ):
            yield hitl, reviewer


def test_plain_code_lives_through_the_whole_life_of_requests(desks):
    """Policy, question, answer, execution, guard, events, gateway words: without asyncio."""
    hitl, alice = desks
    assert hitl.requires_approval("payment", DETAILS)
    assert not hitl.requires_approval("payment", {"amount": 1})
    request = hitl.request_approval("payment", "Pay", DETAILS, key="k")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(hitl.wait_for_approval, request.id)
        alice.approve(request.id, reviewer="alice")
        assert waiting.result(timeout=20).status is Status.APPROVED
    with hitl.execution(request.id) as run:
        run.result = run.details
    assert hitl.get(request.id).result == DETAILS

    @hitl.guard("deploy", key="deploy-{to}")
    def deploy(to: str) -> dict[str, str]:
        return {"deployed": to, "on": threading.current_thread().name}

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(deploy, "prod")
        while not (waits := alice.list_requests(status="pending")):
            threading.Event().wait(0.01)
        alice.vote(waits[0].id, "approve", reviewer="alice")
        assert running.result(timeout=20) == deploy("prod")

    events = list(alice.subscribe(follow=False))
    live = alice.subscribe()
    assert [next(live) for _ in events] == events
    live.close()
    assert len(hitl.history(request.id)) == 5
    assert alice.alerts() == []
    assert alice.verify().seq == events[-1].seq

    policy, approvals = blocking.PolicyClient(hitl), blocking.ApprovalClient(hitl)
    assert policy.check_deployment("vercel", {}).requires_approval
    asked = approvals.request_deployment_approval("vercel", {}, "run-1")
    blocking.ApprovalClient(alice).approve(asked.id, approved=False, approved_by="alice")
    with pytest.raises(Rejected):
        approvals.wait_for_approval(asked.id)


def test_a_failure_in_plain_code_is_recorded(desks):
    hitl, alice = desks
    request = hitl.request_approval("payment", "Pay", DETAILS)
    alice.approve(request.id, reviewer="alice")
    with pytest.raises(ZeroDivisionError), hitl.execution(request.id):
        raise ZeroDivisionError
    assert hitl.get(request.id).status is Status.FAILED


def test_a_closed_one_says_so(workspace):
    with blocking.connect("http://127.0.0.1:9", token="hitl_a_b") as hitl:
        pass
    with pytest.raises(NotOpen, match="it is closed; make a new one"):
        hitl.get("x")


def test_one_line_chooses(workspace, monkeypatch):
    """A folder is a vault, an address is a service, and each refuses what is the other's."""
    make_vault(workspace / "vault")
    assert isinstance(connecting.connect(workspace / "vault"), Orchestrator)
    plain = blocking.connect(workspace / "vault")
    assert isinstance(plain, blocking.Orchestrator)
    plain.close()
    assert repr(connecting.connect("HTTP://Desk:1")) == "RemoteDesk('HTTP://Desk:1')"
    for connect in (connecting.connect, blocking.connect):
        with pytest.raises(InvalidRequest, match="a vault on this machine takes none"):
            connect(workspace / "vault", token="hitl_a_b")
        for place in ("127.0.0.1:8020", "desk:8020/hitl", "[::1]:8020"):
            with pytest.raises(ConfigError, match=r"write http:// .* in front: http://") as caught:
                connect(place, token="hitl_a_b")
            assert f"http://{place}" in str(caught.value)
    monkeypatch.setitem(sys.modules, "httpx", None)
    for name in ("desk", "service", "events", "execution"):
        monkeypatch.delitem(sys.modules, f"hitl_vault.client.{name}")
    with pytest.raises(ConfigError, match=r"hitl-vault\[client\]"):
        connecting.connect("http://desk:8020")
