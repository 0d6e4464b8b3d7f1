"""What programs do to get files out of an archive, through a kernel mount."""

import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from .test_into_the_drop import content, run

pytestmark = [pytest.mark.mount, pytest.mark.timeout(120)]


def archive_root(mount) -> Path:
    return mount.folder.parent / "archive"


def test_cp(transaction, source, tmp_path):
    _, folder = transaction
    run("cp", "-r", folder, tmp_path / "copy")
    assert content(tmp_path / "copy") == content(source)
    (tmp_path / "copy/empty").write_text("a copy is writable by who made it")


def test_rsync_checksum(transaction, source, tmp_path):
    _, folder = transaction
    run("rsync", "-a", "--checksum", f"{folder}/", tmp_path / "copy")
    assert content(tmp_path / "copy") == content(source)
    again = run("rsync", "-a", "--itemize-changes", f"{folder}/", tmp_path / "copy")
    assert again.stdout == ""


def test_tar(transaction, source, tmp_path):
    _, folder = transaction
    run("tar", "cf", tmp_path / "out.tar", "-C", folder.parent, folder.name, f"{folder.name}.json")
    with tarfile.open(tmp_path / "out.tar") as tar:
        big = tar.extractfile(f"{folder.name}/a/b/big.bin")
        document = tar.extractfile(f"{folder.name}.json")
        assert big is not None and big.read() == (source / "a/b/big.bin").read_bytes()
        assert document is not None and json.load(document)["id"] == folder.name


def test_grep_find_diff(transaction, source):
    _, folder = transaction
    assert len(run("grep", "-r", "needle", folder).stdout.splitlines()) == 1000
    found = run("find", folder, "-type", "f", "-size", "+1M").stdout.split()
    assert [Path(path).name for path in found] == ["big.bin"]
    assert run("diff", "-r", source, folder).stdout == ""


def test_memmap(transaction, source):
    numpy = pytest.importorskip("numpy")
    _, folder = transaction
    mapped = numpy.memmap(folder / "a/b/big.bin", dtype="u1", mode="r")
    assert bytes(mapped[4_000_000:4_000_100]) == (source / "a/b/big.bin").read_bytes()[4_000_000:4_000_100]
    assert bytes(mapped[:]) == (source / "a/b/big.bin").read_bytes()


def test_reading_at_any_offset(transaction, source):
    _, folder = transaction
    expected = (source / "a/b/big.bin").read_bytes()
    fd = os.open(folder / "a/b/big.bin", os.O_RDONLY)
    try:
        for offset, size in ((4_999_990, 100), (0, 1), (131_071, 2), (2_500_000, 300_000), (5_000_000, 10)):
            assert os.pread(fd, size, offset) == expected[offset : offset + size]
    finally:
        os.close(fd)


def test_direct_reads(transaction, source, tmp_path):
    _, folder = transaction
    run("dd", f"if={folder}/a/b/big.bin", f"of={tmp_path}/copy", "bs=1M", "iflag=direct")
    assert (tmp_path / "copy").read_bytes() == (source / "a/b/big.bin").read_bytes()


def test_the_document_and_the_attributes(transaction):
    mount, folder = transaction
    document = json.loads((mount.path / f"here/transactions/{folder.name}.json").read_text())
    assert document["project"] == "1234a"
    attributes = {name: os.getxattr(folder / "a/text", name).decode() for name in os.listxattr(folder / "a/text")}
    assert attributes["user.pacifica.archive"] == "here"
    assert attributes["user.pacifica.transaction"] == folder.name
    assert attributes["user.pacifica.digest"].startswith("sha1:")
    assert attributes["user.pacifica.state"] in ("remote", "cached")
    (folder / "a/text").read_bytes()
    assert os.getxattr(folder / "a/text", "user.pacifica.state") == b"cached"
    with pytest.raises(OSError):
        os.getxattr(folder / "a/text", "user.pacifica.nothing")


def test_recent_and_transactions_show_the_same(transaction):
    mount, folder = transaction
    recent = mount.path / "here/recent" / folder.name / "a/text"
    assert recent.stat().st_ino == (folder / "a/text").stat().st_ino
    assert recent.read_bytes() == (folder / "a/text").read_bytes()


def test_no_such_transaction(transaction):
    mount, _ = transaction
    with pytest.raises(FileNotFoundError):
        (mount.path / "here/transactions/4711").stat()
    with pytest.raises(FileNotFoundError):
        (mount.path / "here/transactions/..%2f..").stat()


def test_damaged_content_raises_and_other_files_are_fine(transaction, source):
    """A program that reads a file from start to end without an error has the archive's bytes."""
    mount, folder = transaction
    stored = archive_root(mount) / "transactions" / folder.name / "files/a/b/big.bin"
    data = bytearray(stored.read_bytes())
    data[2_000_000] ^= 1
    os.chmod(stored, 0o644)
    stored.write_bytes(data)
    with pytest.raises(OSError) as error:
        (folder / "a/b/big.bin").read_bytes()
    assert error.value.errno == 5
    assert (folder / "a/text").read_bytes() == (source / "a/text").read_bytes()
    copied = subprocess.run(["cp", str(folder / "a/b/big.bin"), "/dev/null"], capture_output=True, timeout=60)
    assert copied.returncode != 0


def test_the_archives_folder_gone_is_an_outage(transaction):
    """An outage is never ENOENT, and never an empty directory that looks real."""
    mount, _folder = transaction
    root = archive_root(mount)
    root.rename(root.with_name("away"))
    try:
        with pytest.raises(OSError) as error:
            (mount.path / "here/transactions/77").stat()
        assert error.value.errno not in (2, 11)
        assert (mount.path / "status/cache.json").read_text()
    finally:
        root.with_name("away").rename(root)


def test_offline_what_was_read_is_there(transaction, source):
    mount, folder = transaction
    expected = (source / "a/text").read_bytes()
    assert (folder / "a/text").read_bytes() == expected
    root = archive_root(mount)
    root.rename(root.with_name("away"))
    try:
        mount.restart()
        assert (folder / "a/text").read_bytes() == expected
    finally:
        root.with_name("away").rename(root)


def test_status_files_are_readable_by_everything(transaction):
    mount, _ = transaction
    for command in ("cat", "head", "tail", "wc", "grep -c .", "sort", "md5sum"):
        assert run(*command.split(), mount.path / "status/cache.json").stdout
    json.loads((mount.path / "status/downloads.json").read_text())
    assert "pacifica_fs_cache_size" in (mount.path / "status/metrics").read_text()
    assert (mount.path / "status/archives/here.json").read_text()
    assert "drop/" in (mount.path / "README.txt").read_text()
    (mount.path / "status/log").read_text()


def test_space_below_the_drop_is_the_spools(transaction):
    mount, _ = transaction
    spool = os.statvfs(mount.spool)
    shown = os.statvfs(mount.path / "drop/here")
    assert shown.f_blocks * shown.f_frsize == pytest.approx(spool.f_blocks * spool.f_frsize, rel=0.01)
