"""The promises of an outbox, over each adapter: nothing put is lost, and one at a time sends it."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta

import pytest

from hitl_vault.adapters.outbox.file import asides
from hitl_vault.adapters.outbox.memory import MemoryOutbox
from hitl_vault.adapters.outbox.sqlite import SqliteOutbox
from hitl_vault.core.duties import Duty
from hitl_vault.core.events import Kind
from hitl_vault.errors import NewerFormat, StorageError
from hitl_vault.ports_telling import Backlog
from hitl_vault.testing.clock import START as NOW

MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["sqlite", "memory"])
async def outbox(request, workspace):
    made = SqliteOutbox(workspace / "outbox.db") if request.param == "sqlite" else MemoryOutbox()
    yield made
    await made.aclose()


def duty(seq=1, way="ops", person="", *, urgent=False, gathered=False, due=NOW):
    return Duty(
        id=f"v-{seq}-{way}{person}",
        seq=seq,
        way=way,
        person=person,
        request_id=f"pay-{seq}",
        kind=Kind.REQUESTED,
        urgent=urgent,
        gathered=gathered,
        due_at=due,
    )


async def lease(outbox, way="ops", holder="one", now=NOW, limit=8, dead=(), lasts=5 * MINUTE):
    return await outbox.lease(
        way,
        holder=holder,
        now=now,
        until=now + lasts,
        is_alive=lambda name: name not in dead,
        limit=limit,
    )


async def test_a_new_outbox_has_followed_nothing(outbox):
    """So that its first user begins at the head and tells of what waits."""
    assert await outbox.cursor() is None
    assert await outbox.find() == []
    assert await outbox.next_due(["ops"]) is None


async def test_duties_and_the_cursor_are_put_together_by_one(outbox):
    """Of two processes that read the same events, the slower one stores nothing."""
    assert await outbox.put([duty(1)], after=None, upto=1)
    assert not await outbox.put([duty(1), duty(2)], after=None, upto=2)
    assert await outbox.cursor() == 1
    assert await outbox.put([duty(2)], after=1, upto=5)
    assert await outbox.cursor() == 5
    assert [parcel.id for parcel in await outbox.find()] == ["v-1-ops", "v-2-ops"]


async def test_the_same_duty_put_twice_is_one(outbox):
    """Events read again after a crash are told once."""
    await outbox.put([duty(1), duty(2, gathered=True)], after=None, upto=1)
    await outbox.put([duty(1), duty(2, gathered=True)], after=1, upto=2)
    assert len(await outbox.find()) == 2
    assert len(await lease(outbox)) == 2
    await outbox.put([duty(1), duty(2, gathered=True)], after=2, upto=3)
    assert len(await outbox.find()) == 2


async def test_what_is_leased_is_given_to_nobody_else(outbox):
    """One process at a time sends a message; each lease counts as a try."""
    await outbox.put([duty(1), duty(2)], after=None, upto=2)
    first = await lease(outbox, limit=1)
    assert [(parcel.id, parcel.tries, parcel.leased) for parcel in first] == [("v-1-ops", 1, True)]
    assert [parcel.id for parcel in await lease(outbox, holder="two")] == ["v-2-ops"]
    assert await lease(outbox, holder="three") == []
    assert await lease(outbox, holder="one") == []


async def test_a_lease_ends_with_its_time(outbox):
    """A holder that hangs holds nothing up for ever."""
    await outbox.put([duty(1)], after=None, upto=1)
    await lease(outbox)
    assert await outbox.next_due(["ops"]) == NOW + 5 * MINUTE
    assert await lease(outbox, holder="two", now=NOW + 5 * MINUTE - MINUTE / 60) == []
    (again,) = await lease(outbox, holder="two", now=NOW + 5 * MINUTE)
    assert again.tries == 2


async def test_a_lease_ends_with_its_holders_life(outbox):
    """What a killed process was sending is sent again at once."""
    await outbox.put([duty(1)], after=None, upto=1)
    await lease(outbox)
    assert await lease(outbox, holder="two") == []
    assert [parcel.tries for parcel in await lease(outbox, holder="two", dead={"one"})] == [2]


async def test_only_who_holds_the_lease_ends_it(outbox):
    """A process that comes back too late changes nothing of what another one sends."""
    await outbox.put([duty(1)], after=None, upto=1)
    await lease(outbox)
    await lease(outbox, holder="two", dead={"one"})
    await outbox.settle("v-1-ops", holder="one")
    await outbox.put_off("v-1-ops", holder="one", at=NOW)
    await outbox.give_up("v-1-ops", holder="one", problem="late")
    (parcel,) = await outbox.find()
    assert parcel.leased
    assert not parcel.dead
    await outbox.settle("v-1-ops", holder="two")
    assert await outbox.find() == []


async def test_what_is_put_off_is_due_then_and_says_why(outbox):
    """Not before; and the problem is there to be read."""
    await outbox.put([duty(1)], after=None, upto=1)
    await lease(outbox)
    await outbox.put_off("v-1-ops", holder="one", at=NOW + MINUTE, problem="it answered 500")
    (parcel,) = await outbox.find()
    assert (parcel.problem, parcel.tries, parcel.next_at) == ("it answered 500", 1, NOW + MINUTE)
    assert await outbox.next_due(["ops"]) == NOW + MINUTE
    assert await lease(outbox) == []
    assert [parcel.tries for parcel in await lease(outbox, now=NOW + MINUTE)] == [2]


async def test_who_has_taken_a_message_is_remembered(outbox):
    """Through tries, quiet hours, the end of all tries, and a person's `retry`."""
    await outbox.put([duty(1)], after=None, upto=1)
    for number, tag in enumerate(("aa", "bb", "")):
        assert len(await lease(outbox)) == 1
        taken = frozenset({tag} - {""})
        await outbox.put_off("v-1-ops", holder="one", at=NOW, problem="x", taken=taken)
        (parcel,) = await outbox.find()
        assert parcel.taken == frozenset(("aa", "bb")[: number + 1])
    await lease(outbox)
    await outbox.give_up("v-1-ops", holder="one", problem="x", taken=frozenset({"cc"}))
    await outbox.retry(None, NOW)
    assert (await lease(outbox))[0].taken == {"aa", "bb", "cc"}


