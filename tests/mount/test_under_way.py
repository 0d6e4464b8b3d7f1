"""Watching an upload that takes its time, and a mount that ends meanwhile."""

import os
import pty
import select
import signal
import subprocess
import time

import pytest

from .harness import COMMAND
from .test_into_the_drop import content, with_sidecar

pytestmark = [pytest.mark.mount, pytest.mark.timeout(120)]
SLOW = "256 KiB"  # a second: far slower than it takes to look


def tables(tmp_path, **drop):
    return {"drop": drop, "archives": {"here": {"kind": "local", "path": str(tmp_path / "archive")}}}


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "big.bin").write_bytes(os.urandom(60 << 20))
    (folder / "small").write_text("small")
    return folder


@pytest.fixture
def sending(mounted, tmp_path, source):
    """A mount that is sending a bundle, and will be for minutes."""
    mount = mounted(tables(tmp_path, bandwidth=SLOW))
    drop = mount.path / "drop/here/run1"
    subprocess.run(["cp", "-r", source, drop], check=True, timeout=60)
    with_sidecar(drop)
    (drop / ".commit").touch()
    mount.wait_state("run1", "sending", 60)
    return mount


def goes_on(mount, tmp_path, source):
    """The next mount finishes what the last one began: once, and whole."""
    mount.configure(tables(tmp_path))
    mount.start()
    mount.wait_state("run1", "done", 60)
    found = content(mount.path / "here/transactions" / str(mount.status("run1")["transaction"]))
    assert {name: found[name] for name in ("big.bin", "small")} == content(source)
    assert len(list((mount.path / "here/transactions").glob("[0-9]*.json"))) == 1


def test_watch_on_a_terminal(sending):
    """Uploads with rate and time left, downloads, cache and archives, until Ctrl-C."""
    screen, other = pty.openpty()
    command = [*COMMAND, "status", "--watch", "-m", str(sending.path)]
    environment = {**sending.environment, "TERM": "xterm-256color", "COLUMNS": "160", "LINES": "40"}
    # Whatever started the tests may ignore SIGINT, and that would be inherited.
    at_a_terminal = {"start_new_session": True, "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    watch = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env=environment, **at_a_terminal)
    os.close(other)
    try:
        shown, end = b"", time.monotonic() + 60
        while b"left" not in shown:
            assert time.monotonic() < end and watch.poll() is None, shown
            if select.select([screen], [], [], 1)[0]:
                shown += os.read(screen, 65536)
        for word in (b"uploads", b"run1", b"sending", b"/s, ", b"downloads", b"archives", b"cache: ", b"\x1b["):
            assert word in shown, (word, shown)
        assert b"Traceback" not in shown
        watch.send_signal(signal.SIGINT)
        assert watch.wait(20) == 130
    finally:
        watch.kill()
        watch.wait(10)
        os.close(screen)


def test_an_upload_that_hangs_does_not_hold_up_sigterm(sending, tmp_path, source):
    begun = time.monotonic()
    assert sending.stop() == 0
    assert time.monotonic() - begun < 20, "systemd's TimeoutStopSec is 30 s"
    goes_on(sending, tmp_path, source)


def test_umount_while_an_upload_is_sent(sending, tmp_path, source):
    """It says what goes on later; open files keep it from happening, and nothing is lost by trying."""
    command = [*COMMAND, "umount", str(sending.path)]

    def umount():
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=sending.environment)

    with open(sending.path / "README.txt") as opened:
        refused = umount()
        assert refused.returncode != 0 and "Traceback" not in refused.stderr and refused.stderr
        assert opened.read(11) == "This folder"
    assert sending.status("run1")["state"] == "sending"
    done = umount()
    assert done.returncode == 0, done.stderr
    assert "not yet ingested, kept in the spool: here/run1" in done.stderr
    assert sending.process.join(30) == 0
    goes_on(sending, tmp_path, source)
