"""A site's uploader.json: what is taken, how values are found, and how choices are shown."""

import json

import pytest

from pacifica_fs.archives.pacifica import choices, display
from pacifica_fs.archives.pacifica.filling import fill
from pacifica_fs.archives.pacifica.template import DEFAULT, Query, parse
from pacifica_fs.errors import ConfigError, Denied, NotFound
from pacifica_fs.model import Metadata


def entry(id, **more):
    return {"metaID": id, "destinationTable": f"Transactions.{id}", **more}


def template(*entries):
    return parse(json.dumps(entries).encode(), "uploader.json")


LOGON = entry(
    "logon",
    destinationTable="Transactions.submitter",
    sourceTable="users",
    valueField="_id",
    displayType="logged_on",
    queryFields=["_id", "network_id"],
    queryDependency={"network_id": "logon"},
)
PROJECT = entry(
    "project",
    sourceTable="projects",
    valueField="_id",
    displayType="select",
    displayFormat="{_id} - {title}",
    queryFields=["_id", "title"],
    queryDependency={"_id": "project"},
)
INSTRUMENT = entry(
    "instrument",
    sourceTable="instruments",
    valueField="_id",
    displayType="select",
    displayFormat="%(_id)s %(name)s",
    queryFields=["_id", "name"],
    queryDependency={"project_id": "project"},
)
TAG = {"metaID": "tag", "destinationTable": "TransactionKeyValue", "key": "Tag", "displayType": "enter", "value": ""}
SITE = template(INSTRUMENT, LOGON, PROJECT, TAG)

PROJECTS = [{"_id": "1234a", "title": "Proteins"}, {"_id": "1235", "title": "Soils"}]
INSTRUMENTS = {"1234a": [{"_id": 54, "name": "NMR"}], "1235": [{"_id": 54, "name": "NMR"}, {"_id": 7, "name": "TEM"}]}


class Site:
    """Policy, for one user."""

    def __init__(self, projects=PROJECTS, instruments=INSTRUMENTS):
        self.projects, self.instruments, self.asked = projects, instruments, []

    def __call__(self, query: Query):
        self.asked.append(query)
        where = dict(query.where)
        if query.table == "projects":
            return self.projects
        if query.table == "instruments":
            if "project_id" not in where:
                return [row for rows in self.instruments.values() for row in rows]
            return self.instruments.get(where["project_id"], [])
        return [{"_id": 10, "network_id": "dmlb2001"}]


def filled(given, site=None, made=SITE, first=False):
    return fill(made, given, site or Site(), "10", first)


def words(found):
    return " ".join(f"{problem.what} {problem.remedy}" for problem in found.problems)


# -- the file


