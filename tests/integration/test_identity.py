"""Who we are, to a site whose proxy asks: passwords and client certificates, through nginx before the real services."""

import errno
import json
import os
import subprocess
import sys

import pytest

from pacifica_fs.archives.pacifica import pacifica_cli
from tests.servers.fixtures import unavailable
from tests.servers.gate import Gate, Unavailable

from .tools import SIDECAR, read, until, write

pytestmark = [pytest.mark.pacifica, pytest.mark.mount, pytest.mark.timeout(240)]
FILES = {"run/a.txt": b"alpha\n", "run/b.bin": bytes(range(256)) * 300}


@pytest.fixture(scope="module")
def open_gate(pacifica_site, guard):
    try:
        gate = Gate(pacifica_site, guard)
    except Unavailable as reason:
        unavailable(str(reason))
        raise
    with gate:
        yield gate


@pytest.fixture
def gate(open_gate):
    open_gate.set_password("first secret")
    return open_gate


@pytest.fixture
def credentials(tmp_path):
    """Where a service's passwords are."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "site.password").write_text("first secret\n")
    return folder


def basic(gate):
    return {"archives": {"site": gate.table(gate.passwords, auth={"type": "basic", "username": gate.site.logon})}}


def there_and_back(mount, tmp_path, name="run1", archive="site"):
    """A bundle in, and read again through a cart; its transaction."""
    source = write(tmp_path / name, FILES)
    (source / "metadata.json").write_text(json.dumps(SIDECAR))
    subprocess.run(["cp", "-r", source, mount.path / "drop" / archive], check=True, timeout=60)
    (mount.path / "drop" / archive / name / ".commit").touch()
    mount.wait_state(name, "done", 90, archive)
    transaction = mount.status(name, archive)["transaction"]
    folder = mount.path / archive / "transactions" / str(transaction)
    mount.forget_cache()
    assert {path: read(folder / path) for path in FILES} == FILES
    return transaction


def says(mount, words):
    """The status of the archive tells the reason."""
    until(words, lambda: words in mount.read("status/archives/site.json").decode())


def lists(path):
    """Whether it can be listed by now."""
    try:
        os.listdir(path)
    except PermissionError:
        return False
    return True


def test_a_password_on_every_request(gate, credentials, mounted, tmp_path):
    before = len(gate.requests())
    mount = mounted(basic(gate), environment={"CREDENTIALS_DIRECTORY": str(credentials)})
    transaction = there_and_back(mount, tmp_path)
    assert transaction in os.listdir(mount.path / "site/projects" / SIDECAR["project"])
    asked = gate.requests()[before:]
    assert {who for _, who, _ in asked} == {gate.site.logon}
    assert {what.split()[1].split("/")[1] for _, _, what in asked} >= {"policy", "metadata", "ingest"}
    assert "first secret" not in mount.log.read_text()


def test_a_password_that_changes_while_it_is_mounted(gate, credentials, mounted, tmp_path):
    mount = mounted(basic(gate), environment={"CREDENTIALS_DIRECTORY": str(credentials)})
    there_and_back(mount, tmp_path, "before")
    gate.set_password("second secret")
    (credentials / "site.password").write_text("second secret\n")
    there_and_back(mount, tmp_path, "after")


def test_a_wrong_password_is_said_and_is_never_an_absence(gate, credentials, mounted):
    (credentials / "site.password").write_text("mistaken\n")
    mount = mounted(basic(gate), environment={"CREDENTIALS_DIRECTORY": str(credentials)})
    for path in ("site/transactions/69", "site/projects/51001", "site/recent"):
        with pytest.raises(OSError) as refused:
            os.listdir(mount.path / path)
        assert refused.value.errno == errno.EACCES, path
    says(mount, "the login is not accepted")
    done = subprocess.run(
        [sys.executable, "-m", "pacifica_fs", "check", "-c", mount.folder / "config.toml"],
        capture_output=True,
        text=True,
        timeout=60,
        env=mount.environment | {"CREDENTIALS_DIRECTORY": str(credentials)},
    )
    assert done.returncode != 0
    assert "401" in done.stdout + done.stderr and "mistaken" not in done.stdout + done.stderr
    # And it is well once the password is.
    (credentials / "site.password").write_text("first secret\n")
    until("it is let in", lambda: lists(mount.path / "site/recent"))


def test_client_certificates(gate, mounted, tmp_path):
    before = len(gate.requests())
    login = {"type": "clientssl", "cert": str(gate.cert), "key": str(gate.key)}
    mount = mounted({"archives": {"site": gate.table(gate.certificates, auth=login, ca_bundle=str(gate.ca))}})
    there_and_back(mount, tmp_path)
    assert {who for _, who, _ in gate.requests()[before:]} == {gate.site.logon}


def test_no_certificate_is_said(gate, mounted):
    mount = mounted({"archives": {"site": gate.table(gate.certificates, ca_bundle=str(gate.ca))}})
    with pytest.raises(OSError) as refused:
        os.listdir(mount.path / "site/transactions/69")
    assert refused.value.errno == errno.EACCES
    says(mount, "a client certificate is asked for")


def test_an_authority_that_is_not_trusted_is_said(gate, mounted):
    mount = mounted({"archives": {"site": gate.table(gate.certificates)}})
    with pytest.raises(OSError) as refused:
        os.listdir(mount.path / "site/transactions/69")
    assert refused.value.errno not in (errno.ENOENT, 0)
    says(mount, "ca_bundle")


INI = """
[globals]
interactive = False
[endpoints]
upload_url = {base}/ingest/upload
upload_status_url = {base}/ingest/get_state
upload_policy_url = {base}/policy/uploader
upload_validation_url = {base}/policy/ingest
download_url = {base}/cart
download_policy_url = {base}/policy/status/transactions/by_id
ca_bundle = {ca}
[authentication]
type = {type}
username = {user}
password = {password}
cert = {cert}
key = {key}
"""


def ini(gate, type, password="", base="", ca="True"):
    return INI.format(
        base=base or gate.passwords,
        ca=ca,
        type=type,
        user=gate.site.logon,
        password=password,
        cert=gate.cert,
        key=gate.key,
    )


def test_the_clients_own_configuration(gate, mounted, tmp_path):
    """`pacifica_cli = true` and nothing else; the password changes in its file, too."""
    home = tmp_path / "home"
    file = home / ".pacifica_cli/config.ini"
    file.parent.mkdir(parents=True)
    file.write_text(ini(gate, "basic", "first secret"))
    table = {"kind": "pacifica", "pacifica_cli": True, "user": gate.site.logon}
    mount = mounted({"archives": {"site": table}}, environment={"HOME": str(home)})
    there_and_back(mount, tmp_path, "before")
    gate.set_password("second secret")
    file.write_text(ini(gate, "basic", "second secret"))
    there_and_back(mount, tmp_path, "after")


def test_the_clients_configuration_with_certificates_and_a_variable(gate, mounted, tmp_path):
    file = tmp_path / "other.ini"
    file.write_text(ini(gate, "clientssl", base=gate.certificates, ca=str(gate.ca)))
    table = {"kind": "pacifica", "pacifica_cli": str(file), "user": gate.site.logon}
    mount = mounted({"archives": {"site": table}}, environment={"AUTHENTICATION_PASSWORD": "not used here"})
    there_and_back(mount, tmp_path)


THEIRS = """
import json, sys
from pacifica.cli.methods import generate_global_config, generate_requests_auth
found = generate_global_config()
ends = dict(found["endpoints"])
print(json.dumps([ends, {k: v for k, v in generate_requests_auth(found).items()}]))
"""
VARIABLES = {
    "UPLOAD_POLICY_URL": "https://env.example.org/p/uploader",
    "UPLOAD_URL": "https://env.example.org/i/upload",
    "DOWNLOAD_URL": "https://env.example.org/c",
    "AUTHENTICATION_TYPE": "basic",
    "AUTHENTICATION_USERNAME": "env-user",
    "AUTHENTICATION_PASSWORD": "env-password",
}
WHOLE = (
    "[endpoints]\nupload_policy_url = https://f.example.org/uploader\nupload_url = https://f.example.org/in/upload\n"
)
LOGIN = "[authentication]\ntype = basic\nusername = file-user\npassword = file-password\n"


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        (WHOLE + LOGIN, {}),
        (WHOLE + LOGIN, VARIABLES),
        (LOGIN, VARIABLES),
        (WHOLE, VARIABLES),
        ("", VARIABLES),
        (WHOLE + LOGIN, {"AUTHENTICATION_PASSWORD": "env-password"}),
        (WHOLE + "ca_bundle = False\n", {}),
    ],
)
def test_as_the_real_client_reads_it(pacifica_site, tmp_path, text, variables):
    """The same files and variables mean the same to pacifica-cli itself."""
    (tmp_path / ".pacifica_cli").mkdir()
    (tmp_path / ".pacifica_cli/config.ini").write_text(text)
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], **variables}
    python = pacifica_site.venv / "bin/python"
    done = subprocess.run([python, "-c", THEIRS], env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    ends, requests_arguments = json.loads(done.stdout)
    ours = pacifica_cli.read(environ)
    for service, key in (("policy", "upload_policy_url"), ("ingest", "upload_url"), ("cart", "download_url")):
        theirs = pacifica_cli.without_question(ends[key])
        if "example.com" not in theirs:  # its examples stand for nothing
            assert ours.options[service] == theirs
        else:
            assert service not in ours.options or ours.options[service] != theirs
    assert requests_arguments["verify"] == ours.options.get("ca_bundle", True)
    login = ours.options.get("auth", {})
    assert requests_arguments.get("auth") == ([login["username"], ours.password] if login else None)
