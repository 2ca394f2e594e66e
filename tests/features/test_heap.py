"""While a run is under way, freed memory is used again instead of being asked from the kernel."""

import platform
import resource
import threading
from pathlib import Path

import pytest
import torch

from sktransfer.features.heap import kept_heap

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="tunes the malloc of glibc"
)


def n_faults(n_bytes=2**26, times=12):
    """Fill and free a large map a few times, and count the pages that the kernel had to bring.

    The first times do not count: small blocks may cut the memory that was freed.
    """
    for i in range(2 * times):
        if i == times:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.zeros(n_bytes, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_maps_take_the_memory_of_earlier_maps_only_during_a_run():
    with kept_heap():
        pass  # whatever this process was told before, it now has the usual thresholds
    before = n_faults()
    with kept_heap():
        during = n_faults()
    after = n_faults()
    assert during < before / 3
    assert during < after / 3


def test_memory_is_kept_until_the_last_of_several_runs_ends():
    started, may_end = threading.Event(), threading.Event()

    def run():
        with kept_heap():
            started.set()
            may_end.wait(10)

    other = threading.Thread(target=run)
    with kept_heap():
        other.start()
        started.wait(10)
    during = n_faults()
    may_end.set()
    other.join()
    assert during < n_faults() / 3


def test_memory_goes_back_to_the_system_afterwards():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    before = resident()
    with kept_heap():
        torch.zeros(2**28, dtype=torch.uint8).fill_(1)
        assert resident() > before + 2**27
    assert resident() < before + 2**26


def test_a_run_that_fails_ends_too():
    with pytest.raises(ZeroDivisionError), kept_heap():
        1 / 0  # noqa: B018 - the error is the test
    assert n_faults() > 1000
