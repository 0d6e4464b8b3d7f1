"""From sealed to done, and every way in which that can go wrong: exactly once, or in the spool with a reason."""

from __future__ import annotations

import threading
import time

import msgspec
import pytest

from pacifica_fs.clock import SystemClock
from pacifica_fs.errors import Denied, Invalid, Unreachable
from pacifica_fs.model import Problem, Progress

from .conftest import SIDECAR


def fill(rig, name="run", commit=True):
    rig.mkdir(name)
    rig.put(f"{name}/a.dat", b"alpha")
    rig.at(name).mkdir("sub", 0o755)
    rig.put(f"{name}/sub/b.dat", b"beta" * 1000)
    rig.put(f"{name}/empty", b"")
    rig.put(f"{name}/metadata.json", SIDECAR)
    if commit:
        rig.commit(name)


def test_a_committed_folder_becomes_a_transaction(rig):
    fill(rig)
    done = rig.until_state("done")
    rig.until(rig.drop.idle)
    assert done.transaction == "1000" and done.sidecar == "metadata.json" and done.files == 3
    bundle, _ = rig.site.containers["1000"]
    assert dict(bundle.metadata.fields) == {"project": "1234a", "instrument": "54"}
    assert bundle.metadata.keys == (("Tag", "first"),)
    assert rig.site.contents["1000"] == {"a.dat": b"alpha", "sub/b.dat": b"beta" * 1000, "empty": b""}
    assert rig.adopted == rig.site.contents["1000"]
    assert not (rig.root / "bundles" / done.id / "files").exists()
    assert {f["path"] for f in done.receipt["files"]} == {"a.dat", "sub/b.dat", "empty"}


def test_the_next_bundle_goes_on_after_a_refused_one(rig):
    rig.site.script["check"] = lambda bundle: (
        [Problem("project 99 is not known", "Choose another.")] if bundle.name == "bad" else []
    )
    fill(rig, "bad")
    held = rig.until_state("held", "bad")
    assert [p.what for p in held.problems] == ["project 99 is not known"]
    fill(rig, "good")
    rig.until_state("done", "good")
    assert rig.upload("bad").state == "held" and len(rig.site.sends) == 1
    # A better sidecar frees it, and nobody has to say again that it is complete.
    rig.site.script.clear()
    rig.at("bad").unlink("metadata.json")
    rig.put("bad/metadata.json", SIDECAR)
    rig.until_state("done", "bad")


def test_the_check_is_complete_before_a_byte_is_sent_and_sees_every_file(rig):
    fill(rig)
    rig.until_state("done")
    full = [bundle for bundle in rig.site.checks if bundle.files]
    assert [file.path for file in full[0].files] == ["a.dat", "empty", "sub/b.dat"]


def test_an_outage_while_checking_holds_and_is_tried_again(rig):
    def down(bundle):
        raise Unreachable("policy does not answer")

    rig.site.script["check"] = down
    fill(rig)
    held = rig.until_state("held")
    assert "policy does not answer" in held.problems[0].what
    rig.site.script.clear()
    rig.until_state("done", advance=5)
    assert len(rig.site.sends) == 1


def test_an_upload_that_breaks_before_its_end_is_sent_again(rig):
    def broken(bundle, sent):
        if len(rig.site.sends) < 3:
            raise Unreachable("connection reset")

    rig.site.script["before"] = broken
    fill(rig)
    rig.until_state("done", advance=5)
    assert len(rig.site.sends) == 3 and len(rig.site.containers) == 1 and rig.upload().attempts == 3


def test_it_goes_on_by_itself_and_soon(rig):
    """Nobody is woken here but by the drop itself, and time is real: a break costs a second, not a minute."""

    def broken(bundle, sent):
        if len(rig.site.sends) == 1:
            raise Unreachable("connection reset")

    rig.stop()
    rig.clock = SystemClock()
    rig.start()
    rig.site.script["before"] = broken
    fill(rig)
    seen, begun = [], time.monotonic()
    while rig.upload().state != "done":
        assert time.monotonic() - begun < 20
        if (upload := rig.upload()).state in ("sending", "ingesting"):
            seen += upload.problems
        time.sleep(0.01)
    assert not seen, "what was wrong before is told while it is on its way"
    assert len(rig.site.sends) == 2 and not rig.upload().problems


def test_an_outage_before_what_may_have_arrived_is_sent_is_waited_out_without_haste(rig):
    def down(*args):
        raise Unreachable("down")

    rig.site.script["last"] = down
    fill(rig)
    held = rig.until_state("held", advance=60)
    rig.site.script.update(find=down)
    finds = rig.site.finds
    rig.drop.retry(held.id)
    rig.until(lambda: rig.upload().outage)
    assert rig.upload().state == "held" and rig.site.finds == finds + 1
    rig.site.script.clear()
    rig.until_state("done", advance=1)
    assert len(rig.site.containers) == 1


