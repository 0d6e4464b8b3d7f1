"""What a user of a Pacifica site does all day, through one kernel mount, against the real services."""

import errno
import hashlib
import os
import sys
import tarfile

import pytest
import requests

from tests.servers.pacifica import seed

from .tools import MTIME_NS, SIDECAR, content, read, run, until, write

pytestmark = [pytest.mark.pacifica, pytest.mark.timeout(120)]

FILES = {
    "raw/deep/data.bin": os.urandom(300_000),
    "raw/large.bin": os.urandom(3_000_000),
    "raw/empty": b"",
    "notes é ü 資料.txt": b"needle in hay\n" * 500,
    "with space": b"x",
    "data/inner.txt": b"in a folder called data",
    "data/data/deeper": b"twice",
    "n" * 255: b"a name of 255 characters",
    "ü" * 127: b"a name of 254 bytes",
}
WAYS = {"inside": "archive_interface", "hashed": "files_by_hash", "carted": "cart"}


def tables(front):
    """The site as most users see it, and three more times with one way to the bytes each."""
    site = front.table("policy", "metadata", "ingest", "cart")
    ways = {name: front.table("policy", service) for name, service in WAYS.items()}
    return {"drop": {"quiet": "60s"}, "archives": {"site": site, **ways}}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write(tmp_path_factory.mktemp("source") / "run", FILES)


@pytest.fixture(scope="module")
def first():
    """The id of the first transaction, once it was dropped."""
    return []


@pytest.fixture
def transaction(mount, bundles, first):
    if not first:
        first.append(bundles.done(FILES, name="first").name)
    return mount.path / "site/transactions" / first[0]


def rows(site, path, **query):
    answer = requests.get(f"{site.metadata}/{path}", params={"recursion_depth": 0, **query}, timeout=30)
    assert answer.status_code == 200
    return answer.json()


def pairs(site, transaction):
    """The key/values of a transaction as the site's database has them."""
    found = []
    for link in rows(site, "trans_key_value", transaction=transaction):
        (key,) = rows(site, "keys", _id=link["key"])
        (value,) = rows(site, "values", _id=link["value"])
        found.append((key["key"], value["value"]))
    return sorted(found)


def contents_asked(front):
    """Requests for content since the last `forget`."""
    return [
        request
        for name in ("cart", "archive_interface", "files_by_hash")
        for request in front[name].requests
        if request.path != "/"  # a sign of life
    ]


