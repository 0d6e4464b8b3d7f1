"""The operations that real programs send, in their order."""

from __future__ import annotations

import os
import stat

import msgspec
import pytest

from pacifica_fs.drop.offline import read_uploads
from pacifica_fs.errors import (
    Denied,
    Exists,
    Invalid,
    IsADirectory,
    NameTooLong,
    NoSpace,
    NotEmpty,
    NotFound,
    NotPermitted,
    PacificaFSError,
    ReadOnly,
)  # fmt: skip
from pacifica_fs.tree.nodes import OPEN, SHARED, Directory, Folder, Writable

from .conftest import SIDECAR, sha1

W = os.O_WRONLY


@pytest.fixture
def run(rig):
    return rig.mkdir("run")


def content(rig, path):
    return rig.spooled(path.partition("/")[0]).joinpath(path.partition("/")[2]).read_bytes()


def digest_known(rig, path):
    """The digest that was computed while the file was written, if it was."""
    bundle = rig.drop._spool.get(rig.upload(path.partition("/")[0]).id)
    state = os.lstat(bundle.real(path.partition("/")[2]))
    known = bundle.digests.get(state.st_ino)
    return known[2] if known and known[:2] == (state.st_size, state.st_mtime_ns) else None


def test_it_is_what_the_tree_expects(rig, run):
    assert isinstance(rig.drop.folder(), Directory) and isinstance(rig.folder, Folder) and isinstance(run, Folder)
    rig.put("run/a", b"x")
    assert isinstance(run.lookup("a"), Writable)
    assert [name for name, _ in rig.drop.folder().entries()] == ["site"]
    with pytest.raises(NotFound):
        rig.drop.folder().lookup("elsewhere")


def test_cp(rig, run):
    rig.put("run/a.dat", b"alpha")
    assert content(rig, "run/a.dat") == b"alpha"
    assert digest_known(rig, "run/a.dat") == sha1(b"alpha")
    attributes = run.lookup("a.dat").attributes()
    assert attributes.size == 5 and stat.S_ISREG(attributes.mode) and attributes.mode & 0o777 == 0o644
    assert [name for name, _ in run.entries()] == ["a.dat"]


def test_cp_a_keeps_times_to_the_nanosecond_and_modes(rig, run):
    node, handle = run.create("a.dat", W | os.O_CREAT | os.O_EXCL, 0o600)
    handle.write(memoryview(b"alpha"), 0)
    node.set_times(1_600_000_000_123_456_789)
    node.set_mode(0o755)
    handle.flush()
    handle.release()
    attributes = run.lookup("a.dat").attributes()
    assert attributes.mtime_ns == 1_600_000_000_123_456_789 and attributes.mode & 0o7777 == 0o755
    assert digest_known(rig, "run/a.dat") == sha1(b"alpha")


def test_times_and_modes_after_the_close(rig, run):
    rig.put("run/a.dat", b"alpha")
    node = run.lookup("a.dat")
    node.set_times(1_600_000_000_000_000_001)
    node.set_mode(0o444)
    assert node.attributes().mtime_ns == 1_600_000_000_000_000_001
    assert digest_known(rig, "run/a.dat") == sha1(b"alpha")


def test_rsync(rig, run):
    """Temporary name, then rename; the second round replaces the file."""
    for data in (b"first", b"second!"):
        _, handle = run.create(".a.dat.Xy12aB", W | os.O_CREAT | os.O_EXCL, 0o600)
        handle.write(memoryview(data), 0)
        handle.flush()
        handle.release()
        run.lookup(".a.dat.Xy12aB").set_times(1_600_000_000_000_000_000)
        with pytest.raises(Denied):
            run.lookup(".a.dat.Xy12aB").open(os.O_RDONLY)
        run.lookup(".a.dat.Xy12aB").set_mode(0o644)
        run.rename(".a.dat.Xy12aB", run, "a.dat")
        assert [name for name, _ in run.entries()] == ["a.dat"]
        assert content(rig, "run/a.dat") == data and digest_known(rig, "run/a.dat") == sha1(data)


def test_tar_x(rig, run):
    run.mkdir("deep", 0o555)
    deep = run.lookup("deep")
    deep.mkdir("er", 0o755)
    rig.put("run/deep/er/x", b"x", 0o400)
    deep.set_times(1_600_000_000_000_000_000)
    deep.set_mode(0o555)
    assert content(rig, "run/deep/er/x") == b"x"
    assert deep.attributes().mtime_ns == 1_600_000_000_000_000_000
    rig.put("run/deep/more", b"m")


