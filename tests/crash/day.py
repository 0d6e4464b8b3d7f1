"""A user's day in the drop, and what is asked of the spool after it was cut short."""

from __future__ import annotations

from tests.unit.drop.conftest import SIDECAR

WHOLE = {"a": b"Alpha", "sub/b": b"beta" * 100, "c": b"gamma"}
"""What the day brings into the archive."""


def day(rig, closed):
    """What a user does; `closed` gets what was closed without an error."""

    def put(path, data):
        rig.put(path, data)
        closed[path.removeprefix("run/")] = data

    run = rig.mkdir("run")
    put("run/a", b"alpha")
    run.mkdir("sub", 0o755)
    put("run/sub/b", b"beta" * 100)
    put("run/.c.Xy12aB", b"gamma")
    run.rename(".c.Xy12aB", run, "c")
    closed["c"] = closed.pop(".c.Xy12aB")
    handle = run.lookup("a").open(1)
    del closed["a"]
    try:
        handle.write(memoryview(b"A"), 0)
        handle.flush()
    finally:
        handle.release()
    closed["a"] = b"Alpha"
    put("run/gone", b"gone")
    del closed["gone"]
    run.unlink("gone")
    put("run/metadata.json", SIDECAR)
    rig.commit("run")


def recover(rig, closed, k):
    """The user comes back: nothing whose close returned is lost, and all of it is ingested once."""
    uploads = rig.drop.uploads()
    assert len(uploads) <= 1, k
    if not uploads:
        assert not closed, k
        return
    if (rig.spooled() / ".commit").exists():
        # The user had said the last word: it goes on by itself.
        rig.until(lambda: rig.upload().state != "open")
    if rig.upload().state in ("open", "held"):
        finish(rig, closed, k)
    if rig.upload().state == "unconfirmed" and not rig.site.containers:
        # It died between the note that the end goes out and the end: only the user can decide, after long asking.
        rig.until_state("held", advance=60)
        rig.drop.retry(rig.upload().id)
    rig.until_state("done", advance=1)
    rig.until(rig.drop.idle)
    assert len(rig.site.containers) == 1, k
    (content,) = rig.site.contents.values()
    assert content == WHOLE, k
    assert rig.site.sends.count(rig.upload().id) <= 2, k


def finish(rig, closed, k):
    """Look after what was closed, and copy again what did not get through."""
    for path, data in closed.items():
        names = ("c", ".c.Xy12aB") if data == b"gamma" else (path,)
        assert data in [(rig.spooled() / n).read_bytes() for n in names if (rig.spooled() / n).exists()], (k, path)
    for name in (".c.Xy12aB", "gone"):
        if (rig.spooled() / name).exists():
            rig.at("run").unlink(name)
    for path, data in WHOLE.items():
        again(rig, path, data)
    for node, _ in rig.at("run").entries():
        if node == "metadata.json":
            rig.at("run").unlink(node)
    rig.put("run/metadata.json", SIDECAR)
    again(rig, ".commit", b"")


def again(rig, path, data):
    """Write a file anew, whether it is there or not."""
    parent, _, name = path.rpartition("/")
    if parent and parent not in [one for one, _ in rig.at("run").entries()]:
        rig.at("run").mkdir(parent, 0o755)
    _, handle = rig.at(f"run/{parent}").create(name, 0o1 | 0o1000, 0o644)
    if data:
        handle.write(memoryview(data), 0)
    handle.flush()
    handle.release()
