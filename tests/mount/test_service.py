"""The daemon as a service: what systemd hears (by a stand-in for its socket), metrics, the page, the log."""

import contextlib
import html.parser
import json
import os
import signal
import socket
import time
import urllib.request

import pytest

from tests.servers.process import free_ports

pytestmark = [pytest.mark.mount, pytest.mark.timeout(90)]

TABLES = {"archives": {"here": {"kind": "local", "path": "archive"}}, "drop": {"min_free": 0}}


class Systemd:
    """What a service says to the socket that systemd would give it."""

    def __init__(self, sock, path):
        self.socket, self.path = sock, path
        self.heard = []

    def hear(self, word, seconds=30):
        """Wait for a message with this line; all of it."""
        deadline = time.monotonic() + seconds
        while True:
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            message = self.socket.recv(4096).decode()
            self.heard.append(message)
            if word in message.splitlines():
                return message


@pytest.fixture
def systemd(tmp_path):
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        sock.bind(str(tmp_path / "notify"))
        yield Systemd(sock, str(tmp_path / "notify"))


def logged(mount, wanted):
    """The log once there is a line for which `wanted(line)`."""
    deadline = time.monotonic() + 20
    while True:
        lines = mount.log.read_text().splitlines()
        if any(wanted(line) for line in lines):
            return lines
        assert time.monotonic() < deadline, lines
        time.sleep(0.05)


def test_ready_alive_stopping(mounted, systemd):
    environment = {"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "1500000"}
    mount = mounted(TABLES, environment=environment)
    assert f"STATUS=mounted on {mount.path}" in systemd.hear("READY=1")
    (mount.path / "drop/here/run").mkdir()
    (mount.path / "drop/here/run/file").write_text("x")
    for _ in range(5):
        if "bundles: 1 open" in systemd.hear("WATCHDOG=1"):
            break
    else:
        pytest.fail(f"the status line is not current: {systemd.heard}")
    mount.stop()
    systemd.hear("STOPPING=1")


def test_the_watchdog_bites_when_the_mount_does_not_answer(mounted, systemd):
    """The proof of life goes through the mount: cut it, and there is none, although the process lives."""
    mount = mounted(TABLES, environment={"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "900000"})
    systemd.hear("WATCHDOG=1")
    mount.process.signal(signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 20
        with pytest.raises(TimeoutError):
            while time.monotonic() < deadline:
                systemd.hear("WATCHDOG=1", 1.5)
    finally:
        mount.process.signal(signal.SIGCONT)
    systemd.hear("WATCHDOG=1")


def test_metrics(mounted, tmp_path):
    (port,) = free_ports(1)
    table = {**TABLES, "metrics": {"textfile": str(tmp_path / "pacifica_fs.prom")}}
    mount = mounted(table, options=["--metrics-listen", str(port)])
    (mount.path / "drop/here/run").mkdir()
    (mount.path / "drop/here/run/file").write_text("x")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    for line in (
        'pacifica_fs_bundles{archive="here",state="open"} 1.0',
        'pacifica_fs_oldest_bundle_seconds{archive="here"} ',
        "pacifica_fs_spool_free_bytes ",
        "pacifica_fs_watchdog_age_seconds ",
    ):
        assert f"\n{line}" in text
        assert f"\n{line}" in mount.read("status/metrics").decode()
    deadline = time.monotonic() + 30
    while not (tmp_path / "pacifica_fs.prom").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "pacifica_fs_spool_free_bytes" in (tmp_path / "pacifica_fs.prom").read_text()
    assert (tmp_path / "pacifica_fs.prom").stat().st_mode & 0o777 == 0o644


def test_an_address_that_is_taken_is_told(mounted):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        mount = mounted(TABLES, start=False, options=["--metrics-listen", str(taken.getsockname()[1])])
        mount.process.start()
        assert mount.process.join(30) == 2
        assert "metrics.listen" in mount.log.read_text()


def test_the_page_and_the_threads(mounted):
    mount = mounted(TABLES)
    (mount.path / "drop/here/<b>run").mkdir()
    text = mount.read("status/index.html").decode()
    html.parser.HTMLParser().feed(text)
    assert "here/&lt;b&gt;run" in text
    assert "src=" not in text and "http://" not in text and "https://" not in text
    assert "thread MainThread" in mount.read("status/threads").decode()


def test_the_log_as_json(mounted):
    mount = mounted({**TABLES, "log": {"format": "json"}})
    lines = logged(mount, lambda line: f"mounted on {mount.path}" in line)
    assert [json.loads(line)["level"] for line in lines if "mounted on" in line] == ["info"]


def test_the_log_in_the_journal(mounted, tmp_path):
    log = tmp_path / "mount" / "daemon.log"
    log.parent.mkdir()
    log.touch()
    state = os.stat(log)
    mount = mounted(TABLES, environment={"JOURNAL_STREAM": f"{state.st_dev}:{state.st_ino}"})
    logged(mount, lambda line: line == f"<6>pacifica_fs: mounted on {mount.path}")
