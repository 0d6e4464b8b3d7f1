"""What is done costs nothing to look at, however much there is of it."""

from __future__ import annotations


def test_what_is_done_is_not_computed_again_at_every_look(rig):
    for name in ("one", "two"):
        rig.mkdir(name)
        rig.put(f"{name}/a.dat", name.encode())
        rig.commit(name)
        rig.until_state("done", name)
    rig.until(rig.drop.idle)
    before = {upload.name: upload for upload in rig.drop.uploads()}
    assert [one is before[one.name] for one in rig.drop.uploads()] == [True, True]
    assert before["one"].percent == 100.0 and before["one"].transaction == "1000" and before["one"].task == ""


def test_what_changes_after_it_is_done_is_seen(rig):
    rig.mkdir("run")
    rig.put("run/a.dat", b"x")
    rig.commit("run")
    rig.until_state("done")
    rig.until(rig.drop.idle)
    assert rig.upload().duplicates == ()
    rig.site.ingest(*next(iter(rig.site.containers.values()))[:1], {})  # a gateway repeated the request
    rig.until(lambda: rig.upload().duplicates == ("1001",), advance=60)