def test_dd_and_fsync(rig, run):
    _, handle = run.create("disk", W | os.O_CREAT | os.O_TRUNC, 0o644)
    for n in range(8):
        handle.write(memoryview(bytes([n]) * 4096), n * 4096)
    handle.fsync()
    handle.flush()
    handle.release()
    expected = b"".join(bytes([n]) * 4096 for n in range(8))
    assert content(rig, "run/disk") == expected and digest_known(rig, "run/disk") == sha1(expected)


def test_shell_redirection(rig, run):
    _, handle = run.create("log", W | os.O_CREAT | os.O_TRUNC, 0o644)
    handle.flush()
    handle.write(memoryview(b"one\n"), 0)
    handle.flush()
    handle.flush()
    handle.write(memoryview(b"two\n"), 4)
    handle.flush()
    handle.release()
    assert content(rig, "run/log") == b"one\ntwo\n" and digest_known(rig, "run/log") == sha1(b"one\ntwo\n")


def test_append(rig, run):
    rig.put("run/log", b"one\n")
    handle = run.lookup("log").open(W | os.O_APPEND)
    handle.write(memoryview(b"two\n"), 4)
    handle.flush()
    handle.release()
    assert content(rig, "run/log") == b"one\ntwo\n"
    assert digest_known(rig, "run/log") is None


def test_truncate(rig, run):
    rig.put("run/a", b"0123456789")
    run.lookup("a").truncate(4)
    assert content(rig, "run/a") == b"0123"
    run.lookup("a").truncate(0)
    handle = run.lookup("a").open(W)
    handle.write(memoryview(b"new"), 0)
    handle.truncate(2)
    handle.truncate(6)
    handle.flush()
    handle.release()
    assert content(rig, "run/a") == b"ne\0\0\0\0" and digest_known(rig, "run/a") is None


