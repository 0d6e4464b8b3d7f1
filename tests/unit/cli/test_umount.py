import os

import pytest

from pacifica_fs.cli.outside import MountPoint
from pacifica_fs.errors import PacificaFSError


def test_the_only_mount(run, mount, outside):
    result = run("umount")
    assert (result.exit_code, result.output) == (0, "")
    assert outside.asked[0] == ("unmount", mount.path, False)
    assert outside.asked[1][0] == "settle", "whoever mounts again at once must get the spool"


def test_what_is_not_ingested_is_told(run, mount):
    mount.bundle("here", "a", "done")
    mount.bundle("here", "b", "sending")
    assert run("umount", mount.path).stderr == (
        "not yet ingested, kept in the spool: here/b (sending); it goes on at the next mount\n"
    )


def test_a_mount_in_use(run, mount, outside):
    outside.error = PacificaFSError(f"{mount.path}: in use; close what uses it, or use --lazy")
    mount.bundle("here", "b", "sending")
    result = run("umount")
    assert (result.exit_code, result.stderr) == (1, f"pacifica-fs: {outside.error}\n")


def test_lazy(run, mount, outside):
    assert run("umount", "--lazy").exit_code == 0
    assert outside.asked[0] == ("unmount", mount.path, True)


def test_a_mount_that_never_answers_is_unmounted_all_the_same(run, mount, outside, monkeypatch):
    monkeypatch.setattr("pacifica_fs.cli.umount.READING", 0.2)
    os.unlink(mount.path / "status/cache.json")
    os.mkfifo(mount.path / "status/cache.json")
    assert run("umount").exit_code == 0
    assert outside.asked[0] == ("unmount", mount.path, False)


def test_nothing_is_mounted(run):
    result = run("umount")
    assert (result.exit_code, result.stderr) == (6, "pacifica-fs: nothing is mounted\n")


@pytest.mark.parametrize("below", ["drop", "status/uploads"])
def test_a_folder_in_the_mount_is_not_the_mount(run, mount, outside, below):
    result = run("umount", mount.path / below)
    assert (result.exit_code, f"is inside the mount {mount.path}" in result.stderr) == (2, True)
    assert outside.asked == []


def test_several(run, mount, outside, tmp_path):
    outside.known.append(MountPoint(tmp_path / "other"))
    assert run("umount").exit_code == 2
    assert run("umount", tmp_path / "other").exit_code == 0
    assert outside.asked[0] == ("unmount", tmp_path / "other", False)
