"""`events/`: what is written there is an event, kept over restarts, or refused when it is closed."""

import json
import os

import pytest

from pacifica_fs.clock import SystemClock
from pacifica_fs.config import PrefetchRule
from pacifica_fs.errors import Denied, Invalid, NotFound, NotPermitted, TooLarge, Unreachable
from pacifica_fs.events import folder as module
from pacifica_fs.events.desk import Desk
from pacifica_fs.events.folder import EventsFolder
from pacifica_fs.events.prefetch import Prefetch, matches
from pacifica_fs.model import Event, FileRef
from pacifica_fs.tree.virtual import FixedFile, ListedFolder

WRITE = os.O_WRONLY | os.O_CREAT


class Listener:
    def __init__(self):
        self.parsed = 0

    def event(self, data):
        self.parsed += 1
        try:
            value = json.loads(data)
        except ValueError:
            raise Invalid("this is not JSON") from None
        refs = tuple(FileRef("toy", "67", name, (name,), 4, 5) for name in value["files"])
        return Event(value["id"], "67", refs, 7, value.get("where", {}), (("Tag", "first"),))


@pytest.fixture
def told():
    return []


@pytest.fixture
def desk(tmp_path, told):
    return Desk("toy", Listener(), tmp_path / "events", SystemClock(), told.append)


@pytest.fixture
def events(desk):
    def content(event):
        names = [(ref.id, FixedFile(("file", ref.id), ref.id)) for ref in event.files]
        return ListedFolder(("content",), lambda: names)

    return EventsFolder(desk, content)


def write(events, name, text, close=True):
    node, handle = events.create(name, WRITE, 0o600)
    data = text if isinstance(text, bytes) else json.dumps(text).encode()
    half = len(data) // 2
    assert handle.write(memoryview(data[:half]), 0) + handle.write(memoryview(data[half:]), half) == len(data)
    if close:
        handle.flush()
        handle.release()
    return node, handle


def names(node):
    return [name for name, _ in node.entries()]


EVENT = {"id": "e.1", "files": ["a", "b"]}


def test_an_event_appears_under_its_id(events, desk, told):
    write(events, "anything.json", EVENT)
    assert names(events) == ["README.txt", "e.1", "e.1.json"]
    assert names(events.lookup("e.1")) == ["a", "b"]
    assert json.loads(events.lookup("e.1.json").render()) == EVENT
    assert events.lookup("e.1.json").attributes().size == len(json.dumps(EVENT))
    assert [event.id for event in told] == ["e.1"]
    (note,) = desk.notes()
    assert (note["state"], note["id"], note["files"], note["bytes"]) == ("accepted", "e.1", 2, 8)


def test_it_survives_a_restart(events, tmp_path):
    write(events, "x", EVENT)
    later = Desk("toy", Listener(), tmp_path / "events", SystemClock(), lambda event: None)
    assert names(EventsFolder(later, events._content).lookup("e.1")) == ["a", "b"]


def test_another_mount_sees_it(events, tmp_path):
    other = EventsFolder(
        Desk("toy", Listener(), tmp_path / "events", SystemClock(), lambda event: None), lambda e: None
    )
    assert names(other) == ["README.txt"]
    write(events, "x", EVENT)
    assert "e.1" in names(other)


def test_a_bad_one_is_refused_when_it_is_closed_and_the_reason_is_kept(events, desk, told):
    _, handle = write(events, "bad.json", b"not json", close=False)
    with pytest.raises(Invalid, match="not JSON"):
        handle.flush()
    handle.release()
    with pytest.raises(NotFound):
        events.lookup("bad.json")
    assert names(events) == ["README.txt"] and told == []
    (note,) = desk.notes()
    assert (note["name"], note["state"], note["reason"]) == ("bad.json", "refused", "this is not JSON")


def test_a_close_without_anything_new_does_nothing(events, told):
    _, handle = write(events, "x", b"", close=False)
    handle.flush()
    assert told == []
    handle.write(memoryview(json.dumps(EVENT).encode()), 0)
    handle.flush()
    handle.flush()
    handle.release()
    assert len(told) == 1


def test_the_same_event_again_is_one(events, told):
    write(events, "x", EVENT)
    write(events, "y", EVENT | {"files": ["c"]})
    assert names(events) == ["README.txt", "e.1", "e.1.json"]
    assert names(events.lookup("e.1")) == ["c"] and len(told) == 2


def test_its_own_name_can_be_found_for_a_moment(events):
    """`cp -p`, `mv` and rsync set times and rename after they closed the file."""
    write(events, ".x.json.AbCdEf", EVENT)
    events.lookup(".x.json.AbCdEf").set_times(5)
    events.rename(".x.json.AbCdEf", events, "x.json")
    assert events.lookup("x.json").attributes().mtime_ns == 5
    events.unlink("x.json")
    assert names(events) == ["README.txt", "e.1", "e.1.json"]


