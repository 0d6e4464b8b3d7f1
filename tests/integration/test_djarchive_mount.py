"""A bucket through the kernel: reading its revisions, and publishing them from the drop."""

import errno
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import time

import obstore
import pytest

from pacifica_fs.archives.djarchive.multipart import Multipart
from pacifica_fs.archives.djarchive.store import PART, Keys, Place
from pacifica_fs.clock import SystemClock
from tests.mount.fixtures import _MOUNTS
from tests.mount.harness import Mount, bounded
from tests.mount.test_drop_asking import cli
from tests.servers.faults import Stall
from tests.servers.faulty import FaultyProxy
from tests.servers.seaweedfs import ADMIN
from tests.servers.seaweedfs.client import Client
from tests.servers.seaweedfs.publish import MANIFEST, manifest, publish

pytestmark = [pytest.mark.mount, pytest.mark.timeout(120)]
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def front(seaweedfs):
    with FaultyProxy(seaweedfs.http) as proxy:
        yield proxy


def tables(seaweedfs, front):
    common = {"kind": "djarchive", "endpoint": front.url, "timeouts": {"connect": "2s", "read": "10s"}}
    admin = {"access_key": ADMIN[0], "secret_key": ADMIN[1]}
    return {
        "drop": {"quiet": "500ms", "quiet_unmarked": "500ms"},
        "archives": {
            "elements": {**common, "bucket": seaweedfs.public, "admin": admin, "listing_ttl": "1s"},
            "everything": {**common, "bucket": seaweedfs.public, "admin": admin, "filename_filter": ""},
            "closed": {**common, "bucket": seaweedfs.private},
        },
    }


@pytest.fixture(scope="module")
def shared(seaweedfs, front, guard, tmp_path_factory):
    mount = Mount(tmp_path_factory.mktemp("djarchive"), tables(seaweedfs, front), guard)
    mount.start()
    try:
        yield mount
        mount.stop()
    finally:
        mount.remove()
    assert not mount.unexpected_tracebacks(), "\n\n".join(mount.unexpected_tracebacks())


@pytest.fixture
def mount(request, shared, front):
    request.node.stash[_MOUNTS] = [shared]
    yield shared
    front.clear()
    front.forget()


@pytest.fixture
def dataset():
    return f"mounted{next(NUMBERS)}"


@pytest.fixture
def client(seaweedfs):
    return Client(seaweedfs.http, seaweedfs.public)


@pytest.fixture
def source(tmp_path):
    """A folder as a scientist has it."""
    folder = tmp_path / "source"
    (folder / "sub/deeper").mkdir(parents=True)
    (folder / "sub/deeper/large.bin").write_bytes(os.urandom(20 << 20))
    (folder / "sub/été 1.txt").write_text("spectrum\n" * 50)
    (folder / "empty").write_bytes(b"")
    for number in range(200):
        (folder / f"{number:03}.dat").write_bytes(os.urandom(2000))
    (folder / ".DS_Store").write_bytes(b"rubbish")
    return folder


def content(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }


def drop(mount, source, place, sidecar=None, commit=True):
    """`cp -r source drop/PLACE`, and the word that it is complete."""
    target = mount.path / "drop" / place
    target.parent.mkdir(exist_ok=True)
    subprocess.run(["cp", "-r", source, target], check=True, timeout=60)
    if sidecar is not None:
        (target / "metadata.json").write_text(json.dumps(sidecar))
    if commit:
        (target / ".commit").touch()
    return target


def wait(mount, place, state, seconds=60):
    archive, _, name = place.partition("/")
    return mount.wait_state(name, state, seconds, archive)


def refused(work):
    with pytest.raises(OSError) as caught:
        bounded("a refused read", work, 30)
    return caught.value.errno


# reading


def test_the_tree_is_datasets_and_revisions(mount, dataset, seaweedfs, client):
    for revision in ("1", "10"):
        publish(seaweedfs, seaweedfs.public, f"{dataset}/{revision}", {"a": b"1", "a/b": b"2", "c/d,e": b"3"})
    seaweedfs.put(seaweedfs.public, f"{dataset}/half/x", b"no manifest")
    folder = mount.path / "elements"
    deadline = time.monotonic() + 20
    while dataset not in os.listdir(folder):  # a listing is believed for a second
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert set(os.listdir(folder)) == set(client.datasets())
    assert sorted(name for name in os.listdir(folder / dataset) if not name.endswith(".json")) == ["1", "10"]
    revision = folder / dataset / "1"
    assert sorted(os.listdir(revision)) == ["a", f"a~{dataset}_1_a", "c", MANIFEST]
    assert (revision / "a/b").read_bytes() == b"2" and (revision / "c/d,e").read_bytes() == b"3"
    assert (revision / f"a~{dataset}_1_a").read_bytes() == b"1"
    listed = (revision / MANIFEST).read_bytes()
    assert listed == manifest({"a": b"1", "a/b": b"2", "c/d,e": b"3"})
    assert json.loads((folder / dataset / "1.json").read_text())["manifest"]["bytes"] == len(listed)
    sha = hashlib.sha256(b"2").hexdigest()
    assert os.getxattr(revision / "a/b", "user.pacifica.digest").decode() == f"sha256:{sha}"
    assert os.getxattr(revision / "a/b", "user.pacifica.state").decode() == "cached"


