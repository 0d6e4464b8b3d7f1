"""What the machine's stop leaves of the cache: nothing that did not reach the disk is taken for content."""

import os

import pytest

from pacifica_fs.content import durable
from pacifica_fs.content.durable import SMALL, UNSYNCED
from pacifica_fs.content.store import Store
from tests.unit.content.content_fakes import Clock, pattern, read_all, settle


class Nobody:
    def idle_partials(self):
        return ()

    def drop_partial(self, name):
        return 0

    def is_open(self, name):
        return False


@pytest.fixture
def synced(monkeypatch):
    calls = []
    monkeypatch.setattr(durable.os, "fdatasync", lambda fd: calls.append("file"))
    monkeypatch.setattr(durable, "_syncfs", lambda folder: calls.append("all"))
    return calls


@pytest.fixture
def opened(tmp_path):
    made = []

    def store(boot):
        made.append(Store(tmp_path / "store", 2**30, Clock(), Nobody(), boot))
        return made[-1]

    yield store
    for each in made:
        each.close()


def publish(store, number, size=10, claimed=0):
    name = f"sha256-{number:064x}.{size}"
    store.room.take(size, needed=True)
    file = store.create(claimed or size)
    os.pwrite(file.fd, bytes(size), 0)
    store.publish(name, file, size)
    file.close()
    return name


def marked(store, name):
    return bool(os.stat(store.index.path(name)).st_mode & UNSYNCED)


def test_what_became_larger_or_smaller_than_claimed_is_as_any_of_its_size(opened, synced):
    store = opened("monday")
    assert marked(store, publish(store, 1, 10, claimed=SMALL + 1))
    assert not marked(store, publish(store, 2, SMALL + 1, claimed=10))


def test_a_umask_that_takes_the_mark_away(opened, synced):
    before = os.umask(UNSYNCED)
    try:
        store = opened("monday")
        assert marked(store, publish(store, 1))
    finally:
        os.umask(before)


def test_small_files_are_synced_together_and_large_ones_at_once(opened, synced):
    store = opened("monday")
    names = [publish(store, n) for n in range(3)]
    assert synced == [] and all(marked(store, name) for name in names)
    large = publish(store, 9, SMALL + 1)
    assert synced == ["file"] and not marked(store, large)
    store.settle()
    store.settle()
    assert synced == ["file", "all"] and not any(marked(store, name) for name in names)


def test_after_the_machine_stopped_only_what_had_reached_the_disk_is_there(opened, synced):
    store = opened("monday")
    first = publish(store, 1)
    store.settle()
    lost = publish(store, 2)
    evicted = publish(store, 3)
    store.room.remove(evicted)
    store.close()
    again = opened("monday")  # the program stopped, the machine did not: the kernel has the bytes
    assert again.has(lost)
    again.close()
    after = opened("tuesday")
    assert after.has(first) and not after.has(lost)
    later = publish(after, 4)
    assert opened("tuesday").has(later)


def test_a_cache_of_before_is_kept(opened, synced, tmp_path):
    store = opened("")
    name = publish(store, 1)
    assert synced == ["file"] and not marked(store, name)
    assert not (tmp_path / "store/boot").exists()
    assert opened("monday").has(name)


def test_the_content_store_settles_at_its_end(make, archive, tmp_path):
    content = make()
    read_all(content, archive.add(pattern(1000)))
    settle(content)
    content.close()
    (blob,) = (tmp_path / "content/complete").glob("*/*")
    assert not blob.stat().st_mode & UNSYNCED
