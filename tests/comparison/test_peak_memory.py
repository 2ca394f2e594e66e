import sys

import numpy as np
import pytest

from sktransfer.comparison.peak_memory import peak_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak")

N_BYTES = 64 * 2**20


def _hold(n_bytes):
    np.ones(n_bytes, np.uint8)


def test_the_peak_is_what_was_held_at_once_even_for_a_moment():
    with peak_memory() as peak:
        for _ in range(5):
            _hold(N_BYTES)
    assert peak.n_bytes == pytest.approx(N_BYTES, rel=0.1)


def test_an_earlier_larger_peak_does_not_count():
    with peak_memory():
        _hold(4 * N_BYTES)
    with peak_memory() as peak:
        _hold(N_BYTES)
    assert peak.n_bytes == pytest.approx(N_BYTES, rel=0.1)


def test_what_the_process_held_before_does_not_count():
    before = np.ones(N_BYTES, np.uint8)
    with peak_memory() as peak:
        before.sum()
    assert peak.n_bytes < 0.1 * N_BYTES


def test_memory_that_earlier_work_freed_counts_again():
    # Small pieces stay with the allocator when they are freed, and would be found there.
    for _ in range(2):
        with peak_memory() as peak:
            pieces = [np.ones(8000, np.uint8) for _ in range(N_BYTES // 8000)]
            del pieces
    assert peak.n_bytes > 0.8 * N_BYTES


def test_it_is_unknown_where_the_system_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr("sktransfer.comparison.peak_memory._RESET", tmp_path / "no" / "such")
    with peak_memory() as peak:
        pass
    assert np.isnan(peak.n_bytes)
