"""Threads that are used again."""

import threading

import pytest

from pacifica_fs.transport.workers import Workers


@pytest.fixture
def workers():
    made = Workers("tested", 2)
    yield made
    made.close()
    for thread in names():  # the next test counts its own
        thread.join(10)


def names():
    return [thread for thread in threading.enumerate() if thread.name == "tested"]


def test_outcomes(workers):
    assert workers(lambda: 7).result(10) == 7
    with pytest.raises(KeyError):
        workers(lambda: {}["x"]).result(10)


def test_a_thread_is_used_again(workers):
    for number in range(20):
        assert workers(lambda number=number: number).result(10) == number
    assert len(names()) <= 2


def test_more_calls_than_threads_wait_for_their_turn(workers):
    go = threading.Event()
    futures = [workers(lambda: go.wait(30)) for _ in range(6)]
    assert not any(future.done() for future in futures)
    assert len(names()) == 2
    go.set()
    assert all(future.result(10) for future in futures)


def test_what_was_cancelled_before_its_turn_never_runs(workers):
    go, ran = threading.Event(), []
    busy = [workers(lambda: go.wait(30)) for _ in range(2)]
    unwanted = workers(lambda: ran.append(1))
    assert unwanted.cancel()
    go.set()
    assert all(future.result(10) for future in busy)
    assert workers(lambda: 1).result(10) == 1 and not ran


def test_idle_threads_end_with_it(workers):
    workers(lambda: 1).result(10)
    threads = names()
    workers.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert workers(lambda: 2).result(10) == 2
