"""What the C library does with freed memory, seen in a process of its own."""

import os
import platform
import subprocess
import sys

import pytest

from xlprompt.training.machine import allocator

CAPACITY = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"

PROGRAM = """
import psutil
from xlprompt.training.machine.allocator import give_back_freed_memory, keep_freed_memory

def resident():
    return psutil.Process().memory_info().rss / 2**20

before = resident()
assert keep_freed_memory()
blocks = [bytearray(2**20) for _ in range(300)]
last = bytearray(1000)  # lies above them, so that the heap's end cannot move
del blocks
kept = resident()
give_back_freed_memory()
print(before, kept, resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told anything")
def test_freed_memory_is_kept_until_it_is_given_back():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    before, kept, after = map(float, done.stdout.split())
    assert kept > before + 250
    assert after < before + 50


def test_it_is_given_back_after_many_batches_or_a_while(monkeypatch):
    given, now = [], [0.0]
    monkeypatch.setattr(allocator, "give_back_freed_memory", lambda: given.append(now[0]))
    monkeypatch.setattr(allocator.time, "monotonic", lambda: now[0])
    freed = allocator.FreedMemory()
    for _ in freed.between(range(250)):  # small ones
        now[0] += 0.01
    assert len(given) == 2
    for _ in freed.between(range(2)):  # large ones
        now[0] += 3
    assert len(given) == 4


@pytest.mark.parametrize(("parameters", "kept"), [(None, "128"), (4_000_000, "512"), (270_000_000, "128")])
def test_a_small_model_that_trains_has_more_products_kept(monkeypatch, parameters, kept):
    monkeypatch.setenv(CAPACITY, "")
    monkeypatch.delenv(CAPACITY)  # so that it is as before afterwards
    allocator.keep_few_products(parameters)
    assert os.environ[CAPACITY] == kept


def test_what_the_user_says_of_products_stays(monkeypatch):
    monkeypatch.setenv(CAPACITY, "7")
    allocator.keep_few_products(4_000_000)
    assert os.environ[CAPACITY] == "7"
