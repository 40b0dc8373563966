"""LangGraph: `interrupt` in a graph with AsyncSqliteSaver, resumed with `Command(resume=...)`.

Its four durable steps are the checkpoints of asking, of the answer, of claiming and of finishing.
The other process answers over a pipe, which costs LangGraph nothing durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypedDict

from benchmarks.common import ACTION, REPOSITORY, folder

MODULES = ("langgraph", "langgraph.checkpoint.sqlite")


class State(TypedDict, total=False):
    """What the graph keeps."""

    action: dict[str, Any]
    answer: str
    claim: str
    result: str


class Agent:
    """A graph and a person behind a pipe."""

    def __init__(self, graph: Any, person: asyncio.subprocess.Process) -> None:
        self._graph, self._person = graph, person
        self._waiting: dict[str, asyncio.Future[str]] = {}
        self._listening = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        assert self._person.stdout is not None
        async for line in self._person.stdout:
            future = self._waiting.pop(line.decode().strip(), None)
            if future is not None:
                future.set_result("approved")

    async def cycle(self, number: int) -> None:
        """Run to the interrupt, wait for the answer, resume to the end."""
        from langgraph.types import Command

        name = f"t{number}"
        config = {"configurable": {"thread_id": name}}
        self._waiting[name] = future = asyncio.get_running_loop().create_future()
        await self._graph.ainvoke({"action": ACTION}, config, durability="sync")
        assert self._person.stdin is not None
        self._person.stdin.write(f"{name}\n".encode())
        answer = await future
        await self._graph.ainvoke(Command(resume=answer), config, durability="sync")


def _graph(saver: Any) -> Any:
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import interrupt

    def ask(state: State) -> State:
        return {"answer": interrupt(state["action"])}

    def claim(_: State) -> State:
        return {"claim": "claimed"}

    def finish(_: State) -> State:
        return {"result": "paid"}

    graph = StateGraph(State)
    graph.add_node("ask", ask)
    graph.add_node("claim", claim)
    graph.add_node("finish", finish)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", "claim")
    graph.add_edge("claim", "finish")
    graph.add_edge("finish", END)
    return graph.compile(checkpointer=saver)


@asynccontextmanager
async def open_(_deciders: int) -> AsyncIterator[Agent]:
    """Open the graph on a new file."""
    import sys

    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    with folder("langgraph") as root:
        async with AsyncSqliteSaver.from_conn_string(str(root / "checkpoints.db")) as saver:
            person = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.children", "echo", "0", "1"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                cwd=REPOSITORY,
            )
            assert person.stdin is not None
            assert person.stdout is not None
            await person.stdout.readline()
            agent = Agent(_graph(saver), person)
            try:
                yield agent
            finally:
                agent._listening.cancel()
                person.stdin.close()
                await person.wait()
