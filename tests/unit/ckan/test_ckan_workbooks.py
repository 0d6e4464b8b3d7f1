"""Workbooks as tables."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from pacifica_fs.archives.ckan.tables import BadTable, NotATable, Options, read, workbook
from tests.servers.workbooks import ods, xlsx

MIDNIGHT = datetime.datetime(2024, 1, 31)
NOON = datetime.datetime(2024, 1, 31, 12, 30)
ROWS = [
    ["n", "code", "x", "when", "ok", "note"],
    [690307, "00123", 1.5, MIDNIGHT, True, "a"],
    [2, "0044", 2, NOON, False, None],
]


@pytest.mark.parametrize(("write", "format"), [(xlsx, "xlsx"), (ods, "ods")])
def test_the_cells_of_a_workbook(tmp_path, write, format):
    found = read(write(tmp_path / f"a.{format}", {"Data": ROWS}), format)
    assert {field.id: field.type for field in found.fields} == {
        "n": "numeric", "code": "text", "x": "numeric", "when": "timestamp", "ok": "bool", "note": "text",
    }  # fmt: skip
    first, second = found.records()
    assert first[:3] == ["690307", "00123", "1.5"] and first[4:] == [True, "a"]
    assert [str(cell)[:10] for cell in (first[3], second[3])] == ["2024-01-31"] * 2
    assert second[:3] == ["2", "0044", "2"] and str(second[3])[11:16] == "12:30" and second[4:] == [False, None]


def test_an_old_xls():
    found = read(Path(__file__).with_name("sample.xls"), "xls")
    assert {field.id: field.type for field in found.fields} == {"id": "numeric", "code": "text", "day": "timestamp"}
    assert [record[:2] for record in found.records()] == [["1", "007"], ["2", "010"]]


def test_the_first_sheet_with_anything_in_it(tmp_path):
    path = xlsx(tmp_path / "a.xlsx", {"Blank": [], "First": [["a", "b"], [1, "x"]], "Second": [["c", "d"], [2, "y"]]})
    found = read(path, "xlsx")
    assert [field.id for field in found.fields] == ["a", "b"]
    assert found.remarks == ("the sheet 'First' was taken, of 3: Blank, First, Second",)


@pytest.mark.parametrize("sheet", ["Second", 1, "1"])
def test_a_sheet_by_name_or_number(tmp_path, sheet):
    path = xlsx(tmp_path / "a.xlsx", {"First": [["a", "b"], [1, "x"]], "Second": [["c", "d"], [2, "y"]]})
    assert [field.id for field in read(path, "xlsx", Options(sheet=sheet)).fields] == ["c", "d"]


@pytest.mark.parametrize("sheet", ["Third", 2, -1])
def test_a_sheet_that_is_not_there(tmp_path, sheet):
    path = xlsx(tmp_path / "a.xlsx", {"First": [["a", "b"], [1, "x"]], "Second": []})
    with pytest.raises(BadTable, match="the sheets are, from 0: First, Second"):
        read(path, "xlsx", Options(sheet=sheet))


def test_what_is_no_workbook(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"PK\3\4 broken")
    with pytest.raises(NotATable, match="cannot be read"):
        read(tmp_path / "a.xlsx", "xlsx")
    with pytest.raises(NotATable, match="all sheets are empty"):
        read(xlsx(tmp_path / "b.xlsx", {"One": [], "Two": []}), "xlsx")


def test_a_workbook_that_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(workbook, "LARGEST", 100)
    with pytest.raises(NotATable, match="save the table as CSV"):
        read(xlsx(tmp_path / "a.xlsx", {"One": [["a"], [1]]}), "xlsx")


def test_lines_are_those_that_the_user_sees(tmp_path):
    path = xlsx(tmp_path / "a.xlsx", {"One": [[], ["Title"], ["a", "b"], [1, "x"], ["y", "z"]]})
    found = read(path, "xlsx")
    assert "line 2 above the table: not in it" in found.remarks
    assert "the column 'a' is text, not numeric, because of 'y' in line 5" in found.remarks
