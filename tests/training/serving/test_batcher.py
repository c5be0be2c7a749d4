"""The queue in front of a model: what comes together is answered together, and nobody waits for ever."""

import asyncio
import threading

import pytest

from xlprompt.training.serving.batcher import Batcher, Closed, QueueIsFull


class Slow:
    """Doubles numbers, batch by batch, each when it is let; refuses negative ones."""

    def __init__(self, let=True):
        self.batches, self.gate, self.begun = [], threading.Event(), threading.Event()
        if let:
            self.gate.set()

    def __call__(self, items):
        self.begun.set()
        assert self.gate.wait(30)
        self.batches.append(list(items))
        return [ValueError(f"{item} is negative") if item < 0 else 2 * item for item in items]


def run(scenario, work, **settings):
    async def whole():
        batcher = Batcher(work, **{"queue": 8, "rows": 4, "gather_seconds": 0.01, **settings})
        batcher.start()
        try:
            return await scenario(batcher)
        finally:
            work.gate.set()
            await batcher.close()

    return asyncio.run(whole())


def ask(batcher, item, rows=1, seconds=30.0):
    return asyncio.create_task(batcher.ask(item, rows=rows, seconds=seconds))


async def begun(work):
    while not work.begun.is_set():
        await asyncio.sleep(0.001)


def test_what_comes_while_a_batch_is_computed_is_the_next_one():
    work = Slow(let=False)

    async def scenario(batcher):
        first = ask(batcher, 1)
        await begun(work)
        others = [ask(batcher, item) for item in (2, 3, 4, 5, 6)]
        await asyncio.sleep(0)
        work.gate.set()
        return await asyncio.gather(first, *others)

    assert run(scenario, work) == [2, 4, 6, 8, 10, 12]
    assert work.batches == [[1], [2, 3, 4, 5], [6]]


def test_an_error_is_its_own_items_alone():
    work = Slow()

    async def scenario(batcher):
        return await asyncio.gather(*(ask(batcher, item) for item in (1, -1, 2)), return_exceptions=True)

    one, error, two = run(scenario, work)
    assert (one, two) == (2, 4)
    assert isinstance(error, ValueError)


def test_an_error_of_the_whole_batch_is_everybodys_and_the_queue_goes_on():
    work = Slow()

    async def scenario(batcher):
        with pytest.raises(TypeError):
            await ask(batcher, "no number")
        return await ask(batcher, 4)

    assert run(scenario, work) == 8


def test_a_full_queue_refuses_and_takes_again_when_it_is_shorter():
    work = Slow(let=False)

    async def scenario(batcher):
        first = ask(batcher, 1)
        await begun(work)
        waiting = [ask(batcher, item) for item in range(8)]
        await asyncio.sleep(0)
        assert batcher.waiting == 8
        with pytest.raises(QueueIsFull):
            await ask(batcher, 9)
        work.gate.set()
        await asyncio.gather(first, *waiting)
        return await ask(batcher, 9)

    assert run(scenario, work) == 18


def test_who_gave_up_is_not_answered():
    work = Slow(let=False)

    async def scenario(batcher):
        first = ask(batcher, 1)
        await begun(work)
        with pytest.raises(TimeoutError):
            await ask(batcher, 2, seconds=0.01)
        work.gate.set()
        return await asyncio.gather(first, ask(batcher, 3))

    assert run(scenario, work) == [2, 6]
    assert work.batches == [[1], [3]]


def test_after_its_end_it_refuses_and_lets_nobody_wait():
    work = Slow(let=False)

    async def scenario(batcher):
        asked = [ask(batcher, 1)]
        await begun(work)
        asked.append(ask(batcher, 2))
        await asyncio.sleep(0)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0.01)
        work.gate.set()
        await closing
        with pytest.raises(Closed):
            await ask(batcher, 3)
        return await asyncio.gather(*asked, return_exceptions=True)

    assert [type(each) for each in run(scenario, work)] == [Closed, Closed]
