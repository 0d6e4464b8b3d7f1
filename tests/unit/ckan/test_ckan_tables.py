"""Files as tables: what DataPusher damages silently comes out right, and what cannot be a table says so."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from pacifica_fs.archives.ckan.tables import (
    BadTable,
    FieldOption,
    Interrupted,
    NotATable,
    Options,
    Table,
    format_of,
    read,
)


@pytest.fixture
def table(tmp_path: Path):
    """A factory: the table of a file with this content."""

    def make(content: str | bytes, name: str = "data.csv", **options: object) -> Table:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read(path, format_of(name), Options(**options))  # type: ignore[arg-type]

    return make


def types(table: Table) -> dict[str, str]:
    return {field.id: field.type for field in table.fields}


def column(table: Table, name: str) -> list[object]:
    index = [field.id for field in table.fields].index(name)
    return [record[index] for record in table.records()]


def test_the_types_of_plain_columns(table):
    found = table("n,t,when,ok\n1,a,2024-01-31,true\n-2.5e3,b,2024-02-01T10:00:00.5,False\n")
    assert types(found) == {"n": "numeric", "t": "text", "when": "timestamp", "ok": "bool"}
    assert list(found.records()) == [
        ["1", "a", "2024-01-31", True],
        ["-2.5e3", "b", "2024-02-01T10:00:00.5", False],
    ]


@pytest.mark.parametrize(
    "cell", ["00123", "+5", "1.234,50", "1,5", "1_000", "0x10", "NaN", "inf", ".5", "5.", "1e9999"]
)
def test_what_only_looks_like_a_number_stays_text(table, cell):
    found = table(f"a;b\n7;{cell}\n8;{cell}\n")
    assert types(found) == {"a": "numeric", "b": "text"}
    assert column(found, "b") == [cell, cell]


@pytest.mark.parametrize("cell", ["31-12-2020", "01-02-2021", "1/2/2021", "2021-02-30", "2021-W01-1", "24:00"])
def test_no_day_is_taken_for_a_month(table, cell):
    assert types(table(f"a,d\nx,{cell}\n"))["d"] == "text"


@pytest.mark.parametrize("cell", ["Wednesday", "t", "10:00-12:00", "May", "A1"])
def test_text_is_not_turned_into_dates(table, cell):
    found = table(f"a,d\nx,{cell}\n")
    assert types(found)["d"] == "text" and column(found, "d") == [cell]


def test_types_are_decided_over_all_rows(table):
    rows = "".join(f"{i},x\n" for i in range(3000))
    found = table(f"n,t\n{rows}abc,x\n")
    assert types(found)["n"] == "text" and found.rows == 3001
    assert "the column 'n' is text, not numeric, because of 'abc' in line 3002" in found.remarks
    assert len(list(found.records())) == 3001


def test_a_blank_in_a_numeric_column_is_nothing(table):
    found = table("n,t\n1,a\n ,b\n,c\n2,d\n")
    assert types(found)["n"] == "numeric" and column(found, "n") == ["1", None, None, "2"]


def test_dates_by_the_format_that_the_sidecar_gives(table):
    found = table("d,x\n31-12-2020,1\n01-02-2021,2\n", fields=(FieldOption("d", date_format="%d-%m-%Y"),))
    assert column(found, "d") == ["2020-12-31T00:00:00", "2021-02-01T00:00:00"]
    found = table("d,x\n31-12-2020,1\n", fields=(FieldOption("d", type="date", date_format="%d-%m-%Y"),))
    assert types(found)["d"] == "date" and column(found, "d") == ["2020-12-31"]


def test_offsets_become_utc_and_mixed_times_stay_text(table):
    found = table("a,d\nx,2024-01-31T12:00:00+02:00\ny,2024-01-31T12:00:00Z\n")
    assert types(found)["d"] == "timestamp"
    assert column(found, "d") == ["2024-01-31T10:00:00", "2024-01-31T12:00:00"]
    assert any("UTC" in remark for remark in found.remarks)
    assert types(table("a,d\nx,2024-01-31T12:00:00Z\ny,2024-01-31T12:00:00\n"))["d"] == "text"


def test_the_sidecar_decides_types(table):
    fields = (FieldOption("n", type="text"), FieldOption("c", type="numeric"), FieldOption("p", decimal=","))
    found = table("n;c;p\n1;007;1,5\n2;+8;-2,25\n", fields=fields)
    assert types(found) == {"n": "text", "c": "numeric", "p": "numeric"}
    assert list(found.records()) == [["1", "007", "1.5"], ["2", "+8", "-2.25"]]


def test_a_cell_that_contradicts_its_type_is_named_by_row_and_column(table):
    with pytest.raises(BadTable) as caught:
        table("n,t\n1,a\nabc,b\n", fields=(FieldOption("n", type="numeric"),))
    assert str(caught.value) == "line 3 (row 2), column 'n': 'abc' is not a number"
    assert (caught.value.faults[0].row, caught.value.faults[0].column) == (2, "n")


def test_all_bad_cells_are_counted_and_the_first_named(table):
    rows = "".join("x,1\n" for _ in range(20))
    with pytest.raises(BadTable, match="and 15 more cells"):
        table(f"n,t\n{rows}", fields=(FieldOption("n", type="int"),))


@pytest.mark.parametrize(
    ("type", "good", "bad"),
    [("int", "2147483647", "2147483648"), ("bigint", "-9223372036854775808", "9223372036854775808"),
     ("bool", "yes", "maybe"), ("float", "1e5", "x"), ("timestamp", "2024-01-31", "31.1.2024"),
     ("date", "2024-01-31", "2024-1-31"), ("time", "12:30", "noon"), ("json", '{"a": 1}', "{a}")],
)  # fmt: skip
def test_given_types(table, type, good, bad):
    fields = (FieldOption("v", type=type),)
    assert types(table(f"v\tw\n{good}\tx\n", "a.tsv", fields=fields))["v"] == type
    with pytest.raises(BadTable, match="row 1"):
        table(f"v\tw\n{bad}\tx\n", "a.tsv", fields=fields)


def test_a_table_without_a_column_that_is_described(table):
    with pytest.raises(BadTable, match="no column 'm'; the columns are: n, t"):
        table("n,t\n1,2\n", fields=(FieldOption("m", type="text"),))


@pytest.mark.parametrize(
    "option",
    [FieldOption("n", type="integer"), FieldOption("n", decimal="x"), FieldOption("n", date_format="%Q"),
     FieldOption("n", type="bool", date_format="%Y")],
)  # fmt: skip
def test_an_option_that_makes_no_sense(table, option):
    with pytest.raises(BadTable, match="field 'n'"):
        table("n,t\n1,2\n", fields=(option,))


def test_headings_become_names_that_the_datastore_takes(table):
    found = table('a,,_id,"say ""x""",a,' + "é" * 40 + "\n1,2,3,4,5,6\n")
    names = [field.id for field in found.fields]
    assert names[:5] == ["a", "column_2", "id", "say x", "a_2"]
    assert len(names[5].encode()) <= 63 and set(names[5]) == {"é"}
    assert found.fields[2].label == "_id"