def test_a_refusal_while_sending_holds(rig):
    def refuse(bundle, sent):
        raise Denied("you may not upload here")

    rig.site.script["before"] = refuse
    fill(rig)
    assert "you may not upload here" in rig.until_state("held").problems[0].what
    rig.site.script.clear()
    rig.drop.retry(rig.upload().id)
    rig.until_state("done")


@pytest.mark.parametrize("stage", ["last", "after"])
def test_an_upload_that_breaks_after_its_end_is_never_repeated_but_asked_for(rig, stage):
    """`last`: the server never made it; `after`: it did, and only the answer was lost."""

    def broken(bundle):
        raise Unreachable("connection reset")

    rig.site.script[stage] = broken
    fill(rig)
    unconfirmed = rig.until_state("unconfirmed") if stage == "last" else None
    if stage == "after":
        assert rig.until_state("done").transaction == "1000"
    else:
        assert "after everything was sent" in unconfirmed.problems[0].what
        finds = rig.site.finds
        rig.until(lambda: rig.site.finds > finds + 2, advance=5)
        assert rig.upload().state == "unconfirmed"
        held = rig.until_state("held", advance=60)
        assert "does not have it" in held.problems[0].what
        assert rig.spooled().joinpath("a.dat").read_bytes() == b"alpha"
        rig.site.script.clear()
        rig.drop.retry(held.id)
        rig.until_state("done")
    assert len(rig.site.containers) == 1
    assert len(rig.site.sends) == (2 if stage == "last" else 1)


def test_a_retry_of_what_arrived_late_does_not_send_again(rig):
    def broken(bundle):
        raise Unreachable("connection reset")

    rig.site.script["last"] = broken
    fill(rig)
    held = rig.until_state("held", advance=60)
    contents = {"a.dat": b"alpha", "sub/b.dat": b"beta" * 1000, "empty": b""}
    late = next(bundle for bundle in reversed(rig.site.checks) if bundle.files)
    rig.site.ingest(late, contents)
    rig.site.script.clear()
    rig.drop.retry(held.id)
    assert rig.until_state("done").transaction == "1000"
    assert len(rig.site.sends) == 1


def test_several_matches_are_reported(rig):
    def twice(bundle):
        rig.site.ingest(bundle, {})
        raise Unreachable("connection reset")

    rig.site.script["after"] = twice
    fill(rig)
    done = rig.until_state("done")
    assert done.transaction == "1000" and done.duplicates == ("1001",)
    assert "1001" in done.problems[0].what


def test_a_duplicate_behind_our_back_is_reported(rig):
    """The answer came, but something on the way had repeated the request: asked some minutes later, outages or not."""

    def down(bundle):
        raise Unreachable("down")

    fill(rig)
    rig.until_state("done")
    rig.site.ingest(rig.site.containers["1000"][0], {})
    finds = rig.site.finds
    rig.clock.time += 290
    rig.until(rig.drop.idle)
    assert rig.site.finds == finds and not rig.upload().problems
    rig.site.script["find"] = down
    rig.until(lambda: rig.site.finds > finds, advance=10)
    rig.restart()
    rig.site.script.clear()
    rig.until(lambda: rig.upload().duplicates == ("1001",), advance=30)
    assert "also as transaction 1001" in rig.upload().problems[0].what and rig.upload().state == "done"
    finds = rig.site.finds
    rig.clock.time += 86400
    rig.restart()
    rig.until(rig.drop.idle)
    assert rig.site.finds == finds


def test_content_alone_is_not_taken_for_a_bundle_that_is_known_to_be_another(rig):
    """A site that strips keys finds bundles by their content."""

    def by_content(bundle):
        mine = [(file.path, file.digest) for file in bundle.files]
        return [id for id, (one, _) in rig.site.containers.items() if [(f.path, f.digest) for f in one.files] == mine]

    def broken(bundle):
        raise Unreachable("connection reset")

    rig.site.script["find"] = by_content
    fill(rig, "first")
    rig.until_state("done", "first")
    rig.site.script["last"] = broken
    fill(rig, "second")
    rig.until_state("unconfirmed", "second")
    finds = rig.site.finds
    rig.until(lambda: rig.site.finds > finds + 2, advance=5)
    assert rig.upload("second").state == "unconfirmed"


def test_outages_while_asking_and_comparing_are_waited_out(rig):
    def broken(*args):
        raise Unreachable("down")

    rig.site.script.update(after=broken, find=broken, files=broken)
    fill(rig)
    rig.until_state("unconfirmed")
    rig.until(lambda: "down" in rig.upload().waiting_for, advance=1)
    del rig.site.script["find"]
    rig.until_state("ingesting", advance=10)
    rig.until(lambda: "compare" in rig.upload().waiting_for, advance=1)
    del rig.site.script["files"]
    rig.until_state("done", advance=5)


