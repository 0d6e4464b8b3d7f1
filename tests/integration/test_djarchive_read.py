"""Reading a bucket as it may be: what djarchive-client stumbles over, what changes on the server, and who may what."""

import itertools
import os

import obstore
import pytest

from pacifica_fs.archive import Data, Effects, Waiting
from pacifica_fs.archives.djarchive import build
from pacifica_fs.clock import SystemClock
from pacifica_fs.config import parse
from pacifica_fs.errors import BadAnswer, Denied, NotFound, Stale, Unobtainable, Unreachable
from tests.contract.tools import path_of, read
from tests.servers.faults import Delay, Reply, Stall
from tests.servers.seaweedfs import ADMIN, READER
from tests.servers.seaweedfs.publish import MANIFEST, manifest, publish

NUMBERS = itertools.count(1)


@pytest.fixture
def dataset():
    """A name that no other test uses."""
    return f"read{next(NUMBERS)}"


@pytest.fixture
def opened(seaweedfs, tmp_path):
    """opened(**options) → an archive on the public bucket."""
    made = []

    def make(**options):
        table = {"kind": "djarchive", "endpoint": seaweedfs.http, "bucket": seaweedfs.public, **options}
        table.setdefault("timeouts", {"connect": "2s", "read": "10s"})
        settings = parse({"archives": {"elements": table}}).archives[0]
        made.append(build(settings, Effects(SystemClock(), tmp_path / "state", tmp_path / "cache")).archive)
        return made[-1]

    yield make
    for archive in made:
        archive.close()


@pytest.fixture
def put(seaweedfs, dataset):
    """put(revision, files, text) publishes by hand; the id."""

    def make(revision, files, text=None):
        publish(seaweedfs, seaweedfs.public, f"{dataset}/{revision}", files, text)
        return f"{dataset}/{revision}"

    return make


def paths(archive, id):
    return sorted(path_of(ref) for ref in archive.files(id))


def ref_of(archive, id, path):
    return next(ref for ref in archive.files(id) if path_of(ref) == path)


def labels(archive, dataset):
    return sorted(each.label for each in archive.containers({"dataset": dataset}, 100).entries)


# what djarchive-client stumbles over


def test_a_revision_whose_name_begins_another(opened, put, dataset):
    for revision in ("1", "10", "1a"):
        put(revision, {"a": revision.encode()})
    archive = opened()
    assert labels(archive, dataset) == ["1", "10", "1a"]
    assert paths(archive, f"{dataset}/1") == ["a", MANIFEST]
    assert read(archive, [ref_of(archive, f"{dataset}/1", "a")]) == [b"1"]
    for name in ("datasets", "1/"):
        with pytest.raises(NotFound):
            archive.find_container({"dataset": dataset}, name)


def test_a_dataset_whose_name_begins_another(opened, put, dataset, seaweedfs):
    put("1", {"a": b"1"})
    publish(seaweedfs, seaweedfs.public, f"{dataset}0/2", {"b": b"2"})
    assert labels(opened(), dataset) == ["1"]


def test_names_with_commas_and_quotes(opened, put):
    files = {"a,b": b"1", 'say "hi"': b"2", '","': b"3", "été/資料": b"4"}
    archive = opened()
    id = put("1", files)
    assert paths(archive, id) == sorted([*files, MANIFEST])
    for path, data in files.items():
        assert read(archive, [ref_of(archive, id, path)]) == [data]


def test_names_that_no_key_can_have_are_listed_and_an_error_to_read(opened, put):
    files = {"good": b"1"}
    text = manifest(files) + manifest({"with\nnewline": b"2", "tab\t": b"3", "../up": b"4"})
    id = put("1", files, text)
    archive = opened()
    assert len(archive.files(id)) == 5
    for ref in archive.files(id):
        if path_of(ref) not in ("good", MANIFEST):
            with pytest.raises(Unobtainable):
                read(archive, [ref])


def test_an_object_that_the_manifest_does_not_list_is_not_shown(opened, put, seaweedfs):
    id = put("1", {"a": b"1"})
    seaweedfs.put(seaweedfs.public, f"{id}/stray", b"x")
    for archive in (opened(), opened(times="object")):
        assert paths(archive, id) == ["a", MANIFEST]


def test_a_line_without_an_object_is_an_error_and_not_an_absence(opened, put, seaweedfs):
    id = put("1", {"a": b"1", "b": b"2"})
    obstore.delete(seaweedfs.store(seaweedfs.public), f"{id}/b")
    archive = opened()
    assert paths(archive, id) == ["a", "b", MANIFEST]
    with pytest.raises(Unobtainable, match="in the manifest, but not in the bucket"):
        read(archive, [ref_of(archive, id, "b")])
    assert read(archive, [ref_of(archive, id, "a")]) == [b"1"]


