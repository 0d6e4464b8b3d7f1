"""Archives are asked in the background; one that hangs or is broken holds up nobody."""

import logging
import threading
import time

import pytest

from pacifica_fs.model import Health
from pacifica_fs.service import health
from pacifica_fs.service.health import Watch

LIMIT = 10


class ToyClock:
    def now(self):
        return 1_600_000_000.0

    def monotonic(self):
        return time.monotonic()

    def sleep(self, seconds):
        raise AssertionError("a thread that cannot be woken")


class ToyArchive:
    """Answers what `answers` has, the last one for ever; `asked` is set each time."""

    def __init__(self, name, *answers):
        self.name, self._answers, self.times = name, list(answers), 0
        self.changed = threading.Condition()

    def probe(self):
        with self.changed:
            self.times += 1
            self.changed.notify_all()
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer()
            return Health(True)
        return answer

    def wait(self, times):
        with self.changed:
            assert self.changed.wait_for(lambda: self.times >= times, LIMIT)


@pytest.fixture
def watch(monkeypatch):
    monkeypatch.setattr(health, "ILL", 0.01)
    monkeypatch.setattr(health, "WELL", 0.01)
    made = []

    def start(*archives):
        made.append(Watch({archive.name: archive for archive in archives}, ToyClock()))
        made[-1].start()
        return made[-1]

    yield start
    for each in made:
        each.stop()
    until(lambda: not any(thread.name in ("health a", "health fine") for thread in threading.enumerate()))


def until(probe):
    deadline = time.monotonic() + LIMIT
    while not probe():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_nothing_is_asked_before_it_starts():
    archive = ToyArchive("a", Health(True))
    found = Watch({"a": archive}, ToyClock())
    assert found.last("a") is None and archive.times == 0


def test_what_is_found_is_kept_with_its_time(watch):
    found = watch(ToyArchive("a", Health(True, "me")))
    until(lambda: found.last("a"))
    assert found.last("a") == (Health(True, "me"), 1_600_000_000.0)


def test_a_change_is_logged_once(watch, caplog):
    with caplog.at_level(logging.INFO, "pacifica_fs"):
        archive = ToyArchive("a", Health(False, error="down"), Health(False, error="down"), Health(True))
        found = watch(archive)
        archive.wait(6)
        until(lambda: found.last("a")[0].reachable)
    said = [record.message for record in caplog.records]
    assert said == ["archive a is out of reach: down", "archive a answers again"]


def test_one_that_hangs_does_not_hold_up_the_others_nor_the_end(watch):
    over = threading.Event()
    found = watch(ToyArchive("hangs", over.wait), ToyArchive("fine", Health(True)))
    until(lambda: found.last("fine"))
    assert found.last("hangs") is None
    begun = time.monotonic()
    found.stop()
    assert time.monotonic() - begun < 30
    over.set()


def test_an_unexpected_error_is_a_finding_and_the_watch_goes_on(watch, caplog):
    archive = ToyArchive("a", KeyError("oops"), Health(True))
    found = watch(archive)
    archive.wait(2)
    until(lambda: found.last("a") and found.last("a")[0].reachable)
    assert "failed unexpectedly" in caplog.text


def test_it_asks_no_more_after_stop(watch):
    archive = ToyArchive("a", Health(True))
    found = watch(archive)
    archive.wait(2)
    found.stop()
    until(lambda: not any(thread.name == "health a" for thread in threading.enumerate()))
    times = archive.times
    time.sleep(0.05)
    assert archive.times == times


def test_a_failing_request_makes_it_look_again_at_once(watch, monkeypatch):
    """The status must not say for minutes that all is well while `ls` fails."""
    archive = ToyArchive("a", Health(True), Health(False, error="down"))
    monkeypatch.setattr(health, "WELL", 3600.0)
    found = watch(archive)
    archive.wait(1)
    until(lambda: found.last("a"))
    found.suspect("a")
    until(lambda: not found.last("a")[0].reachable)