async def test_it_says_up_to_which_event_everything_was_told(outbox):
    """Told or given up: from there the events are followed again if the rest is lost."""
    assert await outbox.told() is None
    await outbox.put([], after=None, upto=5)
    assert await outbox.told() == 5
    later = NOW + 15 * MINUTE
    await outbox.put([duty(6), duty(7), duty(9, gathered=True, due=later)], after=5, upto=10)
    assert await outbox.told() == 5
    await lease(outbox)
    await outbox.settle("v-7-ops", holder="one")
    assert await outbox.told() == 5
    await outbox.give_up("v-6-ops", holder="one", problem="gone")
    assert await outbox.told() == 8
    await outbox.retry(["v-6-ops"], NOW)
    assert await outbox.told() == 5
    await outbox.drop(["v-6-ops"])
    await lease(outbox, now=later)
    await outbox.settle("v-9-ops", holder="one")
    assert await outbox.told() == 10


async def test_quiet_hours_are_no_try(outbox):
    """A message held back is not nearer to being given up."""
    await outbox.put([duty(1)], after=None, upto=1)
    await lease(outbox)
    await outbox.put_off("v-1-ops", holder="one", at=NOW + MINUTE, tried=False)
    assert [parcel.tries for parcel in await outbox.find()] == [0]


async def test_a_dead_letter_waits_for_a_person(outbox):
    """It is kept, not sent; retry makes it new, drop forgets it."""
    await outbox.put([duty(1), duty(2), duty(3)], after=None, upto=3)
    await lease(outbox)
    for number in (1, 2):
        await outbox.give_up(f"v-{number}-ops", holder="one", problem="gone")
    assert await lease(outbox, dead={"one"}, holder="two", now=NOW + MINUTE)  # the third
    assert [parcel.dead for parcel in await outbox.find()] == [True, True, False]
    assert await outbox.retry(["v-1-ops"], NOW) == 1
    assert [(p.id, p.tries) for p in await lease(outbox)] == [("v-1-ops", 1)]
    assert await outbox.drop(None) == 1
    assert await outbox.drop(["nothing"]) == 0
    assert [parcel.id for parcel in await outbox.find()] == ["v-1-ops", "v-3-ops"]


async def test_retry_of_all_means_every_dead_letter(outbox):
    """What only waits for its next try keeps its count."""
    await outbox.put([duty(1), duty(2)], after=None, upto=2)
    await lease(outbox)
    await outbox.give_up("v-1-ops", holder="one", problem="gone")
    await outbox.put_off("v-2-ops", holder="one", at=NOW + MINUTE)
    assert await outbox.retry(None, NOW) == 1
    assert [(p.tries, p.dead) for p in await outbox.find()] == [(0, False), (1, False)]


async def test_the_backlog_is_counted_without_reading_it(outbox):
    assert await outbox.backlog(NOW) == Backlog()
    await outbox.put(
        [duty(1), duty(2, due=NOW + MINUTE), duty(3, way="mail", gathered=True), duty(4)],
        after=None,
        upto=4,
    )
    assert await outbox.backlog(NOW) == Backlog(due=3, later=1)
    assert await outbox.backlog(NOW + MINUTE) == Backlog(due=4)
    (parcel,) = await lease(outbox, limit=1)
    await outbox.give_up(parcel.id, holder="one", problem="no")
    assert await outbox.backlog(NOW) == Backlog(due=2, later=1, dead=1)


