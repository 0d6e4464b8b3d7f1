"""The documentation names everything there is, and nothing that is not."""

import re
from pathlib import Path

import msgspec
import pytest

from pacifica_fs import config
from pacifica_fs.archives import local
from pacifica_fs.archives.mytardis import options as mytardis
from pacifica_fs.archives.pacifica.options import Options, TimeoutOptions
from pacifica_fs.cli.main import COMMANDS, cli
from pacifica_fs.drop.journal import Entry, Journal
from pacifica_fs.drop.receipt import receipt
from pacifica_fs.drop.states import State
from pacifica_fs.drop.upload import Upload
from pacifica_fs.model import FileRef

ROOT = Path(__file__).parents[3]
CONFIGURATION = (ROOT / "docs/configuration.md").read_text()
DROP = (ROOT / "docs/drop.md").read_text()
STATUS = (ROOT / "docs/status.md").read_text()


def keys(text, table):
    """Keys of the rows `| TABLE | KEY | …`."""
    return set(re.findall(rf"^\| {re.escape(table)} \| `(\w+)` \|", text, re.MULTILINE))


def section(text, heading):
    """From one heading to the next."""
    return re.split(r"^#+ ", text.split(f"{heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def first_column(text):
    """Names in backticks in the first column of a table."""
    cells = re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([\w.-]+)`", cell)}


def fields(struct):
    return {field.name for field in msgspec.structs.fields(struct)}


@pytest.mark.parametrize(
    ("table", "struct"),
    [
        ("`[cache]`", config.CacheSettings),
        ("`[drop]`", config.DropSettings),
        ("`[mount]`", config.MountSettings),
        ("`[log]`", config.LogSettings),
        ("`[metrics]`", config.MetricsSettings),
        ("`[datapusher]`", config.DatapusherSettings),
    ],
)
def test_every_key_of_a_table_is_documented(table, struct):
    assert keys(CONFIGURATION, table) == fields(struct)


def test_every_key_of_an_archive_is_documented():
    assert keys(CONFIGURATION, "`[archives.NAME]`") == fields(config.ArchiveSettings) - {"name", "options", "source"}


def test_every_key_of_the_kinds_is_documented():
    assert first_column(section(CONFIGURATION, "### Kind `local`")) == fields(local.Options)
    kind = section(CONFIGURATION, "### Kind `pacifica`")
    assert first_column(kind) == fields(Options) | fields(config.Auth)
    assert all(f"{name} = " in kind for name in fields(TimeoutOptions))
    assert first_column(section(CONFIGURATION, "### Kind `mytardis`")) == fields(mytardis.Options)


def test_defaults_are_documented():
    settings = config.DropSettings()
    for name, text in (("quiet", "30s"), ("quiet_unmarked", "15 min"), ("keep_done", "30d"), ("confirm_after", "24h")):
        assert re.search(rf'^\| `\[drop\]` \| `{name}` \| `"{text}"` \|', CONFIGURATION, re.MULTILINE)
        assert config.Duration.parse(text) == getattr(settings, name)
    assert config.Size.parse("50 GiB") == config.CacheSettings().limit
    assert config.Size.parse("1 GiB") == settings.min_free


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
    for file in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name}: {target}"


def test_documented_commands_exist():
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for file in documents:
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
