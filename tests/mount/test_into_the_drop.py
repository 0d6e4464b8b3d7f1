"""What programs do to get files into the drop, through a kernel mount; each bundle becomes a transaction."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.mount, pytest.mark.timeout(120)]

SIDECAR = {"project": "1234a", "instrument": 54, "keys": {"Tag": "first"}}


def run(*argv: str | Path, **options) -> subprocess.CompletedProcess:
    """A command as a user would run it; its failure shows its words."""
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60, **options)
    assert done.returncode == 0, f"{argv}: {done.returncode}: {done.stderr}"
    return done


def content(folder: Path) -> dict[str, str]:
    """Digest by relative path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def mount(mounted):
    """The default: one local archive, `here`; bundles are sealed by `.commit` in these tests."""
    return mounted({"drop": {"quiet": "60s"}})


@pytest.fixture
def source(tmp_path):
    """A folder as an instrument leaves it."""
    folder = tmp_path / "source"
    (folder / "raw/deep").mkdir(parents=True)
    (folder / "raw/deep/data.bin").write_bytes(os.urandom(300_000))
    (folder / "raw/empty").write_bytes(b"")
    (folder / "notes é ü.txt").write_text("spectrum\n" * 50)
    (folder / "with space").write_text("x")
    (folder / "data").mkdir()
    (folder / "data/inner.txt").write_text("a folder called data")
    return folder


def archived(mount, name: str) -> Path:
    """Seal the bundle and wait; its transaction's folder."""
    (mount.path / "drop/here" / name / ".commit").touch()
    mount.wait_state(name, "done", 60)
    link = mount.path / "status/uploads/here" / name / "transaction"
    folder = link.resolve()
    assert folder.is_dir()
    return folder


def with_sidecar(folder: Path) -> None:
    (folder / "metadata.json").write_text(json.dumps(SIDECAR))


def cp(source: Path, target: Path) -> None:
    run("cp", "-r", source, target)


def cp_a(source: Path, target: Path) -> None:
    run("cp", "-a", source, target)


def rsync(source: Path, target: Path) -> None:
    run("rsync", "-a", f"{source}/", target)


def rsync_inplace(source: Path, target: Path) -> None:
    run("rsync", "-a", "--inplace", f"{source}/", target)


def tar(source: Path, target: Path) -> None:
    target.mkdir()
    with subprocess.Popen(["tar", "c", "-C", str(source), "."], stdout=subprocess.PIPE) as packer:
        run("tar", "x", "-C", target, stdin=packer.stdout)


def move(source: Path, target: Path) -> None:
    run("mv", source, target)


