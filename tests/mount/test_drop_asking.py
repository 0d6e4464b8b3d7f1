"""What users ask of the drop, through a kernel mount: commands, levels, links, room, another disk, another mount."""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.mount, pytest.mark.timeout(120)]


def cli(mount, *words, code=0):
    """A command, as the user of this mount would run it."""
    done = subprocess.run(
        [sys.executable, "-m", "pacifica_fs", *map(str, words)],
        env=mount.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, f"{words}: {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def fill(folder: Path, **files):
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_text(data)


def commit(folder: Path):
    (folder / ".commit").touch()


@pytest.fixture
def mount(mounted):
    return mounted({"drop": {"quiet": "1h", "quiet_unmarked": "1h"}})


def test_retry_and_discard(mount):
    here = mount.path / "drop/here"
    fill(here / "run1", **{"a": "alpha", "metadata.json": '{"project": ['})
    commit(here / "run1")
    mount.wait_state("run1", "held")
    assert "PROBLEMS.txt" in os.listdir(here / "run1") and "valid JSON" in (here / "run1/PROBLEMS.txt").read_text()
    assert "tried again" in cli(mount, "retry", "-m", mount.path, "run1")
    mount.wait_state("run1", "held")
    cli(mount, "discard", "-y", "-m", mount.path, here / "run1")
    assert os.listdir(here) == []
    cli(mount, "retry", "-m", mount.path, "run1", code=7)
    with pytest.raises(OSError) as error:
        os.setxattr(here, "user.pacifica.control", b"{}")
    assert error.value.errno == errno.ENOTSUP
    with pytest.raises(OSError) as error:
        os.setxattr(mount.path / "drop", "user.pacifica.control", b"nonsense")
    assert error.value.errno == errno.EINVAL


def test_the_verdict_on_a_sidecar_comes_while_data_is_copied(mount):
    folder = mount.path / "drop/here/run1"
    folder.mkdir()
    with (folder / "data").open("wb") as data:
        data.write(b"still copied")
        data.flush()
        (folder / "metadata.json").write_text('{"project": "1234a", "instrumnet": 54}')
        closed = time.monotonic()
        problems = mount.path / "status/uploads/here/run1/problems.txt"
        while "Did you mean 'instrument'?" not in problems.read_text():
            assert time.monotonic() - closed < 15  # two, on a machine that has nothing else to do
            time.sleep(0.02)
    assert mount.status("run1")["state"] == "open"


def test_queued_without_a_mount_and_done_by_the_next(mount):
    fill(mount.path / "drop/here/run1", a="alpha")
    mount.stop()
    assert "next mount" in cli(mount, "discard", "-y", "-c", mount.config, "run1")
    mount.start()
    assert os.listdir(mount.path / "drop/here") == []


def test_earlier_bundles_and_safe_to_delete(mount, tmp_path):
    source = tmp_path / "source"
    fill(source, a="alpha", b="beta")
    folder = mount.path / "drop/here/run1"
    fill(folder, a="alpha")
    commit(folder)
    mount.wait_state("run1", "done")
    assert "NOT SAFE  b" in cli(mount, "safe-to-delete", "-m", mount.path, source, code=1)
    (folder / "b").write_text("beta")
    commit(folder)
    mount.wait_state("run1", "done")
    status = mount.path / "status/uploads/here/run1"
    (earlier,) = (status / ".history").iterdir()
    assert json.loads((earlier / "receipt.json").read_text())["files"][0]["path"] == "a"
    assert (earlier / "transaction/a").read_text() == "alpha" and (status / "transaction/b").read_text() == "beta"
    cli(mount, "safe-to-delete", "-m", mount.path, source)
    mount.stop()
    cli(mount, "safe-to-delete", "-c", mount.config, source)


def test_levels_give_metadata(mounted):
    mount = mounted(
        {
            "drop": {"quiet": "1h", "quiet_unmarked": "1h"},
            "archives": {
                "here": {"kind": "local", "path": "", "layout": "{project}/{name}", "defaults": {"instrument": 54}}
            },
        }
    )
    folder = mount.path / "drop/here/1234a/run1"
    fill(folder, a="alpha")
    commit(folder)
    status = mount.path / "status/uploads/here/1234a/run1"
    while json.loads((status / "status.json").read_text())["state"] != "done":
        time.sleep(0.05)
    assert "done" in cli(mount, "wait", "-m", mount.path, "here/1234a/run1")
    info = json.loads(Path(f"{(status / 'transaction').resolve()}.json").read_text())
    assert "1234a" in json.dumps(info) and (status / "transaction/a").read_text() == "alpha"


def test_links_are_followed_where_that_is_wanted(mounted, tmp_path):
    mount = mounted({"drop": {"quiet": "1h", "symlinks": "follow"}})
    source = tmp_path / "source"
    fill(source, a="alpha")
    (source / "b").symlink_to("a")
    (source / "c").symlink_to("missing")
    subprocess.run(["cp", "-a", source, mount.path / "drop/here/run1"], check=True)
    assert os.readlink(mount.path / "drop/here/run1/b") == "a"
    commit(mount.path / "drop/here/run1")
    status = mount.wait_state("run1", "done")
    assert (mount.path / "status/uploads/here/run1/transaction/b").read_text() == "alpha"
    assert [one["path"] for one in status["left_out"]] == ["c"]


def test_a_full_spool_and_its_room(mounted, tmp_path):
    mount = mounted({"drop": {"quiet": "1h", "limit": "1 MiB", "min_free": 0}})
    folder = mount.path / "drop/here/run1"
    fill(folder, a="alpha" * 1000)
    room = os.statvfs(mount.path / "drop/here")
    assert room.f_blocks * room.f_frsize <= 1 << 20
    with pytest.raises(OSError) as error:
        (folder / "big").write_bytes(bytes(2 << 20))
    assert error.value.errno == errno.ENOSPC
    (folder / "big").unlink()
    fill(tmp_path / "source", small="s" * 1000, too_big="b" * (2 << 20))
    told = cli(mount, "drop", "-m", mount.path, tmp_path / "source", "here/run2", code=1)
    assert "the drop is full" in told and "limit" in told and "Traceback" not in told
    cli(mount, "discard", "-y", "-m", mount.path, "run2")
    commit(folder)
    mount.wait_state("run1", "done")
    assert (mount.path / "status/uploads/here/run1/transaction/a").read_text() == "alpha" * 1000


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="there is no second file system")
def test_spool_and_cache_on_different_disks(mounted, tmp_path):
    import shutil
    import tempfile

    other = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        if other.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("/dev/shm is the same file system")
        mount = mounted({"drop": {"quiet": "1h"}, "cache": {"path": str(other / "cache")}})
        folder = mount.path / "drop/here/run1"
        fill(folder, a="alpha" * 1000)
        commit(folder)
        mount.wait_state("run1", "done")
        file = mount.path / "status/uploads/here/run1/transaction/a"
        deadline = time.monotonic() + 10
        while os.getxattr(file, "user.pacifica.state") != b"cached":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert file.read_text() == "alpha" * 1000
        mount.stop()
    finally:
        shutil.rmtree(other)


