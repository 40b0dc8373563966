"""Owns the fixtures of the engine's unit tests."""

from collections.abc import AsyncIterator

import pytest
from engine_kit import Office, Process

from hitl_vault.core.model import Request


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    """A vault whose chain is proved at the end of every test."""
    office = Office()
    yield office
    await office.verify()


@pytest.fixture
async def hitl(office: Office) -> Process:
    """A process at that vault."""
    return await office.open()


@pytest.fixture
async def asked(hitl: Process) -> Request:
    """A request that waits, with its note."""
    return await hitl.request_approval("payment", "Pay the invoice", {"amount": 900})
