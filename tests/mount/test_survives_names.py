"""Names and ids from a server: every shown name can be opened and read, and nothing escapes the tree."""

import errno
import os
import subprocess

import pytest

from tests.servers.fake_site import File

from .survival import failed, requests, tables

pytestmark = [pytest.mark.mount, pytest.mark.timeout(60)]

PATHS = [
    ("", "plain"),
    ("", "with space"),
    ("", " lead and trail "),
    ("", "ünïcode 漢字 🧪"),
    ("", "new\nline\ttab"),
    ("", "-rf"),
    ("", "*?[a]"),
    ("", "quote'\"`$(x)"),
    ("", "x" * 255),
    ("", "y" * 300 + ".tar.gz"),
    ("", "é" * 255),
    ("", ".."),
    ("", "."),
    ("", "..."),
    ("", "/"),
    ("", "/etc/passwd"),
    ("", "p/q"),
    ("", "p_q"),
    ("", "nul\0byte"),
    ("", "e\u0301"),
    ("", "\u00e9"),
    ("", "\u202egnp.exe"),
    ("", "README.txt"),
    ("", "metadata.json"),
    ("..", "up"),
    ("../../..", "far up"),
    ("/abs//double/", "slashes"),
    ("a/./b/../c", "dots"),
    ("z" * 300, "long folder"),
    ("", "same"),
    ("", "same"),
    ("", "same~130"),
    ("", "h"),
    ("h", "x"),
    ("h/x", "y"),
    ("data", "data"),
]


def test_every_shown_name_can_be_read_and_nothing_escapes(mounted, fake_site):
    files = [File(100 + n, name, b"content %d" % n, subdir) for n, (subdir, name) in enumerate(PATHS)]
    fake_site.add(7, *files)
    mount = mounted(tables(fake_site))
    top = mount.path / "site/transactions/7"
    found = {}
    for folder, _, names in os.walk(os.fsencode(top), onerror=_raise):
        for name in names:
            path = os.path.join(folder, name)
            assert len(name) <= 255
            assert os.path.realpath(path).startswith(os.fsencode(top) + b"/")
            with open(path, "rb") as stream:
                found[os.getxattr(path, "user.pacifica.id").decode()] = stream.read()
            assert os.stat(path).st_size == len(found[os.getxattr(path, "user.pacifica.id").decode()])
    assert found == {str(file.id): file.data for file in files}
    # With a cold cache, and by the names alone.
    listed = sorted(os.fsencode(os.path.join(folder, name)) for folder, _, names in os.walk(top) for name in names)
    mount.restart()
    for path in listed:
        assert os.stat(path).st_size
    assert sorted(os.fsencode(os.path.join(folder, name)) for folder, _, names in os.walk(top) for name in names) == (
        listed
    )


def test_programs_get_on_with_them(mounted, fake_site, tmp_path):
    fake_site.add(7, *(File(100 + n, name, b"content %d" % n, subdir) for n, (subdir, name) in enumerate(PATHS)))
    mount = mounted(tables(fake_site))
    top = mount.path / "site/transactions/7"
    done = subprocess.run(["cp", "-r", str(top), str(tmp_path / "copy")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len([name for _, _, names in os.walk(tmp_path / "copy") for name in names]) == len(PATHS)
    done = subprocess.run(["diff", "-r", str(top), str(tmp_path / "copy")], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def _raise(error):
    raise error


def test_a_weird_id_spoils_one_transaction_only(mounted, fake_site):
    weird = ["../../etc/passwd", "", "1; rm", 1.5, None, True]
    for number, id in enumerate(weird, 10):
        fake_site.add(number, File(id, "weird", b"x"), File(number, "fine", b"fine"))
    fake_site.add(8, File(2, "good", b"good"))
    mount = mounted(tables(fake_site))
    assert {str(number) for number in range(10, 16)} < set(os.listdir(mount.path / "site/transactions"))
    for number in range(10, 10 + len(weird)):
        code, _ = failed(lambda number=number: os.listdir(mount.path / f"site/transactions/{number}"))
        assert code == errno.EIO
    assert b"transaction 10 lists a file without id" in mount.read("status/log")  # why, since EIO tells nothing
    assert (mount.path / "site/transactions/8/good").read_bytes() == b"good"


def test_large_and_negative_ids(mounted, fake_site):
    files = [File(2**63 + 1, "large", b"large"), File(-5, "negative", b"negative"), File(0, "zero", b"zero")]
    fake_site.add(7, *files)
    mount = mounted(tables(fake_site))
    for file in files:
        assert (mount.path / "site/transactions/7" / file.name).read_bytes() == file.data


def test_asking_for_names_that_are_not_there(mounted, fake_site):
    fake_site.add(7, File(1, "fine", b"fine"))
    mount = mounted(tables(fake_site))
    for name in ("..", "../..", "7/../../../..", "%2e%2e", "7%2f..", "7/fine/..", "7/fine/x", "*", "0x7", "07", "-1"):
        path = os.path.join(mount.path, "site/transactions", name)
        try:
            found = os.stat(path)
        except OSError as error:
            assert error.errno in (errno.ENOENT, errno.ENOTDIR), name
        else:  # the kernel itself walks up
            assert ".." in name and found.st_ino == os.stat(os.path.normpath(path)).st_ino, name


def test_20000_files_in_one_folder(mounted, fake_site):
    fake_site.add(7, *(File(number, f"file {number:05}", b"x") for number in range(20_000)))
    mount = mounted(tables(fake_site))
    folder = mount.path / "site/transactions/7"
    done = subprocess.run(["ls", "-l", "--color=never", str(folder)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 20_001
    assert requests(mount, "getattr")["getattr"] < 2_000
    with os.scandir(folder) as entries:
        assert sum(entry.stat().st_size for entry in entries) == 20_000
    assert (folder / "file 19999").read_bytes() == b"x"


def test_more_transactions_than_a_listing_shows(mounted, fake_site):
    """A listing is complete, or says that it is not; any id can be opened all the same."""
    for number in range(1, 31):
        fake_site.add(number, File(number, "file", b"%d" % number))
    mount = mounted(tables(fake_site, listing_limit=20))
    assert os.listdir(mount.path / "site/transactions") == ["README.txt"]
    assert b"20" in (mount.path / "site/transactions/README.txt").read_bytes()
    assert (mount.path / "site/transactions/3/file").read_bytes() == b"3"
    assert "30" in os.listdir(mount.path / "site/recent")