def test_an_unnamed_column_does_not_shift_the_others_types(table):
    found = table("a,,b\nx,5,hello\ny,6,world\n")
    assert types(found) == {"a": "text", "column_2": "numeric", "b": "text"}
    assert list(found.records()) == [["x", "5", "hello"], ["y", "6", "world"]]


def test_a_title_above_is_not_in_the_table(table):
    found = table("Measured in May\n\na,b,c\n1,2,x\n3,4,y\n")
    assert [field.id for field in found.fields] == ["a", "b", "c"] and found.rows == 2
    assert "line 1 above the table: not in it" in found.remarks


def test_a_table_without_headings(table):
    found = table("1,2.5\n2,3.5\n")
    assert [field.id for field in found.fields] == ["column_1", "column_2"] and found.rows == 2
    assert [field.id for field in table("x,y\nz,w\n", header=0).fields] == ["column_1", "column_2"]


def test_the_heading_line_of_the_sidecar(table):
    found = table("1,2\na,b\n3,4\n", header=2)
    assert list(found.records()) == [["3", "4"]]
    with pytest.raises(BadTable, match="no line 9"):
        table("a,b\n1,2\n", header=9)


def test_an_index_column_without_a_heading(table):
    assert [field.id for field in table(",value\n0,5\n1,6\n").fields] == ["column_1", "value"]


def test_ragged_rows_lose_nothing_and_are_reported_by_line(table):
    found = table("a,b\n1,2\n3\n4,5,extra\n6,7,,\n")
    assert list(found.records()) == [
        ["1", "2", None], ["3", None, None], ["4", "5", "extra"], ["6", "7", None],
    ]  # fmt: skip
    assert "line 3 with fewer cells: the missing ones are empty" in found.remarks
    assert "line 4 with more cells than headings: kept in 'column_3'" in found.remarks


def test_empty_rows_are_left_out_and_reported(table):
    found = table("a,b\n1,2\n\n,\n3,4\n")
    assert found.rows == 2 and "lines 3, 4 without any cell: left out" in found.remarks


def test_a_last_line_without_an_end(table):
    assert list(table("a,b\n1,2").records()) == [["1", "2"]]


def test_cells_with_line_ends_and_quotes(table):
    found = table('a,b\n"two\nlines","say ""hi"""\nx,y\n')
    assert list(found.records()) == [["two\nlines", 'say "hi"'], ["x", "y"]]


