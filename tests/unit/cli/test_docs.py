"""The documentation names everything there is, and nothing that is not."""

import re

import msgspec

from pacifica_fs.cli.main import COMMANDS, cli
from pacifica_fs.drop.journal import Entry, Journal
from pacifica_fs.drop.receipt import receipt
from pacifica_fs.drop.states import State
from pacifica_fs.drop.upload import Upload
from pacifica_fs.model import FileRef
from tests.unit.documents import ROOT, document, documents, section

DROP = document("drop")
STATUS = document("status")


def first_column(text):
    """Names in backticks in the first column of a table."""
    cells = re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([\w.-]+)`", cell)}


def fields(struct):
    return {field.name for field in msgspec.structs.fields(struct)}


def test_every_field_of_an_upload_is_documented():
    assert first_column(section(STATUS, "### status.json")) == fields(Upload)


def test_every_field_of_the_journal_is_documented():
    rows = first_column(section(DROP, "### bundle.json"))
    text = section(DROP, "### bundle.json")
    assert rows == fields(Journal)
    assert all(f'"{name}"' in text for name in fields(Entry))


def test_every_field_of_a_receipt_is_documented():
    journal = Journal(
        "1",
        "here",
        "run",
        State.DONE,
        "",
        "",
        files=(Entry("a", 1, 0, "sha1:00"), Entry("m", 1, 0, "sha1:00", role="sidecar")),
    )
    made = receipt(journal, [(journal.files[0], FileRef("here", "1", "2", ("a",), 1, 0))], 0.0, "me")
    text = section(STATUS, "### receipt.json")
    assert first_column(text) == set(made)
    assert all(f'"{name}"' in text for name in {*made["files"][0], *made["sidecar"]})


def test_every_state_is_documented():
    assert first_column(section(STATUS, "### States")) == {state.value for state in State}


def test_every_command_is_in_the_changes():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert all(f"`{name}`" in text for name in COMMANDS)


def test_links_lead_somewhere():
    for file in documents():
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name}: {target}"


def test_documented_commands_exist():
    for file in documents():
        for name, options in re.findall(r"pacifica-fs (\w[\w-]*)((?: -[-\w]+)*)", file.read_text()):
            command = COMMANDS.get(name)
            assert command, f"{file.name}: pacifica-fs {name}"
            known = {text for param in cli.get_command(None, name).params for text in param.opts}
            for option in options.split():
                letters = [option] if option.startswith("--") else [f"-{letter}" for letter in option[1:]]
                assert set(letters) <= known, f"{file.name}: pacifica-fs {name} {option}"


def test_the_tests_that_coverage_names_exist():
    for line in (ROOT / "docs/coverage.md").read_text().splitlines():
        file = None
        for name in re.findall(r"`(tests/[\w/.]+|)((?:::\w+)?)`", line):
            file = ROOT / name[0] if name[0] else file
            assert file is not None and file.exists(), f"{name}: {line}"
            assert not name[1] or f"def {name[1].removeprefix('::')}" in file.read_text(), f"{name}: {line}"
