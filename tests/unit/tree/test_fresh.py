"""Answers that are kept for a while."""

import threading

import pytest

from pacifica_fs.errors import NotFound, TooBusy, Unreachable
from pacifica_fs.tree.crowd import SILENCE, Crowd
from pacifica_fs.tree.fresh import GRUDGE, Fresh
from pacifica_fs.tree.shelf import Shelf


class Hands:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class Source:
    """Counts what it is asked; answers or raises what it is told to."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked = 0

    def __call__(self) -> object:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def as_is(key, raw):
    return raw


@pytest.fixture
def clock():
    return Hands()


def test_an_answer_lives_for_its_ttl(clock):
    fresh, source = Fresh(60, clock, as_is), Source("a")
    assert [fresh.get(("k",), source) for _ in range(3)] == ["a"] * 3
    assert source.asked == 1
    clock.time += 61
    source.answer = "b"
    assert fresh.get(("k",), source) == "b"


def test_an_outage_is_not_an_empty_answer_and_is_remembered_for_a_moment(clock):
    fresh, source = Fresh(60, clock, as_is), Source(Unreachable("down"))
    for _ in range(5):
        with pytest.raises(Unreachable):
            fresh.get(("k",), source)
    assert source.asked == 1
    clock.time += GRUDGE + 0.1
    source.answer = "up"
    assert fresh.get(("k",), source) == "up"


def test_offline_the_old_answer_serves(clock):
    fresh, source = Fresh(60, clock, as_is), Source("a")
    fresh.get(("k",), source)
    clock.time += 100
    source.answer = Unreachable("down")
    assert fresh.get(("k",), source) == "a"
    assert source.asked == 2


def test_after_a_restart_the_shelf_serves_offline(clock, tmp_path):
    shelf = Shelf(tmp_path)
    Fresh(60, clock, as_is, shelf=shelf, name="n", type=list[str]).get(("k",), Source(["a"]))
    reborn = Fresh(60, clock, as_is, shelf=Shelf(tmp_path), name="n", type=list[str])
    assert reborn.get(("k",), Source(Unreachable("down"))) == ["a"]
    with pytest.raises(Unreachable):
        reborn.get(("other",), Source(Unreachable("down")))


def test_a_damaged_shelf_is_a_miss(clock, tmp_path):
    Fresh(60, clock, as_is, shelf=Shelf(tmp_path), name="n", type=list[str]).get(("k",), Source(["a"]))
    for file in tmp_path.rglob("*"):
        if file.is_file():
            file.write_bytes(b"\xff garbage")
    with pytest.raises(Unreachable):
        Fresh(60, clock, as_is, shelf=Shelf(tmp_path), name="n", type=list[str]).get(("k",), Source(Unreachable("x")))


def test_not_found_is_final_and_forgets_the_old_answer(clock):
    fresh, source = Fresh(60, clock, as_is), Source("a")
    fresh.get(("k",), source)
    clock.time += 100
    source.answer = NotFound("gone")
    with pytest.raises(NotFound):
        fresh.get(("k",), source)
    source.answer = Unreachable("down")
    with pytest.raises(Unreachable):
        fresh.get(("k",), source)


def test_one_flight_for_many_askers(clock):
    fresh = Fresh(60, clock, as_is)
    started, release, asked = threading.Event(), threading.Event(), []

    def slow() -> str:
        asked.append(1)
        started.set()
        release.wait(10)
        return "a"

    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(fresh.get(("k",), slow))) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert started.wait(10)
    assert fresh.get(("other",), lambda: "b") == "b", "another key does not wait"
    release.set()
    for thread in threads:
        thread.join(10)
    assert answers == ["a"] * 8
    assert len(asked) == 1


def test_capacity_counts_weight_and_drops_the_oldest(clock):
    fresh: Fresh[str, str] = Fresh(60, clock, as_is, capacity=10, weight=len)
    for key in "abc":
        fresh.get((key,), lambda: "xxxx")
    assert fresh.known(("a",)) is None
    assert fresh.known(("b",)) == fresh.known(("c",)) == "xxxx"


def test_forget_asks_anew(clock):
    fresh, source = Fresh(60, clock, as_is), Source("a")
    fresh.get(("k",), source)
    fresh.forget()
    fresh.get(("k",), source)
    assert source.asked == 2


def test_who_waits_gets_what_the_flight_brings_an_error_too(clock):
    """A name that does not exist costs one request, not one for each who asked."""
    fresh = Fresh(60, clock, as_is)
    started, release, asked, errors = threading.Event(), threading.Event(), [], []

    def absent() -> str:
        asked.append(1)
        started.set()
        release.wait(10)
        raise NotFound("none")

    def ask() -> None:
        try:
            fresh.get(("k",), absent)
        except NotFound as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    threads[0].start()
    assert started.wait(10)
    waiting = [flight.landed for flight in fresh._flights.values()]
    for thread in threads[1:]:
        thread.start()
    while len(waiting[0]._cond._waiters) < 4:  # type: ignore[attr-defined]
        assert not waiting[0].wait(0.01)
    release.set()
    for thread in threads:
        thread.join(10)
    assert len(errors) == 5 and len(asked) == 1


def test_an_answer_that_was_asked_for_before_forget_is_not_believed_after(clock):
    """A new transaction shows at once, also if a listing was under way when it came."""
    fresh: Fresh[str, str] = Fresh(60, clock, as_is)

    def slow() -> str:
        fresh.forget()
        return "before"

    assert fresh.get(("k",), slow) == "before"
    assert fresh.get(("k",), lambda: "after") == "after"


def test_memory_is_bounded_in_an_outage_too(clock):
    fresh = Fresh(60, clock, as_is, capacity=10)
    for number in range(100):
        with pytest.raises(Unreachable):
            fresh.get((str(number),), Source(Unreachable("down")))
    assert len(fresh._answers) <= 10


def test_what_is_evicted_while_it_is_asked_for_leaves_no_debt(clock):
    fresh: Fresh[str, str] = Fresh(60, clock, as_is, capacity=10, weight=len)

    def crowded() -> str:
        for key in "abcdef":
            fresh.get((key,), lambda: "xxxx")
        return "yyyy"

    for _ in range(5):
        fresh.get(("slow",), crowded)
        clock.time += 61
    assert fresh._held == sum(answer.weight for answer in fresh._answers.values())


def test_those_who_wait_for_a_silent_archive_are_bounded(clock):
    crowd = Crowd(clock, limit=2, most=4)
    with crowd.place(), crowd.place():
        with crowd.place():
            pass  # it may just be busy
        clock.time += SILENCE + 1
        with pytest.raises(TooBusy), crowd.place():
            pass
    with crowd.place():
        pass


def test_never_more_wait_than_threads_are_left_for(clock):
    crowd = Crowd(clock, limit=2, most=3)
    with crowd.place(), crowd.place(), crowd.place(), pytest.raises(TooBusy), crowd.place():
        pass