def test_a_file_and_a_folder_of_one_name(opened, put):
    id = put("1", {"a": b"file", "a/b": b"inside"})
    archive = opened()
    assert read(archive, [ref_of(archive, id, "a")]) == [b"file"]
    assert read(archive, [ref_of(archive, id, "a/b")]) == [b"inside"]


def test_the_manifest_is_a_file(opened, put):
    files = {"a": b"1", "b/c": b"22"}
    archive = opened()
    ref = ref_of(archive, put("1", files), MANIFEST)
    assert ref.mime_type == "text/csv" and ref.validator
    assert read(archive, [ref]) == [manifest(files)]


def test_two_lines_for_one_path(opened, put):
    line, other = manifest({"a": b"1"}), manifest({"a": b"2"})
    archive = opened()
    assert paths(archive, put("1", {"a": b"1"}, line + line)) == ["a", MANIFEST]
    with pytest.raises(BadAnswer, match="two lines"):
        archive.files(put("2", {"a": b"1"}, line + other))


def test_a_manifest_that_is_none(opened, put):
    with pytest.raises(BadAnswer, match="line 1"):
        opened().files(put("1", {"a": b"1"}, b"nonsense"))


def test_incomplete_revisions(opened, put, dataset, seaweedfs):
    put("1", {"a": b"1"})
    seaweedfs.put(seaweedfs.public, f"{dataset}/half/sub/b", b"22")
    archive = opened()
    assert labels(archive, dataset) == ["1"]
    for call in (archive.container, archive.files):
        with pytest.raises(NotFound):
            call(f"{dataset}/half")
    archive = opened(incomplete=True)
    assert labels(archive, dataset) == ["1", "half"]
    (ref,) = archive.files(f"{dataset}/half")
    assert (path_of(ref), ref.size, ref.digest) == ("sub/b", 2, None) and ref.validator
    assert read(archive, [ref]) == [b"22"]
    seaweedfs.put(seaweedfs.public, f"{dataset}/half/sub/b", b"33")
    with pytest.raises(Stale):
        read(archive, [ref])
    with pytest.raises(NotFound):
        archive.files(f"{dataset}/none")


def test_objects_beside_datasets_and_revisions_do_not_count(opened, put, dataset, seaweedfs):
    put("1", {"a": b"1"})
    seaweedfs.put(seaweedfs.public, f"{dataset}/notes.txt", b"x")
    archive = opened()
    assert labels(archive, dataset) == ["1"]
    datasets = [group.id for group in archive.groups("dataset", {}).entries]
    assert dataset in datasets and "stray-object-at-the-top" not in datasets


# what changes on the server


def test_a_revision_that_was_overwritten_is_stale(opened, put):
    id = put("1", {"a": b"old", "b": b"old"})
    archive = opened()
    old = {path_of(ref): ref for ref in archive.files(id)}
    assert read(archive, [old["a"]]) == [b"old"]
    put("1", {"a": b"new!", "b": b"new!"})
    for path in ("a", "b", MANIFEST):
        with pytest.raises(Stale):
            read(archive, [old[path]])
    assert read(archive, [ref_of(archive, id, "a")]) == [b"new!"]


def test_content_of_the_same_size_that_was_overwritten_is_stale_at_the_second_try(opened, put):
    """The first brings what does not match its digest: that is for who verifies, who then asks with `attempt`."""
    id = put("1", {"a": b"old"})
    archive = opened()
    ref = ref_of(archive, id, "a")
    put("1", {"a": b"new"})
    with pytest.raises(Stale, match="was overwritten"):
        read(archive, [ref], attempt=1)


def test_a_file_is_never_a_mixture_of_two_versions(opened, put, seaweedfs, faulty):
    proxy = faulty(seaweedfs.http)
    old, new = os.urandom(3 << 20), os.urandom(3 << 20)
    id = put("1", {"a": old})
    archive = opened(endpoint=proxy.url)
    ref = ref_of(archive, id, "a")
    first = next(each for each in archive.open([ref], start=1000) if isinstance(each, Data))
    assert bytes(first.data) == old[1000 : 1000 + len(first.data)]
    seaweedfs.put(seaweedfs.public, ref.id, new)
    with pytest.raises(Stale):
        read(archive, [ref], start=2 << 20)
    assert any("if-match" in map(str.lower, request.headers) for request in proxy.requests)