def test_a_job_that_fails_says_why_and_a_retry_sends_it_again(rig):
    rig.site.script["poll"] = lambda ticket: Progress("failed", "ingest files", 0.0, "File 1015 failed to validate.")
    fill(rig)
    failed = rig.until_state("failed")
    assert "File 1015 failed to validate." in failed.problems[0].what and "ingest files" in failed.problems[0].what
    assert rig.spooled().joinpath("a.dat").read_bytes() == b"alpha"
    rig.site.script.clear()
    rig.site.containers.clear()
    rig.drop.retry(failed.id)
    rig.until_state("done")
    assert len(rig.site.sends) == 2


def test_a_job_that_never_moves_is_declared_and_keeps_nobody_back(rig):
    rig.site.script["poll"] = lambda ticket: Progress("", "open tar", 0.0) if ticket.job == "job1000" else None
    fill(rig, "stuck")
    rig.until_state("ingesting", "stuck")
    fill(rig, "next")
    rig.until(lambda: rig.upload("stuck").problems, advance=30)
    assert "has not moved" in rig.upload("stuck").problems[0].what
    rig.until_state("done", "next", advance=1)
    assert rig.upload("stuck").state == "ingesting"
    rig.site.script.clear()
    rig.until_state("done", "stuck", advance=5)


def test_a_job_that_the_server_forgot_is_asked_for(rig):
    from pacifica_fs.errors import NotFound

    def unknown(ticket):
        raise NotFound("job ID 1000 does not exist")

    rig.site.script["poll"] = unknown
    fill(rig)
    assert rig.until_state("done", advance=1).transaction == "1000"
    assert len(rig.site.sends) == 1


def test_what_the_archive_lists_is_compared_with_what_was_sent(rig):
    import msgspec

    def listed(container):
        first, *rest = rig.site.containers[container][1]
        return [msgspec.structs.replace(first, size=first.size + 1), *rest]

    rig.site.script["files"] = listed
    fill(rig)
    failed = rig.until_state("failed")
    assert any(p.path == "a.dat" and "6 bytes" in p.what for p in failed.problems)
    assert rig.spooled().joinpath("a.dat").exists() and not rig.adopted
    # A retry only compares again: sending again would make a second one.
    rig.site.script.clear()
    rig.drop.retry(failed.id)
    rig.until_state("done")
    assert len(rig.site.sends) == 1


def test_too_large_a_bundle_is_held_before_it_is_sent(rig):
    import msgspec

    from pacifica_fs.config import Size

    rig.archive = msgspec.structs.replace(rig.archive, max_bundle=Size(2000))
    rig.restart()
    fill(rig)
    held = rig.until_state("held")
    assert "takes 2000 at once" in held.problems[0].what and not rig.site.sends


def test_a_sidecar_is_judged_at_its_close_while_data_is_still_copied(rig):
    rig.site.script["check"] = lambda bundle: [Problem("project 99 is not known")] if not bundle.files else []
    rig.mkdir("run")
    rig.put("run/metadata.json", b'{"project": 99}')
    rig.until(lambda: rig.upload().problems)
    assert rig.upload().state == "open" and rig.site.checks[0].files == ()


def test_a_bug_in_a_kind_of_archive_is_not_the_end(rig):
    def bug(bundle, sent):
        if len(rig.site.sends) == 1:
            raise TypeError("oops")

    rig.site.script["before"] = bug
    fill(rig)
    rig.until_state("done", advance=5)


def test_what_was_ingested_from_a_folder_is_not_sent_again(rig):
    fill(rig)
    rig.until_state("done")
    rig.put("run/new.dat", b"new")
    rig.put("run/a.dat.tmp", b"alpha")
    rig.at("run").rename("a.dat.tmp", rig.at("run"), "a.dat")
    rig.commit("run")
    rig.until(lambda: [u.state for u in rig.drop.uploads()] == ["done", "done"])
    newest, first = rig.drop.uploads()
    assert newest.follows == first.id and newest.transaction == "1001"
    assert [(one.path, one.why) for one in newest.left_out] == [("a.dat", "already in transaction 1000")]
    assert rig.site.contents["1001"] == {"new.dat": b"new"}
    # The same metadata goes along.
    assert dict(rig.site.containers["1001"][0].metadata.fields) == {"project": "1234a", "instrument": "54"}


