import threading

import pytest

from pacifica_fs.transport.pump import Pumps


def test_items_in_order_and_the_end():
    assert list(Pumps().run((n for n in range(20)), lambda: -1)) == list(range(20))


def test_idle_items_while_the_source_blocks():
    go = threading.Event()

    def source():
        go.wait(10)
        yield 1

    found = Pumps(every=0.01).run(source(), lambda: 0)
    assert [next(found), next(found)] == [0, 0]
    go.set()
    assert [item for item in found if item] == [1]


def test_an_error_follows_the_items_before_it():
    def source():
        yield 1
        raise ValueError("x")

    found = Pumps().run(source(), lambda: 0)
    assert next(found) == 1
    with pytest.raises(ValueError, match="x"):
        next(found)


def test_the_end_does_not_wait_for_tidying_up():
    go, tidied = threading.Event(), threading.Event()

    def source():
        yield 1
        yield None
        go.wait(10)
        tidied.set()

    pumps = Pumps()
    assert list(pumps.run(source(), lambda: 0)) == [1]
    assert not tidied.is_set()
    go.set()
    pumps.close(10)
    assert tidied.is_set()


def test_closing_early_closes_the_source_in_its_thread():
    closed = threading.Event()

    def source():
        try:
            n = 0
            while True:
                n += 1
                yield n
        finally:
            closed.set()

    pumps = Pumps()
    found = pumps.run(source(), lambda: 0)
    assert next(found) == 1
    found.close()
    assert closed.wait(10)


def test_the_queue_is_bounded():
    made = []
    second = threading.Event()

    def source():
        for n in range(100):
            made.append(n)
            if n == 3:
                second.set()
            yield n

    found = Pumps(room=2).run(source(), lambda: -1)
    assert next(found) == 0
    assert second.wait(10)
    assert len(made) <= 5
    found.close()
