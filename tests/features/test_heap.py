"""While a run is under way, freed memory is used again instead of being asked from the kernel."""

import os
import platform
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from sktransfer.features import heap
from sktransfer.features.heap import kept_heap

# In a process of its own, because what other code has freed decides where malloc finds memory.
COUNT_FAULTS = """
import resource, torch
from sktransfer.features.heap import kept_heap

def n_faults():
    torch.zeros(2**26, dtype=torch.uint8).fill_(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.zeros(2**26, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

# The least of several, because a small block may lie in the way of the next map.
before = min(n_faults() for _ in range(3))
with kept_heap():
    during = min(n_faults() for _ in range(6))
held = resident()
with kept_heap():
    torch.zeros(2**29, dtype=torch.uint8).fill_(1)
    at_most = resident()
print(before, during, at_most - held, resident() - held)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tunes the malloc of glibc")
def test_maps_take_the_memory_of_earlier_maps_and_most_goes_back_in_the_end():
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", COUNT_FAULTS], env=plain, capture_output=True, text=True, check=True
    )
    before, during, most, left = map(int, done.stdout.split())
    assert during < before / 2
    assert most > 2**28
    assert left < 2**28


@pytest.fixture
def calls(monkeypatch):
    """What malloc is told, instead of telling it."""
    found = []

    class Recorder:
        def mallopt(self, parameter, value):
            found.append((parameter, value))

        def mallinfo2(self):
            return SimpleNamespace(fordblks=2**30)

        def malloc_trim(self, pad):
            found.append("give back")

    monkeypatch.setattr(heap, "_glibc", Recorder)
    return found


def test_memory_is_kept_until_the_last_of_several_runs_ends(calls):
    started, may_end = threading.Event(), threading.Event()

    def run():
        with kept_heap():
            started.set()
            may_end.wait(10)

    other = threading.Thread(target=run)
    with kept_heap():
        other.start()
        started.wait(10)
    assert len(calls) == 2  # the two thresholds, once
    may_end.set()
    other.join()
    assert calls[-1] == "give back"
    assert len(calls) == 5


def test_a_run_that_fails_ends_too(calls):
    with pytest.raises(ZeroDivisionError), kept_heap():
        1 / 0  # noqa: B018 - the error is the test
    assert calls[-1] == "give back"


def test_without_glibc_nothing_is_done(monkeypatch):
    monkeypatch.setattr(heap, "_glibc", lambda: None)
    with kept_heap():
        pass
