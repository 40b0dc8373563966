"""Tokens from the system's random source."""

from __future__ import annotations

import os
import re

from hitl_vault.adapters.tokens import Tokens


def test_tokens_are_40_bits_and_differ():
    tokens = Tokens()
    taken = [tokens.take() for _ in range(1_000)]
    assert len(set(taken)) == 1_000
    assert all(re.fullmatch(r"[0-9a-f]{10}", token) for token in taken)


def test_a_forked_process_draws_its_own():
    tokens = Tokens()
    tokens.take()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, "".join(tokens.take() for _ in range(10)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 1_000).decode()
    os.close(reading)
    os.close(writing)
    mine = {tokens.take() for _ in range(300)}
    assert len(theirs) == 100
    assert not mine & {theirs[at : at + 10] for at in range(0, 100, 10)}