async def test_urgent_messages_go_first_then_the_oldest(outbox):
    """A crowd of others does not hold an urgent one up."""
    await outbox.put([duty(n) for n in range(1, 6)] + [duty(9, urgent=True)], after=None, upto=9)
    assert [parcel.duties[0].seq for parcel in await lease(outbox, limit=3)] == [9, 1, 2]


async def test_each_way_has_its_own_queue(outbox):
    """One that hangs holds up no other."""
    await outbox.put([duty(1), duty(1, "mail", "alice")], after=None, upto=1)
    assert [parcel.duties[0].person for parcel in await lease(outbox, "mail")] == ["alice"]
    assert await outbox.next_due(["mail"]) == NOW + 5 * MINUTE
    assert await outbox.next_due(["ops"]) == NOW
    assert await outbox.next_due([]) is None


async def test_gathered_duties_of_one_person_are_one_message_and_stay_it(outbox):
    """What comes later is another message: a receiver that leaves out repeats misses nothing."""
    later = NOW + 15 * MINUTE
    those = [
        duty(n, gathered=True, person=who, due=later) for n, who in ((1, "a"), (2, "b"), (3, "a"))
    ]
    await outbox.put(those, after=None, upto=3)
    assert await lease(outbox) == []
    found = await lease(outbox, now=later)
    assert {parcel.id: [d.seq for d in parcel.duties] for parcel in found} == {
        "v-1-opsa": [1, 3],
        "v-2-opsb": [2],
    }
    await outbox.put_off("v-1-opsa", holder="one", at=later, problem="busy")
    await outbox.put([duty(4, gathered=True, person="a", due=later)], after=3, upto=4)
    again = await lease(outbox, now=later)
    assert [[d.seq for d in parcel.duties] for parcel in again] == [[1, 3], [4]]
    await outbox.settle("v-1-opsa", holder="one")
    assert [parcel.id for parcel in await outbox.find()] == ["v-2-opsb", "v-4-opsa"]


async def test_who_leaves_gives_back_what_it_held(outbox):
    """Others may send it at once, and it was no try."""
    await outbox.put([duty(1)], after=None, upto=1)
    await lease(outbox)
    await outbox.release("one")
    assert [parcel.tries for parcel in await lease(outbox, holder="two")] == [1]


async def test_a_clock_set_back_holds_nothing_up(outbox):
    """Nothing is put off for longer than a week, so what seems so is due."""
    await outbox.put([duty(1, due=NOW + timedelta(days=400))], after=None, upto=1)
    assert len(await lease(outbox)) == 1


# of the file


async def test_the_file_is_for_its_owner_alone(workspace):
    """It says who is asked about what."""
    outbox = SqliteOutbox(workspace / "outbox.db")
    assert not (workspace / "outbox.db").exists()
    await outbox.put([duty(1)], after=None, upto=1)
    for file in workspace.glob("outbox.db*"):
        assert file.stat().st_mode & 0o077 == 0, file
    await outbox.aclose()


async def test_many_that_lease_at_once_get_each_message_once(workspace):
    """Whatever the number of processes: each has its own connection, as here."""
    boxes = [SqliteOutbox(workspace / "outbox.db") for _ in range(6)]
    await boxes[0].put([duty(n) for n in range(40)], after=None, upto=40)

    async def take(number):
        found = []
        while got := await lease(boxes[number], holder=f"h{number}", limit=3):
            found += [parcel.id for parcel in got]
        return found

    found = [id for ids in await asyncio.gather(*map(take, range(6))) for id in ids]
    assert len(found) == len(set(found)) == 40
    for box in boxes:
        await box.aclose()


async def test_a_damaged_file_is_set_aside_loudly_and_nothing_is_deleted(workspace, caplog):
    """It is begun anew, and knows from where: `told` is kept beside it."""
    path = workspace / "outbox.db"
    outbox = SqliteOutbox(path)
    await outbox.put([duty(3)], after=None, upto=7)
    await outbox.aclose()
    path.write_bytes(b"no database, but long enough to look like one" * 200)
    for number in (1, 2):
        outbox = SqliteOutbox(path)
        assert await outbox.cursor() is None
        assert await outbox.told() == 2
        assert f"outbox.db.damaged-{number}" in caplog.text
        assert await outbox.put([duty(3)], after=None, upto=7)
        await outbox.aclose()
        path.write_bytes(f"damaged again, {number}".encode() * 2000)
    assert (workspace / "outbox.db.damaged-1").read_bytes().startswith(b"no database, but")
    assert (workspace / "outbox.db.damaged-2").read_bytes().startswith(b"damaged again, 1")
    assert asides(path) == ["outbox.db.damaged-1", "outbox.db.damaged-2"]


