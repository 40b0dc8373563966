"""Owns a warm process that forks a child for each kill point. Speaks lines of JSON.

`{"do": …}` forks a child that waits; the answer names its pid. `{}` lets it go; the answer is how it
ended. So a tracer can be attached before the child does anything.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).parent))

import sqlite3  # noqa: F401  imported here, so that no child spends its time on it

import cycle

import hitl_vault.adapters.watch.polling
import hitl_vault.document.patch  # noqa: F401


def child(job: dict[str, Any], gate: int) -> NoReturn:
    code = 1
    try:
        os.read(gate, 1)
        work = {"cycle": cycle.cycle, "check": cycle.check}[job["do"]]
        asyncio.run(work(job["root"], job["how"], job["rounds"]))
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def main() -> None:
    ctypes.CDLL(None).prctl(0x59616D61, -1, 0, 0, 0)  # PR_SET_PTRACER: whoever may trace
    for line in sys.stdin:
        job = json.loads(line)
        inner, outer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(outer)
            ctypes.CDLL(None).prctl(0x59616D61, -1, 0, 0, 0)
            child(job, inner)
        os.close(inner)
        print(json.dumps({"pid": pid}), flush=True)
        sys.stdin.readline()
        os.write(outer, b".")
        os.close(outer)
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"exit": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
