"""Cursors lead back to where a page ended, and nothing else is taken for one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_vault.core.lifecycle import apply
from hitl_vault.errors import InvalidRequest
from hitl_vault.ports import Place
from hitl_vault.server.paging import cursor_of, place_of
from hitl_vault.testing.clock import START
from hitl_vault.testing.samples import make_ask

REQUEST = apply(None, make_ask("pay-1"), START).request


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,119}", fullmatch=True),
)
def test_a_cursor_leads_back_to_its_request(at, id):
    request = replace(REQUEST, id=id, created_at=at)
    assert place_of(cursor_of(request)) == Place(created_at=at, id=id)


@given(st.text())
def test_what_is_no_cursor_is_refused_by_name(text):
    try:
        found = place_of(text)
    except InvalidRequest as error:
        assert str(error).startswith("after: ")
    else:
        assert found is not None


def test_no_cursor_is_the_first_page():
    assert place_of(None) is None


@pytest.mark.parametrize(
    "text", ["", "MTIz", "MDphLi5i", "\ud800", "MTIzOg", "OTk5OTk5OTk5OTk5OTk5OTk5OmE"]
)
def test_what_only_looks_like_a_cursor_is_refused(text):
    """Half of one, an id that cannot be, a time that no calendar has."""
    with pytest.raises(InvalidRequest, match="after: "):
        place_of(text)