def test_a_revision_that_was_removed_is_stale(opened, put, seaweedfs):
    id = put("1", {"a": b"1"})
    archive = opened()
    ref = ref_of(archive, id, "a")
    store = seaweedfs.store(seaweedfs.public)
    obstore.delete(store, [f"{id}/a", f"{id}/{MANIFEST}"])
    with pytest.raises(Stale, match="removed"):
        read(archive, [ref])


# who may what


def test_a_private_bucket(opened, seaweedfs):
    publish(seaweedfs, seaweedfs.private, "secret/1", {"a": b"1"})
    keys = {"access_key": READER[0], "secret_key": READER[1]}
    assert read(*_first(opened(bucket=seaweedfs.private, **keys))) == [b"1"]
    for refused in (
        opened(bucket=seaweedfs.private),
        opened(bucket=seaweedfs.private, **(keys | {"secret_key": "wrong"})),
        opened(bucket=seaweedfs.private, **(keys | {"access_key": "nobody"})),
    ):
        for call in (
            lambda archive: archive.groups("dataset", {}),
            lambda archive: archive.container("secret/1"),
            lambda archive: archive.files("secret/1"),
        ):
            with pytest.raises(Denied) as caught:
                call(refused)
            assert "wrong" not in str(caught.value).replace("is wrong", "")
        assert not refused.probe().reachable


def _first(archive):
    return archive, [ref for ref in archive.files("secret/1") if path_of(ref) == "a"]


def test_keys_are_looked_up_again_once_they_are_refused(seaweedfs, opened, tmp_path, monkeypatch):
    publish(seaweedfs, seaweedfs.private, "renewed/1", {"a": b"1"})
    environ = {"PACIFICA_FS_ELEMENTS_ACCESS_KEY": READER[0], "PACIFICA_FS_ELEMENTS_SECRET_KEY": "expired"}
    table = {"kind": "djarchive", "endpoint": seaweedfs.http, "bucket": seaweedfs.private}
    settings = parse({"archives": {"elements": table}}).archives[0]
    archive = build(settings, Effects(SystemClock(), tmp_path, tmp_path, environ=environ)).archive
    with pytest.raises(Denied):
        archive.container("renewed/1")
    environ["PACIFICA_FS_ELEMENTS_SECRET_KEY"] = READER[1]
    assert archive.container("renewed/1").label == "1"
    archive.close()


def test_other_programs_variables_do_not_change_who_we_are(opened, put, monkeypatch):
    id = put("1", {"a": b"1"})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.setenv(name, "nonsense")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert paths(opened(), id) == ["a", MANIFEST]
    assert paths(opened(access_key=READER[0], secret_key=READER[1]), id) == ["a", MANIFEST]


def test_a_bucket_that_does_not_exist_is_said(opened, seaweedfs):
    keys = {"access_key": ADMIN[0], "secret_key": ADMIN[1]}
    with pytest.raises(BadAnswer, match="no bucket 'nosuch'"):
        opened(bucket="nosuch", **keys).groups("dataset", {})
    with pytest.raises(BadAnswer, match="no bucket 'nosuch'"):
        opened(bucket="nosuch", **keys).files("a/1")


def test_tls_with_a_private_authority(opened, put, seaweedfs):
    id = put("1", {"a": b"1"})
    archive = opened(endpoint=seaweedfs.https, ca_bundle=str(seaweedfs.ca))
    assert read(archive, [ref_of(archive, id, "a")]) == [b"1"]
    without_scheme = opened(endpoint=seaweedfs.https.removeprefix("https://"), ca_bundle=str(seaweedfs.ca))
    assert paths(without_scheme, id) == ["a", MANIFEST]
    with pytest.raises(Unreachable, match="ca_bundle"):
        opened(endpoint=seaweedfs.https).files(id)
    with pytest.raises(Unreachable):
        opened(endpoint=seaweedfs.http.removeprefix("http://")).files(id)


# what it costs


def test_what_is_asked_for(opened, put, dataset, seaweedfs, faulty):
    proxy = faulty(seaweedfs.http)
    id = put("1", {f"d{n % 10}/{n}": b"x" for n in range(200)})
    archive = opened(endpoint=proxy.url)

    def asked(call):
        proxy.forget()
        call()
        return sorted((request.method, "list-type" in request.path) for request in proxy.requests)

    assert asked(lambda: archive.files(id)) == [("GET", False)]
    assert asked(lambda: archive.container(id)) == [("HEAD", False)]
    assert asked(lambda: archive.find_container({"dataset": dataset}, "1")) == [("HEAD", False)]
    assert asked(lambda: archive.find_group("dataset", {}, dataset)) == [("GET", True)]
    refs = archive.files(id)
    assert asked(lambda: [read(archive, [ref]) for ref in refs[:5]]) == [("GET", False)] * 5
    assert asked(lambda: opened(endpoint=proxy.url, times="object").files(id)) == [("GET", False), ("GET", True)]


