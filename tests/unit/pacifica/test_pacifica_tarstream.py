import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica_fs.archives.pacifica.tarstream import Member, members
from pacifica_fs.errors import BadAnswer


def read(body, size=512):
    found, name = {}, None
    for part in members(body[at : at + size] for at in range(0, len(body), size)):
        if isinstance(part, Member):
            name = part.name
            found[name] = b""
        else:
            found[name] += bytes(part)
    return found


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("size", [1, 511, 512, 10**6])
def test_formats_and_chunks(tar, format, size):
    files = {"c/1": b"x" * 1000, "c/2": b"", "c/3": b"y" * 512}
    if format != tarfile.USTAR_FORMAT:
        files["c/" + "long" * 60 + "é"] = b"long"
    assert read(tar(files, format), size) == files


@given(cut=st.integers(0, 2559))
def test_any_cut_before_the_end_mark_is_an_error(cut):
    body = tarfile.TarInfo("c/1")
    body.size = 700
    whole = body.tobuf() + b"x" * 700 + bytes(324) + bytes(1024)
    assert len(whole) == 2560
    if cut >= 2048:
        assert read(whole[:cut]) == {"c/1": b"x" * 700}
    else:
        with pytest.raises(BadAnswer):
            read(whole[:cut])


def test_links_and_devices_are_passed_over():
    parts = []
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
        entry = tarfile.TarInfo("c/7")
        entry.type, entry.linkname = kind, "/etc/passwd"
        parts.append(entry.tobuf(tarfile.PAX_FORMAT))
    assert read(b"".join(parts) + bytes(1024)) == {}


@pytest.mark.parametrize("record", [b"5 path=x\n", b"x path=c\n", b"999 path=c\n", b"path", b"0 a=b\n"])
def test_broken_pax_records(record):
    entry = tarfile.TarInfo("p")
    entry.type, entry.size = tarfile.XHDTYPE, len(record)
    with pytest.raises(BadAnswer, match="damaged"):
        read(entry.tobuf(tarfile.USTAR_FORMAT) + record + bytes(-len(record) % 512) + bytes(1024))


def test_a_broken_checksum():
    block = bytearray(tarfile.TarInfo("a").tobuf())
    block[0] ^= 1
    with pytest.raises(BadAnswer, match="damaged"):
        read(bytes(block) + bytes(1024))
