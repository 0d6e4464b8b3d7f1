"""The main job against the real Pacifica services, through a kernel mount: read, drop, watch, read back, survive."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from tests.servers.faults import Corrupt, CutAnswer, Reply, StallAnswer
from tests.servers.pacifica.client import Client

pytestmark = [pytest.mark.mount, pytest.mark.pacifica, pytest.mark.timeout(180)]

SERVICES = ("policy", "metadata", "ingest", "cart", "archive_interface", "files_by_hash")


def run(*argv: str | Path) -> subprocess.CompletedProcess:
    """A command as a user would run it; its failure shows its words."""
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, f"{argv}: {done.returncode}: {done.stderr}"
    return done


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "metadata.json"
    }


class Stand:
    """A mount of the site as `emsl`, with a faulty proxy in front of each of its services."""

    def __init__(self, site, mounted, faulty, only=SERVICES, start=True, **options):
        self.site = site
        self.proxies = {name: faulty(getattr(site, name)) for name in only}
        urls = {name: self.proxies[name].url if name in only else None for name in SERVICES}
        table = site.archive_table(**urls, user=site.logon, read_wait="60s", **options)
        self.mount = mounted({"archives": {"emsl": table}, "drop": {"quiet": "60s"}}, start=start)
        self.path = self.mount.path
        self.drop = self.path / "drop/emsl"

    def requests(self) -> int:
        return sum(proxy.count() for proxy in self.proxies.values())

    def dropped(self, name: str, files: dict[str, bytes], commit: bool = True, **more) -> Path:
        folder = self.drop / name
        folder.mkdir()
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        sidecar = {"project": self.site.project, "instrument": self.site.instrument, **more}
        (folder / "metadata.json").write_text(json.dumps(sidecar))
        if commit:
            (folder / ".commit").touch()
        return folder

    def done(self, name: str, timeout: float = 90) -> Path:
        status = self.mount.wait_state(name, "done", timeout)
        return self.path / "emsl/transactions" / status["transaction"]

    def with_bundle_key(self, name: str) -> list[dict]:
        """The rows of the site's own key/value table that carry this bundle's id."""
        key = self.ask("keys", key="pacifica-fs.bundle")[0]["_id"]
        value = self.ask("values", value=self.mount.status(name)["id"])
        return self.ask("trans_key_value", key=key, value=value[0]["_id"]) if value else []

    def ask(self, what: str, **where) -> list[dict]:
        reply = requests.get(f"{self.site.metadata}/{what}", params={"recursion_depth": 0, **where}, timeout=30)
        reply.raise_for_status()
        return reply.json()


@pytest.fixture
def stand(pacifica_site, mounted, faulty):
    return Stand(pacifica_site, mounted, faulty)


@pytest.fixture
def client(pacifica_site):
    client = Client(pacifica_site)
    yield client
    client.close()


def others_go_on(stand: Stand, other: Path, expected: bytes) -> None:
    """One slow or dead server, cart or reader never blocks `ls`, `status/` or another file."""
    begun = time.monotonic()
    assert "transactions" in os.listdir(stand.path / "emsl")
    assert json.loads((stand.path / "status/downloads.json").read_text()) is not None
    assert other.read_bytes() == expected
    assert time.monotonic() - begun < 20


def test_read_as_a_user_does(stand, client, tmp_path):
    files = {"a/b/foo.txt": b"foo\n" * 1000, "a/größe 1.bin": os.urandom(300_000), "empty": b"", "top.txt": b"needle\n"}
    number = str(client.upload(files, [("Tag", "first")]))
    transactions = stand.path / "emsl/transactions"
    assert number in os.listdir(transactions)
    assert number in os.listdir(stand.path / "emsl/recent")
    folder = transactions / number
    expected = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    run("cp", "-r", folder, tmp_path / "cp")
    assert digests(tmp_path / "cp") == expected
    run("rsync", "-a", "--checksum", f"{folder}/", tmp_path / "rsync")
    assert digests(tmp_path / "rsync") == expected
    run("tar", "cf", tmp_path / "out.tar", "-C", transactions, number, f"{number}.json")
    assert run("diff", "-r", tmp_path / "cp", folder).stdout == ""
    assert "top.txt" in run("grep", "-r", "needle", folder).stdout
    assert len(run("find", folder, "-type", "f").stdout.splitlines()) == len(files)
    document = json.loads((transactions / f"{number}.json").read_text())
    assert document["id"] == number and str(stand.site.project) in json.dumps(document)
    state = os.getxattr(folder / "top.txt", "user.pacifica.state")
    digest = os.getxattr(folder / "top.txt", "user.pacifica.digest").decode()
    assert (
        state == b"cached" and digest.split(":")[1] == hashlib.new(digest.split(":")[0], files["top.txt"]).hexdigest()
    )
    with pytest.raises(FileNotFoundError):
        (transactions / "99999999").stat()


def test_numpy_maps_a_file_that_comes_by_cart(pacifica_site, mounted, faulty, client):
    numpy = pytest.importorskip("numpy")
    data = os.urandom(2_000_000)
    number = client.upload({"array.bin": data})
    stand = Stand(pacifica_site, mounted, faulty, ("policy", "cart"))
    path = stand.path / f"emsl/transactions/{number}/array.bin"
    # In a process of its own: a page fault holds the lock of the interpreter, which the proxies here need.
    program = "import numpy, sys; m = numpy.memmap(sys.argv[1], 'u1', 'r'); print(m[1_500_000], m.sum())"
    shown = run(sys.executable, "-c", program, path).stdout.split()
    assert shown == [str(data[1_500_000]), str(numpy.frombuffer(data, "u1").sum())]


@pytest.mark.parametrize("way", ["archive_interface", "files_by_hash", "cart"])
def test_each_way_to_the_bytes(pacifica_site, mounted, faulty, client, way):
    files = {f"f{number}": os.urandom(20_000) for number in range(3)}
    number = client.upload(files)
    stand = Stand(pacifica_site, mounted, faulty, ("policy", way))
    folder = stand.path / f"emsl/transactions/{number}"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    if way == "cart":
        stand.proxies["cart"].wait(3, "DELETE", timeout=20)
        posted = {r.path.split("?")[0] for r in stand.proxies["cart"].requests if r.method == "POST"}
        deadline = time.monotonic() + 20
        while any(requests.head(pacifica_site.cart + path, timeout=10).status_code != 404 for path in posted):
            assert time.monotonic() < deadline, "every cart is given back"
            time.sleep(0.1)


def test_twenty_files_through_carts(pacifica_site, mounted, faulty, client, tmp_path):
    files = {f"f{number:02}": b"%d" % number * 100 for number in range(20)}
    number = client.upload(files)
    stand = Stand(pacifica_site, mounted, faulty, ("policy", "cart"))
    run("cp", "-r", stand.path / f"emsl/transactions/{number}", tmp_path / "copy")
    assert digests(tmp_path / "copy") == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def test_drop_watch_and_read_back(stand, tmp_path):
    source = tmp_path / "run 7"
    (source / "data/inner").mkdir(parents=True)
    (source / "data/inner/x.bin").write_bytes(os.urandom(100_000))
    (source / "spectrum é.txt").write_text("1 2 3\n")
    (source / "empty").touch()
    (source / ("n" * 200)).write_text("long")
    os.utime(source / "empty", (1_500_000_000, 1_500_000_000))
    native = [
        {"destinationTable": "Transactions.submitter", "value": stand.site.user},
        {"destinationTable": "Transactions.project", "value": stand.site.project},
        {"destinationTable": "Transactions.instrument", "value": stand.site.instrument},
        {"destinationTable": "TransactionKeyValue", "key": "Tag", "value": "a"},
        {"destinationTable": "TransactionKeyValue", "key": "Tag", "value": "b"},
    ]
    (source / "metadata.json").write_text(json.dumps(native))
    run("cp", "-a", source, stand.drop)
    (stand.drop / "run 7/.commit").touch()
    folder = stand.done("run 7")
    assert (stand.path / "status/uploads/emsl/run 7/transaction").resolve() == folder.resolve()
    for proxy in stand.proxies.values():
        proxy.forget()
    assert digests(folder) == digests(source), "reading back"
    content = [proxy.count("GET") + proxy.count("POST") for name, proxy in stand.proxies.items() if name != "policy"]
    carts_and_files = stand.proxies["cart"].count() + stand.proxies["archive_interface"].count("GET", "^/[0-9]+")
    assert carts_and_files == 0, f"what was just uploaded comes from the spool's bytes: {content}"
    assert int((folder / "empty").stat().st_mtime) == 1_500_000_000
    number = folder.name
    rows = stand.ask("files", transaction_id=number)
    assert {(row["subdir"], row["name"]) for row in rows} == {
        ("data/inner", "x.bin"),
        ("", "spectrum é.txt"),
        ("", "empty"),
        ("", "n" * 200),
    }
    [row] = stand.ask("transsip", _id=number)
    assert (row["submitter"], row["project"], row["instrument"]) == (
        stand.site.user,
        stand.site.project,
        stand.site.instrument,
    )
    keys = json.loads((folder.parent / f"{number}.json").read_text())
    assert '"a"' in json.dumps(keys) and '"b"' in json.dumps(keys)
    assert [row["transaction"] for row in stand.with_bundle_key("run 7")] == [int(number)]
    stand.mount.forget_cache()
    assert digests(folder) == digests(source), "after the cache was lost"


def test_an_unknown_project_is_held_with_words(stand):
    stand.dropped("run1", {"a": b"x"}, project="nosuch")
    stand.mount.wait_state("run1", "held", 30)
    assert "nosuch" in (stand.path / "status/uploads/emsl/run1/problems.txt").read_text()
    assert stand.proxies["ingest"].count("POST") == 0, "found before a byte is sent"
    sidecar = {"project": stand.site.project, "instrument": stand.site.instrument}
    (stand.drop / "run1/metadata.json").write_text(json.dumps(sidecar))
    (stand.drop / "run1/.commit").touch()
    stand.done("run1")


def test_policy_down_at_mount(pacifica_site, mounted, faulty, client):
    """An outage is never ENOENT, and never an empty directory that looks real."""
    number = client.upload({"a": b"hello"})
    stand = Stand(pacifica_site, mounted, faulty, start=False)
    for name in ("policy", "metadata"):
        stand.proxies[name].refuse()
    stand.mount.start()
    assert sorted(os.listdir(stand.path)) == ["README.txt", "drop", "emsl", "status"]
    for look in (
        lambda: os.listdir(stand.path / "emsl/transactions"),
        lambda: (stand.path / f"emsl/transactions/{number}/a").stat(),
    ):
        with pytest.raises(OSError) as error:
            look()
        assert error.value.errno not in (2, 11), error.value
    for name in ("policy", "metadata"):
        stand.proxies[name].accept()
    deadline = time.monotonic() + 30
    while True:
        try:
            assert (stand.path / f"emsl/transactions/{number}/a").read_bytes() == b"hello"
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(CutAnswer(after=200_000), id="cut"),
        pytest.param(CutAnswer(after=200_000, reset=True), id="reset"),
        pytest.param(Corrupt(offset=300_000), id="corrupt"),
        pytest.param(Reply(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"}), id="502"),
        pytest.param(Reply(202, b"The cart is not ready for download."), id="202"),
    ],
)
def test_a_cart_that_breaks_once_is_survived(pacifica_site, mounted, faulty, client, fault):
    data = os.urandom(1_000_000)
    number = client.upload({"a": data})
    stand = Stand(pacifica_site, mounted, faulty, ("policy", "cart"))
    stand.proxies["cart"].on("GET", "^/.+filename=", fault, times=1)
    path = stand.path / f"emsl/transactions/{number}/a"
    try:
        assert path.read_bytes() == data
    except OSError as error:
        # Bytes that were handed out before they proved wrong cannot be taken back: an error, then the right ones.
        assert error.errno == 5
        deadline = time.monotonic() + 30
        while True:
            try:
                assert path.read_bytes() == data
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.2)


def test_a_cart_that_always_breaks_is_an_error_never_short(pacifica_site, mounted, faulty, client):
    data, other = os.urandom(1_000_000), os.urandom(1000)
    number = client.upload({"a": data, "b": other})
    stand = Stand(pacifica_site, mounted, faulty, ("policy", "cart"))
    folder = stand.path / f"emsl/transactions/{number}"
    assert (folder / "b").read_bytes() == other
    stand.proxies["cart"].on("GET", "^/.+filename=", Corrupt(offset=500_000))
    with pytest.raises(OSError) as error:
        (folder / "a").read_bytes()
    assert error.value.errno == 5
    assert run("ls", "-l", folder).stdout
    others_go_on(stand, folder / "b", other)


def test_a_purged_cart_is_posted_again(pacifica_site, mounted, faulty, client):
    number = client.upload({"a": b"hello" * 1000})
    stand = Stand(pacifica_site, mounted, faulty, ("policy", "cart"))
    stand.proxies["cart"].on("GET", "^/.+filename=", Reply(404, b"{}", {"Content-Type": "application/json"}), times=1)
    assert (stand.path / f"emsl/transactions/{number}/a").read_bytes() == b"hello" * 1000
    assert stand.proxies["cart"].count("POST") == 2


def test_a_stream_that_stalls_blocks_only_its_own_reader(pacifica_site, mounted, faulty, client):
    data, other = os.urandom(1_000_000), os.urandom(1000)
    number = client.upload({"a": data, "b": other})
    stand = Stand(pacifica_site, mounted, faulty, ("policy", "cart"), timeouts={"read": "5s"})
    stand.proxies["cart"].on("GET", "^/.+filename=", StallAnswer(after=200_000), times=1)
    folder = stand.path / f"emsl/transactions/{number}"
    with subprocess.Popen(["md5sum", str(folder / "a")], stdout=subprocess.PIPE, text=True) as reader:
        stand.proxies["cart"].wait(1, "GET", "^/.+filename=", timeout=30)
        others_go_on(stand, folder / "b", other)
        assert reader.communicate(timeout=60)[0].split()[0] == hashlib.md5(data).hexdigest()


def test_a_cart_that_is_staging_for_ever(pacifica_faults, mounted, faulty, client):
    number = client.upload({"a": b"hello", "b": b"x"})
    stand = Stand(pacifica_faults, mounted, faulty, ("policy", "cart"), cart_stuck="3s")
    folder = stand.path / f"emsl/transactions/{number}"
    assert (folder / "b").read_bytes() == b"x"
    pacifica_faults.kill("cart-worker")
    with pytest.raises(OSError) as error:
        (folder / "a").read_bytes()
    assert error.value.errno not in (2, 11)
    others_go_on(stand, folder / "b", b"x")
    pacifica_faults.start("cart-worker")
    deadline = time.monotonic() + 60
    while True:
        try:
            assert (folder / "a").read_bytes() == b"hello"
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.5)


def test_ingest_down_before_sending(stand):
    stand.proxies["ingest"].refuse()
    stand.dropped("run1", {"a": b"hello"})
    stand.proxies["policy"].wait(1, "POST", "/ingest", timeout=30)
    assert stand.mount.status("run1")["state"] != "done"
    assert "transactions" in os.listdir(stand.path / "emsl")
    stand.proxies["ingest"].accept()
    folder = stand.done("run1", 120)
    assert (folder / "a").read_bytes() == b"hello"
    assert len(stand.with_bundle_key("run1")) == 1


def test_too_large_for_the_site_is_explained(stand):
    refusal = b"The entity sent with the request exceeds the maximum allowed bytes."
    stand.proxies["ingest"].on("POST", "/upload", Reply(413, refusal, {"Content-Type": "text/plain"}))
    stand.dropped("run1", {"a": b"x" * 100_000})
    status = stand.mount.wait_state("run1", "held", 30)
    assert "limit" in json.dumps(status["problems"]), status["problems"]


@pytest.mark.parametrize("moment", ["open", "ingesting"])
def test_killed_and_mounted_again(stand, moment):
    """Neither a crash nor a power cut loses a closed file; and a bundle is ingested exactly once."""
    ingest = stand.proxies["ingest"]
    if moment == "ingesting":
        ingest.on("GET", "/get_state.job_id=[1-9]", Reply(503, b""))
    data = os.urandom(200_000)
    folder = stand.dropped("run1", {"a": data}, commit=moment != "open")
    if moment == "ingesting":
        stand.mount.wait_state("run1", "ingesting", 30)
    stand.mount.kill9()
    ingest.clear()
    stand.mount.start()
    if moment == "open":
        assert (folder / "a").stat().st_size == len(data)
        (folder / ".commit").touch()
    result = stand.done("run1", 150)
    assert (result / "a").read_bytes() == data
    assert len(stand.with_bundle_key("run1")) == 1, "exactly one transaction"
