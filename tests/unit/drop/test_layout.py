"""Which folder is a bundle, and what its place says."""

from __future__ import annotations

import msgspec
import pytest

from pacifica_fs.drop.layout import Layout
from pacifica_fs.errors import ConfigError, Exists, NotEmpty, NotPermitted, Unreachable
from pacifica_fs.model import Metadata, Problem


def parse(text):
    return Layout.parse(text, "c.toml: archives.site.layout")


@pytest.mark.parametrize("text", ["", "name", "{name}/x", "{a}/{a}", "{a", "{a}{b}", "a}/{b}"])
def test_wrong_layouts_are_told(text):
    with pytest.raises(ConfigError, match=r"c\.toml: archives\.site\.layout"):
        parse(text)


def test_what_a_place_says():
    layout = parse("{instrument}/p-{project}/{name}")
    assert layout.depth == 3
    assert layout.fields(["54", "p-1234a", "run"]) == {"instrument": "54", "project": "1234a"}
    assert layout.fields(["54"]) == {"instrument": "54"}
    assert layout.fields(["54", "1234a"]) is None
    assert parse("{dataset}_{revision}").fields(["mice_v1_2"]) == {"dataset": "mice", "revision": "v1_2"}


def test_contradictions_are_told():
    layout = parse("{project}/{name}")
    (problem,) = layout.contradictions("1234a/run", Metadata({"project": "99"}))
    assert "1234a" in problem.what and "99" in problem.what
    assert layout.contradictions("1234a/run", Metadata({"project": "1234a"})) == ()
    assert layout.contradictions("1234a/run", None) == ()


@pytest.fixture
def levels(rig):
    """`{project}/{name}` and an instrument by default: no sidecar is needed."""
    rig.stop()
    rig.archive = msgspec.structs.replace(rig.archive, layout="{project}/{name}", defaults={"instrument": 54})
    rig.site.unknown = lambda fields: (
        [Problem(f"project {fields['project']} is not known")] if fields["project"].startswith("9") else []
    )
    rig.start()
    return rig


def test_a_day_of_an_instrument_without_any_sidecar(levels):
    rig = levels
    for project in ("1234a", "1235b", "1236c", "1237d", "1238e"):
        rig.mkdir(project)
        for run in ("morning", "evening"):
            rig.at(project).mkdir(run, 0o755)
            rig.put(f"{project}/{run}/scan.raw", f"{project} {run}".encode())
    rig.until(lambda: rig.drop.uploads() and all(u.state == "done" for u in rig.drop.uploads()), advance=60)
    got = {
        (bundle.metadata.fields["project"], bundle.metadata.fields["instrument"], bundle.name): rig.site.contents[id]
        for id, (bundle, _) in rig.site.containers.items()
    }
    assert len(got) == 10
    assert got["1236c", "54", "1236c/evening"] == {"scan.raw": b"1236c evening"}
    assert [name for name, _ in rig.folder.entries()] == ["1234a", "1235b", "1236c", "1237d", "1238e"]
    rig.restart()
    assert [name for name, _ in rig.at("1234a").entries()] == ["evening", "morning"]


def test_an_unknown_project_is_refused_at_mkdir(levels):
    with pytest.raises(NotPermitted, match="99 is not known"):
        levels.mkdir("99")
    assert list(levels.folder.entries()) == []


def test_without_an_answer_the_folder_is_made(levels):
    def down(fields):
        raise Unreachable("policy is down")

    levels.site.unknown = down
    levels.restart()
    levels.mkdir("99")
    assert [name for name, _ in levels.folder.entries()] == ["99"]


def test_a_contradiction_is_held_and_named(levels):
    rig = levels
    rig.mkdir("1234a")
    rig.at("1234a").mkdir("run", 0o755)
    rig.put("1234a/run/a", b"alpha")
    rig.put("1234a/run/metadata.json", b'{"project": "5678b"}')
    rig.commit("1234a/run")
    held = rig.until_state("held", "1234a/run")
    assert "the sidecar says project 5678b" in held.problems[0].what and not rig.site.sends
    # Moved to where it belongs, it is well.
    rig.mkdir("5678b")
    rig.at("1234a").rename("run", rig.at("5678b"), "run")
    rig.commit("5678b/run")
    rig.until_state("done", "5678b/run")


def test_levels_are_folders(levels):
    rig = levels
    rig.mkdir("1234a")
    with pytest.raises(Exists):
        rig.mkdir("1234a")
    with pytest.raises(NotPermitted):
        rig.put("file", b"x")
    with pytest.raises(NotPermitted):
        rig.put("1234a/file", b"x")
    rig.at("1234a").mkdir("run", 0o755)
    with pytest.raises(NotEmpty):
        rig.folder.rmdir("1234a")
    with pytest.raises(NotPermitted):
        rig.folder.rename("1234a", rig.folder, "1235b")
    rig.at("1234a").rmdir("run")
    rig.folder.rmdir("1234a")
    assert list(rig.folder.entries()) == []
