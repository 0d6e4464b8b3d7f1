"""Signatures, by the examples of Amazon S3's API reference."""

import calendar
import time

import pytest
import requests

from pacifica_fs.archives.djarchive.signing import Signature, quoted

ACCESS, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW = calendar.timegm(time.strptime("2013-05-24", "%Y-%m-%d"))


def signed(url, method="GET", data=None):
    request = requests.Request(method, url, data=data, auth=Signature(ACCESS, SECRET, "us-east-1", lambda: NOW))
    return request.prepare().headers


@pytest.mark.parametrize(
    ("query", "signature"),
    [
        ("lifecycle=", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
@pytest.mark.parametrize("port", ["", ":443"])
def test_the_examples(query, signature, port):
    headers = signed(f"https://examplebucket.s3.amazonaws.com{port}/?{query}")
    assert headers["x-amz-date"] == "20130524T000000Z"
    assert headers["Authorization"] == (
        f"AWS4-HMAC-SHA256 Credential={ACCESS}/20130524/us-east-1/s3/aws4_request, "
        f"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature}"
    )


def test_the_body_counts():
    one, other = (signed("http://host/bucket/key", "PUT", data)["Authorization"] for data in (b"1", b"2"))
    assert one != other


def test_the_path_goes_out_as_it_was_signed():
    path = quoted("d s/1/a+b é,~(1)'*.txt", "/")
    request = requests.Request("PUT", f"http://host/{path}?x={quoted('a/b+c')}").prepare()
    assert request.url == f"http://host/{path}?x=a%2Fb%2Bc"
    assert path == "d%20s/1/a%2Bb%20%C3%A9%2C~%281%29%27%2A.txt"


def test_the_secret_is_not_shown():
    assert SECRET not in repr(Signature(ACCESS, SECRET, "r"))
