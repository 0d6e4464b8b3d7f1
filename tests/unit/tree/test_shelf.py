"""Answers on disk, for an outage."""

import os
import threading

from pacifica_fs.tree import shelf as shelf_module
from pacifica_fs.tree.shelf import Shelf


def test_what_was_put_is_there_for_the_next(tmp_path):
    Shelf(tmp_path).put(("a", "b"), ["x", 1])
    assert Shelf(tmp_path).get(("a", "b"), list) == ["x", 1]
    assert Shelf(tmp_path).get(("a b",), list) is None
    assert Shelf(tmp_path).get(("a", "b"), dict[str, int]) is None, "another type is a miss"


def test_the_oldest_go(tmp_path):
    shelf = Shelf(tmp_path, limit=100)
    for number in range(1001):
        shelf.put((str(number),), number)
    assert shelf.get(("1000",), int) == 1000 and shelf.get(("950",), int) == 950
    assert shelf.get(("5",), int) is None


def test_what_another_version_kept_is_a_miss(tmp_path, monkeypatch):
    Shelf(tmp_path).put(("a",), 1)
    monkeypatch.setattr(shelf_module, "FORMAT", "0")
    assert Shelf(tmp_path).get(("a",), int) is None


def test_what_is_damaged_is_begun_anew(tmp_path):
    shelf = Shelf(tmp_path)
    shelf.put(("a",), 1)
    del shelf
    for file in tmp_path.iterdir():
        file.write_bytes(b"garbage " * 1000)
    shelf = Shelf(tmp_path)
    assert shelf.get(("a",), int) is None
    shelf.put(("a",), 2)
    assert shelf.get(("a",), int) == 2


def test_a_place_that_cannot_be_written_is_a_miss(tmp_path):
    (tmp_path / "file").touch()
    shelf = Shelf(tmp_path / "file" / "below")
    shelf.put(("a",), 1)
    assert shelf.get(("a",), int) is None


def test_threads_and_processes_share_it(tmp_path):
    first, second = Shelf(tmp_path), Shelf(tmp_path)

    def fill(shelf, name):
        for number in range(200):
            shelf.put((name, str(number)), number)

    threads = [threading.Thread(target=fill, args=(shelf, str(n))) for n, shelf in enumerate((first, first, second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert all(second.get((str(n), "199"), int) == 199 for n in range(3))
    assert os.stat(tmp_path).st_nlink