def test_h5py_and_zip_read_what_they_wrote(rig, run):
    _, handle = run.create("a.h5", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    handle.write(memoryview(b"\0" * 96), 0)
    handle.write(memoryview(b"data" * 100), 96)
    assert handle.read(8, 96) == b"datadata"
    handle.write(memoryview(b"\x89HDF"), 0)
    assert handle.read(10_000, 0) == b"\x89HDF" + b"\0" * 92 + b"data" * 100
    assert handle.read(10, 10_000) == b""
    handle.flush()
    handle.release()
    assert digest_known(rig, "run/a.h5") is None
    again = run.lookup("a.h5").open(os.O_RDWR)
    assert again.read(4, 0) == b"\x89HDF"
    again.flush()
    again.release()


def test_content_cannot_be_read_back(rig, run):
    rig.put("run/a", b"secret")
    with pytest.raises(Denied):
        run.lookup("a").open(os.O_RDONLY)
    handle = run.lookup("a").open(W)
    with pytest.raises(Denied):
        handle.read(1, 0)
    handle.release()


def test_mv_within_and_between_folders_and_bundles(rig, run):
    run.mkdir("sub", 0o755)
    other = rig.mkdir("other")
    rig.put("run/a", b"alpha")
    run.rename("a", run.lookup("sub"), "b")
    run.lookup("sub").rename("b", other, "c")
    assert content(rig, "other/c") == b"alpha" and digest_known(rig, "other/c") == sha1(b"alpha")
    rig.put("run/sub/x", b"x")
    run.rename("sub", other, "moved")
    assert content(rig, "other/moved/x") == b"x"
    assert list(run.entries()) == []
    with pytest.raises(NotEmpty):
        rig.folder.rmdir("other")
    with pytest.raises(NotPermitted):
        other.rename("c", rig.folder, "c")


def test_an_open_file_goes_along_with_renames(rig, run):
    other = rig.mkdir("other")
    run.mkdir("d", 0o755)
    _, handle = run.lookup("d").create("a", W | os.O_CREAT, 0o644)
    handle.write(memoryview(b"al"), 0)
    run.rename("d", run, "e")
    run.lookup("e").rename("a", other, "b")
    handle.write(memoryview(b"pha"), 2)
    handle.flush()
    handle.release()
    assert content(rig, "other/b") == b"alpha" and digest_known(rig, "other/b") == sha1(b"alpha")


def test_a_file_that_is_removed_while_it_is_open(rig, run):
    _, handle = run.create("a", W | os.O_CREAT, 0o644)
    handle.write(memoryview(b"x"), 0)
    run.unlink("a")
    handle.write(memoryview(b"y"), 1)
    handle.flush()
    handle.release()
    assert list(run.entries()) == []


def test_the_bundles_folder_itself_can_be_renamed_while_it_is_open(rig, run):
    rig.put("run/a", b"alpha")
    _, handle = run.create("b", W | os.O_CREAT, 0o644)
    rig.folder.rename("run", rig.folder, "day 1")
    handle.write(memoryview(b"beta"), 0)
    handle.flush()
    handle.release()
    with pytest.raises(NotFound):
        rig.folder.lookup("run")
    assert content(rig, "day 1/b") == b"beta"
    rig.restart()
    assert [name for name, _ in rig.at("day 1").entries()] == ["a", "b"]


def test_unlink_rmdir_and_an_empty_bundle(rig, run):
    run.mkdir("sub", 0o755)
    rig.put("run/sub/a", b"x")
    with pytest.raises(NotEmpty):
        run.rmdir("sub")
    run.lookup("sub").unlink("a")
    run.rmdir("sub")
    rig.folder.rmdir("run")
    assert not rig.drop.uploads() and not list((rig.root / "bundles").iterdir())
    with pytest.raises(NotFound):
        rig.folder.lookup("run")


def test_names(rig, run):
    for name in ("Ünïcødé 文件 🎉", "with space", "x" * 255, "é" * 127, "new\nline", "data", "-rf", "..."):
        rig.put(f"run/{name}", name.encode())
        assert content(rig, f"run/{name}") == name.encode()
    rig.put(os.fsdecode(b"run/\xff\xfe"), b"bytes")
    assert len(run.entries()) == 9
    for name in ("x" * 256, "é" * 128):
        with pytest.raises(NameTooLong):
            run.create(name, W | os.O_CREAT, 0o644)
    for name in ("..", ".", "a/b", ""):
        with pytest.raises(Invalid):
            run.create(name, W | os.O_CREAT, 0o644)
        with pytest.raises(Invalid):
            rig.folder.mkdir(name, 0o755)


def test_refusals_are_named(rig, run):
    rig.put("run/a", b"x")
    run.mkdir("d", 0o755)
    with pytest.raises(Exists):
        run.create("a", W | os.O_CREAT | os.O_EXCL, 0o644)
    with pytest.raises(Exists):
        run.mkdir("d", 0o755)
    with pytest.raises(Exists):
        rig.folder.mkdir("run", 0o755)
    with pytest.raises(NotPermitted):
        rig.folder.create("a", W | os.O_CREAT, 0o644)
    with pytest.raises(IsADirectory):
        run.create("d", W | os.O_CREAT, 0o644)
    with pytest.raises(IsADirectory):
        rig.folder.unlink("run")
    for missing in (lambda: run.unlink("x"), lambda: run.rmdir("x"), lambda: run.rename("x", run, "y")):
        with pytest.raises(NotFound):
            missing()
    with pytest.raises(NotFound):
        run.lookup("nope")


def test_folders_are_their_owners_alone(rig, run):
    assert run.attributes().mode == stat.S_IFDIR | 0o700
    assert run.attributes().uid == os.getuid()
    assert rig.drop.folder().attributes().mode == stat.S_IFDIR | OPEN
    assert rig.folder.attributes().mode == stat.S_IFDIR | SHARED
    assert (rig.root / "bundles").stat().st_mode & 0o077 == 0


def test_attributes_say_which_bundle(rig, run):
    rig.put("run/a", b"x")
    attributes = run.lookup("a").xattrs()
    assert attributes["user.pacifica.bundle"].decode() == rig.upload().id
    assert attributes["user.pacifica.state"] == b"open" and attributes["user.pacifica.archive"] == b"site"


def test_a_write_to_a_sealed_bundle_opens_it_again(rig, run):
    from pacifica_fs.errors import Unreachable

    def down(bundle, sent):
        raise Unreachable("down")

    rig.site.script["before"] = down
    rig.put("run/a", b"alpha")
    rig.commit("run")
    rig.until(lambda: rig.upload().state == "sealed" and rig.site.sends)
    rig.put("run/b", b"beta")
    assert rig.upload().state == "open"
    rig.until(lambda: "starts after 900 s" in rig.upload().waiting_for)
    rig.site.script.clear()
    rig.commit("run")
    rig.until_state("done", advance=1)
    assert rig.site.contents["1000"] == {"a": b"alpha", "b": b"beta"}


def test_what_was_sent_stays_visible_and_a_second_rsync_sends_nothing(rig, run):
    run.mkdir("sub", 0o755)
    rig.put("run/sub/a", b"alpha")
    rig.at("run/sub/a").set_times(1_600_000_000_000_000_000)
    rig.put("run/metadata.json", SIDECAR)
    rig.commit("run")
    rig.until_state("done")
    rig.restart()
    assert [name for name, _ in rig.at("run").entries()] == ["metadata.json", "sub"]
    attributes = rig.at("run/sub/a").attributes()
    assert (attributes.size, attributes.mtime_ns) == (5, 1_600_000_000_000_000_000)
    assert rig.at("run/sub/a").xattrs()["user.pacifica.transaction"] == b"1000"
    with pytest.raises(NotPermitted):
        rig.at("run/sub").unlink("a")
    with pytest.raises(Exists):
        rig.folder.mkdir("run", 0o755)
    rig.clock.time += 31 * 86400
    with pytest.raises(NotFound):
        rig.folder.lookup("run")
    assert rig.upload().state == "done"


def test_a_writer_is_never_turned_away_while_a_bundle_is_sent(rig, run):
    import threading

    reached, go = threading.Event(), threading.Event()

    def wait(*args):
        reached.set()
        assert go.wait(10)

    rig.site.script["before"] = wait
    run.mkdir("sub", 0o755)
    rig.put("run/sub/a", b"alpha")
    rig.put("run/b", b"beta")
    rig.commit("run")
    assert reached.wait(10)
    rig.put("run/sub/new", b"new")
    handle = rig.at("run/b").open(W | os.O_APPEND)
    handle.write(memoryview(b"++"), 4)
    handle.flush()
    handle.release()
    rig.at("run/sub/a").truncate(0)
    rig.site.script.clear()
    go.set()
    rig.until(lambda: rig.drop.uploads()[1].state == "done")
    rig.commit("run")
    rig.until(lambda: rig.drop.uploads()[0].state == "done")
    assert rig.site.contents["1000"] == {"sub/a": b"alpha", "b": b"beta"}
    assert rig.site.contents["1001"] == {"sub/new": b"new", "b": b"beta++", "sub/a": b""}
    assert [name for name, _ in rig.at("run/sub").entries()] == ["a", "new"]
    assert rig.at("run/b").attributes().size == 6


def test_the_content_of_what_is_gone_is_never_invented(rig, run):
    rig.put("run/a", b"alpha")
    rig.commit("run")
    rig.until_state("done")
    rig.until(rig.drop.idle)
    with pytest.raises(NotPermitted):
        rig.at("run/a").open(W | os.O_APPEND)
    rig.at("run/a").truncate(0)
    handle = rig.at("run/a").open(W)
    handle.write(memoryview(b"anew"), 0)
    handle.flush()
    handle.release()
    assert rig.at("run/a").attributes().size == 4


def test_quiet_seals(rig, run):
    rig.put("run/a", b"alpha")
    rig.put("run/metadata.json", SIDECAR)
    rig.until(lambda: "starts after 30 s" in rig.upload().waiting_for)
    assert not rig.drop.idle()
    rig.clock.time += 29
    rig.drop.wake()
    rig.put("run/b", b"beta")
    rig.put("run/metadata.json2", b"not a sidecar")
    rig.until(lambda: "no sidecar came after" in rig.upload().waiting_for)
    rig.clock.time += 31
    rig.drop.wake()
    rig.until(lambda: rig.upload().state == "open")
    rig.clock.time += 900
    rig.until_state("done")
    assert set(rig.site.contents["1000"]) == {"a", "b", "metadata.json2"}


def test_the_sidecars_list_seals_at_once(rig, run):
    rig.put("run/metadata.json", b'{"project": "1", "files": ["a", "sub/b"]}')
    rig.put("run/a", b"alpha")
    rig.until(lambda: "sub/b is missing" in rig.upload().waiting_for)
    run.mkdir("sub", 0o755)
    rig.put("run/sub/b", b"beta")
    rig.until_state("done")


def test_a_temporary_name_or_an_open_file_holds(rig, run):
    rig.put("run/.a.Xy12aB", b"alpha")
    rig.commit("run")
    rig.until(lambda: "unfinished" in rig.upload().waiting_for)
    run.rename(".a.Xy12aB", run, "a")
    rig.until_state("done")


def test_metadata_json_that_is_data(rig, run):
    rig.put("run/metadata.json", b'{"temperature_of_the_cell": 27}')
    rig.commit("run")
    done = rig.until_state("done")
    assert done.sidecar == "" and set(rig.site.contents["1000"]) == {"metadata.json"}


def test_other_names_of_a_sidecar(rig):
    """`[drop] sidecar_names`: the first that is one counts, and the others are data."""
    rig.stop()
    rig.settings = msgspec.structs.replace(rig.settings, sidecar_names=("about.yaml", "run.json"))
    rig.start()
    rig.mkdir("run")
    rig.put("run/about.yaml", b"temperature: 27\n")
    rig.put("run/run.json", SIDECAR)
    rig.put("run/metadata.json", SIDECAR)
    rig.commit("run")
    done = rig.until_state("done")
    assert done.sidecar == "run.json" and set(rig.site.contents["1000"]) == {"about.yaml", "metadata.json"}
    assert dict(rig.site.containers["1000"][0].metadata.fields)["project"] == "1234a"


def test_what_is_not_kept_is_said(rig, run):
    rig.put("run/a", b"x", 0o755)
    rig.at("run/a").set_times(1_600_000_000_500_000_000)
    run.mkdir("void", 0o755)
    rig.commit("run")
    remarks = rig.until_state("done").not_kept
    assert len(remarks) == 3 and "the empty directory void" in remarks


def test_a_full_spool(tmp_path):
    from pacifica_fs.config import DropSettings, Size

    from .conftest import Rig

    rig = Rig(tmp_path / "spool")
    rig.settings = DropSettings(limit=Size(10_000), min_free=0)
    rig.start()
    try:
        run = rig.mkdir("run")
        rig.put("run/a", b"x" * 6000)
        _, handle = run.create("b", W | os.O_CREAT, 0o644)
        with pytest.raises(NoSpace):
            handle.write(memoryview(b"y" * 6000), 0)
        handle.flush()
        handle.release()
        assert content(rig, "run/a") == b"x" * 6000
        total, free = run.space()
        assert total == 10_000 and free <= 4000
        run.unlink("b")
        run.unlink("a")
        rig.put("run/c", b"z" * 6000)
        rig.commit("run")
        rig.until_state("done")
        rig.until(rig.drop.idle)
        rig.mkdir("more")
        rig.put("more/d", b"z" * 6000)
    finally:
        rig.stop()


def test_a_real_full_disk_loses_nothing(rig, run):
    import errno

    rig.put("run/a", b"alpha")

    def full(fd, data, offset):
        raise OSError(errno.ENOSPC, "No space left on device")

    _, handle = run.create("b", W | os.O_CREAT, 0o644)
    write, rig.disk.write = rig.disk.write, full
    with pytest.raises(NoSpace):
        handle.write(memoryview(b"y"), 0)
    rig.disk.write = write
    handle.write(memoryview(b"beta"), 0)
    handle.flush()
    handle.release()
    assert content(rig, "run/a") == b"alpha" and content(rig, "run/b") == b"beta"


def test_a_second_daemon_changes_nothing_and_names_the_first(rig, run):
    rig.put("run/a", b"alpha")
    other = rig.make()
    other.start()
    try:
        assert str(os.getpid()) in other.owner_elsewhere and "/mnt/test" in other.owner_elsewhere
        folder = other.folder().lookup("site")
        with pytest.raises(ReadOnly, match="/mnt/test"):
            folder.mkdir("x", 0o755)
        with pytest.raises(ReadOnly):
            folder.create("x", W, 0o644)
        assert [u.name for u in other.uploads()] == ["run"]
        with pytest.raises(ReadOnly):
            other.retry(rig.upload().id)
    finally:
        other.stop()
    rig.put("run/b", b"beta")


def test_uploads_without_a_daemon(rig, run):
    rig.put("run/a", b"alpha")
    rig.stop()
    (upload,) = read_uploads(rig.root)
    assert (upload.name, upload.state, upload.files, upload.bytes) == ("run", "open", 1, 5)
    assert read_uploads(rig.root / "nowhere") == []
    rig.start()


@pytest.mark.parametrize("content", ["pacifica-fs spool 3\n", "something else", ""])
def test_a_spool_of_another_version_is_refused_with_words(rig, content):
    rig.stop()
    (rig.root / "format").write_text(content)
    drop = rig.make()
    with pytest.raises(PacificaFSError, match="version"):
        drop.start()
    (rig.root / "format").write_text("pacifica-fs spool 2\n")
    rig.start()


def test_a_spool_of_an_older_version_is_migrated(rig, run):
    rig.put("run/a", b"kept")
    rig.stop()
    (rig.root / "format").write_text("pacifica-fs spool 1\n")
    for name in ("queue", "levels"):
        (rig.root / name).rmdir()
    rig.start()
    assert (rig.root / "format").read_text() == "pacifica-fs spool 2\n"
    assert (rig.root / "queue").is_dir() and (rig.spooled() / "a").read_bytes() == b"kept"
