"""Which events a rule is about, and that who is called by name is asked for by the thread that fetches."""

import threading

import pytest

from pacifica_fs.config import PrefetchRule
from pacifica_fs.errors import Unreachable
from pacifica_fs.events.prefetch import Prefetch, matches
from pacifica_fs.model import Event, FileRef

REF = FileRef("site", "67", "7", ("a.txt",), 3, 0)
EVENT = Event("e", "67", (REF,), 0, {"project": "1234a", "user": "10"}, (("Tag", "first"), ("Tag", "second")))
WAIT = 20


def called(dimension, id, name):
    return (dimension, id, name) == ("user", "10", "dmlb2001")


@pytest.mark.parametrize(
    "where,keys,expected",
    [
        ({}, {}, True),
        ({"project": "1234a"}, {"Tag": "second"}, True),
        ({"project": "1234a"}, {"Tag": "third"}, False),
        ({"project": "1235"}, {}, False),
        ({"user": "10"}, {}, True),
        ({"user": "11"}, {}, False),
        ({"user": "dmlb2001"}, {}, True),
        ({"user": "bkim"}, {}, False),
        ({"user": "dmlb2001", "project": "1235"}, {}, False),
        ({"instrument": "54"}, {}, False),
    ],
)
def test_rules(where, keys, expected):
    assert matches(PrefetchRule(where, keys), EVENT, called) is expected


class Store:
    size = 3

    def __init__(self):
        self.opened = []
        self.done = threading.Event()

    def open(self, ref, path):
        self.opened.append(path)
        return self

    def read(self, size, offset):
        return b"abc"

    def close(self):
        self.done.set()


@pytest.fixture
def started():
    prefetches = []

    def start(*more, rule):
        store = Store()
        prefetch = Prefetch(store, {"site": [PrefetchRule(rule)]}, *more)
        prefetch.start()
        prefetches.append(prefetch)
        return prefetch, store

    yield start
    for prefetch in prefetches:
        prefetch.stop()


def test_a_login_name_is_asked_for_by_the_thread_that_fetches(started):
    asked = []

    def ask(*question):
        asked.append(threading.current_thread().name)
        return called(*question)

    prefetch, store = started({"site": ask}, rule={"user": "dmlb2001"})
    assert prefetch.told("site", EVENT)
    assert store.done.wait(WAIT)
    assert (store.opened, asked) == (["/site/transactions/67/a.txt"], ["prefetch"])


def test_a_site_that_cannot_be_asked_ends_nothing(started, caplog):
    down = threading.Event()

    def ask(*question):
        if not down.is_set():
            down.set()
            raise Unreachable("down")
        return called(*question)

    prefetch, store = started({"site": ask}, rule={"user": "dmlb2001"})
    prefetch.told("site", EVENT)
    assert down.wait(WAIT)
    prefetch.told("site", EVENT)
    assert store.done.wait(WAIT) and len(store.opened) == 1
    assert "event 'e' is not fetched ahead: down" in caplog.text


def test_what_no_rule_can_mean_is_not_asked_for(started):
    def never(*question):
        raise AssertionError(question)

    prefetch, store = started({"site": never}, rule={"user": "11"})
    assert not prefetch.told("site", EVENT)
    assert store.opened == []
