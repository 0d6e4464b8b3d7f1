"""Beginning and end: in the background, in the foreground, and every reason for which it cannot be mounted."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.servers.process import free_ports

from .survival import eventually

pytestmark = [pytest.mark.mount, pytest.mark.timeout(60)]

COMMAND = (sys.executable, "-m", "pacifica_fs")


@pytest.fixture
def prepared(mounted):
    """Folders and a configuration, not mounted; removed in any case."""
    mount = mounted(start=False)
    mount._guard.mount(mount.path)
    return mount


def cli(mount, *words, timeout=30):
    """A command as a user gives it; stdout and stderr must be closed by whatever it leaves in the background."""
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        env=mount.environment,
        cwd=mount.folder,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def mount_in_background(mount, *options):
    return cli(mount, "mount", "-c", mount.config, *options, mount.path)


def daemons(mount):
    """Process ids of daemons that serve this mount point."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as stream:
                words = stream.read().split(b"\0")
        except OSError:
            continue
        if b"pacifica_fs" in words and os.fsencode(mount.path) in words:
            found.append(int(pid))
    return found


def test_in_the_background_it_answers_when_the_command_returns(prepared):
    done = mount_in_background(prepared)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "status" in os.listdir(prepared.path)
    assert (prepared.path / "status/cache.json").read_bytes()
    (daemon,) = daemons(prepared)
    assert os.getsid(daemon) == daemon != os.getsid(0)
    assert {os.readlink(f"/proc/{daemon}/fd/{fd}") for fd in (0, 1, 2)} == {"/dev/null"}
    ended = cli(prepared, "umount", prepared.path)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert not prepared.device and os.listdir(prepared.path) == []
    eventually("the daemon is gone", lambda: not daemons(prepared), 5)


def test_mount_umount_again_and_again(prepared):
    """The spool is free when umount returns, so the next mount's drop can be written."""
    for turn in range(3):
        assert mount_in_background(prepared).returncode == 0
        (prepared.path / "drop/here" / f"run{turn}").mkdir()
        assert cli(prepared, "umount", prepared.path).returncode == 0


def test_an_error_of_the_child_reaches_the_terminal(prepared):
    prepared.configure({"archives": {"site": {"kind": "nosuch"}}})
    done = mount_in_background(prepared)
    assert done.returncode == 2 and "unknown kind 'nosuch'" in done.stderr and str(prepared.config) in done.stderr
    prepared.configure({"cache": {"path": "/proc/nowhere"}})
    done = mount_in_background(prepared)
    assert done.returncode == 2 and "/proc/nowhere" in done.stderr and "[cache] path" in done.stderr
    assert not prepared.device
    eventually("no daemon is left", lambda: not daemons(prepared), 5)


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"cache": {"limt": "1 GiB"}}, ["[cache]", "unknown key 'limt'", "did you mean 'limit'?"]),
        ({"cache": {"limit": "much"}}, ["cache.limit", "a size like"]),
        ({"archives": {"site": {"kind": "pacifica"}}}, ["[archives.site]", "policy"]),
        ({"archives": {"site": {"kind": "pacifica", "policy": "nowhere"}}}, ["policy", "https://"]),
        ({"archives": {"drop": {"kind": "local"}}}, ["[archives.drop]", "folder in the mount"]),
        ({"archives": {"here": {"kind": "local", "read_wait": "soon"}}}, ["read_wait", "a time like"]),
    ],
)
def test_a_bad_configuration_is_an_error_with_its_place(prepared, tables, words):
    prepared.configure(tables)
    done = mount_in_background(prepared)
    assert done.returncode == 2
    assert str(prepared.config) in done.stderr and "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("what", ["missing", "a file", "not empty", "a live mount"])
def test_a_mount_point_that_does_not_fit(prepared, what, background):
    if what == "missing":
        prepared.path.rmdir()
    elif what == "a file":
        prepared.path.rmdir()
        prepared.path.write_text("x")
    elif what == "not empty":
        (prepared.path / "mine").write_text("x")
    else:
        prepared.start()
    words = {
        "missing": f"mkdir {prepared.path}",
        "a file": "not a folder",
        "not empty": "not empty (it holds mine)",
        "a live mount": f"already mounted; pacifica-fs umount {prepared.path}",
    }
    done = cli(prepared, "mount", *([] if background else ["-f"]), "-c", prepared.config, prepared.path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert words[what] in done.stderr and done.stderr.strip().splitlines()[-1].startswith("pacifica-fs: ")


def test_a_dead_mount_is_healed_in_the_background_too(prepared):
    prepared.start()
    prepared.kill9()
    assert prepared.device
    done = mount_in_background(prepared)
    assert done.returncode == 0, done.stderr
    assert "status" in os.listdir(prepared.path)
    assert cli(prepared, "umount", prepared.path).returncode == 0
    assert not prepared.device


def test_umount_clears_a_dead_mount_away(prepared):
    prepared.start()
    prepared.kill9()
    done = cli(prepared, "umount", prepared.path)
    assert done.returncode == 0, done.stderr
    assert not prepared.device


def test_a_mount_in_use_is_not_unmounted_unless_lazily(prepared):
    prepared.start()
    with open(prepared.path / "status/log"):
        done = cli(prepared, "umount", prepared.path)
        assert done.returncode == 1 and "--lazy" in done.stderr
        assert prepared.device
        assert cli(prepared, "umount", "--lazy", prepared.path).returncode == 0
        assert not prepared.device
    assert prepared.process.join(10) == 0


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_signals_end_it(prepared, signal_name):
    prepared.start()
    begun = time.monotonic()
    prepared.process.signal(getattr(signal, signal_name))
    assert prepared.process.join(10) == 0 and time.monotonic() - begun < 5
    assert not prepared.device


def test_all_servers_down_is_no_reason_not_to_mount(prepared):
    port = free_ports(1)[0]
    prepared.configure({"archives": {"site": {"kind": "pacifica", "policy": f"http://127.0.0.1:{port}"}}})
    begun = time.monotonic()
    done = mount_in_background(prepared)
    assert done.returncode == 0 and time.monotonic() - begun < 5
    assert cli(prepared, "umount", prepared.path).returncode == 0
