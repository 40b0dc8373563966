"""How records become bytes, and what a changed byte does to the chain."""

from __future__ import annotations

import hashlib
import threading

import msgspec
import pytest

from hitl_vault.core import chain
from hitl_vault.core.chain import Break, Head, Walked
from hitl_vault.core.lifecycle import apply
from hitl_vault.testing.clock import START
from hitl_vault.testing.samples import make_ask, make_claim, make_finish, make_vote

GENESIS = chain.genesis("vault-1")


def life():
    """Return the links and states of one request from asking to its end."""
    request, head, links = None, GENESIS, []
    states = {}
    for make in (lambda r: make_ask(), make_vote, make_claim, make_finish):
        judged = apply(request, make(request), START)
        request = judged.request
        states[request.id] = chain.encode_request(request)
        new, head = chain.link(head, judged.events, states[request.id])
        links += new
    return [(link.seq, link.body, link.hash) for link in links], states, head


def test_the_chain_is_what_its_description_says():
    """Each hash is SHA-256 over the one before, a line feed, and the stored text's digest."""
    stored, _, head = life()
    present = hashlib.sha256(b"hitl-vault:chain:1:vault-1").hexdigest()
    for seq, (number, body, hash_) in enumerate(stored, start=1):
        digest = hashlib.sha256(body).hexdigest()
        present = hashlib.sha256(f"{present}\n{digest}".encode()).hexdigest()
        assert (number, hash_) == (seq, present)
    assert head == Head(seq=len(stored), hash=present)


def test_a_whole_chain_verifies():
    """Walking it gives its head and the newest state of each request."""
    stored, states, head = life()
    walked = chain.verify(GENESIS, stored)
    assert isinstance(walked, Walked)
    assert walked.head == head
    assert chain.check_state(walked, "pay-1", states["pay-1"]) is None


def test_events_come_back_as_they_were():
    """decode_event reverses link."""
    judged = apply(None, make_ask(), START)
    (link,), _ = chain.link(GENESIS, judged.events, b"state")
    recorded = chain.decode_event(link.body, link.hash)
    assert (recorded.event, recorded.seq, recorded.hash) == (judged.events[0], 1, link.hash)


def test_every_single_bit_counts():
    """A flipped bit in any stored body, hash or state is found, at that event."""
    stored, states, _ = life()
    for place, (seq, body, hash_) in enumerate(stored):
        for bit in range(len(body) * 8):
            flipped = bytearray(body)
            flipped[bit // 8] ^= 1 << bit % 8
            broken = chain.verify(
                GENESIS, [*stored[:place], (seq, bytes(flipped), hash_), *stored[place + 1 :]]
            )
            assert isinstance(broken, Break)
            assert broken.seq == seq
        for bit in range(0, len(hash_) * 8, 5):
            flipped = bytearray(hash_.encode())
            flipped[bit // 8] ^= 1 << bit % 8
            other = flipped.decode("latin-1")
            broken = chain.verify(
                GENESIS, [*stored[:place], (seq, body, other), *stored[place + 1 :]]
            )
            assert isinstance(broken, Break)
            assert broken.seq == seq
    walked = chain.verify(GENESIS, stored)
    state = states["pay-1"]
    for bit in range(len(state) * 8):
        flipped = bytearray(state)
        flipped[bit // 8] ^= 1 << bit % 8
        assert chain.check_state(walked, "pay-1", bytes(flipped)) is not None


def test_missing_moved_and_foreign_events_are_found():
    """A gap, a swap, a lost beginning and another vault's chain break it."""
    stored, _, _ = life()
    assert "is missing" in chain.verify(GENESIS, [stored[0], *stored[2:]]).problem
    assert "is missing" in chain.verify(GENESIS, stored[1:]).problem
    assert isinstance(chain.verify(GENESIS, [stored[1], stored[0]]), Break)
    assert chain.verify(chain.genesis("vault-2"), stored).seq == 1


@pytest.mark.parametrize(
    ("body", "says"), [(b"not JSON", "cannot be read"), (b"\xff", "cannot be read")]
)
def test_a_well_chained_text_that_is_no_event_is_found(body, says):
    """Whoever can compute hashes still has to write events."""
    hash_ = chain.next_hash(GENESIS.hash, hashlib.sha256(body).hexdigest())
    assert says in chain.verify(GENESIS, [(1, body, hash_)]).problem


def test_an_event_knows_its_own_place():
    """A body that names another number than its row is found."""
    body = life()[0][1][1]
    hash_ = chain.next_hash(GENESIS.hash, hashlib.sha256(body).hexdigest())
    assert "says that it is event 2" in chain.verify(GENESIS, [(1, body, hash_)]).problem


def test_lost_and_unknown_requests_are_found():
    """A request without events, and events without their request."""
    stored, states, _ = life()
    walked = chain.verify(GENESIS, stored)
    assert "is missing" in chain.check_state(walked, "pay-1", None).problem
    assert "no events" in chain.check_state(walked, "pay-2", states["pay-1"]).problem


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff\xfe", b'{"id": 1}'])
def test_what_is_no_request_is_a_value_error(data):
    """decode_request never returns half a request."""
    with pytest.raises(ValueError):
        chain.decode_request(data)


def test_no_two_threads_build_a_decoder_at_once(monkeypatch):
    """msgspec ends the process where a second thread meets a type that is being resolved."""
    states = [chain.encode_request(apply(None, make_ask(), START).request)] * 4
    together, building = threading.Barrier(8), []
    most = []

    class Slow:
        def __init__(self, type):
            building.append(type)
            most.append(len(building))
            threading.Event().wait(0.02)
            building.pop()

        def decode(self, data):
            return data

    monkeypatch.setattr(chain, "_decoders", {})
    monkeypatch.setattr(msgspec.json, "Decoder", Slow)

    def read(decode, data):
        together.wait()
        decode(data)

    reads = [(chain.decode_request, state) for state in states]
    reads += [(chain.decode_register, b"{}") for _ in range(4)]
    threads = [threading.Thread(target=read, args=one) for one in reads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
