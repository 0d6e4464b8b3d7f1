"""What `pacifica_fs.archive.Archive` promises, as checks that every kind passes."""

import hashlib
import itertools
import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from pacifica_fs.archive import Data, Finder, Versioned
from pacifica_fs.errors import NotFound, PacificaFSError, Unreachable
from pacifica_fs.model import Container, FileRef, Health, Listing, View
from pacifica_fs.tree.names import safe_name

from .tools import MTIME_NS, Kind, path_of, read, same_or_unreachable

LARGE = bytes(range(256)) * 12_000  # 3 MB: several chunks, and no two places alike modulo a power of two but 256
SAMPLE = {
    "hello.txt": b"hello pacifica\n",
    "run1/a.bin": bytes(range(256)) * 17,
    "run1/deeper/b.bin": b"b" * 70_001,
    "large.bin": LARGE,
    "empty.dat": b"",
}


class ArchiveContract(Kind):
    @pytest.fixture
    def sample(self, publish):
        return publish(SAMPLE)

    @pytest.fixture
    def refs(self, archive, sample):
        return {path_of(ref): ref for ref in self.listing(archive, sample)}

    # what it says of itself

    def test_what_it_says_of_itself_is_constant_and_valid(self, archive):
        assert archive.name and archive.kind
        assert isinstance(archive.identity, str)
        assert archive.identity == archive.identity
        assert archive.capabilities == archive.capabilities
        assert archive.capabilities.batch >= 1 and archive.capabilities.parallel >= 1

    def test_views_are_folders_that_do_not_clash(self, archive):
        assert archive.views and archive.views == archive.views
        names = [view.name for view in archive.views]
        assert len(set(names)) == len(names)
        for view in archive.views:
            assert isinstance(view, View) and "/" not in view.name and view.name not in (".", "..")
            assert view.newest >= 0 and len(set(view.dimensions)) == len(view.dimensions)

    def test_every_view_leads_to_a_container(self, archive, sample):
        for view in offered(archive):
            if view.terms:
                continue
            found = paths(archive, view, dict(view.where))
            # An unlisted view may list less than there is, such as one's own projects.
            if view.dimensions and (sample in found or not view.unlisted):
                assert sample in found, f"{view.name}: {sample} is in none of {list(found)}"
                for where in found[sample]:
                    assert list(where) == [*view.where, *view.dimensions]

    def test_groups_are_unique_and_have_documents(self, archive, sample):
        for view in offered(archive):
            where = dict(view.where)
            for dimension in view.dimensions:
                listing = archive.groups(dimension, where)
                assert len({group.id for group in listing.entries}) == len(listing.entries)
                for group in listing.entries:
                    json.dumps(dict(group.info), allow_nan=False)
                if not listing.entries:
                    assert view.unlisted and listing.remark
                    break
                where[dimension] = listing.entries[0].id

    def test_a_view_that_cannot_be_had_says_what_to_do(self, archive):
        for view in archive.views:
            assert not view.missing or len(view.missing) > 20

    def test_what_is_listed_is_found_by_its_name(self, archive, sample):
        if not isinstance(archive, Finder):
            pytest.skip("this archive finds nothing without a listing")
        for view in offered(archive):
            where = dict(view.where)
            for dimension in view.dimensions:
                groups = archive.groups(dimension, where).entries
                if not groups:
                    break
                group = groups[0]
                found = archive.find_group(dimension, where, safe_name(group.label or group.id))
                assert found.id == group.id
                with pytest.raises(NotFound):
                    archive.find_group(dimension, where, "no such value")
                where[dimension] = group.id
            for container in archive.containers(where, 3).entries if len(where) >= len(view.dimensions) else ():
                assert archive.find_container(where, safe_name(container.label or container.id)).id == container.id
            with pytest.raises(NotFound):
                archive.find_container(where, self.unknown_container)

    def test_terms_can_be_combined(self, archive, sample):
        for view in offered(archive):
            if not view.terms:
                continue
            where = next(iter(
                where
                for other in offered(archive)
                for where in paths(archive, other, dict(other.where)).get(sample, ())
                if where and set(where) <= set(view.terms)
            ))  # fmt: skip
            assert sample in [entry.id for entry in archive.containers(where, 10_000).entries]
            if {"after", "before"} <= set(view.terms):
                inside, before = where | {"after": "2001", "before": "2200-01-01"}, where | {"before": "2001-02"}
                assert sample in [entry.id for entry in archive.containers(inside, 10_000).entries]
                assert sample not in [entry.id for entry in archive.containers(before, 10_000).entries]
                with pytest.raises(NotFound):
                    archive.containers({"after": "yesterday"}, 10)

    def test_the_version_changes_when_something_is_published(self, archive, publish, sample):
        if not isinstance(archive, Versioned):
            pytest.skip("this archive has no versions")
        before = archive.version()
        assert archive.version() == before
        publish({"version": uuid.uuid4().bytes})
        assert archive.version() != before

    def test_probe_finds_it(self, archive):
        health = archive.probe()
        assert isinstance(health, Health) and health.reachable and not health.error
        assert health.latency is None or health.latency >= 0
        assert set(health.services.values()) == {"ok"}

    # containers

    def test_a_published_container_is_listed(self, archive, sample):
        listing = archive.containers({}, 10_000)
        assert isinstance(listing, Listing)
        assert sample in [entry.id for entry in listing.entries]
        assert {entry.archive for entry in listing.entries} == {archive.name}
        assert len({entry.id for entry in listing.entries}) == len(listing.entries)

    def test_newest_first(self, archive, publish):
        published = [publish({"n": b"newest %d" % number}) for number in range(3)]
        listed = [entry.id for entry in archive.containers({}, 10_000).entries if entry.id in published]
        assert listed == published[::-1]

    def test_a_limit_is_kept_and_a_part_says_that_it_is_one(self, archive, publish):
        published = [publish({"l": b"limit %d" % number}) for number in range(3)]
        assert len(set(published)) == 3
        some = archive.containers({}, 2)
        assert len(some.entries) == 2 and not some.complete
        whole = archive.containers({}, 10_000)
        assert whole.complete
        assert [entry.id for entry in some.entries] == [entry.id for entry in whole.entries[:2]]
        exact = archive.containers({}, len(whole.entries))
        assert exact.complete and len(exact.entries) == len(whole.entries)

    def test_what_is_known_about_a_container(self, archive, sample):
        found = archive.container(sample)
        assert (found.archive, found.id) == (archive.name, sample)
        assert found.mtime_ns > 0 and found.info
        json.dumps(dict(found.info), allow_nan=False)

    def test_the_listing_and_the_container_agree_on_its_time(self, archive, sample):
        (listed,) = [entry for entry in archive.containers({}, 10_000).entries if entry.id == sample]
        assert listed.mtime_ns == archive.container(sample).mtime_ns

    def test_an_unknown_container_is_not_found(self, archive, sample):
        for call in (archive.container, archive.files):
            with pytest.raises(NotFound) as caught:
                call(self.unknown_container)
            assert str(caught.value)

    def test_weird_ids_are_not_found(self, archive, sample):
        for id in self.weird_ids:
            for call in (archive.container, archive.files):
                with pytest.raises(NotFound):
                    pytest.fail(f"{call.__name__}({id!r}) gives {call(id)}")

    def test_an_unknown_dimension_or_value_is_not_found(self, archive, sample):
        with pytest.raises(NotFound):
            archive.groups("colour", {})
        with pytest.raises(NotFound):
            archive.containers({"colour": "red"}, 10)
        for dimension in {view.dimensions[0] for view in offered(archive) if view.dimensions}:
            with pytest.raises(NotFound):
                archive.containers({dimension: "no such value"}, 10)

    # files

    def test_files_are_those_published(self, archive, sample, refs):
        assert set(refs) == set(SAMPLE)
        for path, ref in refs.items():
            assert isinstance(ref, FileRef)
            assert (ref.archive, ref.container, ref.size) == (archive.name, sample, len(SAMPLE[path]))
            assert ref.parts == tuple(path.split("/"))

    def test_ids_of_files_are_unique(self, archive, publish, refs):
        other = self.listing(archive, publish({"hello.txt": b"another container"}))
        ids = [ref.id for ref in [*refs.values(), *other]]
        assert all(ids) and len(set(ids)) == len(ids)

    def test_digests_are_those_of_the_bytes_or_a_validator_pins_them(self, refs):
        for path, ref in refs.items():
            assert ref.digest or ref.validator
            if ref.digest and ref.digest.computable:
                hasher = ref.digest.hasher()
                hasher.update(SAMPLE[path])
                assert hasher.hexdigest() == ref.digest.value

    def test_times_are_those_of_the_files(self, refs):
        if not self.time_step_ns:
            pytest.skip("this archive keeps no times")
        assert {ref.mtime_ns // self.time_step_ns for ref in refs.values()} == {MTIME_NS // self.time_step_ns}

    def test_files_do_not_change(self, archive, sample):
        assert list(archive.files(sample)) == list(archive.files(sample))

    def test_an_empty_container(self, archive, publish):
        empty = publish({})
        assert self.listing(archive, empty) == []
        assert archive.container(empty).id == empty
        assert empty in [entry.id for entry in archive.containers({}, 10_000).entries]

    def test_strange_names(self, archive, publish):
        files = {path: path.encode() for path in self.strange_paths}
        refs = {path_of(ref): ref for ref in self.listing(archive, publish(files))}
        assert set(refs) == set(files)
        for path, ref in itertools.islice(refs.items(), 4):
            assert read(archive, [ref]) == [path.encode()]

    def test_many_files(self, archive, publish):
        files = {f"scan{n % 10}/{n:05d}.dat": b"%d" % n for n in range(self.many)}
        refs = self.listing(archive, publish(files))
        assert {path_of(ref): ref.size for ref in refs} == {path: len(data) for path, data in files.items()}
        assert read(archive, [refs[-1]]) == [files[path_of(refs[-1])]]

    # content

    def test_whole_files(self, archive, refs):
        for path, ref in refs.items():
            assert read(archive, [ref]) == [SAMPLE[path]]

    def test_a_repeated_read_gives_the_same(self, archive, refs):
        assert read(archive, [refs["run1/a.bin"]]) == read(archive, [refs["run1/a.bin"]]) == [SAMPLE["run1/a.bin"]]

    def test_an_empty_file_ends_at_once(self, archive, refs):
        assert read(archive, [refs["empty.dat"]]) == [b""]

    @pytest.mark.parametrize("start", [1, 100_001, 1 << 20, len(LARGE) - 1, len(LARGE)])
    def test_from_an_offset(self, archive, refs, start):
        assert read(archive, [refs["large.bin"]], start=start) == [LARGE[start:]]

    def test_ranges_begin_where_they_are_asked_for(self, archive, refs):
        if not archive.capabilities.ranges:
            pytest.skip("this archive has no ranges")
        arrivals = archive.open([refs["large.bin"]], start=2_000_000)
        first = next(arrival for arrival in arrivals if isinstance(arrival, Data))
        arrivals.close()
        assert first.offset == 2_000_000

    def test_a_batch(self, archive, refs):
        some = list(refs.values())[: archive.capabilities.batch]
        assert read(archive, some) == [SAMPLE[path_of(ref)] for ref in some]

    def test_closing_early_gives_everything_back(self, archive, refs, held):
        arrivals = archive.open([refs["large.bin"]])
        next(arrival for arrival in arrivals if isinstance(arrival, Data))
        arrivals.close()
        assert list(held()) == []
        archive.open([refs["large.bin"]]).close()
        assert list(held()) == []
        assert read(archive, [refs["large.bin"]]) == [LARGE]
        assert list(held()) == []

    def test_eight_readers_at_once(self, archive, refs):
        wanted = ["large.bin", "run1/a.bin", "run1/deeper/b.bin", "hello.txt"] * 4
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda path: read(archive, [refs[path]])[0], wanted, timeout=self.deadline))
        assert found == [SAMPLE[path] for path in wanted]

    def test_later_attempts_are_ways_to_the_same_bytes(self, archive, refs):
        for attempt in range(5):
            assert read(archive, [refs["hello.txt"]], attempt=attempt) == [SAMPLE["hello.txt"]]

    def test_a_file_of_an_unknown_container_is_an_error(self, archive, refs):
        ref = refs["hello.txt"]
        gone = FileRef(ref.archive, self.unknown_container, "987654321", ref.parts, ref.size, 0)
        with pytest.raises(PacificaFSError):
            read(archive, [gone])

    def test_damaged_content_ends_with_an_error(self, archive, refs, damage):
        for path in ("large.bin", "hello.txt"):
            damage(refs[path])
            data = bytearray()
            try:
                for arrival in archive.open([refs[path]]):
                    data += arrival.data if isinstance(arrival, Data) else b""
            except PacificaFSError as error:
                assert not isinstance(error, NotFound)
                assert len(data) < len(SAMPLE[path])
            else:
                assert self.sizes_are_claims and refs[path].digest, "a silent end"
                assert hashlib.new(refs[path].digest.algorithm, data).hexdigest() != refs[path].digest.value
        assert read(archive, [refs["run1/a.bin"]]) == [SAMPLE["run1/a.bin"]]

    # outages

    def test_an_outage_is_never_an_absence(self, archive, sample, refs, outage):
        listing, container, files = archive.containers({}, 100), archive.container(sample), list(archive.files(sample))
        with outage():
            same_or_unreachable(lambda: archive.containers({}, 100), listing)
            same_or_unreachable(lambda: archive.container(sample), container)
            same_or_unreachable(lambda: list(archive.files(sample)), files)
            for id in (self.unknown_container, self.also_unknown):
                with pytest.raises(Unreachable):
                    archive.container(id)
                with pytest.raises(Unreachable):
                    archive.files(id)
            for start in (0, 5):
                with pytest.raises(Unreachable):
                    read(archive, [refs["large.bin"]], start=start)

    def test_an_outage_in_every_view(self, archive, sample, outage):
        with outage():
            for view in offered(archive):
                with pytest.raises(Unreachable):
                    if view.dimensions:
                        archive.groups(view.dimensions[0], view.where)
                    else:
                        archive.containers(view.where, view.newest or 10_000)

    def test_probe_says_that_there_is_an_outage(self, archive, outage):
        with outage():
            health = archive.probe()
        assert not health.reachable and health.error
        assert set(health.services.values()) != {"ok"}

    def test_after_an_outage_all_is_as_before(self, archive, sample, refs, outage):
        listing = archive.containers({}, 100)
        with outage():
            archive.probe()
            with pytest.raises(Unreachable):
                archive.container(self.unknown_container)
        assert archive.containers({}, 100) == listing
        assert self.listing(archive, sample) == list(refs.values())
        assert read(archive, [refs["large.bin"]]) == [LARGE]
        assert archive.probe().reachable
        with pytest.raises(NotFound):
            archive.container(self.unknown_container)

    def test_an_outage_while_reading_is_an_error_or_the_rest(self, archive, refs, outage):
        arrivals = archive.open([refs["large.bin"]])
        data = bytearray(next(arrival for arrival in arrivals if isinstance(arrival, Data)).data)
        with outage():
            try:
                for arrival in arrivals:
                    if isinstance(arrival, Data):
                        data += arrival.data
            except PacificaFSError as error:
                assert not isinstance(error, NotFound)
                assert LARGE.startswith(data)
            else:
                assert data == LARGE


def offered(archive):
    """The views that can be had as this archive is configured."""
    return [view for view in archive.views if not view.missing]


def paths(archive, view, where):
    """Which containers are below a view: id → the `where` of each place."""
    left = [dimension for dimension in view.dimensions if dimension not in where]
    found = {}
    if not left:
        for container in archive.containers(where, view.newest or 10_000).entries:
            assert isinstance(container, Container) and container.id
            found.setdefault(container.id, []).append(where)
        return found
    for group in archive.groups(left[0], where).entries:
        for id, places in paths(archive, view, where | {left[0]: group.id}).items():
            found.setdefault(id, []).extend(places)
    return found
