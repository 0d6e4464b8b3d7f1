"""The kind `pacifica` against the real services: upload, follow, list, read by each way, find again; and failures."""

import hashlib
import os
import time
import uuid
from contextlib import contextmanager

import msgspec
import pytest
import requests

from pacifica_fs.archive import Data, Effects, Waiting
from pacifica_fs.archives.pacifica.archive import build
from pacifica_fs.clock import SystemClock
from pacifica_fs.config import parse
from pacifica_fs.errors import BadAnswer, NotFound, Unreachable
from pacifica_fs.model import Bundle, BundleFile, Digest, Metadata, Ticket

pytestmark = pytest.mark.pacifica

# People and rights of the test site: bkim is a member of project 51001, which instrument 2001 is linked to.
USER, NUMBER, PROJECT, INSTRUMENT, STRANGER = "bkim", 102, "51001", "2001", "eguest"
FILES = {
    "a/b.txt": b"hello",
    "a/big.bin": os.urandom(3_000_000),
    "data": b"a file that is called data",
    "data2/data/x": b"1",
    "é ü/x y": b"unicode",
    "empty": b"",
    "n" * 255: b"a long name",
}


@pytest.fixture(scope="module")
def make(pacifica_site, tmp_path_factory):
    """`make("cart", "policy", …, option=value)`: the kind with these services of the site."""
    folder = tmp_path_factory.mktemp("effects")
    built = []

    def run(*services, **options):
        table = {"kind": "pacifica", "user": USER} | {name: getattr(pacifica_site, name) for name in services} | options
        settings = parse({"archives": {"site": table}}).archives[0]
        built.append(build(settings, Effects(clock=SystemClock(), state=folder, cache=folder)))
        return built[-1]

    yield run
    for kind in built:
        kind.archive.close()


@pytest.fixture(scope="module")
def site(make):
    return make("policy", "ingest", "cart")


@pytest.fixture(scope="module")
def new_bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spool")

    def make(files, keys=(), **fields):
        entries = []
        for path, content in files.items():
            source = folder / uuid.uuid4().hex
            source.write_bytes(content)
            digest = Digest("sha1", hashlib.sha1(content).hexdigest())
            entries.append(BundleFile(path, len(content), 1_577_934_245_700_000_000, digest, source, "text/plain"))
        metadata = Metadata({"project": PROJECT, "instrument": INSTRUMENT} | fields, tuple(keys))
        return Bundle(uuid.uuid4().hex, "site", "n", tuple(entries), metadata, time.time_ns())

    return make


def upload(inbox, bundle):
    """The job's end."""
    ticket = inbox.send(bundle, lambda _: None, lambda: None)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        progress = inbox.poll(ticket)
        if progress.outcome:
            return progress
        time.sleep(0.05)
    raise AssertionError(f"job {ticket.job} does not end: {progress}")


@pytest.fixture(scope="module")
def uploaded(site, new_bundle):
    bundle = new_bundle(FILES, [("Tag", "first"), ("Tag", "second"), ("Opérateur", "é")])
    assert site.inbox.check(bundle) == []
    progress = upload(site.inbox, bundle)
    assert progress.outcome == "done", progress
    return bundle, progress.container


def read(archive, refs, **options):
    found, carts = {}, set()
    for arrival in archive.open(refs, **options):
        if isinstance(arrival, Waiting):
            carts.add(arrival.url)
        elif isinstance(arrival, Data):
            assert arrival.offset == len(found.get(arrival.index, b"")) + options.get("start", 0)
            found[arrival.index] = found.get(arrival.index, b"") + bytes(arrival.data)
    return [found.get(index, b"") for index in range(len(refs))], carts - {""}


@contextmanager
def without(site, name):
    site.stop(name)
    try:
        yield
    finally:
        site.start(name)


