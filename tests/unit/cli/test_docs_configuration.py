"""docs/configuration.md has every key once, with the type and the default that the code has."""

import tomllib
from collections.abc import Mapping
from importlib.metadata import entry_points

import msgspec
import pytest

from pacifica_fs import config
from tests.unit.documents import document, rows, tables_of, type_words

ROWS = {
    (cells[0].strip("`"), cells[1].strip("`")): cells[2:]
    for cells in rows(document("configuration").split("## All keys\n")[1].split("\n### ")[0])
    if len(cells) == 5 and cells[0] != "table, or kind"
}
INTERNAL = {"name", "options", "source"}
FIELDS = {
    (table, field.name): field
    for table, struct in tables_of().items()
    for field in msgspec.structs.fields(struct)
    if not (table == "[archives.NAME]" and field.name in INTERNAL)
}


def test_every_key_and_no_other():
    assert set(ROWS) == set(FIELDS)


@pytest.mark.parametrize(("table", "key"), FIELDS)
def test_type_and_default(table, key):
    field = FIELDS[table, key]
    kind, default, meaning = ROWS[table, key]
    assert kind == type_words(field.type)
    assert len(meaning) > 5
    if field.required:
        assert default == "required"
    elif field.default in (None, ""):
        assert default != "required"  # none, or what takes its place
    else:
        text = tomllib.loads(f"value = {default.strip('`')}")["value"]
        assert _plain(msgspec.convert(text, field.type, dec_hook=config._hook)) == _plain(_default(field))


def test_time_outs_are_told_one_by_one():
    for (table, key), field in FIELDS.items():
        shown = ROWS[table, key][1].strip("`")
        if key == "timeouts":
            assert set(tomllib.loads(f"value = {shown}")["value"]) == set(_default(field).__struct_fields__)


def test_every_kind_has_its_keys_here():
    kinds = {each.name for each in entry_points(group="pacifica_fs.archives") if "pacifica_fs." in each.value}
    assert kinds == {table for table in tables_of() if table.isalpha()}


def _default(field):
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


def _plain(value):
    return dict(value) if isinstance(value, Mapping) else value