def test_what_is_not_there_and_what_is_not_allowed(mount, dataset, seaweedfs, front):
    publish(seaweedfs, seaweedfs.public, f"{dataset}/1", {"a": b"1"})
    publish(seaweedfs, seaweedfs.private, f"{dataset}/1", {"a": b"1"})
    folder = mount.path / "elements"
    assert refused(lambda: os.stat(folder / "nosuch")) == errno.ENOENT
    assert refused(lambda: os.stat(folder / dataset / "2")) == errno.ENOENT
    assert refused(lambda: os.listdir(mount.path / "closed")) == errno.EACCES
    assert refused(lambda: os.stat(mount.path / "closed" / dataset / "1")) == errno.EACCES
    front.refuse()
    for name in ("never-seen", f"{dataset}/1"):
        assert refused(lambda name=name: os.listdir(folder / name)) in (errno.EHOSTDOWN, errno.ETIMEDOUT)
    front.accept()


def test_one_file_of_a_large_folder_costs_no_listing_of_it(mount, dataset, seaweedfs, front):
    publish(seaweedfs, seaweedfs.public, f"{dataset}/1", {f"{n:04}": b"%d" % n for n in range(500)})
    front.forget()
    assert (mount.path / "elements" / dataset / "1/0123").read_bytes() == b"123"
    asked = [(request.method, request.path) for request in front.requests]
    lists = [path for _, path in asked if "list-type" in path]
    assert len(asked) <= 4 and len(lists) == 1, asked  # is there such a dataset, HEAD and GET of the manifest, the file
    assert f"prefix={dataset}%2F&" in lists[0] + "&"