def test_the_newest_come_first_and_the_oldest_go(events, monkeypatch):
    monkeypatch.setattr("pacifica_fs.events.store.KEPT", 3)
    for number in range(5):
        write(events, "x", {"id": f"e.{number}", "files": []})
    assert [name for name in names(events) if name.endswith("json")] == ["e.4.json", "e.3.json", "e.2.json"]


def test_an_event_is_forgotten_by_its_document(events):
    write(events, "x", EVENT)
    with pytest.raises(NotPermitted):
        events.unlink("e.1")
    with pytest.raises(NotPermitted):
        events.rmdir("e.1")
    events.unlink("e.1.json")
    assert names(events) == ["README.txt"]
    with pytest.raises(NotFound):
        events.unlink("e.1.json")


def test_ids_are_made_safe(events):
    for id in ("../../evil", "a/b", "x" * 400, "..", "README.txt", "e.json", "é\u2028"):
        write(events, "x", {"id": id, "files": []})
    shown = names(events)
    assert len(shown) == len(set(shown)) == 15
    for name in shown:
        assert "/" not in name and len(name.encode()) <= 260 and events.lookup(name).ino


def test_a_damaged_file_does_not_hide_the_others(events, tmp_path):
    write(events, "x", EVENT)
    (tmp_path / "events" / "damaged.json").write_text("{")
    assert names(events) == ["README.txt", "e.1", "e.1.json"]


def test_listing_parses_nothing_again(events, desk):
    write(events, "x", EVENT)
    listener = desk.store._parse.__self__
    names(events)
    before = listener.parsed
    for _ in range(5):
        names(events)
        events.lookup("e.1")
    assert listener.parsed == before


def test_what_is_refused(events, monkeypatch):
    with pytest.raises(NotPermitted):
        events.mkdir("folder", 0o700)
    node, handle = events.create("x", WRITE, 0o600)
    with pytest.raises(Denied):
        node.open(os.O_RDONLY)
    monkeypatch.setattr(module, "LARGEST", 10)
    with pytest.raises(TooLarge):
        handle.write(memoryview(b"x" * 11), 0)
    with pytest.raises(TooLarge):
        handle.truncate(11)
    handle.release()


def test_append_truncate_and_read_back(events):
    _, handle = events.create("x", os.O_RDWR | os.O_APPEND, 0o600)
    handle.write(memoryview(b"abc"), 0)
    handle.write(memoryview(b"def"), 0)
    assert handle.read(10, 0) == b"abcdef" and handle.attributes().size == 6
    handle.truncate(2)
    assert handle.read(10, 0) == b"ab"
    handle.truncate(0)
    handle.flush()
    handle.release()


def test_who_is_told_cannot_make_an_event_fail(tmp_path):
    def broken(event):
        raise ValueError("unexpected")

    desk = Desk("toy", Listener(), tmp_path, SystemClock(), broken)
    assert desk.take("x", json.dumps(EVENT).encode()).id == "e.1"
    assert desk.store.event("e.1").id == "e.1"


# what is fetched before anybody asks

RULE = PrefetchRule({"project": "1234a"}, {"Tag": "first"})


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        (PrefetchRule(), True),
        (PrefetchRule({"project": "1234a"}), True),
        (PrefetchRule({"project": "1234a", "instrument": "55"}), False),
        (PrefetchRule({}, {"Tag": "second"}), True),
        (PrefetchRule({}, {"Tag": "third"}), False),
        (PrefetchRule({}, {"Colour": "red"}), False),
    ],
)
def test_rules(rule, fits):
    keys = (("Tag", "first"), ("Tag", "second"))
    assert matches(rule, Event("e", where={"project": "1234a", "instrument": "54"}, keys=keys)) is fits


class Store:
    def __init__(self):
        self.read = []
        self.open_files = 0

    def open(self, ref, path):
        store = self
        store.open_files += 1

        class Reader:
            size = ref.size

            def read(self, size, offset):
                if ref.id == "bad":
                    raise Unreachable("down")
                store.read.append((path, offset, size))
                return bytes(size)

            def close(self):
                store.open_files -= 1

        return Reader()


def test_files_are_read_in_order_and_one_that_fails_keeps_none_back():
    store = Store()
    prefetch = Prefetch(store, {"toy": (RULE,)})
    refs = tuple(
        FileRef("toy", "67", id, (id,), size, 0) for id, size in (("a", 3), ("bad", 4), ("c", 0), ("d", 2**20 + 1))
    )
    where = {"project": "1234a"}
    assert prefetch.told("toy", Event("e", "67", refs, where=where, keys=(("Tag", "first"),)))
    assert not prefetch.told("toy", Event("e", "67", refs, where=where))
    assert not prefetch.told("other", Event("e", "67", refs, where=where, keys=(("Tag", "first"),)))
    assert not prefetch.told("toy", Event("e", "67", (), where=where, keys=(("Tag", "first"),)))
    prefetch._queue.put(None)
    prefetch._run()
    assert store.read == [
        ("/toy/transactions/67/a", 0, 3),
        ("/toy/transactions/67/d", 0, 2**20),
        ("/toy/transactions/67/d", 2**20, 1),
    ]
    assert store.open_files == 0
