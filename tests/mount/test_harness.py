"""The harness mounts, waits, tells why not, and always cleans up; shown with a tiny daemon in place of the product."""

import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tests.mount.harness import Mount, bounded, tracebacks
from tests.mount.toml import dump
from tests.servers.guard import Guard, mounts_below, runs, start_time
from tests.servers.process import NotReady

TINY = (sys.executable, str(Path(__file__).with_name("tiny.py")))


@pytest.fixture
def tiny(tmp_path, guard):
    """A factory of mounts of the tiny daemon."""
    made = []

    def make(*faults):
        made.append(Mount(tmp_path / f"tiny{len(made)}", {"tiny": {"faults": faults}}, guard, command=TINY))
        return made[-1]

    yield make
    for mount in made:
        mount.remove()
        assert not mounts_below(str(mount.path))


def test_a_mount_is_ready_when_it_answers_and_ends_with_sigterm(tiny):
    mount = tiny("slow")
    mount.start()
    assert mount.ls() == ["status", "stuck"]
    assert mount.device and mount.process.alive()
    assert mount.cpu_seconds() > 0 and mount.rss_peak() > 1_000_000 and mount.io_counters()["syscr"] > 0
    assert mount.stop() == 0
    assert not mount.device and not mount.process.alive()


def test_a_daemon_that_dies_shows_its_log(tiny):
    with pytest.raises(NotReady, match="tiny: cannot go on"):
        tiny("dies").start()


def test_a_daemon_that_does_not_mount_in_time_is_ended(tiny):
    mount = tiny("slow")
    with pytest.raises(NotReady, match="in time"):
        mount.start(timeout=0.1)
    assert not mount.process.alive() and not mount.device


def test_a_deaf_daemon_is_killed_and_told_of(tiny):
    mount = tiny("deaf")
    mount.start()
    with pytest.raises(AssertionError, match="did not end within"):
        mount.stop(timeout=0.3)
    assert not mount.device and not mount.process.alive()


def test_kill9_leaves_a_dead_mount_and_remove_takes_it_away(tiny):
    mount = tiny()
    mount.start()
    mount.kill9()
    assert mount.device
    with pytest.raises(OSError, match="not connected"):
        mount.ls()
    mount.remove()
    assert not mount.device
    mount.restart()
    assert mount.ready()


def test_a_stuck_reader_is_bounded_and_freed_by_abort(tiny):
    mount = tiny()
    mount.start()
    with pytest.raises(TimeoutError):
        mount.read("stuck", timeout=0.3)
    begun = time.monotonic()
    reader = subprocess.Popen(["cat", str(mount.path / "stuck")], stderr=subprocess.DEVNULL)
    mount.abort()
    assert reader.wait(timeout=10) != 0
    assert time.monotonic() - begun < 10


def test_states_are_waited_for(tiny):
    mount = tiny()
    mount.start()
    assert mount.wait_state("run", "done", timeout=10)["state"] == "done"
    assert mount.status("run", "here")["name"] == "run"
    assert mount.downloads() == []
    with pytest.raises(FileNotFoundError, match="nobody"):
        mount.status("nobody")
    with pytest.raises(AssertionError, match=r"(?s)not held after.*\"state\": \"done\""):
        mount.wait_state("run", "held", timeout=0.2)


def test_unexpected_tracebacks_are_found(tiny):
    mount = tiny("raises")
    mount.start()
    (found,) = mount.unexpected_tracebacks()
    assert found.startswith("about to tell") and found.endswith("KeyError: 'of the tiny daemon'")
    mount.expect_traceback("tiny daemon")
    assert not mount.unexpected_tracebacks()


def test_a_guard_that_loses_its_owner_ends_daemon_mount_and_folder(tmp_path):
    guard = Guard()
    folder = tmp_path / "work"
    mount = Mount(folder, {"tiny": {"faults": ["deaf"]}}, guard, command=TINY)
    guard.folder(folder)
    mount.start()
    pid = mount.process.pid
    started = start_time(pid)
    reader = subprocess.Popen(["cat", str(mount.path / "stuck")], stderr=subprocess.DEVNULL)
    guard.close()
    assert reader.wait(timeout=10) != 0
    assert not runs(pid, started) and not mounts_below(str(folder)) and not folder.exists()
    mount.process.kill()


def test_the_environment_is_the_mounts_own(tiny):
    mount = tiny()
    places = {name: value for name, value in mount.environment.items() if name.startswith("XDG_") or name == "HOME"}
    assert len(places) == 6
    assert all(Path(value).is_dir() and Path(value).is_relative_to(mount.folder) for value in places.values())


def test_tables_become_toml():
    tables = {
        "cache": {"limit": "1 MiB"},
        "drop": {"quiet": 0.5, "sidecar_names": ["a", 'é"\\\n']},
        "archives": {
            "here": {"kind": "local", "path": Path("/x")},
            "a-b": {"auth": {"type": "none"}, "on": True, "n": 3},
        },
    }
    expected = {**tables, "archives": {**tables["archives"], "here": {"kind": "local", "path": "/x"}}}
    assert tomllib.loads(dump(tables)) == expected


def test_tracebacks_end_where_the_exception_is():
    log = "x\nTraceback (most recent call last):\n  File a\n    b()\nValueError: no\ny\n"
    assert tracebacks(log) == ["x\nTraceback (most recent call last):\n  File a\n    b()\nValueError: no"]


def test_bounded_hands_over_results_and_errors():
    assert bounded("five", lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        bounded("nothing", lambda: 1 // 0)


def test_a_time_limit_reaches_a_test_that_hangs_on_a_mount(tmp_path):
    """In a pytest of its own: a read that never returns fails by the time limit and ends the run."""
    root = Path(__file__).parents[2]
    test = tmp_path / "test_hangs.py"
    test.write_text(
        "import pytest\n"
        "@pytest.mark.timeout(1)\n"
        "def test_hangs(mounted):\n"
        f"    mount = mounted(command={TINY!r})\n"
        "    (mount.path / 'stuck').read_bytes()\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(root), "-c"]
    command += [str(root / "pyproject.toml"), "--confcutdir", str(root), "-p", "tests.servers.fixtures"]
    command += ["-p", "tests.mount.fixtures", "--basetemp", str(tmp_path / "base"), str(test)]
    environment = {**os.environ, "PYTHONPATH": str(root), "PACIFICA_FS_TEST_GRACE": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "log of the daemon at" in done.stdout
    assert not mounts_below(str(tmp_path))
    assert signal.getsignal(signal.SIGALRM) is not None
