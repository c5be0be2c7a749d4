"""The processes that share a run, and what they tell each other: sums, gathered rows, a few bytes of text.

A launcher (`torchrun`, `deepspeed`) starts them and says in the environment which is which. In a run of one
process, every method does nothing and no process group is made.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor, distributed

# Process 0 may convert a model or score alone while the others wait.
_PATIENCE = timedelta(hours=2)

Item = TypeVar("Item")


@dataclass(frozen=True)
class Processes:
    """One of the processes of a run.

    Attributes:
        rank: Which one this is, from 0; process 0 writes and speaks for all.
        size: How many there are.
        device: Where what is sent has to lie.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def is_first(self) -> bool:
        """Whether this is process 0."""
        return self.rank == 0

    def share(self, items: Iterable[Item]) -> Iterator[tuple[Item, bool]]:
        """Yield this process's items, each with True; with False one that only keeps it in step with others.

        A sharded model computes in all processes or in none, so all of them go through as many batches.
        """
        iterator = iter(items)
        while group := list(islice(iterator, self.size)):
            is_own = self.rank < len(group)
            yield group[self.rank if is_own else 0], is_own

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor, in place, by its sum over the processes."""
        if self.size == 1:
            return
        works = [distributed.all_reduce(tensor, async_op=True) for tensor in tensors]
        for work in works:
            work.wait()

    def hand_out(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor's values, in place, by those of process 0."""
        if self.size == 1:
            return
        for tensor in tensors:
            distributed.broadcast(tensor.data, src=0)

    def gather(self, rows: Tensor) -> Tensor:
        """Rows of all processes, in the order of the ranks.

        Args:
            rows: `[number, ...]`, of which the number may differ between processes.

        Returns:
            `[sum of the numbers, ...]`, on the device that `rows` was on.
        """
        if self.size == 1:
            return rows
        sent = rows.to(self.device)
        numbers = torch.zeros(self.size, dtype=torch.int64, device=self.device)
        numbers[self.rank] = len(sent)
        distributed.all_reduce(numbers)
        counts = numbers.tolist()
        padded = sent.new_zeros((max(counts), *sent.shape[1:]))
        padded[: len(sent)] = sent
        received = [torch.empty_like(padded) for _ in range(self.size)]
        distributed.all_gather(received, padded)
        return torch.cat([part[:count] for part, count in zip(received, counts, strict=True)]).to(rows.device)

    def tell(self, text: str) -> str:
        """The text that process 0 gives here; what the others give is ignored."""
        if self.size == 1:
            return text
        content = torch.tensor(list(text.encode()), dtype=torch.uint8, device=self.device)
        length = torch.tensor([len(content)], device=self.device)
        distributed.broadcast(length, src=0)
        if not self.is_first:
            content = torch.empty(int(length), dtype=torch.uint8, device=self.device)
        distributed.broadcast(content, src=0)
        return bytes(content.tolist()).decode()

    def largest(self, value: float) -> float:
        """The largest of the processes' values."""
        if self.size == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.all_reduce(tensor, op=distributed.ReduceOp.MAX)
        return tensor.item()

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Within it, process 0 goes first and the others follow together: what it caches, they find."""
        if self.size > 1 and not self.is_first:
            distributed.barrier()
        yield
        if self.size > 1 and self.is_first:
            distributed.barrier()


@contextmanager
def launched_processes(device: torch.device) -> Iterator[Processes]:
    """The processes that a launcher has started, connected as long as the block lasts; or this one alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        yield Processes(device=device)
        return
    options = {"device_id": device} if device.type == "cuda" else {}
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        timeout=_PATIENCE,
        **options,  # type: ignore[arg-type]
    )
    try:
        yield Processes(distributed.get_rank(), size, device)
    finally:
        distributed.destroy_process_group()