def test_times(opened, put):
    id = put("1", {"a": b"1"})
    archive = opened()
    assert ref_of(archive, id, "a").mtime_ns == archive.container(id).mtime_ns > 0
    assert ref_of(opened(times="object"), id, "a").mtime_ns > 0


def test_a_range_costs_little(opened, put, seaweedfs, faulty):
    """300 scattered reads a second with at most 32 times the bytes are possible: the first range is 128 KiB."""
    proxy = faulty(seaweedfs.http)
    data = os.urandom(6 << 20)
    archive = opened(endpoint=proxy.url)
    ref = ref_of(archive, put("1", {"a": data}), "a")
    arrivals = archive.open([ref], start=3_000_000)
    first = next(each for each in arrivals if isinstance(each, Data))
    arrivals.close()
    assert first.offset == 3_000_000 and len(first.data) == 128 * 1024
    assert read(archive, [ref], start=1) == [data[1:]]


# outages


def test_who_waits_for_a_stalled_server_hears_so(opened, put, seaweedfs, faulty):
    proxy = faulty(seaweedfs.http)
    archive = opened(endpoint=proxy.url)
    ref = ref_of(archive, put("1", {"a": b"1"}), "a")
    rule = proxy.on("GET", "/a$", Stall())
    arrivals = archive.open([ref])
    assert isinstance(next(arrivals), Waiting) and isinstance(next(arrivals), Waiting)
    rule.release()
    assert [bytes(each.data) for each in arrivals if isinstance(each, Data)] == [b"1"]


@pytest.mark.parametrize("status", [500, 503])
def test_a_failing_server_is_an_outage(opened, put, seaweedfs, faulty, status):
    proxy = faulty(seaweedfs.http)
    id = put("1", {"a": b"1"})
    archive = opened(endpoint=proxy.url)
    ref = ref_of(archive, id, "a")
    proxy.on(None, "", Reply(status))
    for call in (
        lambda: archive.groups("dataset", {}),
        lambda: archive.container(id),
        lambda: archive.files(id),
        lambda: read(archive, [ref]),
    ):
        with pytest.raises(Unreachable):
            call()


def test_a_login_page_is_an_outage(opened, put, seaweedfs, faulty):
    proxy = faulty(seaweedfs.http)
    id = put("1", {"a": b"1"})
    proxy.on("GET", "", Reply(200, b"<!DOCTYPE html><html>please log in</html>", {"Content-Type": "text/html"}))
    with pytest.raises(Unreachable):
        opened(endpoint=proxy.url).files(id)


def test_a_slow_server_is_waited_for(opened, put, seaweedfs, faulty):
    proxy = faulty(seaweedfs.http)
    archive = opened(endpoint=proxy.url)
    ref = ref_of(archive, put("1", {"a": b"1"}), "a")
    proxy.on("GET", "/a$", Delay(2.5))
    assert read(archive, [ref]) == [b"1"]


def test_a_batch_is_asked_for_at_once_and_comes_in_order(opened, put, seaweedfs, faulty):
    proxy = faulty(seaweedfs.http)
    contents = {f"{n:02}": os.urandom(1000 + n) for n in range(20)} | {
        "20 large": os.urandom(3 << 20),
        "21": b"",
        "22": b"x",
    }
    archive = opened(endpoint=proxy.url)
    refs = archive.files(put("1", contents))[:-1]
    assert read(archive, refs) == list(contents.values())
    # The first stalls: the others are asked for all the same, and who waits hears so.
    rule = proxy.on("GET", "/00$", Stall())
    proxy.forget()
    arrivals = archive.open(refs[:10])
    assert isinstance(next(arrivals), Waiting)
    proxy.wait(10, "GET")
    rule.release()
    assert [each.index for each in arrivals if isinstance(each, Data)] == list(range(10))


def test_a_batch_ends_with_the_file_that_is_not_there(opened, put, seaweedfs):
    id = put("1", {"a": b"1", "b": b"2", "c": b"3"})
    obstore.delete(seaweedfs.store(seaweedfs.public), f"{id}/b")
    archive = opened()
    arrivals = archive.open([ref for ref in archive.files(id) if path_of(ref) in "abc"])
    assert next(arrivals).index == 0
    with pytest.raises(Unobtainable):
        next(arrivals)
