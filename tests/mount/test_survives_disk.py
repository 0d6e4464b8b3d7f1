"""Full disks: ENOSPC where it is written, nothing lost, reading goes on. With small file systems of their own."""

import errno
import os
import random
import subprocess
from pathlib import Path

import pytest

from tests.servers.fake_site import File
from tests.servers.guard import detach

from .survival import eventually, failed, tables

pytestmark = [
    pytest.mark.mount,
    pytest.mark.timeout(60),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small tmpfs"),
]

MIB = 2**20
SIDECAR = '{"project": "1234a", "instrument": 54}'


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def small(tmp_path, guard):
    """A factory of file systems of few MiB."""
    made = []

    def make(name: str, mib: int) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        guard.mount(folder)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "tmpfs", folder], capture_output=True, text=True
        )
        made.append(folder)
        if done.returncode:
            pytest.skip(f"no tmpfs can be mounted here: {done.stderr}")
        return folder

    yield make
    for folder in made:
        detach(str(folder))
        guard.forget_mount(folder)


@pytest.fixture
def mount(mounted, small, fake_site):
    """Drop and cache on disks of 8 MiB each; the archives are elsewhere."""
    fake_site.add(7, *(File(number, f"file{number}", noise(number, 2 * MIB)) for number in range(1, 7)))
    fake_site.add(8, File(20, "large", noise(20, 10 * MIB)))
    state, cache = small("state", 8), small("cache", 8)
    return mounted(
        {
            **tables(fake_site, read_wait="10s"),
            "drop": {"path": str(state), "min_free": 0, "quiet": "60s"},
            "cache": {"path": str(cache), "limit": "1 GiB"},
        }
    )


def cp(source, target):
    return subprocess.run(["cp", str(source), str(target)], capture_output=True, text=True, timeout=30)


def test_a_full_spool(mounted, small, fake_site, tmp_path):
    """cp gets ENOSPC and says so; what was closed before is kept and archived once there is room again."""
    fake_site.add(7, File(1, "file", b"content"))
    spool = small("state", 8)
    configuration = tables(fake_site)
    configuration["archives"]["here"]["path"] = str(tmp_path / "archive")
    configuration["drop"] = {"path": str(spool), "min_free": 0, "quiet": "60s"}
    mount = mounted(configuration)
    drop = mount.path / "drop/here/run"
    drop.mkdir()
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(noise(1, 3 * MIB))
    second.write_bytes(noise(2, 6 * MIB))
    assert cp(first, drop).returncode == 0
    done = cp(second, drop)
    assert done.returncode == 1 and "No space left on device" in done.stderr
    shown = os.statvfs(drop)
    assert shown.f_bavail * shown.f_frsize < 6 * MIB
    # Everything else goes on.
    assert (mount.path / "site/transactions/7/file").read_bytes() == b"content"
    assert (drop / "first").stat().st_size == 3 * MIB
    assert mount.status("run")["state"] == "open"
    # Making room, in the drop itself, lets it go on.
    (drop / "second").unlink()
    (drop / "metadata.json").write_text(SIDECAR)
    assert cp(first, drop / "again").returncode == 0
    (drop / ".commit").touch()
    status = mount.wait_state("run", "done", 40)
    folder = mount.path / "here/transactions" / str(status["transaction"])
    assert (folder / "first").read_bytes() == (folder / "again").read_bytes() == first.read_bytes()
    assert not (folder / "second").exists()


def test_a_spool_filled_by_others(mounted, small, tmp_path):
    """Not one byte free: files, folders, sidecars and `.commit` fail with ENOSPC or work; nothing else happens."""
    spool = small("state", 4)
    mount = mounted(
        {
            "archives": {"here": {"kind": "local", "path": str(tmp_path / "archive")}},
            "drop": {"path": str(spool), "min_free": 0, "quiet": "60s"},
        }
    )
    drop = mount.path / "drop/here/run"
    drop.mkdir()
    (drop / "kept").write_bytes(noise(1, 100_000))
    (drop / "metadata.json").write_text(SIDECAR)
    ballast = spool / "ballast"
    with open(ballast, "wb", buffering=0) as stream, pytest.raises(OSError):
        while stream.write(b"x" * 4096):
            pass
    for name in ("file", "metadata.json"):
        code, _ = failed(lambda name=name: (drop / name).write_bytes(b"y" * 50_000))
        assert code == errno.ENOSPC
    assert "run" in mount.ls("drop/here") and mount.read("status/cache.json")
    assert mount.status("run")["state"] == "open"
    ballast.unlink()
    (drop / "metadata.json").write_text(SIDECAR)
    (drop / "file").write_bytes(b"z" * 50_000)
    (drop / ".commit").touch()
    status = mount.wait_state("run", "done", 40)
    folder = mount.path / "here/transactions" / str(status["transaction"])
    assert (folder / "kept").read_bytes() == noise(1, 100_000)
    assert (folder / "file").read_bytes() == b"z" * 50_000


def test_the_room_that_is_to_stay_free_is_kept(mounted, small, tmp_path):
    spool = small("state", 8)
    mount = mounted({"drop": {"path": str(spool), "min_free": "4 MiB", "quiet": "60s"}})
    drop = mount.path / "drop/here/run"
    drop.mkdir()
    shown = os.statvfs(drop)
    assert shown.f_bavail * shown.f_frsize <= 4 * MIB
    code, _ = failed(lambda: (drop / "file").write_bytes(noise(1, 5 * MIB)))
    assert code == errno.ENOSPC
    assert os.statvfs(spool).f_bavail * os.statvfs(spool).f_frsize >= 3 * MIB


def test_a_full_cache_disk_does_not_break_reading(mount):
    """It is smaller than the limit says: what was read before goes, what is read now comes."""
    folder = mount.path / "site/transactions/7"
    for turn in range(2):
        for number in range(1, 7):
            assert (folder / f"file{number}").read_bytes() == noise(number, 2 * MIB), turn
    assert mount.json("status/cache.json")["evicted"] > 0


def test_a_file_larger_than_the_cache_disk_is_refused_with_its_reason(mount):
    folder = mount.path / "site/transactions"
    code, _ = failed((folder / "8/large").read_bytes)
    assert code in (errno.ENOSPC, errno.EIO)
    assert any("full" in found["error"] for found in mount.downloads())
    eventually("others are read", lambda: (folder / "7/file3").read_bytes() == noise(3, 2 * MIB), 10)
    assert os.listdir(mount.path / "status")
