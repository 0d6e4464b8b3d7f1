"""The commands with a real mount: the demonstration, and what happens around a daemon that stops or dies."""

import json
import os
import signal
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.mount, pytest.mark.timeout(120)]

CONFIG = """
[archives.here]
kind = "local"
path = "{0}/archive"
[drop]
path = "{0}/state"
min_free = 0
[cache]
path = "{0}/cache"
"""


@pytest.fixture
def program(tmp_path):
    """Runs the program in a home of its own; unmounts what a test leaves."""
    environ = {key: value for key, value in os.environ.items() if not key.endswith("_DIRECTORY")}
    environ |= {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}

    def run(*words):
        command = [sys.executable, "-m", "pacifica_fs", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ, cwd=tmp_path)

    yield run
    run("umount", "--lazy", tmp_path / "mnt")


@pytest.fixture
def mounted(program, tmp_path):
    """A background mount of a `local` archive: its folder."""
    (tmp_path / "site.toml").write_text(CONFIG.format(tmp_path))
    (tmp_path / "mnt").mkdir()
    done = program("mount", "-c", "site.toml", "mnt")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return tmp_path / "mnt"


def daemon(mount):
    return json.loads((mount.parent / "state/spool/lock").read_text())["pid"]


def drop(mount, name, committed=True):
    folder = mount / "drop" / "here" / name
    folder.mkdir()
    (folder / "data.txt").write_text("data")
    if committed:
        (folder / ".commit").touch()


def test_the_demonstration(program, tmp_path):
    done = program("demo", tmp_path / "new")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout[-2000:]
    assert "# All of it worked: " in done.stdout
    assert not os.path.ismount(tmp_path / "new" / "mnt")


def test_a_bundle_is_waited_for_by_its_path(program, mounted):
    drop(mounted, "run")
    done = program("wait", mounted / "drop/here/run/data.txt", "--timeout", "30s")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "here/run  done  transaction 1")


def test_what_stops_a_mount_is_told_with_the_remedy(program, mounted, tmp_path):
    done = program("mount", mounted)
    assert (done.returncode, f"already mounted; pacifica-fs umount {mounted}" in done.stderr) == (1, True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    done = program("mount", tmp_path / "full")
    assert (done.returncode, "mount on an empty folder" in done.stderr) == (1, True)


def test_an_archive_that_cannot_be_built_is_a_wrong_configuration(program, tmp_path):
    (tmp_path / "bad.toml").write_text('[archives.x]\nkind = "pacifco"\n')
    (tmp_path / "mnt").mkdir()
    done = program("mount", "-c", "bad.toml", "mnt")
    assert done.returncode == 2
    assert "unknown kind 'pacifco'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_umount_tells_what_is_not_ingested_and_the_next_mount_goes_on(program, mounted):
    drop(mounted, "open", committed=False)
    done = program("umount", mounted)
    assert done.returncode == 0
    assert "not yet ingested, kept in the spool: here/open (open)" in done.stderr
    assert not os.path.ismount(mounted)
    done = program("status", "-c", "site.toml")
    assert "here/open" in done.stdout
    assert "nothing is mounted" in done.stderr
    assert program("mount", "-c", "site.toml", "mnt").returncode == 0
    drop(mounted, "next")  # the spool is ours at once, although the first daemon has only just ended
    assert program("wait", "-m", mounted, "here/next", "-t", "30").returncode == 0


def test_a_mount_in_use(program, mounted):
    with (mounted / "README.txt").open():
        done = program("umount", mounted)
        assert (done.returncode, "--lazy" in done.stderr) == (1, True)
    assert program("umount", mounted).returncode == 0


def test_a_daemon_that_hangs_does_not_hang_the_commands(program, mounted):
    drop(mounted, "run", committed=False)
    process = daemon(mounted)
    os.kill(process, signal.SIGSTOP)
    try:
        done = program("status", "-m", mounted)
        assert (done.returncode, "did not answer within 5 s" in done.stderr) == (6, True)
        assert "here/run" in done.stdout
    finally:
        os.kill(process, signal.SIGCONT)
    assert program("status", "-m", mounted).returncode == 0


def test_a_daemon_that_dies_leaves_a_mount_that_is_recognised_and_replaced(program, mounted):
    drop(mounted, "run", committed=False)
    os.kill(daemon(mounted), signal.SIGKILL)
    done = program("status", "-m", mounted)
    assert (done.returncode, "is dead: its daemon is gone" in done.stderr) == (6, True)
    assert "here/run" in done.stdout
    assert program("mount", "-c", "site.toml", "mnt").returncode == 0
    assert program("status", "-m", mounted).returncode == 0
    os.kill(daemon(mounted), signal.SIGKILL)
    assert program("umount", mounted).returncode == 0
    assert not os.path.ismount(mounted)