@pytest.mark.parametrize("services", [("policy",), ("policy", "metadata")])
def test_what_was_uploaded_is_listed(make, uploaded, services):
    bundle, id = uploaded
    archive = make(*services).archive
    assert id in [entry.id for entry in archive.containers({}, 1000).entries]
    newest = archive.containers({"project": PROJECT}, 1)
    assert len(newest.entries) == 1 and int(newest.entries[0].id) >= int(id)
    refs = archive.files(id)
    assert {"/".join(ref.parts): (ref.size, str(ref.digest)) for ref in refs} == {
        file.path: (file.size, str(file.digest)) for file in bundle.files
    }
    assert {(ref.mtime_ns, ref.mime_type) for ref in refs} == {(1_577_934_245 * 10**9, "text/plain")}
    container = archive.container(id)
    assert abs(container.mtime_ns - bundle.created_ns) < 60 * 10**9
    info = container.info
    assert (info["submitter"], info["project"], info["instrument"], info["file_count"]) == (NUMBER, PROJECT, 2001, 7)
    assert info["keys"]["pacifica-fs.bundle"] == bundle.id and info["keys"]["Opérateur"] == "é"
    if "metadata" in services:
        assert info["keys"]["Tag"] == ["first", "second"]


@pytest.mark.parametrize("services", [("policy",), ("policy", "metadata")])
def test_what_does_not_exist(make, services):
    archive = make(*services).archive
    for ask in (archive.container, archive.files):
        with pytest.raises(NotFound):
            ask("987654321")


@pytest.mark.parametrize("services", [("policy", "ingest"), ("policy", "metadata", "ingest")])
def test_a_bundle_is_found_by_its_id(make, uploaded, new_bundle, services):
    bundle, id = uploaded
    inbox = make(*services).inbox
    assert inbox.find(bundle) == (id,)
    assert inbox.find(new_bundle({"other": os.urandom(8)})) == ()


def test_an_empty_transaction_has_no_files_and_exists(make, site, new_bundle):
    progress = upload(site.inbox, new_bundle({}))
    for services in (("policy",), ("policy", "metadata")):
        assert make(*services).archive.files(progress.container) == ()


@pytest.mark.parametrize(
    "services,options",
    [
        (("policy", "cart"), {}),
        (("policy", "archive_interface"), {}),
        (("policy", "archive_interface"), {"ranges": "trusted"}),
        (("policy", "files_by_hash"), {}),
    ],
)
def test_every_way_gives_the_bytes(make, uploaded, services, options):
    _, id = uploaded
    archive = make(*services, **options).archive
    refs = archive.files(id)
    for ref in refs:
        assert read(archive, [ref])[0] == [FILES["/".join(ref.parts)]]
    assert read(archive, refs)[0] == [FILES["/".join(ref.parts)] for ref in refs]
    if options:
        (big,) = (ref for ref in refs if ref.size > 1_000_000)
        assert read(archive, [big], start=2_500_001)[0] == [FILES["a/big.bin"][2_500_001:]]


def test_the_ladder_takes_the_next_way(make, uploaded, pacifica_site):
    _, id = uploaded
    archive = make("policy", "archive_interface", "cart").archive
    (ref,) = (ref for ref in archive.files(id) if ref.size == 5)
    assert read(archive, [ref]) == ([b"hello"], set())
    content, carts = read(archive, [ref], attempt=1)
    assert content == [b"hello"] and len(carts) == 1
    strange = msgspec.structs.replace(ref, id="987654321")  # the archive interface answers 500, the cart is in error
    with pytest.raises(BadAnswer, match="cannot give out this file"):
        read(archive, [strange])


def test_a_small_file_comes_fast(make, uploaded):
    _, id = uploaded
    archive = make("policy", "archive_interface").archive
    (ref,) = (ref for ref in archive.files(id) if ref.size == 5)
    times = []
    for _ in range(5):
        begun = time.monotonic()
        read(archive, [ref])
        times.append(time.monotonic() - begun)
    assert sorted(times)[2] < 0.2


def gone(url):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if requests.head(url, timeout=5).status_code == 404:
            return True
        time.sleep(0.05)
    return False


def test_carts_are_deleted_afterwards(make, uploaded):
    _, id = uploaded
    archive = make("policy", "cart").archive
    refs = archive.files(id)
    _, carts = read(archive, [refs[0]])
    arrivals = archive.open(refs)
    for arrival in arrivals:
        if isinstance(arrival, Data):
            break
        carts.add(arrival.url)
    arrivals.close()
    carts -= {""}
    assert len(carts) == 2 and all(gone(url) for url in carts)


