"""The collector is back on afterwards, whatever happens inside and however calls overlap."""

from __future__ import annotations

import gc
import threading

import pytest

from console.kafka.collector import held_back


def test_it_is_off_inside_and_on_after() -> None:
    assert gc.isenabled()
    with held_back():
        assert not gc.isenabled()
        with held_back():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), held_back():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_calls_that_overlap_leave_it_on() -> None:
    def work() -> None:
        for _ in range(300):
            with held_back():
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gc.isenabled()
