"""What travels with an object: user metadata and its limit, content headers, overrides of single answers, and ranges."""

from typing import Any

import pytest
from support.rawhttp import ask, connected, exchange, head
from support.s3calls import OTHER_KEY, error_of, put_all, read, refusal, seeded_bytes, shown, trio
from support.s3server import S3Server

from ssecfs.ssec import CustomerKey

CONTENT_HEADERS = {
    "ContentType": "text/plain; charset=utf-8",
    "CacheControl": "max-age=60",
    "ContentDisposition": 'attachment; filename="a b.txt"',
    "ContentEncoding": "gzip",
    "ContentLanguage": "de, en",
    "WebsiteRedirectLocation": "/elsewhere",
}


def headers_of(server: S3Server, target: str, **headers: str) -> dict[str, str]:
    """The headers of an answer, by lower-case name."""
    answer = exchange(server, head("GET", target, {"connection": "close", **headers}))
    lines = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


@pytest.mark.parametrize("is_sealed", [False, True], ids=["plain", "ssec"])
def test_headers_of_an_upload_are_those_of_its_answers(
    s3: Any, bucket: str, customer_key: CustomerKey, *, is_sealed: bool
) -> None:
    given_key = trio(customer_key) if is_sealed else {}
    metadata = {"name": "value", "with-dash": "a, b", "empty": "", "upper": "MiXed"}
    place = {"Bucket": bucket, "Key": "a", **given_key}
    s3.put_object(**place, Body=b"content", Metadata=metadata, Expires="Wed, 25 Nov 2026 00:00:00 GMT", **CONTENT_HEADERS)
    for call in (s3.get_object, s3.head_object):
        answer = shown(call, **place)
        assert answer["Metadata"] == metadata
        assert {name: answer[name] for name in CONTENT_HEADERS} == CONTENT_HEADERS
        assert answer["ExpiresString"] == "Wed, 25 Nov 2026 00:00:00 GMT"
        assert (answer["ContentLength"], answer["AcceptRanges"]) == (7, "bytes")


def test_headers_of_nothing_are_those_of_aws(aws: S3Server, s3: Any, bucket: str) -> None:
    put_all(s3, bucket, "a")
    found = headers_of(aws, f"/{bucket}/a")
    assert found["content-type"] == "binary/octet-stream"
    assert len(found["x-amz-request-id"]) == 16
    assert found["last-modified"].endswith(" GMT")
    assert not [name for name in found if name.startswith(("x-amz-meta-", "x-amz-version", "x-amz-tagging", "cache-"))]


def test_new_upload_forgets_the_headers_of_the_old(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"1", Metadata={"name": "value"}, ContentType="text/plain")
    s3.put_object(Bucket=bucket, Key="a", Body=b"2")
    head_of = s3.head_object(Bucket=bucket, Key="a")
    assert (head_of["Metadata"], head_of["ContentType"]) == ({}, "binary/octet-stream")


@pytest.mark.parametrize("value", ["Größe € 名", "=?UTF-8?B?R3LDtsOfZQ==?=", "a  b, c;d"])
def test_metadata_of_any_script_is_kept_as_it_is(aws: S3Server, bucket: str, value: str) -> None:
    assert ask(aws, "PUT", f"/{bucket}/a", b"x", {"x-amz-meta-a": value})[0] == 200
    assert headers_of(aws, f"/{bucket}/a")["x-amz-meta-a"] == value


@pytest.mark.parametrize(("size", "is_kept"), [(2048, True), (2049, False)])
def test_metadata_has_two_kibibytes_of_names_and_values(s3: Any, bucket: str, size: int, *, is_kept: bool) -> None:
    metadata = {"one": "a" * 1000, "two": "b" * (size - 1000 - len("onetwo"))}
    place = {"Bucket": bucket, "Key": "a"}
    if is_kept:
        s3.put_object(**place, Body=b"x", Metadata=metadata)
        assert s3.head_object(**place)["Metadata"] == metadata
        return
    error = error_of(s3.put_object, **place, Body=b"x", Metadata=metadata)
    assert (error["Status"], error["Code"]) == (400, "MetadataTooLarge")
    assert (error["Size"], error["MaxSizeAllowed"]) == ("2049", "2048")
    assert refusal(s3.create_multipart_upload, **place, Metadata=metadata) == (400, "MetadataTooLarge")
    put_all(s3, bucket, "source")
    source = {"CopySource": {"Bucket": bucket, "Key": "source"}, "MetadataDirective": "REPLACE"}
    assert refusal(s3.copy_object, **place, **source, Metadata=metadata) == (400, "MetadataTooLarge")
    assert refusal(s3.head_object, **place) == (404, "404")


@pytest.mark.parametrize(
    ("given", "kept"),
    [("aws-chunked", None), ("aws-chunked,gzip", "gzip"), ("gzip, aws-chunked , br", "gzip,br"), ("gzip", "gzip")],
)
def test_encoding_of_the_transfer_is_not_that_of_the_object(aws: S3Server, bucket: str, given: str, kept: str | None) -> None:
    assert ask(aws, "PUT", f"/{bucket}/a", b"x", {"content-encoding": given})[0] == 200
    assert headers_of(aws, f"/{bucket}/a").get("content-encoding") == kept


