"""pacifica-cli's configuration as ours. (What the client itself reads of it: tests/integration/test_identity.py.)"""

import pytest

from pacifica_fs.archives.pacifica import pacifica_cli
from pacifica_fs.archives.pacifica.options import options
from pacifica_fs.config import ArchiveSettings
from pacifica_fs.errors import ConfigError

INI = """
[endpoints]
upload_url = https://me@site.example.org/in/upload
upload_policy_url = https://site.example.org/policy/uploader/
download_url = https://site.example.org/cart
ca_bundle = True
[authentication]
type = Basic
username = me
password = hush
cert = /nowhere
"""


def write(folder, text=INI):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.ini").write_text(text)
    return folder / "config.ini"


@pytest.fixture
def environ(tmp_path):
    write(tmp_path / ".pacifica_cli")
    return {"HOME": str(tmp_path)}


def settings(**table):
    return ArchiveSettings("site", "pacifica", options={"pacifica_cli": True, **table}, source="config.toml")


def test_its_file(environ):
    found = pacifica_cli.read(environ)
    assert found.options == {
        "policy": "https://site.example.org/policy",
        "ingest": "https://site.example.org/in",
        "cart": "https://site.example.org/cart",
        "auth": {"type": "basic", "username": "me"},
    }
    assert found.password == "hush" and "hush" not in repr(found)


def test_the_users_file_comes_over_the_systems(environ, tmp_path):
    write(tmp_path / "system", "[endpoints]\ndownload_url = https://other/cart\nca_bundle = /etc/ca.pem\n")
    write(tmp_path / ".pacifica_cli", "[endpoints]\ndownload_url = https://mine/cart\n")
    found = pacifica_cli.read(environ, system=tmp_path / "system")
    assert found.options == {"cart": "https://mine/cart", "ca_bundle": "/etc/ca.pem"}
    assert len(found.sources) == 2


def test_another_file_by_a_variable(environ, tmp_path):
    (tmp_path / ".pacifica_cli/work.ini").write_text("[endpoints]\ndownload_url = https://work.example.org/cart\n")
    found = pacifica_cli.read({**environ, "PACIFICA_CLI_INI": "work.ini"})
    assert found.options == {"cart": "https://work.example.org/cart"}


def test_templates(environ, tmp_path):
    mine, other = tmp_path / ".pacifica_cli/uploader.json", tmp_path / "system/uploader.json"
    other.parent.mkdir()
    mine.touch()
    assert pacifica_cli.read(environ, system=tmp_path / "system").options["template"] == str(mine)
    other.touch()
    assert pacifica_cli.read(environ, system=tmp_path / "system").options["template"] == str(other)
    named = {**environ, "UPLOADER_CONFIG": str(mine)}
    assert pacifica_cli.read(named, system=tmp_path / "system").options["template"] == str(mine)


def test_what_is_said_here_comes_first(environ):
    chosen = options(settings(cart="https://nearer.example.org", auth={"type": "none"}), environ)
    assert (chosen.cart, chosen.policy) == ("https://nearer.example.org", "https://site.example.org/policy")
    assert chosen.auth.type == "none" and chosen.login != "me"
    assert options(settings(), environ).login == "me"


def test_without_the_word_nothing_is_read(environ):
    with pytest.raises(ConfigError, match="policy"):
        options(ArchiveSettings("site", "pacifica", source="config.toml"), environ)


def test_another_file(tmp_path):
    file = write(tmp_path / "elsewhere")
    chosen = options(settings(pacifica_cli=str(file)), {"HOME": str(tmp_path)})
    assert chosen.ingest == "https://site.example.org/in"
    with pytest.raises(ConfigError, match=r"nowhere\.ini: there is no such file"):
        options(settings(pacifica_cli=str(tmp_path / "nowhere.ini")), {})


def test_that_there_is_none_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"pacifica_cli.*no config\.ini.*policy"):
        options(settings(), {"HOME": str(tmp_path)})


def test_percent_signs_and_what_nobody_answered(environ, tmp_path):
    write(
        tmp_path / ".pacifica_cli",
        "[endpoints]\nupload_url = https://ingest.example.com/upload\n"
        "upload_policy_url = https://p.example.org/uploader\n[authentication]\npassword = 100%%\n",
    )
    found = pacifica_cli.read(environ)
    assert (found.password, found.options) == ("100%", {"policy": "https://p.example.org"})


def test_a_password_is_never_quoted(tmp_path):
    for text in ("[authentication]\npassword = hush%x\n", "[authentication]\npassword: hush\nhush\n"):
        write(tmp_path / ".pacifica_cli", text)
        with pytest.raises(ConfigError) as refused:
            pacifica_cli.read({"HOME": str(tmp_path)})
        assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [("no section\n", "cannot be understood"), ("[authentication]\ntype = kerberos\n", "'kerberos'")],
)
def test_a_file_that_is_wrong_is_named(tmp_path, text, words):
    file = write(tmp_path / ".pacifica_cli", text)
    with pytest.raises(ConfigError, match=words) as refused:
        pacifica_cli.read({"HOME": str(tmp_path)})
    assert str(file) in str(refused.value)