def test_a_second_mount_takes_nothing_and_names_the_first(mounted, mount):
    other = mounted(
        {"drop": {"quiet": "1h"}},
        environment={
            key: value for key, value in mount.environment.items() if key.startswith(("XDG_STATE", "XDG_DATA"))
        },
    )
    with pytest.raises(OSError) as error:
        (other.path / "drop/here/run1").mkdir()
    assert error.value.errno == errno.EROFS
    assert str(mount.path) in (other.path / "status/log").read_text()
    with pytest.raises(OSError) as error:
        os.setxattr(other.path / "drop", "user.pacifica.control", b'{"do": "retry", "id": "x"}')
    assert error.value.errno == errno.EROFS


def test_drop_without_a_second_copy(mount, tmp_path):
    source = tmp_path / "source"
    fill(source / "raw", frozen="f" * 100_000, soft="s" * 1000)
    (source / "raw/frozen").chmod(0o444)
    (source / "raw/link").symlink_to("soft")
    (source / "empty").mkdir()
    told = cli(mount, "drop", "-m", mount.path, source, "here/run1")
    assert "2 files" in told and "not taken: raw/link" in told and "not taken: empty/" in told
    mount.wait_state("run1", "done")
    folder = mount.path / "status/uploads/here/run1/transaction"
    assert (folder / "raw/frozen").read_text() == "f" * 100_000 and (folder / "raw/soft").read_text() == "s" * 1000
    assert "97.7 KiB taken without a copy" in told
    assert (source / "raw/frozen").read_text() == "f" * 100_000
    cli(mount, "safe-to-delete", "-m", mount.path, source / "raw", code=1)  # the link
    assert "98.6 KiB there already" in cli(mount, "drop", "--open", "-m", mount.path, source, "here/run1")
    assert not (mount.path / "status/uploads/here/run1/.history").exists(), "nothing new, no follow-on"


def test_umount_waits(mount):
    folder = mount.path / "drop/here/run1"
    fill(folder, a="alpha" * 100_000)
    commit(folder)
    assert "not yet ingested" not in cli(mount, "umount", "--wait", "--timeout", "30s", mount.path)
    (transaction,) = (mount.folder / "xdg/state/pacifica-fs").rglob("transaction.json")
    assert "run1" in transaction.read_text()
