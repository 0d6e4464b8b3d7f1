"""fetch, evict, verify and pin, as their users run them, through a kernel mount."""

import os
import subprocess
import sys

import pytest

from .test_drop_asking import cli
from .test_into_the_drop import archived, content, run, with_sidecar

pytestmark = [pytest.mark.mount, pytest.mark.timeout(120)]


@pytest.fixture
def big():
    return 3_000_000


def states(folder):
    return {
        path.name: os.getxattr(path, "user.pacifica.state").decode()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def complete(mount):
    """The files of the cache's complete blobs."""
    return sorted(mount.folder.rglob("content/complete/*/*"), key=lambda path: path.stat().st_size)


def test_fetch_and_evict(transaction):
    mount, folder = transaction
    assert set(states(folder).values()) == {"remote", "cached"}  # what is empty needs no fetching
    said = cli(mount, "fetch", folder)
    assert f"fetched  {folder}/a/b/big.bin" in said and "0 failed" in said
    assert set(states(folder).values()) == {"cached"}
    said = cli(mount, "fetch", folder, "-q")
    assert said.startswith("0 fetched, ")
    said = cli(mount, "evict", folder / "a")
    assert f"evicted  {folder}/a/text" in said
    assert states(folder)["text"] == states(folder)["big.bin"] == "remote"
    assert states(folder)["é"] == "cached"


def test_fetch_to_a_folder_is_a_copy_with_times_and_goes_on_where_it_was(transaction, source, tmp_path):
    """`download(create_target)`: a second call verifies and fetches only what is missing."""
    mount, folder = transaction
    target = tmp_path / "new/copy"
    assert "--create makes it" in cli(mount, "fetch", folder, "--to", target, code=2)
    cli(mount, "fetch", f"{folder}/.", "--to", target, "--create")
    assert content(target) == content(source)
    assert (target / "a/text").stat().st_mtime == (folder / "a/text").stat().st_mtime
    assert not [path for path in target.rglob(".*")]
    (target / "a/text").write_text("damaged")
    (target / "é").unlink()
    said = cli(mount, "fetch", f"{folder}/.", "--to", target)
    assert "2 copied, " in said and content(target) == content(source)
    cli(mount, "fetch", folder, "--to", target)
    assert content(target / folder.name) == content(source)


def test_fetch_takes_a_list_of_paths(transaction, tmp_path):
    mount, folder = transaction
    (tmp_path / "list").write_text(f"{folder}/é\n\n{folder}/a/text\n")
    assert "2 fetched" in cli(mount, "fetch", "--from-file", tmp_path / "list")
    assert states(folder)["big.bin"] == "remote"


def test_what_is_no_file_of_an_archive_is_told_with_the_remedy(transaction, tmp_path):
    mount, folder = transaction
    assert "no pacifica-fs is mounted here" in cli(mount, "fetch", tmp_path, code=6)
    assert "not in an archive" in cli(mount, "evict", mount.path / "status", code=2)
    assert "not in an archive" in cli(mount, "pin", mount.path, code=2)
    assert "name at least one file" in cli(mount, "verify", code=2)
    assert "No such file" in cli(mount, "fetch", folder / "none", code=1)
    assert "archives are read-only" in cli(mount, "fetch", folder, "--to", mount.path / "drop/here", code=2)
    assert "would both become" in cli(mount, "fetch", folder / "a", f"{folder}/a/../a", "--to", tmp_path, code=2)


def test_verify_finds_what_the_disk_did(transaction, source):
    mount, folder = transaction
    cli(mount, "fetch", folder)
    assert "4 verified, 0 unverified, 0 failed" in cli(mount, "verify", folder, "-q")
    blob = complete(mount)[-1]
    with blob.open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"?")
    said = cli(mount, "verify", folder, code=1)
    assert f"{folder}/a/b/big.bin: it was damaged" in said
    assert states(folder)["big.bin"] == "remote"
    assert (folder / "a/b/big.bin").read_bytes() == (source / "a/b/big.bin").read_bytes()


def test_a_fetch_replaces_what_is_damaged_in_the_cache(transaction, source):
    mount, folder = transaction
    cli(mount, "fetch", folder)
    with complete(mount)[-1].open("r+b") as stream:
        stream.write(b"?")
    assert "1 fetched, " in cli(mount, "fetch", folder)
    assert "4 verified" in cli(mount, "verify", folder)
    assert (folder / "a/b/big.bin").read_bytes() == (source / "a/b/big.bin").read_bytes()


def test_pins_outlive_a_restart_and_are_not_evicted(transaction):
    """Pins survive restarts and show in status/cache.json"""
    mount, folder = transaction
    cli(mount, "pin", folder / "a")
    assert states(folder)["big.bin"] == "cached"
    mount.restart()
    shown = mount.json("status/cache.json")
    assert (shown["pinned"], shown["pinned_bytes"]) == (2, 3_014_000)
    assert {pin["path"].rpartition("/")[2] for pin in shown["pins"]} == {"big.bin", "text"}
    assert "it is pinned" in cli(mount, "evict", folder / "a", code=1)
    assert "2 unpinned" in cli(mount, "pin", "--unpin", folder / "a")
    assert mount.json("status/cache.json")["pins"] == []
    assert "2 evicted" in cli(mount, "evict", folder / "a")


def test_what_is_open_is_not_evicted(transaction):
    mount, folder = transaction
    with (folder / "a/text").open() as stream:
        stream.read()
        assert "it is open" in cli(mount, "evict", folder / "a/text", code=1)
    assert "1 evicted" in cli(mount, "evict", folder / "a/text")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_what_is_in_the_cache_is_for_who_mounted_it_to_say(mounted, source, tmp_path):
    """Control writes check the caller's uid."""
    tables = {"here": {"kind": "local", "path": str(tmp_path / "archive")}}
    mount = mounted({"mount": {"access": "everyone"}, "archives": tables})
    run("cp", "-a", source, mount.path / "drop/here/run1")
    with_sidecar(mount.path / "drop/here/run1")
    file = archived(mount, "run1") / "a/text"
    inside = str(file.relative_to(mount.folder))  # the folders above are closed to others
    code = (
        "import os, sys\nos.setgid(65534)\nos.setuid(65534)\n"
        f"print(open({inside!r}).read(6))\nos.setxattr({inside!r}, 'user.pacifica.control', sys.argv[1].encode())"
    )
    for do in ("pin", "evict", "verify"):
        request = f'{{"do": "{do}"}}'
        words = [sys.executable, "-c", code, request]
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, cwd=mount.folder)
        assert done.stdout == "needle\n" and "Permission denied" in done.stderr
    assert mount.json("status/cache.json")["pinned"] == 0
    cli(mount, "pin", file)
    assert mount.json("status/cache.json")["pinned"] == 1
