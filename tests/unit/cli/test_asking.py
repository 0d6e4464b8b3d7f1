"""retry, discard, safe-to-delete, drop and umount --wait against a pretence."""

import hashlib
import os

import pytest


@pytest.fixture
def asked(monkeypatch):
    """What was set as the control attribute."""
    found = []

    def setxattr(path, name, value):
        found.append((str(path), name, value))

    monkeypatch.setattr(os, "setxattr", setxattr)
    monkeypatch.setattr("pacifica_fs.cli.limited.call", lambda work, seconds, what="": work())
    return found


def test_retry_goes_through_the_mount(run, mount, asked):
    mount.bundle("here", "run-42", "held")
    result = run("retry", "--again", "run-42")
    assert (result.exit_code, result.stdout) == (0, "here/run-42 is tried again\n")
    assert asked == [
        (f"{mount.path}/drop", "user.pacifica.control", b'{"do": "retry", "id": "id-run-42", "again": true}')
    ]


def test_an_unknown_bundle_has_its_code(run, mount, asked):
    assert run("retry", "nothing").exit_code == 7 and run("discard", "-y", "nothing").exit_code == 7
    assert asked == []


def test_what_cannot_be_done_is_told_in_words(run, mount, asked, monkeypatch):
    def setxattr(path, name, value):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "setxattr", setxattr)
    mount.bundle("here", "run-42", "sending")
    result = run("discard", "--yes", "run-42")
    assert result.exit_code == 1 and "it is sending: that cannot be done now" in result.stderr


def test_discard_asks_first(run, mount, asked):
    mount.bundle("here", "run-42", "held")
    assert run("discard", "run-42").exit_code != 0
    assert asked == []
    assert run("discard", "-y", "run-42").stdout == "here/run-42 is discarded\n"
    mount.bundle("here", "run-43", "done", transaction="7")
    assert "transaction 7" in run("discard", "-y", "run-43").stderr


def test_without_a_mount_it_is_queued(run, outside):
    outside.journals = [{"archive": "here", "name": "run-42", "id": "x1", "state": "held"}]
    result = run("retry", "run-42")
    assert result.stdout == "here/run-42 will be tried again by the next mount\n"
    (kind, _, request) = outside.asked[-1]
    assert kind == "queue" and request == {"do": "retry", "id": "x1", "again": False}


def receipt(**files):
    entries = [
        {
            "path": path,
            "size": len(data),
            "digest": f"sha1:{hashlib.sha1(data).hexdigest()}",
            "id": "1",
            "verified": how,
        }
        for path, (data, how) in files.items()
    ]
    return {"archive": "here", "transaction": "7", "files": entries[:-1], "sidecar": entries[-1]}


def test_safe_to_delete(run, mount, tmp_path):
    folder = tmp_path / "run"
    (folder / "sub").mkdir(parents=True)
    for name, data in (("a", b"alpha"), ("sub/b", b"beta"), ("metadata.json", b"{}")):
        (folder / name).write_bytes(data)
    known = receipt(a=(b"alpha", "digest"), b=(b"beta", "digest"), m=(b"{}", "digest"))
    mount.bundle("here", "run-42", "done", receipt=known)
    result = run("safe-to-delete", "-v", folder)
    assert result.exit_code == 0 and "safe      a: here, transaction 7: a" in result.stdout
    assert "metadata of here, transaction 7" in result.stdout and "all of it is safe" in result.stdout
    (folder / "a").write_bytes(b"ALPHA")
    (folder / "link").symlink_to("a")
    result = run("safe-to-delete", folder)
    assert result.exit_code == 1 and "2 of 4 are in an archive" in result.stdout
    assert "NOT SAFE  a: in no archive" in result.stdout and "NOT SAFE  link: not a file" in result.stdout


def test_only_a_digest_that_the_archive_confirmed_is_safe(run, mount, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/a").write_bytes(b"alpha")
    known = receipt(a=(b"alpha", "size"), m=(b"{}", "digest"))
    mount.bundle("here", "run-42", "done", receipt=known)
    result = run("safe-to-delete", tmp_path / "run")
    assert result.exit_code == 1 and "confirmed only its size" in result.stdout
    mount.bundle("here", "run-42", "ingesting", receipt=receipt(a=(b"alpha", "digest"), m=(b"{}", "digest")))
    assert run("safe-to-delete", tmp_path / "run").exit_code == 1


def test_an_earlier_bundle_counts_too(run, mount, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/a").write_bytes(b"alpha")
    mount.bundle("here", "run-42", "done", id="2")
    known = receipt(a=(b"alpha", "digest"), m=(b"{}", "digest"))
    mount.write(
        "uploads/here/run-42/.history/1/status.json",
        {"archive": "here", "name": "run-42", "id": "1", "state": "done", "receipt": known},
    )
    assert run("safe-to-delete", tmp_path / "run").exit_code == 0


def test_umount_waits_until_all_is_done_or_needs_somebody(run, mount, outside):
    mount.bundle("here", "run-42", "sending")
    mount.bundle("here", "run-43", "held")
    outside.clock.events = {5: lambda: mount.bundle("here", "run-42", "done")}
    result = run("umount", "--wait")
    assert result.exit_code == 0 and outside.clock.sleeps == 5
    assert "run-43 (held)" in result.stderr and "run-42" not in result.stderr


def test_umount_does_not_wait_longer_than_it_is_told(run, mount, outside):
    mount.bundle("here", "run-42", "sending")
    result = run("umount", "--wait", "--timeout", "1 min")
    assert "still under way: here/run-42" in result.stderr and ("unmount", mount.path, False) in outside.asked
