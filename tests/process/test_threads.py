# SPDX-License-Identifier: MIT
"""Daemon threads for calls that may block for ever: bounded, made on demand, gone when idle."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

from fingerd_sd.process import threads as pool_module
from fingerd_sd.process.threads import Pool

PATIENCE = 20  # seconds until an event that does not come fails a test
ROOT = Path(__file__).parents[2]


def _threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_a_call_is_called_with_its_arguments_in_a_thread_of_the_pool() -> None:
    pool = Pool(1, "pool-arguments")

    def call(one: int, *, two: int) -> tuple[int, str, bool]:
        thread = threading.current_thread()
        return one + two, thread.name, thread.daemon

    assert pool.submit(call, 1, two=2).result(PATIENCE) == (3, "pool-arguments", True)


def test_what_a_call_raises_is_the_callers() -> None:
    def fail() -> None:
        raise SystemExit("whatever it is")

    pool = Pool(1, "pool-raises")
    assert isinstance(pool.submit(fail).exception(PATIENCE), SystemExit)
    assert pool.submit(len, "abc").result(PATIENCE) == 3


def test_no_more_threads_than_the_size_and_the_rest_waits() -> None:
    pool = Pool(2, "pool-size")
    release, running = threading.Event(), threading.Semaphore(0)

    def block() -> bool:
        running.release()
        return release.wait(PATIENCE)

    futures = [pool.submit(block) for _ in range(6)]
    for _ in range(2):
        assert running.acquire(timeout=PATIENCE)
    assert len(_threads("pool-size")) == 2
    assert not running.acquire(blocking=False)
    release.set()
    assert all(future.result(PATIENCE) for future in futures)


def test_of_calls_that_wait_there_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all threads hang, names that are asked for must not fill the memory."""
    monkeypatch.setattr(pool_module, "MAX_BACKLOG", 3)
    pool = Pool(1, "pool-backlog")
    release = threading.Event()
    hanging = pool.submit(release.wait, PATIENCE)
    waiting = [pool.submit(len, "abc") for _ in range(3)]
    with pytest.raises(RuntimeError, match="all threads hang, 3 calls wait"):
        pool.submit(len, "abcd")
    release.set()
    assert hanging.result(PATIENCE)
    assert [future.result(PATIENCE) for future in waiting] == [3, 3, 3]
    assert pool.submit(len, "abcd").result(PATIENCE) == 4


def test_calls_run_side_by_side_up_to_the_size() -> None:
    pool = Pool(3, "pool-side-by-side")
    together = threading.Barrier(3, timeout=PATIENCE)
    futures = [pool.submit(together.wait) for _ in range(3)]
    assert {future.result(PATIENCE) for future in futures} == {0, 1, 2}


def test_a_thread_is_used_again() -> None:
    pool = Pool(8, "pool-again")
    for _ in range(20):
        pool.submit(len, "").result(PATIENCE)
    assert len(_threads("pool-again")) <= 2  # one may not yet wait when the next call comes


def test_a_call_that_was_cancelled_in_time_is_skipped() -> None:
    pool = Pool(1, "pool-cancel")
    release, called = threading.Event(), threading.Event()
    first = pool.submit(release.wait, PATIENCE)
    second = pool.submit(called.set)
    assert second.cancel()
    release.set()
    assert first.result(PATIENCE)
    pool.submit(len, "").result(PATIENCE)
    assert not called.is_set()


def test_threads_go_when_there_is_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "IDLE", 0.01)
    pool = Pool(4, "pool-idle")
    pool.submit(len, "").result(PATIENCE)
    for thread in _threads("pool-idle"):
        thread.join(PATIENCE)
    assert _threads("pool-idle") == []
    assert pool.submit(len, "ab").result(PATIENCE) == 2


def test_a_thread_that_cannot_be_started_does_not_cost_the_pool_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TasksMax= may be reached for a moment; the look-ups after it must go on."""
    pool = Pool(1, "pool-start")

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="can't start"):
            pool.submit(len, "")
    assert pool.submit(len, "ab").result(PATIENCE) == 2


def test_a_call_that_never_returns_does_not_keep_the_process() -> None:
    program = (
        "import threading\n"
        "from fingerd_sd.process.threads import Pool\n"
        "running = threading.Event()\n"
        "Pool(1, 'stuck').submit(lambda: (running.set(), threading.Event().wait()))\n"
        "assert running.wait(20)\n"
        "print('left')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        timeout=PATIENCE * 3,
        check=True,
        capture_output=True,
    )
    assert done.stdout == b"left\n"


def test_a_thread_that_waits_keeps_nothing_of_what_it_returned() -> None:
    class Large:
        pass

    pool = Pool(1, "pool-keeps")
    future = pool.submit(Large)
    large = weakref.ref(future.result(PATIENCE))
    assert pool.submit(len, "abc").result(PATIENCE) == 3
    del future
    until = time.monotonic() + PATIENCE
    while large() is not None:
        assert time.monotonic() < until
        time.sleep(0.001)
