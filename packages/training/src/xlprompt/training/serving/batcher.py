"""Collects requests that come at about the same time, and has them answered together by one thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class QueueIsFull(Exception):
    """So many requests wait that this one is not taken."""


class Closed(Exception):
    """The server is about to end, and takes nothing more."""


@dataclass(frozen=True)
class _Waiting(Generic[Item, Answer]):
    item: Item
    size: int
    answer: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batcher(Generic[Item, Answer]):
    """A queue in front of a function that answers many items at once.

    While a batch is computed the next one gathers, so nothing is waited for that is not there; only where the
    last batch was of several requests the next one waits a moment for those that come back together.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Item]], Sequence[Answer | Exception]],
        *,
        queue: int,
        rows: int,
        gather_seconds: float,
        told: Callable[[int, int], None] = lambda requests, rows: None,
    ) -> None:
        """Make one, which `start` begins.

        Args:
            answer: Called in a thread of its own with what is asked; gives an answer or an error for each.
            queue: Requests that may wait.
            rows: Rows of a batch, of which the last request may exceed it.
            gather_seconds: The moment that is waited.
            told: Called with the requests and the rows of each batch.
        """
        self._answer, self._rows, self._gather, self._told = answer, rows, gather_seconds, told
        self._queue: asyncio.Queue[_Waiting[Item, Answer]] = asyncio.Queue(queue)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="answers")
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return self._queue.qsize()

    @property
    def is_open(self) -> bool:
        """Whether it takes requests."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Take requests from now on; called in an event loop."""
        self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Take no more, and refuse what is not answered yet; a server waits for its requests before it."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        while not self._queue.empty():
            waiting = self._queue.get_nowait()
            if not waiting.answer.done():
                waiting.answer.set_exception(Closed())
        await asyncio.get_running_loop().run_in_executor(None, self._thread.shutdown)

    async def ask(self, item: Item, *, rows: int, seconds: float) -> Answer:
        """The answer to one request.

        Raises:
            QueueIsFull, Closed: It is not taken.
            TimeoutError: It took too long; if it is not computed yet, it will not be.
            Exception: What answering it raised.
        """
        if not self.is_open:
            raise Closed
        waiting: _Waiting[Item, Answer] = _Waiting(item, rows)
        if self._queue.full():
            self._forget_given_up()
        try:
            self._queue.put_nowait(waiting)
        except asyncio.QueueFull as error:
            raise QueueIsFull from error
        async with asyncio.timeout(seconds):
            return await waiting.answer

    def _forget_given_up(self) -> None:
        for each in [self._queue.get_nowait() for _ in range(self._queue.qsize())]:
            if not each.answer.done():
                self._queue.put_nowait(each)

    async def _work(self) -> None:
        several = False
        while True:
            batch = [await self._queue.get()]
            if several:
                await asyncio.sleep(self._gather)
            while not self._queue.empty() and sum(each.size for each in batch) < self._rows:
                batch.append(self._queue.get_nowait())
            several = len(batch) > 1
            batch = [each for each in batch if not each.answer.done()]  # who gave up is not answered
            if batch:
                await self._answer_batch(batch)

    async def _answer_batch(self, batch: Sequence[_Waiting[Item, Answer]]) -> None:
        self._told(len(batch), sum(each.size for each in batch))
        loop, items = asyncio.get_running_loop(), [each.item for each in batch]
        answers: Sequence[Answer | Exception]
        try:
            answers = await loop.run_in_executor(self._thread, self._answer, items)
        except asyncio.CancelledError:
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(Closed())
            raise
        except Exception as error:
            answers = [error] * len(batch)
        for waiting, answer in zip(batch, answers, strict=True):
            if waiting.answer.done():
                continue
            if isinstance(answer, Exception):
                waiting.answer.set_exception(answer)
            else:
                waiting.answer.set_result(answer)
