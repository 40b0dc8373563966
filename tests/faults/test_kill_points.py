"""Kill -9 at every file system call of ask, answer, claim, renew, finish and archive; then look again."""

import random
from pathlib import Path

import pytest
from kill_kit import Nursery, at_once, count_calls, new_vault, remove, why_no_tracing

TOTALS: dict[str, int] = {}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["api", "note", "reject", "lease"])
def test_a_kill_at_any_file_system_call_loses_and_doubles_nothing(
    how: str, record_property
) -> None:
    """No acknowledged request or decision is lost or changed, nothing starts twice, every request
    has its note, and the chain is whole."""
    reason = why_no_tracing()
    if reason:
        pytest.skip(reason)
    with Nursery() as nursery:
        most = count_calls(nursery, how, 1)
    points = [(call, number) for call, times in most.items() for number in range(1, times + 1)]

    def kill(nursery: Nursery, point: tuple[str, int]) -> bool:
        call, number = point
        root = new_vault()
        trace = ["-o", "/dev/null", "-e", f"trace={call}"]
        trace += ["-e", f"inject={call}:signal=KILL:when={number}"]
        code = nursery.run("cycle", root, how, trace=trace)
        assert code in {0, -9}, (point, code)
        nursery.check(root, how, 1, f"killed at {call} number {number}")
        remove(root)
        return code == -9

    killed = sum(at_once(kill, points))
    record_property("kill_points", killed)
    print(f"{killed} of {len(points)} kill points in {how}: {most}")
    assert killed >= len(points) * 0.7, f"only {killed} of {len(points)} points were reached"
    assert killed >= 60


@pytest.mark.timeout(300)
def test_kills_at_random_times_lose_and_double_nothing(record_property) -> None:
    """One vault, killed and started again many times in the middle of its work."""
    generator = random.Random(20261121)
    moments = [generator.uniform(0.005, 0.25) for _ in range(24)]

    def live(nursery: Nursery, seed: int) -> int:
        root: Path = new_vault()
        killed = 0
        for number, moment in enumerate(moments):
            how = f"mixed{number // 6}"
            code = nursery.run("cycle", root, how, 60, kill_after_s=moment * (1 + seed % 2))
            assert code in {0, -9}
            killed += code == -9
            if number % 6 == 5:
                nursery.check(root, "mixed", 60, f"after kill {number} of life {seed}")
        nursery.check(root, "mixed", 60, f"at the end of life {seed}")
        remove(root)
        return killed

    killed = sum(at_once(live, [1, 2, 3, 4]))
    record_property("kill_points", killed)
    print(f"{killed} kills at random times")
    assert killed >= 60