def test_what_was_dropped_is_in_the_archive(mount, bundles, pacifica_site, transaction, source):
    status = mount.status("first", "site")
    assert (status["state"], status["transaction"]) == ("done", transaction.name)
    assert status["files"] == len(FILES) and status["bytes"] == sum(map(len, FILES.values()))
    assert status["job"] == transaction.name and status["sidecar"] == "metadata.json" and not status["problems"]
    assert mount.path / status["path"] == transaction == bundles.transaction("first")
    assert content(transaction) == content(source)
    for path, data in FILES.items():
        found = (transaction / path).stat()
        assert (found.st_size, found.st_mtime_ns) == (len(data), MTIME_NS // 10**9 * 10**9)
    listed = {
        "/".join(filter(None, (row["subdir"], row["name"]))): (row["size"], row["mtime"], row["hashtype"])
        for row in rows(pacifica_site, "files", transaction_id=transaction.name)
    }
    assert listed == {path: (len(data), "2020-01-02T03:04:05", "sha1") for path, data in FILES.items()}
    assert pairs(pacifica_site, transaction.name) == sorted(
        [*SIDECAR["keys"].items(), ("pacifica-fs.bundle", status["id"])]
    )


def test_the_document_of_a_transaction(mount, transaction):
    for view in ("transactions", "recent"):
        document = mount.json(f"site/{view}/{transaction.name}.json")
        assert document["id"] == transaction.name
        assert (document["submitter"], document["project"], document["instrument"]) == (seed.MEMBER, "51001", 2001)
        assert document["keys"]["Opérateur"] == "é" and document["file_count"] == len(FILES)
    size = (mount.path / f"site/transactions/{transaction.name}.json").stat().st_size
    assert size == len(mount.read(f"site/transactions/{transaction.name}.json"))


def test_what_was_uploaded_is_read_back_without_the_network(mount, bundles, front):
    files = {"a": os.urandom(200_000), "b/c": os.urandom(50_000)}
    folder = bundles.done(files)
    front.forget()
    assert {path: read(folder / path) for path in files} == files
    assert contents_asked(front) == []
    front.forget()
    assert {path: read(folder / path) for path in files} == files
    assert front.requests() == []


def test_a_native_sidecar_and_a_second_project(mount, bundles, pacifica_site):
    sidecar = [
        {"destinationTable": "Transactions.submitter", "value": seed.MEMBER},
        {"destinationTable": "Transactions.project", "value": "Étude-7"},
        {"destinationTable": "Transactions.instrument", "value": "2003"},
        {"destinationTable": "TransactionKeyValue", "key": "Tag", "value": "one"},
        {"destinationTable": "TransactionKeyValue", "key": "Tag", "value": "two"},
    ]
    folder = bundles.done({"solvent.csv": b"1,2\n"}, sidecar)
    id = mount.status(bundles_name(mount, folder), "site")["id"]
    assert pairs(pacifica_site, folder.name) == [("Tag", "one"), ("Tag", "two"), ("pacifica-fs.bundle", id)]
    document = mount.json(f"site/transactions/{folder.name}.json")
    assert (document["project"], document["instrument"]) == ("Étude-7", 2003)
    assert document["keys"]["Tag"] == ["one", "two"]
    assert read(folder / "solvent.csv") == b"1,2\n"


def bundles_name(mount, folder):
    (name,) = (n for n in mount.ls("status/uploads/site") if mount.status(n, "site")["transaction"] == folder.name)
    return name


def test_an_empty_transaction(mount, bundles, transaction):
    folder = bundles.done({})
    assert os.listdir(folder) == []
    assert mount.json(f"site/transactions/{folder.name}.json")["file_count"] == 0
    assert os.listdir(mount.path / "carted/transactions" / folder.name) == []


def test_listings(mount, transaction):
    newest = [name for name in mount.ls("site/recent") if not name.endswith(".json")]
    everything = [name for name in mount.ls("site/transactions") if not name.endswith(".json")]
    assert transaction.name in newest and transaction.name in everything
    # What an upload of this mount made is in the listings of the archive at once; another's when they are asked anew.
    until("the other archive's listing", lambda: transaction.name in mount.ls("carted/transactions"), 70)
    for nothing in ("987654321", "0", "x", "-1", "01", f"{transaction.name}.txt", "987654321.json"):
        with pytest.raises(FileNotFoundError):
            os.stat(mount.path / "site/transactions" / nothing)
    with pytest.raises(OSError) as refused:
        (mount.path / "site/transactions" / transaction.name / "new").write_bytes(b"x")
    assert refused.value.errno == errno.EROFS


def test_programs_that_read(mount, transaction, source, tmp_path):
    run("cp", "-r", transaction, tmp_path / "copied")
    assert content(tmp_path / "copied") == content(source)
    run("rsync", "-a", "--checksum", f"{transaction}/", tmp_path / "synced")
    assert content(tmp_path / "synced") == content(source)
    assert run("rsync", "-a", "--checksum", "-i", f"{transaction}/", tmp_path / "synced").stdout == ""
    run("tar", "cf", tmp_path / "out.tar", "-C", transaction.parent, transaction.name)
    with tarfile.open(tmp_path / "out.tar") as tar:
        packed = {m.name.partition("/")[2]: tar.extractfile(m).read() for m in tar if m.isfile()}
    assert packed == FILES
    assert len(run("grep", "-r", "needle", transaction).stdout.splitlines()) == 500
    assert run("diff", "-r", transaction, source).stdout == ""
    found = run("find", transaction, "-type", "f", "-size", "+100k").stdout.splitlines()
    assert sorted(found) == [str(transaction / "raw/deep/data.bin"), str(transaction / "raw/large.bin")]


def test_attributes(mount, transaction, front):
    path = transaction / "notes é ü 資料.txt"
    found = {name: os.getxattr(path, name).decode() for name in os.listxattr(path)}
    assert found["user.pacifica.transaction"] == transaction.name
    assert found["user.pacifica.archive"] == "site"
    assert found["user.pacifica.digest"].startswith("sha1:")
    assert found["user.pacifica.state"] == "cached"
    assert found["user.mime_type"] == "text/plain" and int(found["user.pacifica.id"])
    assert os.getxattr(transaction, "user.pacifica.id").decode() == transaction.name
    assert os.getxattr(mount.path / "drop/site/first", "user.pacifica.bundle").decode() == mount.status("first")["id"]


def test_without_the_cache_each_way_brings_the_bytes(mount, transaction, source, front, tmp_path):
    mount.forget_cache()
    assert os.getxattr(transaction / "with space", "user.pacifica.state") == b"remote"
    for name, service in WAYS.items():
        front.forget()
        folder = mount.path / name / "transactions" / transaction.name
        assert mapped(folder / "raw/large.bin") == hashlib.sha256(FILES["raw/large.bin"]).hexdigest()
        run("cp", "-r", folder, tmp_path / name)
        assert content(tmp_path / name) == content(source)
        assert {request.path != "/" for request in front[service].requests} == {True}
        asked = {other for other in WAYS.values() if front[other].count(path="^/.")}
        assert asked == {service}
    carts = front.carts()
    # The empty file needs none, and files that are read one after the other share some.
    assert 1 <= len(carts) <= len(FILES) - 1
    until("deletion of the carts", lambda: not alive(front, carts))


def mapped(path):
    """The digest of a file as another process maps it: a page fault here would stop the proxies, which are threads."""
    program = "import hashlib,numpy,sys; print(hashlib.sha256(numpy.memmap(sys.argv[1], mode='r')).hexdigest())"
    return run(sys.executable, "-c", program, path).stdout.strip()


def alive(front, carts):
    return [uid for uid in carts if requests.head(f"{front.site.cart}/{uid}", timeout=10).status_code != 404]


def test_twenty_files_through_carts(mount, bundles, front, tmp_path):
    files = {f"scan{n % 4}/{n:02d}.dat": os.urandom(1000 + n) for n in range(20)}
    name = bundles_name(mount, bundles.done(files))
    folder = mount.path / "carted/transactions" / bundles.transaction(name).name
    front.forget()
    run("cp", "-r", folder, tmp_path / "copied")
    assert {path: (tmp_path / "copied" / path).read_bytes() for path in files} == files
    until("deletion of the carts", lambda: not alive(front, front.carts()))


def test_what_changes_nothing(mount):
    """The status tree knows all of it, and who the user is."""
    health = mount.json("status/archives/site.json")
    assert health["reachable"] and "Bo Kim" in health["identity"]
    assert set(health["services"].values()) == {"ok"}
    for name in mount.ls("status/uploads/site"):
        assert mount.status(name, "site")["state"] == "done"