def test_answer_shows_the_headers_asked_for_and_the_object_keeps_its_own(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"content", **CONTENT_HEADERS)
    other = {
        "ContentType": "image/png",
        "CacheControl": "no-store",
        "ContentDisposition": "inline",
        "ContentEncoding": "br",
        "ContentLanguage": "fr",
    }
    asked = {f"Response{name}": value for name, value in other.items()}
    for call in (s3.get_object, s3.head_object):
        answer = shown(call, Bucket=bucket, Key="a", **asked, ResponseExpires="Thu, 01 Jan 2026 00:00:00 GMT")
        assert {name: answer[name] for name in other} == other
        assert answer["ExpiresString"] == "Thu, 01 Jan 2026 00:00:00 GMT"
    own = s3.head_object(Bucket=bucket, Key="a")
    assert {name: own[name] for name in CONTENT_HEADERS} == CONTENT_HEADERS


def test_keys_are_shown_by_their_md5_and_never_more(aws: S3Server, s3: Any, bucket: str, customer_key: CustomerKey) -> None:
    put = s3.put_object(Bucket=bucket, Key="a", Body=b"x", **trio(customer_key))
    get = shown(s3.get_object, Bucket=bucket, Key="a", **trio(customer_key))
    for answer in (put, get):
        assert (answer["SSECustomerAlgorithm"], answer["SSECustomerKeyMD5"]) == ("AES256", customer_key.md5)
        assert customer_key.reveal_base64() not in str(answer)
    error = error_of(s3.get_object, Bucket=bucket, Key="a", **trio(OTHER_KEY))
    assert OTHER_KEY.reveal_base64() not in str(error)


def test_head_of_a_range_says_how_long_it_is(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"0123456789")
    answer = s3.head_object(Bucket=bucket, Key="a", Range="bytes=2-5")
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["ContentLength"]) == (206, 4)
    assert answer["ContentRange"] == "bytes 2-5/10"
    assert refusal(s3.head_object, Bucket=bucket, Key="a", Range="bytes=10-") == (416, "416")
    error = error_of(s3.get_object, Bucket=bucket, Key="a", Range="bytes=10-20")
    assert (error["Code"], error["ActualObjectSize"], error["RangeRequested"]) == ("InvalidRange", "10", "bytes=10-20")


def test_empty_object_is_an_object(s3: Any, bucket: str, customer_key: CustomerKey) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"", **trio(customer_key))
    assert read(s3, bucket, "a", **trio(customer_key)) == b""
    assert s3.head_object(Bucket=bucket, Key="a", **trio(customer_key))["ContentLength"] == 0
    assert refusal(s3.get_object, Bucket=bucket, Key="a", **trio(OTHER_KEY)) == (403, "AccessDenied")
    assert refusal(s3.get_object, Bucket=bucket, Key="a", **trio(customer_key), Range="bytes=0-0") == (416, "InvalidRange")


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_content_is_the_same_at_every_edge_of_chunks(s3: Any, bucket: str, customer_key: CustomerKey, size: int) -> None:
    content = seeded_bytes(size, size)
    s3.put_object(Bucket=bucket, Key="a", Body=content, **trio(customer_key))
    assert read(s3, bucket, "a", **trio(customer_key)) == content
    for start in (0, size // 2, size - 1):
        assert read(s3, bucket, "a", **trio(customer_key), Range=f"bytes={start}-") == content[start:]


def test_object_that_is_replaced_while_it_is_read_is_read_whole(aws: S3Server, s3: Any, bucket: str) -> None:
    content = seeded_bytes(5, 24 << 20)
    s3.put_object(Bucket=bucket, Key="a", Body=content)
    with connected(aws) as connection:
        connection.sendall(head("GET", f"/{bucket}/a", {"connection": "close"}))
        received = connection.recv(1000)
        s3.put_object(Bucket=bucket, Key="a", Body=b"new")
        s3.delete_object(Bucket=bucket, Key="a")
        received += b"".join(iter(lambda: connection.recv(1 << 20), b""))
    assert received.partition(b"\r\n\r\n")[2] == content
    assert refusal(s3.get_object, Bucket=bucket, Key="a") == (404, "NoSuchKey")


def test_missing_object_and_missing_bucket_are_told_apart(s3: Any, bucket: str) -> None:
    for method in (s3.get_object, s3.head_object):
        assert refusal(method, Bucket=bucket, Key="none")[0] == 404
    assert error_of(s3.get_object, Bucket=bucket, Key="none")["Key"] == "none"
    assert refusal(s3.get_object, Bucket="no-such-bucket", Key="none") == (404, "NoSuchBucket")
    assert refusal(s3.put_object, Bucket="no-such-bucket", Key="none", Body=b"x") == (404, "NoSuchBucket")
    assert s3.delete_object(Bucket=bucket, Key="none")["ResponseMetadata"]["HTTPStatusCode"] == 204
