"""Many at once: writers, renamers, the user who says `.commit`, and the pipeline."""

from __future__ import annotations

import os
import threading

import pytest

from pacifica_fs.drop.content import PROBLEMS
from pacifica_fs.errors import Invalid, NotFound
from pacifica_fs.model import Problem


def test_writers_and_commits_in_one_folder_lose_nothing_and_send_nothing_twice(rig):
    rig.mkdir("run")
    errors: list[Exception] = []
    writing = threading.Event()
    writing.set()

    def write(worker):
        try:
            for n in range(25):
                name = f"{worker}-{n}"
                folder = rig.at("run")
                _, handle = folder.create(f".{name}.Xy12aB", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
                handle.write(memoryview(name.encode()), 0)
                handle.flush()
                handle.release()
                rig.at("run").rename(f".{name}.Xy12aB", rig.at("run"), name)
        except Exception as error:  # noqa: BLE001 -- the main thread looks at it
            errors.append(error)

    def commit():
        try:
            while writing.is_set():
                _, handle = rig.at("run").create(".commit", os.O_WRONLY | os.O_CREAT, 0o644)
                handle.flush()
                handle.release()
                writing.wait(0)
        except Exception as error:  # noqa: BLE001 -- the main thread looks at it
            errors.append(error)

    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    committer = threading.Thread(target=commit)
    for thread in (*writers, committer):
        thread.start()
    for thread in writers:
        thread.join(60)
    writing.clear()
    committer.join(60)
    assert not errors and not any(thread.is_alive() for thread in (*writers, committer))
    # Whatever is left goes out with the last word.
    newest = rig.drop.uploads()[0]
    if newest.state != "done":
        rig.commit("run") if not (rig.root / "bundles" / newest.id / "files" / ".commit").exists() else None
    rig.until(lambda: all(u.state == "done" or not u.bytes for u in rig.drop.uploads()), advance=1)
    sent = [path for contents in rig.site.contents.values() for path in contents]
    assert sorted(sent) == sorted(f"{w}-{n}" for w in range(4) for n in range(25))
    assert all(data == path.encode() for contents in rig.site.contents.values() for path, data in contents.items())


def test_renames_across_each_other_do_not_wait_for_ever(rig):
    one, two = rig.mkdir("one"), rig.mkdir("two")
    rig.put("one/a")
    rig.put("two/b")

    def swap(first, second, name):
        for _ in range(50):
            first.rename(name, second, name)
            second.rename(name, first, name)

    threads = [threading.Thread(target=swap, args=args) for args in ((one, two, "a"), (two, one, "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert [name for name, _ in one.entries()] == ["a"] and [name for name, _ in two.entries()] == ["b"]


def test_a_held_folder_shows_its_problems_and_can_be_removed(rig):
    rig.site.script["check"] = lambda bundle: [
        Problem("project 99 is not known", "Choose one of yours.", "metadata.json")
    ]
    rig.mkdir("run")
    rig.put("run/a")
    rig.commit("run")
    rig.until_state("held")
    text = rig.at(f"run/{PROBLEMS}").render().decode()
    assert "metadata.json: project 99 is not known" in text and "Choose one of yours." in text
    assert PROBLEMS in [name for name, _ in rig.at("run").entries()]
    for name in ("a", PROBLEMS):
        rig.at("run").unlink(name) if name == "a" or PROBLEMS in dict(rig.at("run").entries()) else None
    rig.folder.rmdir("run")
    assert not rig.drop.uploads()


def test_discard(rig):
    rig.mkdir("run")
    rig.put("run/a")
    rig.drop.discard(rig.upload().id)
    with pytest.raises(NotFound):
        rig.folder.lookup("run")
    rig.mkdir("sent")
    rig.put("sent/a")
    rig.commit("sent")
    done = rig.until_state("done", "sent")
    with pytest.raises(Invalid):
        rig.drop.discard(done.id)
    with pytest.raises(NotFound):
        rig.drop.discard("nothing")
