"""The provider of docs/providers.md, as it stands there."""

import gzip
import re
import sys
from pathlib import Path

import pytest

from pacifica_fs.errors import Denied, Unobtainable, Unreachable
from pacifica_fs.transport.providers import Remote

from .conftest import whole

DOCUMENT = (Path(__file__).parents[4] / "docs/providers.md").read_text()
DATA = b"frame\n" * 500_000


@pytest.fixture
def vault(providers, tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    (tmp_path / "my_module.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "vault/2024").mkdir(parents=True)
    (tmp_path / "vault/2024/run7.mrc.gz").write_bytes(gzip.compress(DATA, 1))
    yield providers(vault={"use": "my_module:Vault", "folder": str(tmp_path / "vault")})
    sys.modules.pop("my_module", None)


def test_it_brings_a_file(vault):
    found = vault.open(Remote("1", "vault:///2024/run7.mrc", "vault", size=len(DATA)), 1000)
    assert found.start == 0 and found.size == len(DATA)
    assert whole(found) == DATA


def test_it_brings_many(vault):
    files = [Remote("1", "vault:///2024/run7.mrc"), Remote("2", "vault:///2024/run7.mrc")]
    assert [whole(opened) for _, opened in vault.open_all(files, "12")] == [DATA, DATA]


def test_it_says_what_is_wrong(vault, tmp_path):
    with pytest.raises(Unobtainable):
        vault.open(Remote("1", "vault:///2024/missing"))
    with pytest.raises(Denied):
        vault.open(Remote("1", "vault:///../my_module.py"))
    (tmp_path / "vault/cut.gz").write_bytes(gzip.compress(DATA, 1)[:1000])
    with pytest.raises(Unreachable):
        whole(vault.open(Remote("1", "vault:///cut")))


def test_the_documented_configuration_is_one():
    import tomllib

    from pacifica_fs import config
    from pacifica_fs.archives.mytardis.options import options

    table, entry = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
    settings = config.parse(tomllib.loads(table)).archives[0]
    assert options(settings, {}).providers["vault"]["use"] == "my_module:Vault"
    assert tomllib.loads(entry)["project"]["entry-points"]["pacifica_fs.providers"] == {"vault": "my_module:Vault"}