@pytest.mark.parametrize("damage", ["index", "kind", "text", "tables"])
async def test_damage_inside_a_file_that_can_be_opened_is_found(workspace, damage):
    """A duty that an index hides, or that cannot be read, would never be told."""
    path = workspace / "outbox.db"
    outbox = SqliteOutbox(path)
    await outbox.put([duty(1)], after=None, upto=1)
    await outbox.aclose()
    with sqlite3.connect(path) as connection:
        if damage == "index":
            connection.execute("PRAGMA writable_schema=ON")
            connection.execute("DELETE FROM sqlite_master WHERE name = 'duties_by_due'")
        elif damage == "tables":
            connection.execute("DROP TABLE followed")
        else:
            bad = "'nothing'" if damage == "kind" else "CAST(x'ff' AS TEXT)"
            connection.execute(f"UPDATE duties SET kind = {bad}")
    connection.close()
    outbox = SqliteOutbox(path)
    assert await lease(outbox) == []
    assert await outbox.cursor() is None
    assert await outbox.told() == 0
    assert asides(path) == ["outbox.db.damaged-1"]
    await outbox.aclose()


async def test_of_many_that_see_the_damage_one_sets_the_file_aside(workspace):
    """The others find the new file and use it."""
    path = workspace / "outbox.db"
    path.write_bytes(b"no database, but long enough to look like one" * 200)
    boxes = [SqliteOutbox(path) for _ in range(6)]
    found = await asyncio.gather(*(box.put([duty(1)], after=None, upto=1) for box in boxes))
    assert sum(found) == 1
    assert asides(path) == ["outbox.db.damaged-1"]
    for box in boxes:
        assert [parcel.id for parcel in await box.find()] == ["v-1-ops"]
        await box.aclose()


@pytest.mark.parametrize("how", ["unlinked", "renamed", "replaced", "log unlinked"])
async def test_a_file_that_was_taken_away_is_not_used_any_more(workspace, how, caplog):
    """Everybody goes on with what is there, whoever had the old one open."""
    path = workspace / "outbox.db"
    one, two = SqliteOutbox(path), SqliteOutbox(path)
    await one.put([duty(1)], after=None, upto=5)
    assert await two.cursor() == 5
    if how == "replaced":
        other = SqliteOutbox(workspace / "other.db")
        await other.put([], after=None, upto=3)
        await other.aclose()
        (workspace / "other.db").replace(path)
    elif how == "renamed":
        path.rename(workspace / "moved.db")
    elif how == "log unlinked":
        (workspace / "outbox.db-wal").unlink()
    else:
        for file in workspace.glob("outbox.db*"):
            file.unlink()
    cursor = await one.cursor()
    assert cursor == await two.cursor()
    assert "removed or replaced" in caplog.text
    if how in {"unlinked", "renamed"}:
        assert cursor is None
        assert await one.told() == 0
    if how == "replaced":
        assert cursor == 3
    assert await two.put([duty(9)], after=cursor, upto=9)
    assert await one.cursor() == 9
    assert "v-9-ops" in [parcel.id for parcel in await one.find()]
    await one.aclose()
    await two.aclose()
    third = SqliteOutbox(path)
    assert await third.cursor() == 9
    await third.aclose()


async def test_who_only_looks_leaves_a_damaged_file_alone(workspace):
    """The error says what becomes of it."""
    path = workspace / "outbox.db"
    path.write_bytes(b"no database, but long enough to look like one" * 200)
    outbox = SqliteOutbox(path, mends=False)
    with pytest.raises(StorageError, match=r"is damaged .* a running desk sets it aside"):
        await outbox.find()
    await outbox.aclose()
    assert asides(path) == []


async def test_a_file_of_the_version_before_is_brought_up_to_date(workspace):
    """With everything in it."""
    path = workspace / "outbox.db"
    outbox = SqliteOutbox(path)
    await outbox.put([duty(1)], after=None, upto=1)
    await outbox.aclose()
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE duties DROP COLUMN taken")
        connection.execute("PRAGMA user_version=1")
    connection.close()
    outbox = SqliteOutbox(path)
    (parcel,) = await lease(outbox)
    assert (parcel.id, parcel.taken) == ("v-1-ops", frozenset())
    await outbox.aclose()


async def test_a_file_of_a_newer_version_is_left_alone(workspace):
    """An older program neither reads nor empties it."""
    path = workspace / "outbox.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    outbox = SqliteOutbox(path)
    with pytest.raises(NewerFormat, match="newer version"):
        await outbox.cursor()
    await outbox.aclose()


async def test_a_file_that_cannot_be_opened_is_a_storage_error(workspace):
    """The message names it."""
    outbox = SqliteOutbox(workspace / "no" / "outbox.db")
    with pytest.raises(StorageError, match=r"outbox\.db"):
        await outbox.find()
    await outbox.aclose()