def dd(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        to = target / path.relative_to(source)
        to.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            run("dd", f"if={path}", f"of={to}", "bs=4096", "conv=fsync")


def shell(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        to = target / path.relative_to(source)
        to.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            run("sh", "-c", 'cat "$1" > "$2"', "sh", path, to)


def python(source: Path, target: Path) -> None:
    shutil.copytree(source, target)


@pytest.mark.parametrize("way", [cp, cp_a, rsync, rsync_inplace, tar, move, dd, shell, python])
def test_each_way_in_gives_the_same_transaction(mount, source, way):
    with_sidecar(source)
    expected = content(source)
    way(source, mount.path / "drop/here/run1")
    folder = archived(mount, "run1")
    del expected["metadata.json"]
    assert content(folder) == expected


def test_times_are_kept(mount, source):
    with_sidecar(source)
    os.utime(source / "with space", ns=(0, 1_500_000_000_123_456_789))
    run("cp", "-a", source, mount.path / "drop/here/run1")
    dropped = (mount.path / "drop/here/run1/with space").stat()
    assert dropped.st_mtime_ns == 1_500_000_000_123_456_789
    folder = archived(mount, "run1")
    assert int((folder / "with space").stat().st_mtime) == 1_500_000_000


def test_a_second_rsync_of_an_open_bundle_sends_nothing(mount, source):
    run("rsync", "-a", f"{source}/", mount.path / "drop/here/run1")
    again = run("rsync", "-a", "--itemize-changes", f"{source}/", mount.path / "drop/here/run1")
    assert [line for line in again.stdout.splitlines() if line.startswith(">f")] == []


def test_append_truncate_rename_and_remove(mount):
    folder = mount.path / "drop/here/run1"
    folder.mkdir()
    with_sidecar(folder)
    with (folder / "log").open("w") as log:
        log.write("one\n")
    with (folder / "log").open("a") as log:
        log.write("two\n")
    (folder / "long").write_bytes(b"x" * 10_000)
    os.truncate(folder / "long", 10)
    (folder / "old name").write_text("renamed")
    (folder / "sub").mkdir()
    (folder / "old name").rename(folder / "sub/new name")
    (folder / "gone").write_text("gone")
    (folder / "gone").unlink()
    (folder / "no").mkdir()
    (folder / "no").rmdir()
    with (folder / "sparse").open("wb") as sparse:
        sparse.seek(100_000)
        sparse.write(b"end")
    result = archived(mount, "run1")
    assert (result / "log").read_text() == "one\ntwo\n"
    assert (result / "long").read_bytes() == b"x" * 10
    assert (result / "sub/new name").read_text() == "renamed"
    assert (result / "sparse").read_bytes() == b"\0" * 100_000 + b"end"
    assert sorted(p.name for p in result.iterdir()) == ["log", "long", "sparse", "sub"]


def test_h5py_and_zip_writers(mount):
    h5py = pytest.importorskip("h5py")
    folder = mount.path / "drop/here/run1"
    folder.mkdir()
    with_sidecar(folder)
    with h5py.File(folder / "scan.h5", "w") as file:
        file["counts"] = list(range(5000))
        file.attrs["sample"] = "silicon"
    with h5py.File(folder / "scan.h5", "a") as file:
        file["more"] = [1, 2, 3]
    with zipfile.ZipFile(folder / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", "a" * 1000)
    with zipfile.ZipFile(folder / "all.zip", "a") as archive:
        archive.writestr("b.txt", "b" * 1000)
    result = archived(mount, "run1")
    with h5py.File(result / "scan.h5", "r") as file:
        assert list(file["counts"][:3]) == [0, 1, 2] and list(file["more"]) == [1, 2, 3]
    with zipfile.ZipFile(result / "all.zip") as archive:
        assert archive.testzip() is None and archive.namelist() == ["a.txt", "b.txt"]


def test_quiet_seals_when_the_sidecar_came_last(mounted, source):
    mount = mounted({"drop": {"quiet": "1s"}})
    run("cp", "-r", source, mount.path / "drop/here/run1")
    with_sidecar(mount.path / "drop/here/run1")
    mount.wait_state("run1", "done", 60)


def test_the_drop_is_write_only(mount):
    folder = mount.path / "drop/here/run1"
    folder.mkdir()
    (folder / "secret").write_text("x")
    with pytest.raises(PermissionError):
        (folder / "secret").read_bytes()
    assert (folder / "secret").stat().st_size == 1


def test_links_devices_and_fifos_are_refused(mount):
    folder = mount.path / "drop/here/run1"
    folder.mkdir()
    (folder / "a").write_text("x")
    for make in (
        lambda: os.symlink("a", folder / "link"),
        lambda: os.link(folder / "a", folder / "hard"),
        lambda: os.mkfifo(folder / "fifo"),
        lambda: os.mknod(folder / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 3)),
    ):
        with pytest.raises(PermissionError):
            make()


def test_files_directly_in_an_archive_are_refused(mount):
    with pytest.raises(PermissionError):
        (mount.path / "drop/here/file").write_text("x")
    with pytest.raises(OSError):
        (mount.path / "drop/file").write_text("x")


def test_an_empty_transaction(mount):
    folder = mount.path / "drop/here/nothing"
    folder.mkdir()
    with_sidecar(folder)
    assert list(archived(mount, "nothing").iterdir()) == []


def test_long_and_odd_names(mount):
    folder = mount.path / "drop/here/run ü 1"
    folder.mkdir()
    with_sidecar(folder)
    names = ["n" * 255, "é" * 127, "tab\there", "new\nline", "-dash", "ends.", "日本語.txt"]
    for number, name in enumerate(names):
        (folder / name).write_text(str(number))
    result = archived(mount, "run ü 1")
    assert {p.name: p.read_text() for p in result.iterdir()} == {n: str(i) for i, n in enumerate(names)}
    with pytest.raises(OSError) as error:
        (folder / ("n" * 256)).touch()
    assert error.value.errno == 36


def test_a_thousand_files(mount, tmp_path):
    source = tmp_path / "many"
    source.mkdir()
    for number in range(1000):
        (source / f"f{number:04}").write_bytes(b"%d" % number)
    with_sidecar(source)
    run("cp", "-r", source, mount.path / "drop/here/many")
    folder = archived(mount, "many")
    assert len(list(folder.iterdir())) == 1000
    assert run("diff", "-r", "-x", "metadata.json", source, folder).stdout == ""


def test_what_was_uploaded_is_read_back_without_asking_the_archive(mount, source):
    with_sidecar(source)
    run("cp", "-r", source, mount.path / "drop/here/run1")
    folder = archived(mount, "run1")
    deadline = time.monotonic() + 10  # the bytes are handed over just after the state is `done`
    while os.getxattr(folder / "with space", "user.pacifica.state") != b"cached":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_status_of_an_upload(mount, source):
    with_sidecar(source)
    run("cp", "-r", source, mount.path / "drop/here/run1")
    assert mount.status("run1")["state"] == "open"
    archived(mount, "run1")
    status = mount.status("run1")
    fields = {"archive", "name", "id", "state", "files", "bytes", "sent", "job", "task", "percent", "transaction"}
    fields |= {"path", "sidecar", "problems", "left_out", "created", "updated"}
    assert fields <= set(status)
    assert (status["archive"], status["name"], status["state"], status["files"]) == ("here", "run1", "done", 5)
    assert status["sidecar"] == "metadata.json"
    receipt = json.loads((mount.path / "status/uploads/here/run1/receipt.json").read_text())
    assert receipt["transaction"] == status["transaction"]


def test_a_second_commit_of_a_done_bundle_sends_nothing(mount, source):
    with_sidecar(source)
    run("cp", "-r", source, mount.path / "drop/here/run1")
    archived(mount, "run1")
    (mount.path / "drop/here/run1/.commit").touch()
    (mount.path / "drop/here/run1/later").write_text("new")
    with_sidecar(mount.path / "drop/here/run1")
    folder = archived(mount, "run1")
    assert [path.name for path in folder.iterdir()] == ["later"], "a follow-on has what is new"
    assert sorted(p.name for p in (mount.path / "here/transactions").iterdir()) == ["1", "1.json", "2", "2.json"]


def test_a_bad_sidecar_is_accepted_held_and_explained(mount):
    folder = mount.path / "drop/here/run1"
    folder.mkdir()
    (folder / "a").write_text("x")
    (folder / "metadata.json").write_text('{"project": "1", "instrumnet": 54}')
    (folder / ".commit").touch()
    mount.wait_state("run1", "held", 30)
    words = (mount.path / "status/uploads/here/run1/problems.txt").read_text()
    assert "instrumnet" in words and "instrument" in words
    with_sidecar(folder)
    (folder / ".commit").touch()
    mount.wait_state("run1", "done", 30)


def test_outside_the_drop_nothing_can_be_changed(mount):
    """Every changing operation outside `drop/` is EROFS."""
    for change in (
        lambda: (mount.path / "new").mkdir(),
        lambda: (mount.path / "here/transactions/x").mkdir(),
        lambda: (mount.path / "status/x").write_text("x"),
        lambda: (mount.path / "README.txt").unlink(),
        lambda: (mount.path / "README.txt").rename(mount.path / "other"),
        lambda: (mount.path / "README.txt").chmod(0o777),
        lambda: os.symlink("a", mount.path / "here/link"),
        lambda: os.truncate(mount.path / "README.txt", 0),
    ):
        with pytest.raises(OSError) as error:
            change()
        assert error.value.errno == 30, change
