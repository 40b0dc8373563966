"""Owns the fixtures of the attacks."""

import pytest
from forgery_kit import Target


@pytest.fixture
async def target(workspace):
    """A vault whose chain is proved at the end of every attack."""
    target = Target(workspace)
    yield target
    await target.verify()


@pytest.fixture
async def hitl(target):
    """A process at that vault."""
    return await target.open()
