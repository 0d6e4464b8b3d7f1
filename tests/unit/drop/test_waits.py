"""Two waits for the disk at once."""

from __future__ import annotations

import threading

import pytest

from pacifica_fs.drop.together import HELPERS, Together


@pytest.fixture
def together():
    made = Together()
    yield made
    made.close()


def test_both_run_at_once(together):
    meeting = threading.Barrier(2, timeout=10)
    together(meeting.wait, meeting.wait)


def test_more_calls_than_helpers_all_come_back(together):
    done = []
    callers = [
        threading.Thread(target=together, args=(lambda: done.append(1), lambda: done.append(2)), daemon=True)
        for _ in range(3 * HELPERS)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(10)
    assert sorted(done) == [1] * len(callers) + [2] * len(callers)


def fail(words):
    raise OSError(words)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [("one", None, "one"), (None, "two", "two"), ("one", "two", "one")],
)
def test_an_error_is_raised_once_both_are_done(together, first, second, words):
    done = []

    def work(fails):
        done.append(fails)
        if fails:
            fail(fails)

    with pytest.raises(OSError, match=words):
        together(lambda: work(first), lambda: work(second))
    assert sorted(done, key=str) == sorted([first, second], key=str)


def test_after_the_end_it_does_one_after_the_other(together):
    together.close()
    done = []
    together(lambda: done.append(1), lambda: done.append(2))
    assert done == [1, 2]
