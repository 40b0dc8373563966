"""What is written as JSON for others is read back as what it was."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_canonical_properties import made_to_fit, objects, texts, times

from hitl_vault import records
from hitl_vault.core.events import Event, Kind, Recorded
from hitl_vault.core.model import Request, Verdict


def sent(record):
    """Return a record as whoever receives it reads it."""
    return json.loads(json.dumps(record))


@given(st.data())
def test_any_request_comes_back_from_its_record(data):
    """All but codes and spent proofs, which are nobody's business; a passed deadline is told."""
    with made_to_fit():
        request = data.draw(st.builds(Request, rev=st.integers(1, 2**53)))
    told = replace(request, codes=(), spent_proofs=(), status=records.standing(request))
    if request.edited is None:  # which digest is in force is all there is to tell
        told = replace(told, payload_sha256=request.payload_in_force)
    record = sent(records.request_record(request))
    assert records.request_of(record) == told
    assert records.request_of(record | {"made_up_later": 1}) == told


@given(st.data())
def test_any_verdict_comes_back_from_its_record(data):
    with made_to_fit():
        verdict = data.draw(st.builds(Verdict))
    assert records.verdict_of(sent(records.verdict_record(verdict))) == verdict


@given(
    st.builds(
        Recorded,
        seq=st.integers(1, 2**53),
        hash=texts,
        event=st.builds(
            Event,
            kind=st.sampled_from(Kind),
            request_id=texts,
            rev=st.integers(0, 2**53),
            at=times,
            actor=texts,
            data=objects,
        ),
    )
)
def test_any_event_comes_back_from_its_record(recorded):
    assert records.recorded_of(sent(records.event_record(recorded))) == recorded


@pytest.mark.parametrize("read", [records.request_of, records.verdict_of, records.recorded_of])
@pytest.mark.parametrize("record", [{}, {"id": 5}, {"effect": "perhaps"}, [], "x", None])
def test_what_is_no_record_is_refused(read, record):
    with pytest.raises(ValueError):
        read(record)