def test_nothing_new_makes_no_transaction(rig):
    fill(rig)
    rig.until_state("done")
    rig.put("run/.again", b"alpha")
    rig.at("run").rename(".again", rig.at("run"), "a.dat")
    rig.commit("run")
    rig.until(lambda: [u.state for u in rig.drop.uploads()] == ["done", "done"])
    assert len(rig.site.sends) == 1 and rig.drop.uploads()[0].transaction == "1000"


# Stops, at every stage. The new daemon is another object on the same spool.


def block(rig, stage):
    """Have the fake site stop at `stage` until the test lets it go on."""
    reached, go = threading.Event(), threading.Event()

    def wait(*args):
        reached.set()
        assert go.wait(10)

    rig.site.script[stage] = wait
    return reached, go


@pytest.mark.parametrize(
    ("stage", "sends"),
    [("check", 1), ("before", 2), ("last", 1), ("after", 1), ("poll", 1), ("files", 1)],
)
def test_a_stop_at_any_stage_is_resumed_and_ingested_once(rig, stage, sends):
    reached, go = block(rig, stage)
    fill(rig)
    assert reached.wait(10)
    go_later = threading.Timer(0.2, go.set)
    go_later.start()
    rig.stop()
    go_later.join()
    rig.site.script.clear()
    rig.start()
    rig.until_state("done", advance=1)
    rig.until(rig.drop.idle)
    assert len(rig.site.sends) == sends and len(rig.site.containers) == 1
    rig.until(lambda: rig.adopted.get("a.dat") == b"alpha")


def test_stop_is_quick_and_a_send_that_hangs_can_never_end_the_upload(rig):
    reached, go = block(rig, "before")
    fill(rig)
    assert reached.wait(10)
    begin = time.monotonic()
    old = rig.drop
    rig.stop()
    assert time.monotonic() - begin < 30
    rig.site.script.clear()
    rig.start()
    rig.until_state("done")
    go.set()
    old._workers["site"][2].join(5)
    assert len(rig.site.containers) == 1 and len(rig.site.sends) == 2


def test_a_stop_before_the_bytes_were_given_away_is_made_good(rig):
    seen = []

    def adopt_fails(adopt, ref, path):
        seen.append(path)
        raise OSError("the cache is full")

    rig.disk.adopt = adopt_fails
    fill(rig)
    done = rig.until_state("done")
    rig.until(rig.drop.idle)
    assert len(seen) == 3 and not (rig.root / "bundles" / done.id / "files").exists()


def test_an_unconfirmed_bundle_stays_so_over_a_restart(rig):
    def broken(bundle):
        raise Unreachable("reset")

    rig.site.script["last"] = broken
    fill(rig)
    rig.until_state("unconfirmed")
    rig.restart()
    assert rig.upload().state == "unconfirmed"
    rig.until_state("held", advance=100)
    assert len(rig.site.sends) == 1


def test_a_retry_of_what_is_done_makes_no_sense(rig):
    fill(rig)
    done = rig.until_state("done")
    with pytest.raises(Invalid):
        rig.drop.retry(done.id)


def test_many_bundles_one_at_a_time(rig):
    busy = threading.Lock()

    def alone(bundle, sent):
        assert busy.acquire(blocking=False)

    def over(bundle):
        busy.release()

    rig.site.script.update(before=alone, after=over)
    for n in range(8):
        fill(rig, f"run{n}")
    rig.until(lambda: all(u.state == "done" for u in rig.drop.uploads()))
    assert len(rig.site.containers) == 8


def test_a_job_number_that_was_given_twice_is_seen_through(rig):
    """A server gave our job the number of another upload: the transaction of that job is not ours, ours is found."""

    def other(ticket):
        if not rig.site.script.get("other"):
            rig.site.script["other"] = lambda: None
            first = next(iter(rig.site.containers.values()))[0]
            foreign = msgspec.structs.replace(first, id="somebody else's", files=first.files[:1])
            rig.site.ingest(foreign, {})
        return Progress("done", "", 100.0, container="1001")

    rig.site.script["poll"] = other
    fill(rig)
    done = rig.until_state("done", advance=1)
    assert done.transaction == "1000" and len(rig.site.sends) == 1


def test_a_job_number_that_was_given_twice_and_ours_is_nowhere(rig):
    rig.site.script["find"] = lambda bundle: []
    rig.site.script["files"] = lambda container: []
    fill(rig)
    lost = rig.until_state("unconfirmed", advance=1)
    assert "has other content" in lost.problems[0].what
    held = rig.until_state("held", advance=60)
    assert rig.spooled().joinpath("a.dat").read_bytes() == b"alpha" and len(rig.site.sends) == 1
    rig.site.script.clear()
    # The user decides; the archive is asked once more, and has it after all.
    rig.drop.retry(held.id)
    rig.until_state("done")
    assert len(rig.site.sends) == 1