def test_parents_come_first_whatever_the_files_order():
    assert [one.id for one in SITE.entries] == ["logon", "project", "instrument", "tag"]
    assert [one.id for one in SITE.above("instrument")] == ["project"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "uploader.json"),
        (b"[]", "empty"),
        (b'[{"metaID": "a"}]', "destinationTable"),
        (json.dumps([entry("a"), entry("a")]).encode(), "another entry has the same"),
        (json.dumps([entry("a", queryDependency={"x": "b"})]).encode(), "there is no entry 'b'"),
        (json.dumps([entry("a/b")]).encode(), "metaID"),
        (json.dumps([{"metaID": "k", "destinationTable": "TransactionKeyValue"}]).encode(), '"key"'),
        (json.dumps([entry("a", displayFormat="{x.y}")]).encode(), "displayFormat"),
        (json.dumps([entry("a", displayFormat="%(x")]).encode(), "displayFormat"),
        (
            json.dumps([entry("a", queryDependency={"x": "b"}), entry("b", queryDependency={"x": "a"})]).encode(),
            "circle among: a, b",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said_and_where(content, said):
    with pytest.raises(ConfigError) as raised:
        parse(content, "uploader.json")
    assert said in str(raised.value) and "uploader.json" in str(raised.value)


def test_the_default_is_one():
    assert [one.id for one in DEFAULT.entries] == ["logon", "project", "instrument"]


# -- displayFormat


@pytest.mark.parametrize(
    ("format", "shown"),
    [
        ("{_id} - {title}", "7 - Söils"),
        ("%(_id)s - %(title)s", "7 - Söils"),
        ("{_id:>3}|{missing}|{none}", "7||"),
        ("100%% of %(_id)s", "100% of 7"),
        ("{{{_id}}}", "{7}"),
        ("%(title)d", "Söils"),
        ("two\n lines {_id}", "two lines 7"),
    ],
)
def test_both_ways_to_write_it(format, shown):
    assert display.render(format, {"_id": 7, "title": "Söils", "none": None}) == shown


@pytest.mark.parametrize("format", ["{_id.__class__}", "{_id[0]}", "{", "{0}", "{}", "%(_id"])
def test_nothing_but_columns_can_be_reached(format):
    assert display.wrong(format)


# -- values


def test_what_has_one_choice_is_found_and_children_are_asked_with_their_parents():
    site = Site()
    found = filled(Metadata({"project": "1234a"}, (("Tag", "x"),)), site)
    assert found.valid and found.metadata.fields == {"project": "1234a", "instrument": "54"}
    assert found.values == {"logon": "10", "project": "1234a", "instrument": "54", "tag": "x"}
    assert Query("instruments", ("_id", "name"), (("project_id", "1234a"),)) in site.asked


def test_several_choices_are_listed_in_the_sites_form_and_nothing_is_taken():
    found = filled(Metadata({"project": "1235"}, (("Tag", "x"),)))
    assert not found.valid and "instrument" not in found.metadata.fields
    assert "54 NMR; 7 TEM" in words(found) and '"instrument": "54"' in words(found)


def test_the_first_is_taken_where_the_site_wants_that():
    found = filled(Metadata({}, (("Tag", "x"),)), first=True)
    assert found.valid and found.metadata.fields == {"project": "1234a", "instrument": "54"}


def test_a_whole_line_of_the_choices_means_its_value():
    found = filled(Metadata({"project": "1235 - Soils", "instrument": "7 TEM"}, (("Tag", "x"),)))
    assert found.valid and found.metadata.fields == {"project": "1235", "instrument": "7"}


def test_a_better_sidecar_is_the_loop_of_the_seed():
    given = Metadata({"project": "1235", "instrument": "TEM"})
    found = filled(given)
    assert "'TEM' is not the number of one of the site's instruments" in words(found)
    assert "the metadata does not say 'tag'" in words(found) and '"keys": {"Tag": "…"}' in words(found)
    assert filled(Metadata({"project": "1235", "instrument": "7"}, (("Tag", "x"),))).valid


def test_free_text_and_what_nobody_knows_is_taken_as_it_is():
    made = template(entry("project", displayType="hologram", sourceTable="projects", valueField="_id"), TAG)
    found = filled(Metadata({"project": "anything"}, (("Tag", "Ü"),)), made=made)
    assert found.valid and found.metadata.fields["project"] == "anything"


def test_a_value_of_the_site_counts_unless_the_sidecar_says_another():
    made = template(PROJECT, {**TAG, "value": "site"})
    assert ("Tag", "site") in filled(Metadata({"project": "1235"}), made=made).metadata.keys
    assert filled(Metadata({"project": "1235"}, (("Tag", "own"),)), made=made).metadata.keys == (("Tag", "own"),)


def test_the_native_form_of_the_official_clients_is_understood():
    native = (
        {"metaID": "project", "value": "1235"},
        {"metaID": "instrument", "value": "7"},
        {"metaID": "tag", "value": "t"},
    )
    found = filled(Metadata(native=native))
    assert found.valid and found.metadata.fields == {"project": "1235", "instrument": "7"}
    assert found.metadata.keys == (("Tag", "t"),) and found.metadata.native == ()


def test_what_goes_into_other_tables_is_passed_on():
    made = template(PROJECT, entry("theme", destinationTable="Transactions.theme", displayType="enter"))
    found = filled(Metadata({"project": "1235", "theme": "soil"}), made=made)
    assert found.valid and found.metadata.native == (
        {"metaID": "theme", "destinationTable": "Transactions.theme", "value": "soil"},
    )


def test_two_values_for_one_thing_are_a_problem():
    found = filled(Metadata({"project": "1235", "instrument": "7"}, native=({"metaID": "project", "value": "9"},)))
    assert "'1235' and '9'" in words(found)


def test_who_may_nothing_is_told_so():
    found = filled(Metadata({}, (("Tag", "x"),)), Site(projects=[]))
    assert "the site offers nothing for it" in words(found)


def test_folders_around_all_files_in_their_order():
    made = template(
        {**PROJECT, "directoryOrder": 1, "displayFormat": "Proposal {_id}"}, {**INSTRUMENT, "directoryOrder": 0}
    )
    found = filled(Metadata({"project": "1234a"}), made=made)
    assert found.prefix == ("54 NMR", "Proposal 1234a")


def test_a_folder_that_would_lead_out_is_a_problem():
    made = template({**PROJECT, "directoryOrder": 0, "displayFormat": "../{_id}"})
    assert "wants a folder" in words(filled(Metadata({"project": "1234a"}), made=made))


# -- what a user sees


def text(*path, site=None, made=SITE, refused=lambda fields: False):
    return choices.text(made, path, site or Site(), "10", refused)


def test_the_folders():
    assert choices.names(SITE, ()) == (".choices", ".example", ".template.json")
    assert choices.names(SITE, (".choices",)) == ["logon", "project", "instrument", "tag"]
    assert choices.names(SITE, (".choices", "project")) is None
    assert choices.names(SITE, (".choices", "instrument")) == ("all",)
    assert choices.names(SITE, (".choices", "instrument", "project=1235")) is None
    for path in [("x",), (".choices", "nosuch"), (".choices", "instrument", "tag=1"), (".choices", "instrument", "x")]:
        with pytest.raises(NotFound):
            choices.names(SITE, path)


def test_choices_are_in_the_sites_form():
    assert text(".choices", "project") == "1234a - Proteins\n1235 - Soils\n"
    assert text(".choices", "instrument", "project=1235") == "54 NMR\n7 TEM\n"
    assert text(".choices", "instrument", "all") == "54 NMR\n7 TEM\n"
    assert "any text" in text(".choices", "tag")
    assert "lists none for you" in text(".choices", "project", site=Site(projects=[]))


def test_the_template_is_shown_as_it_is():
    assert json.loads(text(".template.json"))[0]["metaID"] == "instrument"


def test_an_example_says_what_has_to_be_said_and_would_be_taken():
    found = json.loads(text(".example", "metadata.json"))
    assert found == {"project": "1234a", "instrument": 54, "keys": {"Tag": "tag"}}
    keys = tuple(found.pop("keys").items())
    assert filled(Metadata({name: str(value) for name, value in found.items()}, keys)).valid


def test_an_example_is_what_policy_takes():
    found = json.loads(text(".example", "metadata.json", refused=lambda fields: fields["project"] == "1234a"))
    assert found["project"] == "1235"
    with pytest.raises(Denied):
        text(".example", "metadata.json", refused=lambda fields: True)
