"""One file of 1 GiB: memory is bounded by what is open, not by the size of a file, both ways."""

import hashlib
import os
import random
import shutil
import subprocess

import pytest

from tests.servers.fake_site import File

from .survival import tables

pytestmark = [pytest.mark.mount, pytest.mark.slow, pytest.mark.timeout(120)]

GIB = 2**30
MOST = 100 * 2**20


def sparse(path, seed):
    """A file of 1 GiB, mostly holes, with noise here and there, in the first and in the last block too."""
    noise = random.Random(seed)
    with open(path, "wb") as stream:
        stream.truncate(GIB)
        for offset in (0, GIB - 4096, *(noise.randrange(GIB - 4096) for _ in range(50))):
            stream.seek(offset)
            stream.write(noise.randbytes(4096))


def digest(path):
    """By a program of its own, as a user would."""
    done = subprocess.run(["sha1sum", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[0].lstrip("\\")


def test_one_gibibyte_both_ways(mounted, tmp_path):
    if shutil.disk_usage(tmp_path).free < 6 * GIB:
        pytest.skip("needs 6 GiB of disk")
    source = tmp_path / "source"
    sparse(source, 1)
    mount = mounted({"archives": {"here": {"kind": "local", "path": str(tmp_path / "archive")}}})
    mount.ls("here/transactions")
    before = mount.rss_peak()
    drop = mount.path / "drop/here/run"
    drop.mkdir()
    subprocess.run(["cp", "--sparse=never", source, drop / "large"], check=True, timeout=60)
    (drop / "metadata.json").write_text('{"project": "1234a", "instrument": 54}')
    (drop / ".commit").touch()
    status = mount.wait_state("run", "done", 60)
    assert mount.rss_peak() - before < MOST
    mount.forget_cache()
    before = mount.rss_peak()
    path = mount.path / "here/transactions" / str(status["transaction"]) / "large"
    expected = hashlib.sha1()
    with open(source, "rb") as stream:
        while piece := stream.read(2**22):
            expected.update(piece)
    assert os.getxattr(path, "user.pacifica.digest").decode() == f"sha1:{expected.hexdigest()}"
    assert digest(path) == expected.hexdigest()
    assert mount.rss_peak() - before < MOST
    assert os.getxattr(path, "user.pacifica.state") == b"cached"


def test_hundreds_of_megabytes_by_cart(mounted, fake_site):
    """The stream of a cart goes through memory piece by piece."""
    data = random.Random(3).randbytes(2**20) * 256
    fake_site.add(7, File(1, "large", data))
    mount = mounted(tables(fake_site))
    path = mount.path / "site/transactions/7/large"
    assert path.stat().st_size == len(data)
    before = mount.rss_peak()
    assert digest(path) == hashlib.sha1(data).hexdigest()
    assert mount.rss_peak() - before < MOST
