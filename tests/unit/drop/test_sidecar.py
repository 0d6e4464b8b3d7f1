"""The sidecar's forms, and what is said about one that is wrong."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pacifica_fs.drop.sidecar import read, with_defaults
from pacifica_fs.model import Metadata


def good(text, name="metadata.json", **more):
    reading = read(text.encode(), name, **more)
    assert reading.metadata is not None, reading.problems
    return reading.metadata


def bad(text, name="metadata.json", **more):
    reading = read(text.encode(), name, **more)
    assert reading.metadata is None and reading.problems
    return reading.problems


def test_the_short_form():
    metadata = good('{"project": "1234a", "instrument": 54, "keys": {"Tag": ["first", "second"], "T": 27}}')
    assert dict(metadata.fields) == {"project": "1234a", "instrument": "54"}
    assert metadata.keys == (("Tag", "first"), ("Tag", "second"), ("T", "27")) and metadata.files is None


def test_the_native_form():
    metadata = good(
        """[{"destinationTable": "Transactions.submitter", "value": 10},
            {"destinationTable": "Transactions.project", "value": "1234a"},
            {"destinationTable": "TransactionKeyValue", "key": "Temp C", "value": 27},
            {"destinationTable": "Transactions.instrument", "value": "", "metaID": "instrument"},
            {"destinationTable": "NothingReally", "value": "x"}]"""
    )
    assert dict(metadata.fields) == {"submitter": "10", "project": "1234a"}
    assert metadata.keys == (("Temp C", "27"),)
    assert [e["destinationTable"] for e in metadata.native] == ["Transactions.instrument", "NothingReally"]


@pytest.mark.parametrize("number", ["0123", "1e5", "1_000", "0x1F", "1.50", "12:30", "yes", "2020-01-02", "-0"])
def test_yaml_scalars_stay_the_text_that_was_written(number):
    metadata = good(f"project: {number}\nkeys:\n  Tag: {number}\n", "metadata.yaml")
    assert metadata.fields["project"] == number and metadata.keys == (("Tag", number),)


@pytest.mark.parametrize("number", ["1e5", "1.50", "100000000000000000000000", "-0", "1E400"])
def test_json_numbers_too(number):
    assert good(f'{{"project": {number}}}').fields["project"] == number


def test_nothing_given_is_left_to_the_defaults():
    metadata = good("project:\ninstrument: ~\nkeys: null\n", "metadata.yaml")
    assert dict(metadata.fields) == {} and metadata.keys == ()
    full = with_defaults(metadata, {"project": 12, "keys": {"Site": "A", "Tag": ["x", "y"]}})
    assert dict(full.fields) == {"project": "12"} and full.keys == (("Site", "A"), ("Tag", "x"), ("Tag", "y"))


def test_the_sidecar_wins_over_the_defaults():
    full = with_defaults(Metadata({"project": "1"}, (("Tag", "mine"),)), {"project": "2", "keys": {"Tag": "theirs"}})
    assert dict(full.fields) == {"project": "1"} and full.keys == (("Tag", "mine"),)


def test_files():
    assert good('{"files": ["a.dat", "./sub//b.dat", "a.dat"]}').files == ("a.dat", "sub/b.dat")
    assert "leads out" in bad('{"files": ["../x"]}')[0].what


def test_an_unknown_key_is_a_problem_with_a_hint_and_a_line():
    (problem,) = bad('{"project": "1",\n "instrumnt": 54}')
    assert "line 2" in problem.what and "'instrumnt'" in problem.what and "'instrument'" in problem.remedy
    (problem,) = bad('{"projct": "1"}')
    assert "'project'" in problem.remedy
    (problem,) = bad("project: 1\nTemperature: 27\n", "metadata.yaml")
    assert "'keys'" in problem.remedy and "line 2" in problem.what


def test_other_kinds_have_other_fields():
    known = {"replace", "dataset"}
    assert dict(good('{"replace": true}', known=known).fields) == {"replace": "true"}
    assert "'replace'" in bad('{"replac": true}', known=known)[0].remedy


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}', "[1, 2]", '"text"', "12", '[{"name": "x"}]', "[" * 100_000,
    ],
)  # fmt: skip
def test_neither_form_is_data(text):
    assert read(text.encode(), "metadata.json").data
    assert read(b"\x89HDF\r\n\x1a\n\0\0", "metadata.json").data
    assert read(b"\xff\xfe\x00", "metadata.yaml").data


def test_what_cannot_be_parsed_is_a_problem_with_a_place():
    assert "line 2, column 1" in bad('{"project": "1",\n}')[0].what
    assert "line 2" in bad("project: 1\nkeys: [a\n", "metadata.yaml")[0].what
    assert "is empty" in bad(" \n")[0].what


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"project": ["1", "2"]}', "one value"),
        ('{"project": "1", "project": "2"}', "twice"),
        ('{"keys": ["a"]}', "an object of names"),
        ('{"keys": {"a": {"b": 1}}}', "value of 'a'"),
        ('{"keys": {"Tag": "a", "Tag": "b"}}', "twice"),
        ('{"files": "a.dat"}', "list of paths"),
        ('[{"destinationTable": "Transactions.project", "value": "1"}, {"value": "x"}]', "entry 2"),
        ('[{"destinationTable": "TransactionKeyValue", "key": "Tag"}]', "needs a 'key'"),
        ('[{"destinationTable": "Transactions.project", "value": "1"},'
         '{"destinationTable": "Transactions.project", "value": "2"}]', "given twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_words(text, words):
    assert words in bad(text)[0].what


def test_yaml_makes_no_objects():
    reading = read(b"!!python/object/apply:os.system ['false']", "metadata.yaml")
    assert reading.data
    (problem,) = bad("project: !!python/object/apply:os.system ['false']\n", "metadata.yaml")
    assert "one value" in problem.what


@given(st.binary(max_size=300), st.sampled_from(["metadata.json", "metadata.yaml"]))
def test_it_never_raises_on_bytes(content, name):
    read(content, name)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.text(max_size=5) | st.sampled_from(["project", "keys", "files", "destinationTable", "value", "key"]), inner,
        max_size=4,
    ),
    max_leaves=15,
)  # fmt: skip


@given(VALUES)
def test_it_never_raises_on_values(value):
    for text, name in ((json.dumps(value), "metadata.json"), (yaml.safe_dump(value), "metadata.yaml")):
        reading = read(text.encode("utf-8", "surrogatepass"), name)
        assert reading.metadata is None or not reading.problems


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_text_arrives_as_it_was_written(text):
    for content, name in (
        (json.dumps({"project": text}), "metadata.json"),
        (yaml.safe_dump({"project": text}, default_style='"'), "metadata.yaml"),
    ):
        assert good(content, name).fields["project"] == text
