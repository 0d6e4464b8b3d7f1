"""Answers that are kept for a while."""

import threading

import pytest

from pacifica_fs.errors import NotFound, Unreachable
from pacifica_fs.tree.fresh import GRUDGE, Fresh, Shelf


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


@pytest.fixture
def clock():
    return Hands()


def test_an_answer_lives_for_its_ttl(clock):
    fresh, source = Fresh(60, clock), Source("a")
    assert [fresh.get(("k",), source) for _ in range(3)] == ["a"] * 3
    assert source.asked == 1
    clock.time += 61
    source.answer = "b"
    assert fresh.get(("k",), source) == "b"


def test_an_outage_is_not_an_empty_answer_and_is_remembered_for_a_moment(clock):
    fresh, source = Fresh(60, clock), Source(Unreachable("down"))
    for _ in range(5):
        with pytest.raises(Unreachable):
            fresh.get(("k",), source)
    assert source.asked == 1
    clock.time += GRUDGE + 0.1
    source.answer = "up"
    assert fresh.get(("k",), source) == "up"


def test_offline_the_old_answer_serves(clock):
    fresh, source = Fresh(60, clock), Source("a")
    fresh.get(("k",), source)
    clock.time += 100
    source.answer = Unreachable("down")
    assert fresh.get(("k",), source) == "a"
    assert source.asked == 2


def test_after_a_restart_the_shelf_serves_offline(clock, tmp_path):
    shelf = Shelf(tmp_path)
    Fresh(60, clock, shelf=shelf, name="n", type=list[str]).get(("k",), Source(["a"]))
    reborn = Fresh(60, clock, shelf=Shelf(tmp_path), name="n", type=list[str])
    assert reborn.get(("k",), Source(Unreachable("down"))) == ["a"]
    with pytest.raises(Unreachable):
        reborn.get(("other",), Source(Unreachable("down")))


def test_a_damaged_shelf_is_a_miss(clock, tmp_path):
    Fresh(60, clock, shelf=Shelf(tmp_path), name="n", type=list[str]).get(("k",), Source(["a"]))
    for file in tmp_path.rglob("*"):
        if file.is_file():
            file.write_bytes(b"\xff garbage")
    with pytest.raises(Unreachable):
        Fresh(60, clock, shelf=Shelf(tmp_path), name="n", type=list[str]).get(("k",), Source(Unreachable("x")))


def test_not_found_is_final_and_forgets_the_old_answer(clock):
    fresh, source = Fresh(60, clock), Source("a")
    fresh.get(("k",), source)
    clock.time += 100
    source.answer = NotFound("gone")
    with pytest.raises(NotFound):
        fresh.get(("k",), source)
    source.answer = Unreachable("down")
    with pytest.raises(Unreachable):
        fresh.get(("k",), source)


def test_one_flight_for_many_askers(clock):
    fresh = Fresh(60, clock)
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
    fresh: Fresh[str] = Fresh(60, clock, capacity=10, weight=len)
    for key in "abc":
        fresh.get((key,), lambda: "xxxx")
    assert fresh.known(("a",)) is None
    assert fresh.known(("b",)) == fresh.known(("c",)) == "xxxx"


def test_forget_asks_anew(clock):
    fresh, source = Fresh(60, clock), Source("a")
    fresh.get(("k",), source)
    fresh.forget()
    fresh.get(("k",), source)
    assert source.asked == 2
