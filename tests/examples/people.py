"""A person who answers notes, for programs that wait for one."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def tick(text: str, answer: str) -> str:
    return re.sub(rf"- \[ \] (.*\^{answer})", r"- [x] \1", text)


@contextmanager
def a_person(vault: Path, answer: str) -> Iterator[None]:
    """Somebody who ticks a box in every note that comes, by saving it as an editor does."""
    gone = threading.Event()
    answered: set[str] = set()

    def read_and_answer() -> None:
        while not gone.wait(0.02):
            for note in vault.glob("Pending_Approval/approval_*.md"):
                if note.name not in answered:
                    answered.add(note.name)
                    saved = note.with_name(f".{note.name}.saving")
                    saved.write_text(tick(note.read_text(encoding="utf-8"), answer))
                    saved.replace(note)

    person = threading.Thread(target=read_and_answer)
    person.start()
    try:
        yield
    finally:
        gone.set()
        person.join()