def test_a_quotation_mark_that_is_never_closed(table):
    with pytest.raises(BadTable, match="opened in line 2 is never closed"):
        table('a,b\n"one,2\n3,4\n5,6\n')


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"]
)
def test_encodings(table, encoding):
    found = table("a,b\nMüller,1\nÅngström,2\n".encode(encoding))
    assert column(found, "a") == ["Müller", "Ångström"]


def test_an_encoding_that_shows_late(table):
    found = table(b"a,b\n" + b"plain,1\n" * 200_000 + "Müller,2\n".encode("latin-1"))
    assert column(found, "a")[-1] == "Müller"
    assert any("not UTF-8: read as cp1252" in remark for remark in found.remarks)


def test_the_encoding_of_the_sidecar(table):
    assert column(table("a,b\nпривет,1\n".encode("koi8-r"), encoding="koi8-r"), "a") == ["привет"]
    with pytest.raises(BadTable, match="'klingon' is not known"):
        table("a,b\n1,2\n", encoding="klingon")
    with pytest.raises(BadTable, match="set its encoding"):
        table("a,b\nü,2\n".encode("latin-1"), encoding="utf-8")


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_delimiters_are_found_out(table, delimiter):
    text = "\n".join(delimiter.join(row) for row in (["name", "note"], ["a", "x y"], ["b", "z"]))
    assert list(table(text).records()) == [["a", "x y"], ["b", "z"]]


def test_a_delimiter_of_the_sidecar(table):
    assert list(table("a:b\n1:2\n", delimiter=":").records()) == [["1", "2"]]
    assert list(table("a\tb\n1\t2\n", delimiter="tab").records()) == [["1", "2"]]
    with pytest.raises(BadTable, match="one character"):
        table("a\n1\n", delimiter="::")


def test_a_decimal_comma_does_not_make_a_comma_the_delimiter(table):
    assert [f.id for f in table("name;value\na;1,5\nb;2,5\n").fields] == ["name", "value"]


def test_nul_characters_are_removed(table):
    assert list(table("a,b\nx,1\n" + "y,2\n" * 2000 + "z\0z,3\n").records())[-1] == ["zz", "3"]


def test_null_values(table):
    found = table("n,t\n1,NA\nNA,b\n", null_values=("NA",))
    assert types(found)["n"] == "numeric" and list(found.records()) == [["1", None], [None, "b"]]


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "empty"), (b"  \n\n", "empty"), (b"<!DOCTYPE html><html></html>", "web page"), (b"%PDF-1.4 x", "PDF"),
     (b"\x89PNG\r\n\x1a\n", "PNG"), (b"\0\1\2\3\4" * 50, "binary"), (b",,\n,,\n", "empty")],
)  # fmt: skip
def test_what_is_no_table(table, content, why):
    with pytest.raises(NotATable, match=why):
        table(content)


def test_a_name_that_is_no_table(table):
    with pytest.raises(NotATable, match="by its name"):
        table(b"a,b\n1,2\n", "frame.bin")


def test_headings_alone_are_an_empty_table(table):
    found = table("a,b\n")
    assert types(found) == {"a": "text", "b": "text"} and found.rows == 0 and list(found.records()) == []


def test_too_many_columns(table):
    with pytest.raises(NotATable, match="1700 columns"):
        table(",".join(f"c{i}" for i in range(1700)) + "\n" + ",".join("1" * 1700) + "\n")


def test_a_file_that_changes_while_it_is_read(table, tmp_path):
    found = table("a,b\n1,2\n")
    (tmp_path / "data.csv").write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(BadTable, match="changed while it was read"):
        list(found.records())


def test_it_can_be_interrupted(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(Interrupted):
        read(tmp_path / "a.csv", "csv", go_on=lambda: False)


@pytest.mark.parametrize(
    ("name", "said", "mime", "format"),
    [("a.CSV", "", "", "csv"), ("a.dat", "csv", "", "csv"), ("a.csv", "PDF", "", ""), ("a", "", "text/csv; x=y", "csv"),
     ("a.xlsx", "", "", "xlsx"), ("a.dat", "", "", ""), ("a.tab", "", "", "tab"), ("a.bin", "text/csv", "", "csv")],
)  # fmt: skip
def test_formats(name, said, mime, format):
    assert format_of(name, said, mime) == format


def test_memory_does_not_grow_with_the_rows(tmp_path):
    path = tmp_path / "big.csv"
    with path.open("w") as stream:
        stream.write("n,name,when\n")
        stream.writelines(f"{i},name {i},2024-01-01T00:00:00\n" for i in range(200_000))
    tracemalloc.start()
    try:
        found = read(path, "csv")
        assert sum(1 for _ in found.records()) == 200_000
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
