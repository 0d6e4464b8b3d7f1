"""What `pacifica_fs.archive.Inbox` promises, as checks that every kind passes."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from pacifica_fs.errors import NotFound, PacificaFSError, Unreachable
from pacifica_fs.model import BundleFile, Digest, Metadata, Problem, Ticket

from .tools import KEYS, MTIME_NS, Kind, finished, path_of, read, upload

FILES = {
    "hello.txt": b"hello pacifica\n",
    "run1/a.bin": bytes(range(256)) * 17,
    "run1/été 1.bin": b"b" * 70_001,
    "large.bin": os.urandom(16) * 150_000,
    "empty.dat": b"",
}


class Stop(Exception):
    """What a caller's function raises."""


class Calls:
    """The two functions of `send`, and what they were called with."""

    def __init__(self, look=None, fail=""):
        self.sent, self.lasts, self.seen = [], [], None
        self._look, self._fail = look, fail

    def count(self, sent):
        self.sent.append(sent)
        if self._fail == "sent":
            raise Stop

    def last(self):
        self.lasts.append(self.sent[-1] if self.sent else 0)
        if self._look:
            self.seen = self._look()
        if self._fail == "last":
            raise Stop


class InboxContract(Kind):
    @pytest.fixture
    def done(self, built, bundle):
        """done(files) → a bundle that was sent, and its container."""

        def done(files=FILES):
            sent = bundle(files)
            return sent, upload(built, sent, self.deadline)

        return done

    def listed(self, archive):
        return [entry.id for entry in archive.containers({}, 10_000).entries]

    def test_what_it_says_of_itself(self, inbox):
        assert inbox.reversible in (True, False)
        assert Digest(inbox.hash, "").computable

    # check

    def test_a_good_bundle_has_no_problems(self, inbox, bundle):
        assert list(inbox.check(bundle(FILES))) == []

    def test_before_there_are_files_only_the_metadata_is_judged(self, inbox, bundle):
        assert list(inbox.check(bundle({}))) == []
        assert list(inbox.check(bundle({}, metadata=Metadata(self.fields, (("Tag", "x"), ("Tag", "x"))))))

    def test_bad_paths_are_problems(self, inbox, bundle):
        for path in self.bad_paths:
            problems = inbox.check(bundle({"good.txt": b"", path: b"x"}))
            assert problems, f"{path!r} is no problem"
            assert all(isinstance(problem, Problem) and problem.what for problem in problems)
            for problem in problems:
                (problem.what + problem.remedy + problem.path).encode()

    def test_a_path_twice_is_a_problem(self, inbox, bundle):
        one = bundle({"a.txt": b"1", "b.txt": b"2"})
        twice = type(one)(one.id, one.archive, one.name, (*one.files, one.files[0]), one.metadata)
        assert inbox.check(twice)

    def test_a_file_and_a_folder_of_one_name_are_a_problem(self, inbox, bundle):
        assert inbox.check(bundle({"h": b"1", "h/x": b"2"}))
        assert inbox.check(bundle({"h/x/y": b"1", "h/x": b"2"}))

    def test_a_key_with_two_values_is_none(self, inbox, bundle):
        assert not inbox.check(bundle(FILES, metadata=Metadata(self.fields, (("Tag", "one"), ("Tag", "two")))))

    # send

    def test_the_length_covers_all_files(self, inbox, bundle):
        some = bundle(FILES)
        assert inbox.length(some) >= some.size
        assert inbox.length(bundle({})) >= 0

    def test_progress_grows_to_the_length_and_last_comes_once_before_the_end(self, inbox, bundle):
        some = bundle(FILES)
        calls = Calls(lambda: list(inbox.find(some)))
        ticket = inbox.send(some, calls.count, calls.last)
        assert isinstance(ticket, Ticket) and ticket.job
        assert calls.sent == sorted(calls.sent) and calls.sent[0] >= 0
        assert calls.sent[-1] <= inbox.length(some)
        assert len(calls.sent) > 1 and calls.sent[-1] >= some.size
        assert len(calls.lasts) == 1
        assert calls.seen == []
        assert finished(inbox, ticket, self.deadline).outcome == "done"
        json.dumps(dict(ticket.details))

    def test_a_sent_bundle_becomes_a_container(self, inbox, archive, bundle):
        some = bundle(FILES)
        ticket = inbox.send(some, lambda sent: None, lambda: None)
        progress = finished(inbox, ticket, self.deadline)
        assert progress.outcome == "done" and progress.container and not progress.message
        assert progress.container in self.listed(archive)
        assert inbox.poll(ticket) == progress

    def test_what_is_listed_is_what_was_sent(self, archive, done):
        sent, container = done()
        listed = {path_of(ref): ref for ref in self.listing(archive, container)}
        assert set(listed) == {file.path for file in sent.files}
        for file in sent.files:
            ref = listed[file.path]
            assert ref.size == file.size
            if self.keeps_digests:
                assert ref.digest == file.digest
            if self.keeps_types:
                assert ref.mime_type == file.mime_type
            if not self.time_step_ns:
                continue
            assert ref.mtime_ns // self.time_step_ns == MTIME_NS // self.time_step_ns

    def test_what_is_read_is_what_was_sent(self, archive, done):
        _, container = done()
        for ref in self.listing(archive, container):
            assert read(archive, [ref]) == [FILES[path_of(ref)]]

    def test_metadata_survives(self, archive, done):
        _, container = done()
        text = json.dumps(dict(archive.container(container).info), ensure_ascii=False)
        for word in (*self.fields.values(), *(word for pair in KEYS for word in pair)):
            assert word in text

    def test_empty_files_and_no_files(self, archive, done):
        _, container = done({"one": b"", "two": b""})
        assert [ref.size for ref in self.listing(archive, container)] == [0, 0]
        _, container = done({})
        assert self.listing(archive, container) == []

    def test_strange_names(self, inbox, archive, bundle, built):
        some = bundle({path: b"x" for path in self.strange_paths})
        assert not inbox.check(some)
        container = upload(built, some, self.deadline)
        assert {path_of(ref) for ref in self.listing(archive, container)} == set(self.strange_paths)

    # what breaks

    @pytest.mark.parametrize("where", ["sent", "last"])
    def test_a_caller_that_stops_it_leaves_nothing(self, built, inbox, archive, bundle, where):
        before = self.listed(archive)
        some = bundle(FILES)
        calls = Calls(fail=where)
        with pytest.raises(Stop):
            inbox.send(some, calls.count, calls.last)
        assert len(calls.lasts) == (where == "last")
        assert list(inbox.find(some)) == []
        assert self.listed(archive) == before
        container = upload(built, some, self.deadline)
        assert list(inbox.find(some)) == [container]

    @pytest.mark.parametrize("how", ["changed", "shorter", "longer", "gone"])
    def test_a_source_that_changed_is_never_published_under_its_old_digest(self, inbox, archive, bundle, how):
        some = bundle(FILES)
        before = self.listed(archive)
        source = some.files[1].source
        data = bytearray(source.read_bytes())
        match how:
            case "changed":
                data[1000] ^= 1
                source.write_bytes(data)
            case "shorter":
                source.write_bytes(data[:-1])
            case "longer":
                source.write_bytes(data + b"x")
            case "gone":
                source.unlink()
        try:
            progress = finished(inbox, inbox.send(some, lambda sent: None, lambda: None), self.deadline)
        except PacificaFSError as error:
            assert "run1/a.bin" in str(error)
        else:
            assert progress.outcome == "failed" and progress.message
        assert list(inbox.find(some)) == []
        assert self.listed(archive) == before

    def test_a_wrong_digest_is_not_published(self, inbox, bundle):
        some = bundle({"a": b"1"})
        file = some.files[0]
        wrong = BundleFile(
            file.path, file.size, file.mtime_ns, Digest(inbox.hash, "0" * len(file.digest.value)), file.source
        )
        lie = type(some)(some.id, some.archive, some.name, (wrong,), some.metadata)
        try:
            assert finished(inbox, inbox.send(lie, lambda sent: None, lambda: None), self.deadline).outcome == "failed"
        except PacificaFSError:
            pass
        assert list(inbox.find(lie)) == []

    def test_an_unknown_job_is_not_found(self, inbox):
        with pytest.raises(NotFound):
            inbox.poll(Ticket("987654321"))

    # exactly once

    def test_a_bundle_is_found_by_its_id(self, inbox, done):
        one, first = done()
        two, second = done()
        assert first != second, "equal content is two containers where it is two bundles"
        assert list(inbox.find(one)) == [first]
        assert list(inbox.find(two)) == [second]

    def test_what_was_never_sent_is_not_found(self, inbox, bundle, done):
        done()
        assert list(inbox.find(bundle({"never": b"sent"}))) == []

    def test_a_bundle_that_is_sent_twice(self, built, inbox, archive, done):
        some, first = done()
        calls = Calls()
        second = finished(inbox, inbox.send(some, calls.count, calls.last), self.deadline).container
        assert len(calls.lasts) == 1
        if self.idempotent:
            assert second == first
        assert sorted(inbox.find(some)) == sorted({first, second})
        assert len(self.listed(archive)) == len(set(self.listed(archive)))

    def test_a_bundle_that_is_sent_by_four_at_once(self, built, inbox, archive, bundle):
        if not self.idempotent:
            pytest.skip("one bundle sent twice is two containers here")
        before = self.listed(archive)
        some = bundle(FILES)
        with ThreadPoolExecutor(4) as pool:
            found = set(pool.map(lambda _: upload(built, some, self.deadline), range(4), timeout=self.deadline))
        assert len(found) == 1
        assert len(self.listed(archive)) == len(before) + 1

    def test_bundles_that_are_sent_at_once(self, built, inbox, archive, bundle):
        some = [bundle({"n": b"%d" % number}) for number in range(4)]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda one: upload(built, one, self.deadline), some, timeout=self.deadline))
        assert len(set(found)) == 4
        for number, container in enumerate(found):
            assert read(archive, self.listing(archive, container)) == [b"%d" % number]

    # outages

    def test_an_outage_is_an_outage(self, inbox, bundle, done, outage):
        sent, _ = done()
        some = bundle(FILES)
        with outage():
            with pytest.raises(Unreachable):
                inbox.check(some)
            calls = Calls()
            with pytest.raises(Unreachable):
                inbox.send(some, calls.count, calls.last)
            assert calls.lasts == []
            for one in (sent, some):
                with pytest.raises(Unreachable):
                    inbox.find(one)

    def test_polling_in_an_outage(self, inbox, bundle, outage):
        ticket = inbox.send(bundle(FILES), lambda sent: None, lambda: None)
        with outage(), pytest.raises(Unreachable):
            inbox.poll(ticket)
        assert finished(inbox, ticket, self.deadline).outcome == "done"

    def test_an_outage_just_before_the_end_publishes_nothing(self, built, inbox, archive, bundle, outage):
        some = bundle(FILES)
        interrupted = outage()

        def cut():
            interrupted.__enter__()
            raise Stop

        with pytest.raises(Stop):
            try:
                inbox.send(some, lambda sent: None, cut)
            finally:
                interrupted.__exit__(None, None, None)
        assert list(inbox.find(some)) == []
        container = upload(built, some, self.deadline)
        assert list(inbox.find(some)) == [container]
