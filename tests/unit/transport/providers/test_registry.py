"""Who brings the bytes of which protocol, and by which of the three hooks."""

from importlib.metadata import EntryPoint

import pytest

from pacifica_fs.errors import BadAnswer, ConfigError, Unobtainable, to_errno
from pacifica_fs.transport.providers import Remote, registry

from .conftest import BASE, whole
from .example import Whole

HERE = "tests.unit.transport.providers.example"


def remote(url, protocol="", id="7", **more):
    return Remote(id, url, protocol, **more)


def test_a_template_leads_to_the_archives_own_server_which_knows_us(providers, requests_mock):
    requests_mock.get(BASE + "/vbl/datafile/7/", content=b"bytes")
    found = providers(vbl="/vbl/datafile/{id}/").open(remote("vbl:///path/to/file", "vbl"))
    assert whole(found) == b"bytes"
    assert requests_mock.last_request.headers["Authorization"] == "ApiKey me:key"


def test_a_template_for_another_server_is_followed_as_nobody(providers, requests_mock):
    requests_mock.get("http://store.example/b/path/to/a%20file", content=b"bytes")
    found = providers(vbl="http://store.example/{host}/{path}").open(remote("vbl://b/path/to/a%20file", "vbl"))
    assert whole(found) == b"bytes"
    assert "Authorization" not in requests_mock.last_request.headers
    assert "Cookie" not in requests_mock.last_request.headers


def test_a_class_of_the_configuration(providers):
    assert whole(providers(vbl=f"{HERE}:Upper").open(remote("vbl://some/path"))) == b"SOME/PATH"


def test_a_class_gets_its_options_and_the_context(providers):
    provider = providers(vbl={"use": f"{HERE}:Upper", "speed": 3}).provider("vbl")
    assert provider.context.options == {"speed": 3}
    assert provider.context.archive == "tardis" and provider.context.http.base == BASE


def test_an_entry_point(providers, monkeypatch):
    points = {"vbl": [EntryPoint("vbl", f"{HERE}:Upper", registry.GROUP)]}
    monkeypatch.setattr(registry, "entry_points", lambda group, name: points.get(name, []))
    assert whole(providers().open(remote("vbl://some/path"))) == b"SOME/PATH"
    # The configuration is nearer to the user than what somebody installed.
    assert whole(providers(vbl=f"{HERE}:Whole").open(remote("vbl://other"))) == b"OTHER"


def test_an_entry_point_that_cannot_be_loaded_says_so(providers, monkeypatch):
    points = [EntryPoint("vbl", "no_such_module:Provider", registry.GROUP)]
    monkeypatch.setattr(registry, "entry_points", lambda group, name: points)
    with pytest.raises(Unobtainable, match="no_such_module"):
        providers().open(remote("vbl://some/path"))


def test_an_unknown_protocol_is_eio_and_says_what_to_configure(providers):
    import errno

    with pytest.raises(Unobtainable, match=r"protocol 'vbl'.*archives\.tardis\.providers = \{ vbl") as caught:
        providers().open(remote("vbl://some/path"))
    assert to_errno(caught.value) == errno.EIO


@pytest.mark.parametrize(
    "value, words",
    [
        ("no gaps", "an address with"),
        ("/x/{size}", "an address with"),
        (f"{HERE}:Missing", "cannot be loaded"),
        ("no_such_module:Provider", "cannot be loaded"),
        (f"{HERE}:Half", "no download_experiment and no download_datafiles"),
        (f"{HERE}:fails", "cannot be made"),
        (3, "was expected"),
    ],
)
def test_a_wrong_configuration_says_where(providers, value, words):
    with pytest.raises(ConfigError, match=rf"config\.toml: archives\.tardis\.providers\.vbl: .*{words}"):
        providers(vbl=value)


def test_a_protocol_is_a_scheme(providers):
    with pytest.raises(ConfigError, match="not a protocol"):
        providers(**{"V B": "/{id}"})


def test_where_field_and_scheme_disagree_the_field_wins_and_the_log_says_so_once(providers, caplog):
    found = providers(vbl=f"{HERE}:Upper")
    file = remote("http://me:secret@store.example/x?token=1", "vbl", path="a/b.dat")
    for _ in range(2):
        assert whole(found.open(file)).startswith(b"ME:SECRET")
    assert len(caplog.records) == 1
    assert "a/b.dat: the archive says protocol 'vbl'" in caplog.text and "'vbl' counts" in caplog.text
    assert "secret" not in caplog.text and "token=1" not in caplog.text
    assert not found.remark(remote("vbl://x", "vbl")) and not found.remark(remote("vbl://x"))
    assert not found.remark(remote("", "vbl"))


def test_a_mixture_of_protocols_in_one_batch(providers, requests_mock):
    requests_mock.get(BASE + "/vbl/1/", content=b"one")
    requests_mock.get("http://store.example/three", content=b"three")
    files = [
        remote("vbl://a", "vbl", "1"),
        remote("up://two"),
        remote("http://store.example/three", id="3"),
        remote("up://four", id="4"),
    ]
    found = providers(vbl="/vbl/{id}/", up=f"{HERE}:Whole")
    Whole.asked.clear()
    assert {index: whole(opened) for index, opened in found.open_all(files)} == {
        0: b"one",
        1: b"TWO",
        2: b"three",
        3: b"FOUR",
    }
    assert Whole.asked == [("datafiles", "", 2)]


def test_what_fails_of_one_protocol_keeps_back_no_other(providers, requests_mock):
    requests_mock.get("http://store.example/last", content=b"last")
    files = [remote("xyz://unknown"), remote("up://two"), remote("bad://three"), remote("http://store.example/last")]
    found = {}
    made = providers(up=f"{HERE}:Upper", bad=f"{HERE}:Broken")
    with pytest.raises(Unobtainable, match="'xyz'"):
        for index, opened in made.open_all(files):
            found[index] = whole(opened)
    assert found == {1: b"TWO", 3: b"last"}


def test_an_experiment_goes_through_its_own_hook(providers):
    Whole.asked.clear()
    files = [remote(f"up://{name}") for name in ("a", "b", "c")]
    found = [(index, whole(opened)) for index, opened in providers(up=f"{HERE}:Whole").open_all(files, "12")]
    assert found == [(2, b"C"), (1, b"B"), (0, b"A")]
    assert Whole.asked == [("experiment", "12", 3)]


def test_a_provider_that_leaves_a_file_out_is_found_out(providers):
    files = [remote("up://a"), remote("up://b", path="b.dat")]
    with pytest.raises(BadAnswer, match=r"leaves out b\.dat"):
        list(providers(up=f"{HERE}:Forgetful").open_all(files))


def test_a_provider_that_fails_is_a_bad_answer(providers):
    with pytest.raises(BadAnswer, match="KeyError"):
        providers(up=f"{HERE}:Broken").open(remote("up://a"))
    with pytest.raises(BadAnswer, match="KeyError"):
        list(providers(up=f"{HERE}:Broken").open_all([remote("up://a")]))


def test_addresses_that_lead_in_a_circle_end(providers):
    with pytest.raises(Unobtainable, match="without end"):
        providers(up=f"{HERE}:Circle").open(remote("up://a"))
