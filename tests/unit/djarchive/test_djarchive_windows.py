"""A file as a stream of ranges: pure bookkeeping around a function that fetches."""

import itertools
import threading

import pytest

from pacifica_fs.archive import Waiting
from pacifica_fs.archives.djarchive.store import Object
from pacifica_fs.archives.djarchive.windows import AHEAD, FIRST, LARGEST, SMALL, Budget, windows
from pacifica_fs.transport.workers import Workers

ABOUT = Object("k", 1, 1, "e")
WAITING = Waiting("waiting")


@pytest.fixture
def workers():
    made = Workers("test", 8)
    yield made
    made.close()


class Source:
    """Notes what is asked for; a byte's value tells its offset."""

    def __init__(self):
        self.asked = []

    def __call__(self, start, stop):
        self.asked.append((start, stop))
        return memoryview(bytes(stop - start)), ABOUT


def taken(source, workers, start, size, most=None, budget=None):
    arrivals = windows(source, start, size, workers, budget or Budget(1 << 30), WAITING)
    return [(offset, len(data)) for offset, (data, _) in itertools.islice(arrivals, most)]


@pytest.mark.parametrize("size", [0, 1, FIRST - 1, FIRST, FIRST + 1, 30 << 20])
@pytest.mark.parametrize("start", [0, 1, 5000, FIRST])
def test_ranges_follow_without_gap(workers, start, size):
    got = taken(Source(), workers, start, size)
    position = start
    for offset, length in got:
        assert offset == position and 0 < length <= LARGEST
        position += length
    assert position == max(start, size) or size < start


def test_a_small_file_is_one_request(workers):
    source = Source()
    assert taken(source, workers, 0, FIRST) == [(0, FIRST)]
    assert source.asked == [(0, FIRST)]


def test_somewhere_inside_the_first_range_is_small_and_nothing_is_asked_ahead(workers):
    source = Source()
    assert taken(source, workers, 10 << 20, 100 << 20, most=1) == [(10 << 20, SMALL)]
    assert source.asked == [(10 << 20, (10 << 20) + SMALL)]


def test_who_goes_on_gets_larger_ranges_ahead(workers):
    source = Source()
    got = taken(source, workers, 10 << 20, 100 << 20, most=8)
    assert got[-1][1] == LARGEST
    assert len(source.asked) <= 8 + AHEAD + 1


def test_the_budget_bounds_what_is_asked_ahead_and_comes_back(workers):
    budget = Budget(LARGEST)
    source = Source()
    assert sum(length for _, length in taken(source, workers, 0, 40 << 20, budget=budget)) == 40 << 20
    assert budget.take(LARGEST) and not budget.take(1)
    budget.give(LARGEST)
    taken(source, workers, 0, 40 << 20, most=1, budget=budget)
    assert budget.take(LARGEST), "also where the stream was left"


def test_without_a_budget_it_goes_on_one_by_one(workers):
    assert sum(length for _, length in taken(Source(), workers, 0, 20 << 20, budget=Budget(0))) == 20 << 20


def test_who_waits_hears_so(workers):
    go = threading.Event()

    def fetch(start, stop):
        assert go.wait(30)
        return memoryview(bytes(stop - start)), ABOUT

    arrivals = windows(fetch, 0, 10, workers, Budget(0), WAITING)
    assert next(arrivals) is WAITING
    go.set()
    assert [each for each in arrivals if each is not WAITING] == [(0, (b"\0" * 10, ABOUT))]


def test_an_error_ends_the_stream(workers):
    def fetch(start, stop):
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        list(windows(fetch, 0, 10, workers, Budget(0), WAITING))