def test_a_wrong_digest_is_an_error_of_the_cart(make, uploaded):
    _, id = uploaded
    archive = make("policy", "cart").archive
    (ref,) = (ref for ref in archive.files(id) if ref.size == 5)
    with pytest.raises(BadAnswer, match="hash does not match"):
        read(archive, [msgspec.structs.replace(ref, digest=Digest("sha1", "0" * 40))])


def test_check_says_it_in_plain_words(site, new_bundle):
    def said(**fields):
        return [problem.what for problem in site.inbox.check(new_bundle({}, **fields))]

    assert said() == []
    assert said(project="nosuch") == ["project nosuch is not known to the site"]
    assert said(instrument="999") == ["instrument 999 is not known to the site"]
    assert said(submitter="987654") == ["user 987654 is not known to the site"]
    assert said(submitter="nobody") == ["the submitter 'nobody' is not known to the site"]
    assert said(submitter=STRANGER) == [f"user {STRANGER} may not upload to project {PROJECT} with instrument 2001"]
    assert said(project="51003", instrument="2003") == [
        "user bkim may not upload to project 51003 with instrument 2003"
    ]


def test_jobs_that_fail(site, new_bundle):
    good = new_bundle({"a": b"right"})
    wrong = msgspec.structs.replace(good.files[0], digest=Digest("sha1", "0" * 40))
    failed = upload(site.inbox, msgspec.structs.replace(good, files=(wrong,)))
    assert (failed.outcome, failed.task, failed.container) == ("failed", "ingest files", "")
    assert "do not match its hash" in failed.message
    unknown = upload(site.inbox, new_bundle({"a": b"x"}, project="nosuch"))
    assert unknown.task == "Policy Validation" and "the project is not known" in unknown.message
    refused = upload(site.inbox, new_bundle({"a": b"x"}, submitter=STRANGER))
    assert "may not upload to this project with this instrument" in refused.message
    twice = upload(site.inbox, new_bundle({"a": b"x"}, [("k", "v"), ("k", "v")]))
    assert (twice.outcome, twice.task) == ("failed", "ingest metadata") and len(twice.message) < 300
    with pytest.raises(NotFound):
        site.inbox.poll(Ticket("987654321"))


def test_a_type_that_the_site_refuses_is_not_sent_as_such(site, new_bundle):
    good = new_bundle({"a": b"mail"})
    odd = msgspec.structs.replace(good.files[0], mime_type="multipart/mixed")
    assert upload(site.inbox, msgspec.structs.replace(good, files=(odd,))).outcome == "done"


def test_an_exception_of_last_leaves_nothing_behind(site, new_bundle):
    class Crash(Exception):
        pass

    def crash():
        raise Crash

    bundle = new_bundle({"a": os.urandom(2_000_000)})
    with pytest.raises(Crash):
        site.inbox.send(bundle, lambda _: None, crash)
    assert site.inbox.find(bundle) == ()


def test_a_probe(make, site):
    health = make("policy", "metadata", "ingest", "cart", "archive_interface", "files_by_hash").archive.probe()
    assert health.reachable and not health.error and set(health.services.values()) == {"ok"}
    assert "Bo Kim" in health.identity and len(health.services) == 6


def test_an_outage_behind_policy_is_an_outage(pacifica_site, make, uploaded, new_bundle):
    _, id = uploaded
    listed = make("policy", "ingest", "cart")
    direct = make("policy", "metadata").archive
    with without(pacifica_site, "metadata"):
        asks = [listed.archive.container, listed.archive.files, direct.container, direct.files]
        for ask in asks:
            with pytest.raises(Unreachable):
                ask(id)
        with pytest.raises(Unreachable):
            listed.archive.containers({}, 10)
        with pytest.raises(Unreachable):
            listed.inbox.check(new_bundle({}))
        with pytest.raises(Unreachable):
            listed.inbox.find(new_bundle({"a": b"x"}))
    assert listed.archive.files(id)


def test_a_cart_service_that_is_down(pacifica_site, make, uploaded):
    _, id = uploaded
    archive = make("policy", "cart").archive
    ref = archive.files(id)[0]
    with without(pacifica_site, "cart"):
        with pytest.raises(Unreachable):
            read(archive, [ref])
        health = archive.probe()
        assert health.reachable and "cart" in health.error and health.services["policy"] == "ok"
    assert read(archive, [ref])[0] == [FILES["/".join(ref.parts)]]
