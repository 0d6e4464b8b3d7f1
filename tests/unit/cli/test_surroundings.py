"""What `check` says of the machine around a mount."""

import os
import resource
import stat

import pytest

from pacifica_fs import config
from pacifica_fs.cli import surroundings
from pacifica_fs.cli.outside import MountPoint
from pacifica_fs.config import Places


def levels(found):
    return [each.level for each in found]


def test_enough_and_too_few_open_files(tmp_path):
    assert levels(surroundings.limits(True, 65536, tmp_path)) == ["ok"]
    assert levels(surroundings.limits(True, resource.RLIM_INFINITY, tmp_path)) == ["ok"]
    [few] = surroundings.limits(True, 256, tmp_path)
    assert few.level == "remark" and "at most 256 open files" in few.text and "LimitNOFILE=" in few.remedy


def test_what_the_kernel_allows_the_mounts_of_users(tmp_path):
    (tmp_path / "max_user_bgreq").write_text("12\n")
    assert levels(surroundings.limits(True, 65536, tmp_path)) == ["ok"], "it does not concern root"
    found = surroundings.limits(False, 65536, tmp_path)
    assert levels(found) == ["ok", "remark"] and "sysctl fs.fuse.max_user_bgreq=" in found[1].remedy


def test_a_kernel_that_ends_mounts(tmp_path):
    (tmp_path / "max_request_timeout").write_text("0\n")
    (tmp_path / "default_request_timeout").write_text("60\n")
    found = surroundings.limits(True, 65536, tmp_path)
    assert levels(found) == ["ok", "remark"] and "for 60 s" in found[1].text


@pytest.mark.parametrize(
    ("kind", "subjects", "words"),
    [
        ("ext4", [], ""),
        ("nfs4", ["spool", "cache"], "sync and locks"),
        ("fuse.sshfs", ["spool", "cache"], "[drop] path"),
        ("tmpfs", ["spool"], "lost at a restart"),
    ],
)
def test_kinds_of_disks(tmp_path, kind, subjects, words):
    places = Places(tmp_path / "home/me/state", tmp_path / "home/me/cache")
    mounts = {"/": "ext4", str(tmp_path): "xfs", str(tmp_path / "home"): kind}
    found = surroundings.disks(places, lambda: mounts)
    assert [each.subject for each in found] == subjects and set(levels(found)) <= {"remark"}
    assert words in "".join(each.text + each.remedy for each in found)


def test_a_link_to_the_network_is_seen_through(tmp_path):
    (tmp_path / "nfs").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "nfs")
    mounts = {"/": "ext4", str(tmp_path / "nfs"): "nfs"}
    found = surroundings.disks(Places(tmp_path / "state", tmp_path / "cache"), lambda: mounts)
    assert [each.subject for each in found] == ["spool"]


def test_the_disks_of_this_machine(tmp_path):
    for each in surroundings.disks(Places(tmp_path, tmp_path)):
        assert each.level == "remark"


@pytest.mark.parametrize(
    ("skew", "level"), [(0.0, "ok"), (10, "ok"), (-45, "remark"), (45, "remark"), (-900, "wrong"), (900, "wrong")]
)
def test_clocks(skew, level):
    found = surroundings.clock({"a.example.org": skew, "b.example.org": 0})
    assert levels(found) == [level]
    assert "a.example.org" in found[0].text
    if level != "ok":
        assert ("behind" if skew > 0 else "before") in found[0].text and "NTP" in found[0].remedy


def test_no_server_no_clock():
    assert surroundings.clock({}) == []


@pytest.fixture
def settings(tmp_path):
    file = tmp_path / "site.toml"
    file.write_text("")
    return config.load(file)


def check(settings, tmp_path, given=None, mounts=(), fstab=""):
    (tmp_path / "fstab").write_text(fstab)
    return surroundings.points(settings, mounts, given, tmp_path / "fstab")


def test_mount_points_of_fstab_are_found(settings, tmp_path):
    (tmp_path / "a b").mkdir()
    point = str(tmp_path / "a b")
    (source,) = settings.sources
    lines = f"# {source} /old pacifica-fs\n{source} {point} pacifica-fs noauto 0 0\n/other.toml /x pacifica-fs\nproc\n"
    [found] = check(settings, tmp_path, fstab=lines.replace(point, point.replace(" ", "\\040")))
    assert (found.level, "programs could write there while nothing is mounted" in found.text) == ("remark", True)
    assert found.remedy == f"As root run: pacifica-fs install --mount-point {point}"


def test_a_mount_point_that_only_root_could_write_to(settings, tmp_path):
    point = tmp_path / "mnt"
    point.mkdir(mode=0o000)
    [found] = check(settings, tmp_path, point)
    assert (found.level, "root could write there" in found.text) == ("remark", True)


def test_an_immutable_mount_point_is_fine(settings, tmp_path, monkeypatch):
    (tmp_path / "mnt").mkdir(mode=0o000)
    monkeypatch.setattr(surroundings, "immutable", lambda path: True)
    assert levels(check(settings, tmp_path, tmp_path / "mnt")) == ["ok"]


def test_other_mount_points(settings, tmp_path):
    (tmp_path / "file").touch()
    assert levels(check(settings, tmp_path, tmp_path / "file")) == ["wrong"]
    assert levels(check(settings, tmp_path, tmp_path / "none")) == ["wrong"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    [found] = check(settings, tmp_path, tmp_path / "full")
    assert (found.level, "not empty" in found.text) == ("remark", True)
    mounts = [MountPoint(tmp_path / "full")]
    [found] = check(settings, tmp_path, tmp_path / "full", mounts)
    assert (found.level, found.text.endswith(": mounted")) == ("ok", True)


def test_a_real_immutable_folder(settings, tmp_path, run):
    """As `install` makes it, where this user and file system can."""
    point = tmp_path / "mnt"
    made = run("install", "--mount-point", point)
    assert made.exit_code == 0
    try:
        [found] = check(settings, tmp_path, point)
        assert found.level == ("remark" if "cannot make it immutable" in made.stderr else "ok")
        assert stat.S_IMODE(os.stat(point).st_mode) == 0
    finally:
        assert run("install", "--remove", "--mount-point", point).exit_code == 0