def test_fetch_is_the_clients_download(mount, dataset, seaweedfs, front, tmp_path):
    """`download(create_target)`: a second call verifies and fetches only what is missing."""
    files = {f"d{n % 3}/{n:02}.dat": os.urandom(3000 + n) for n in range(40)} | {"large.bin": os.urandom(9 << 20)}
    publish(seaweedfs, seaweedfs.public, f"{dataset}/1", files)
    revision, target = mount.path / f"elements/{dataset}/1", tmp_path / "new/copy"
    assert "42 copied, 0 there, 0 failed" in cli(mount, "fetch", f"{revision}/.", "--to", target, "--create")
    copied = {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert copied == {**files, MANIFEST: manifest(files)}
    (target / "d0/03.dat").write_bytes(b"damaged")
    (target / "d1/04.dat").unlink()
    front.forget()
    assert "2 copied, 40 there, 0 failed" in cli(mount, "fetch", f"{revision}/.", "--to", target, "-q")
    assert (target / "d0/03.dat").read_bytes() == files["d0/03.dat"]
    assert not [request for request in front.requests if request.path.endswith(".dat")], "both are in the cache"


def test_a_revision_that_is_overwritten_is_estale_and_never_a_mixture(mount, dataset, seaweedfs):
    old = {"a": b"a" * 100_000, "b": os.urandom(40 << 20)}
    new = {"a": b"b" * 100_000, "b": os.urandom(40 << 20)}
    publish(seaweedfs, seaweedfs.public, f"{dataset}/1", old)
    folder = mount.path / "elements" / dataset / "1"
    with (folder / "b").open("rb", buffering=0) as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        assert os.pread(stream.fileno(), 4096, 30 << 20) == old["b"][30 << 20 :][:4096]
        a = (folder / "a").open("rb")
        publish(seaweedfs, seaweedfs.public, f"{dataset}/1", new)
        assert refused(lambda: os.pread(stream.fileno(), 4096, 15 << 20)) == errno.ESTALE
    with a:
        assert refused(a.read) == errno.ESTALE
    assert any("overwritten" in download["error"] for download in mount.downloads())
    # Whoever looks again sees the new one, as a whole.
    deadline = time.monotonic() + 20
    while content(folder) != {path: hashlib.sha256(data).hexdigest() for path, data in new.items()}:
        assert time.monotonic() < deadline


# publishing


def test_a_folder_becomes_a_revision_that_the_client_reads(mount, dataset, source, client, front, tmp_path):
    place = f"elements/{dataset}/0_1_0"
    drop(mount, source, place)
    done = wait(mount, place, "done")
    assert done["left_out"] == [{"path": ".DS_Store", "why": r"the name '.DS_Store' matches filename_filter (^\.)"}]
    puts = [request.path for request in front.requests if request.method == "PUT"]
    assert puts[-1].endswith(MANIFEST), "the manifest is the last"
    assert any("uploadId" in path and "large.bin" in path for path in puts), "in parts"
    (source / ".DS_Store").unlink()
    assert client.revisions(dataset) == [(dataset, "0_1_0")]
    assert client.download(dataset, "0_1_0", tmp_path / "back") == (203, 0)
    assert content(tmp_path / "back") == content(source)
    assert content(mount.path / "elements" / dataset / "0_1_0") == content(source)
    link = mount.path / "status/uploads" / place / "transaction"
    assert os.path.samefile(link, mount.path / "elements" / dataset / "0_1_0")
    # Only publishing has the admin's keys.
    front.forget()
    (mount.path / "elements" / dataset / "0_1_0" / "000.dat").read_bytes()
    os.listdir(mount.path / "elements")
    assert not any(ADMIN[0] in str(request.headers) for request in front.requests)


def test_quiet_alone_publishes_nothing(mount, dataset, source, seaweedfs):
    place = f"elements/{dataset}/1"
    drop(mount, source, place, commit=False)
    time.sleep(2)  # four times `quiet_unmarked`
    assert wait(mount, place, "open")["waiting_for"].startswith("this cannot be taken back")
    assert seaweedfs.keys(seaweedfs.public, dataset) == []


def test_a_dropped_manifest_that_every_file_matches_publishes(mount, dataset, source, seaweedfs, tmp_path):
    (source / ".DS_Store").unlink()
    files = {str(path.relative_to(source)): path.read_bytes() for path in sorted(source.rglob("*")) if path.is_file()}
    text = manifest(files)
    folder = drop(mount, source, f"elements/{dataset}/1", commit=False)
    (folder / "000.dat").unlink()
    (folder / MANIFEST).write_bytes(text)
    time.sleep(1)
    assert "000.dat is missing" in wait(mount, f"elements/{dataset}/1", "open")["waiting_for"]
    shutil.copy(source / "000.dat", folder / "000.dat")
    wait(mount, f"elements/{dataset}/1", "done")
    store = seaweedfs.store(seaweedfs.public)
    assert bytes(obstore.get(store, f"{dataset}/1/{MANIFEST}").bytes()) == text
    # One byte is another: held, and named.
    (source / "001.dat").write_bytes(os.urandom(2000))
    (source / MANIFEST).write_bytes(text)
    drop(mount, source, f"elements/{dataset}/2", commit=False)
    held = wait(mount, f"elements/{dataset}/2", "held")
    assert held["problems"][0]["path"] == "001.dat" and "manifest" in held["problems"][0]["what"]
    assert seaweedfs.keys(seaweedfs.public, f"{dataset}/2") == []


def test_a_revision_is_overwritten_only_by_order(mount, dataset, source, seaweedfs, client, tmp_path):
    publish(seaweedfs, seaweedfs.public, f"{dataset}/1", {"000.dat": b"old", "gone": b"old"})
    before = seaweedfs.keys(seaweedfs.public, dataset)
    place = f"elements/{dataset}/1"
    folder = drop(mount, source, place)
    assert "published before" in wait(mount, place, "held")["problems"][0]["what"]
    assert seaweedfs.keys(seaweedfs.public, dataset) == before
    (folder / "metadata.json").write_text('{"replace": true}')
    deadline = time.monotonic() + 30
    while "would lose" not in str(mount.status(f"{dataset}/1", "elements")["problems"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (folder / ".commit").touch()
    assert "would lose 1 of its 2 files, such as gone" in wait(mount, place, "held")["problems"][0]["what"]
    (folder / "metadata.json").write_text('{"replace": true, "confirm": true}')
    (folder / ".commit").touch()
    wait(mount, place, "done")
    assert f"{dataset}/1/gone" not in seaweedfs.keys(seaweedfs.public, dataset)
    (source / ".DS_Store").unlink()
    assert client.download(dataset, "1", tmp_path / "back") == (203, 0)
    assert content(tmp_path / "back") == content(source)


def test_a_zarr_store(mount, dataset, tmp_path, client):
    store = tmp_path / "zarr"
    (store / "x").mkdir(parents=True)
    (store / ".zgroup").write_text('{"zarr_format": 2}')
    (store / "x/.zarray").write_text('{"shape": [4], "chunks": [2], "dtype": "<i4", "zarr_format": 2}')
    for chunk in ("0", "1"):
        (store / "x" / chunk).write_bytes(os.urandom(8))
    place = f"elements/{dataset}/1"
    folder = drop(mount, store, place)
    held = wait(mount, place, "held")
    assert "Zarr" in held["problems"][0]["what"] and "keep_all" in held["problems"][0]["remedy"]
    (folder / "metadata.json").write_text('{"keep_all": true}')
    (folder / ".commit").touch()
    wait(mount, place, "done")
    assert content(mount.path / "elements" / dataset / "1") == content(store)
    # A configuration without a filter asks nothing.
    drop(mount, store, f"everything/{dataset}/2")
    assert wait(mount, f"everything/{dataset}/2", "done")["left_out"] == []
    assert client.download(dataset, "2", tmp_path / "back") == (4, 0)
    assert content(tmp_path / "back") == content(store)


def test_more_than_a_hundredth_left_out_is_asked_about(mount, dataset, tmp_path):
    folder = tmp_path / "few"
    folder.mkdir()
    (folder / "a").write_bytes(b"1")
    (folder / ".hidden").write_bytes(b"2")
    target = drop(mount, folder, f"elements/{dataset}/1")
    held = wait(mount, f"elements/{dataset}/1", "held")
    assert "takes 1 of 2 files, such as .hidden" in held["problems"][0]["what"]
    (target / "metadata.json").write_text('{"confirm": true}')
    (target / ".commit").touch()
    done = wait(mount, f"elements/{dataset}/1", "done")
    assert [one["path"] for one in done["left_out"]] == [".hidden"]
    # What no archive has is not thrown away.
    assert (mount.spool / "bundles" / done["id"] / "files/.hidden").read_bytes() == b"2"


def test_an_upload_goes_on_after_a_crash(mounted, seaweedfs, faulty, source, dataset, client, tmp_path):
    proxy = faulty(seaweedfs.http)
    mount = mounted(tables(seaweedfs, proxy))
    place = f"elements/{dataset}/1"
    rule = proxy.on("PUT", r"/199\.dat", Stall())
    drop(mount, source, place)
    deadline = time.monotonic() + 60
    while len(seaweedfs.keys(seaweedfs.public, dataset)) < 202:  # all but the one that stalls
        assert time.monotonic() < deadline
        time.sleep(0.05)
    mount.kill9()
    assert MANIFEST not in str(seaweedfs.keys(seaweedfs.public, dataset))
    rule.release()
    proxy.clear()
    proxy.forget()
    mount.start()
    wait(mount, place, "done")
    again = {request.path.partition("?")[0] for request in proxy.requests if request.method == "PUT"}
    assert len(again) < 20, "what was sent before the crash is not sent again"
    (source / ".DS_Store").unlink()
    assert client.download(dataset, "1", tmp_path / "back") == (203, 0)
    assert content(tmp_path / "back") == content(source)


def test_a_large_file_goes_on_after_a_crash_where_it_was(mounted, seaweedfs, faulty, dataset, client, tmp_path):
    folder = tmp_path / "large"
    folder.mkdir()
    (folder / "a.bin").write_bytes(os.urandom(9 * PART + 17))
    proxy = faulty(seaweedfs.http)
    mount = mounted(tables(seaweedfs, proxy))
    place = f"elements/{dataset}/1"
    rule = proxy.on("PUT", r"partNumber=7&", Stall())
    server = Multipart(Place(seaweedfs.http, seaweedfs.public), Keys(*ADMIN), SystemClock(), tmp_path)

    def parts():
        return [request.path for request in proxy.requests if request.method == "PUT" and "partNumber" in request.path]

    def there():
        upload = next((path.partition("uploadId=")[2] for path in parts()), "")
        return server.parts(f"{dataset}/1/a.bin", upload) if upload else {}

    drop(mount, folder, place)
    deadline = time.monotonic() + 60
    while len(there()) < 9:  # all but the one that stalls
        assert time.monotonic() < deadline
        time.sleep(0.1)
    mount.kill9()
    rule.release()
    proxy.clear()
    proxy.forget()
    mount.start()
    wait(mount, place, "done")
    assert len(parts()) == 1, "the same upload goes on with what it lacks"
    assert client.download(dataset, "1", tmp_path / "back") == (1, 0)
    assert content(tmp_path / "back") == content(folder)
