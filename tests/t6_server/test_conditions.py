"""Conditional requests: what each call answers to a condition that holds, that does not, or that meets a change."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from support.rawhttp import ask, connected, exchange, head, parsed
from support.s3calls import OTHER_KEY, enable_versions, error_of, put_all, read, refusal, seeded_bytes, shown, trio
from support.s3server import S3Server

from ssecfs.ssec import CustomerKey

WRONG = '"0123456789abcdef0123456789abcdef"'
FAILED = "At least one of the pre-conditions you specified did not hold"
Write = Callable[..., dict[str, Any]]


def put(client: Any, bucket: str, **conditions: str) -> Any:
    return client.put_object(Bucket=bucket, Key="target", Body=b"new", **conditions)


def copy(client: Any, bucket: str, **conditions: str) -> Any:
    put_all(client, bucket, "new")
    return client.copy_object(Bucket=bucket, Key="target", CopySource={"Bucket": bucket, "Key": "new"}, **conditions)


def complete(client: Any, bucket: str, **conditions: str) -> Any:
    return finish(client, begin(client, bucket), **conditions)


def begin(client: Any, bucket: str, **more: str) -> dict[str, Any]:
    """Begin a multipart upload and give it its only part; gives what its completion needs."""
    upload = {"Bucket": bucket, "Key": "target"}
    upload["UploadId"] = client.create_multipart_upload(**upload, **more)["UploadId"]
    etag = client.upload_part(**upload, PartNumber=1, Body=b"new", **more)["ETag"]
    return upload | {"MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": etag}]}}


def finish(client: Any, upload: dict[str, Any], **conditions: str) -> Any:
    return client.complete_multipart_upload(**upload, **conditions)


each_write = pytest.mark.parametrize("write", [put, copy, complete])


@each_write
def test_if_none_match_writes_only_what_is_not_there(s3: Any, bucket: str, write: Write) -> None:
    write(s3, bucket, IfNoneMatch="*")
    assert read(s3, bucket, "target") == b"new"
    s3.put_object(Bucket=bucket, Key="target", Body=b"old")
    error = error_of(write, client=s3, bucket=bucket, IfNoneMatch="*")
    assert (error["Status"], error["Code"], error["Condition"]) == (412, "PreconditionFailed", "If-None-Match")
    assert error["Message"] == FAILED
    assert read(s3, bucket, "target") == b"old"


@each_write
def test_if_match_replaces_only_what_it_names(s3: Any, bucket: str, write: Write) -> None:
    assert refusal(write, client=s3, bucket=bucket, IfMatch=WRONG) == (404, "NoSuchKey")
    etag = s3.put_object(Bucket=bucket, Key="target", Body=b"old")["ETag"]
    error = error_of(write, client=s3, bucket=bucket, IfMatch=WRONG)
    assert (error["Status"], error["Code"], error["Condition"]) == (412, "PreconditionFailed", "If-Match")
    assert read(s3, bucket, "target") == b"old"
    write(s3, bucket, IfMatch=etag)
    assert read(s3, bucket, "target") == b"new"
    current = s3.head_object(Bucket=bucket, Key="target")["ETag"]
    write(s3, bucket, IfMatch=current.strip('"'))


@each_write
@pytest.mark.parametrize(
    ("conditions", "header"),
    [
        ({"IfNoneMatch": WRONG}, "If-None-Match"),
        ({"IfMatch": "*"}, "If-Match"),
        ({"IfMatch": WRONG, "IfNoneMatch": "*"}, "If-Match,If-None-Match"),
    ],
)
def test_condition_that_aws_does_not_know_is_not_implemented(
    s3: Any, bucket: str, write: Write, conditions: dict[str, str], header: str
) -> None:
    error = error_of(write, client=s3, bucket=bucket, **conditions)
    assert (error["Status"], error["Code"], error["Header"]) == (501, "NotImplemented", header)
    assert refusal(s3.head_object, Bucket=bucket, Key="target") == (404, "404")


@each_write
def test_conditions_look_at_the_current_version(s3: Any, bucket: str, write: Write) -> None:
    enable_versions(s3, bucket)
    older = s3.put_object(Bucket=bucket, Key="target", Body=b"old")["ETag"]
    newer = s3.put_object(Bucket=bucket, Key="target", Body=b"newer")["ETag"]
    assert refusal(write, client=s3, bucket=bucket, IfMatch=older) == (412, "PreconditionFailed")
    write(s3, bucket, IfMatch=newer)
    s3.delete_object(Bucket=bucket, Key="target")
    assert refusal(write, client=s3, bucket=bucket, IfMatch=newer) == (404, "NoSuchKey")
    write(s3, bucket, IfNoneMatch="*")
    assert read(s3, bucket, "target") == b"new"


def test_conditions_of_ssec_objects_need_no_key_of_the_old_one(s3: Any, bucket: str, customer_key: CustomerKey) -> None:
    etag = s3.put_object(Bucket=bucket, Key="target", Body=b"old", **trio(customer_key))["ETag"]
    same = s3.put_object(Bucket=bucket, Key="target", Body=b"old", IfMatch=etag, **trio(OTHER_KEY))["ETag"]
    assert same != etag
    assert refusal(s3.put_object, Bucket=bucket, Key="target", Body=b"new", IfMatch=etag, **trio(OTHER_KEY))[0] == 412
    upload = begin(s3, bucket, **trio(customer_key))
    assert refusal(finish, client=s3, upload=upload, IfMatch=etag) == (412, "PreconditionFailed")
    finish(s3, upload, IfMatch=same)
    assert read(s3, bucket, "target", **trio(customer_key)) == b"new"


def test_refused_upload_leaves_nothing_on_the_disk(aws: S3Server, s3: Any, bucket: str) -> None:
    put_all(s3, bucket, "target")
    before = sorted((aws.directory / "data").rglob("*"))
    body = seeded_bytes(1, 300_000)
    assert refusal(s3.put_object, Bucket=bucket, Key="target", Body=body, IfMatch=WRONG)[0] == 412
    assert overtaken(aws, bucket, body) == (412, "PreconditionFailed")
    assert (sorted((aws.directory / "data").rglob("*")), list((aws.directory / "incoming").iterdir())) == (before, [])


def overtaken(server: S3Server, bucket: str, body: bytes) -> tuple[int, str]:
    """What an upload is told whose name is taken while its body is still on the way."""
    with waiting(server, f"/{bucket}/late", len(body), {"if-none-match": "*"}) as connection:
        assert ask(server, "PUT", f"/{bucket}/late", b"first")[0] == 200
        answer = completed(connection, body)
    assert ask(server, "DELETE", f"/{bucket}/late")[0] == 204
    return answer


def waiting(server: S3Server, target: str, length: int, conditions: dict[str, str]) -> socket.socket:
    """An upload whose conditions held at its beginning, and that is asked for its body."""
    connection = connected(server)
    more = {"content-length": str(length), "connection": "close", "expect": "100-continue", **conditions}
    connection.sendall(head("PUT", target, more))
    assert connection.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
    return connection


def completed(connection: socket.socket, body: bytes) -> tuple[int, str]:
    connection.sendall(body)
    return parsed(b"".join(iter(lambda: connection.recv(1 << 16), b"")))[:2]


def test_of_two_writers_that_both_found_nothing_the_first_to_end_wins(aws: S3Server, bucket: str) -> None:
    target = f"/{bucket}/race"
    with (
        waiting(aws, target, 5, {"if-none-match": "*"}) as one,
        waiting(aws, target, 5, {"if-none-match": "*"}) as other,
    ):
        assert completed(other, b"other") == (200, "")
        assert completed(one, b"first") == (412, "PreconditionFailed")
    assert ask(aws, "GET", target) == (200, "", b"other")


def test_of_two_writers_of_one_version_the_first_to_end_wins(aws: S3Server, s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="race", Body=b"base")["ETag"]
    target = f"/{bucket}/race"
    with waiting(aws, target, 5, {"if-match": etag}) as one, waiting(aws, target, 5, {"if-match": etag}) as other:
        assert completed(one, b"first") == (200, "")
        assert completed(other, b"other") == (412, "PreconditionFailed")
    with waiting(aws, target, 5, {"if-match": s3.head_object(Bucket=bucket, Key="race")["ETag"]}) as late:
        s3.delete_object(Bucket=bucket, Key="race")
        assert completed(late, b"late!") == (404, "NoSuchKey")


def test_of_many_writers_at_once_exactly_one_wins(aws: S3Server, bucket: str) -> None:
    def write(number: int) -> int:
        return ask(aws, "PUT", f"/{bucket}/race", f"{number}".encode(), {"if-none-match": "*"})[0]

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(write, range(48)))
    assert (statuses.count(200), statuses.count(412)) == (1, 47)
    assert ask(aws, "GET", f"/{bucket}/race")[2] == f"{statuses.index(200)}".encode()


def change(client: Any, bucket: str, *contents: bytes) -> str:
    """Write the target so often; an empty content deletes it. Gives the last ETag."""
    etag = ""
    for content in contents:
        if content:
            etag = client.put_object(Bucket=bucket, Key="target", Body=content)["ETag"]
        else:
            client.delete_object(Bucket=bucket, Key="target")
    return etag


@pytest.mark.parametrize(
    ("before", "meanwhile", "condition", "refused"),
    [
        ((b"old",), (b"",), "If-None-Match", (409, "ConditionalRequestConflict")),
        ((), (b"other",), "If-None-Match", (412, "PreconditionFailed")),
        ((), (b"other", b""), "If-None-Match", (409, "ConditionalRequestConflict")),
        ((b"old",), (b"other",), "If-Match", (412, "PreconditionFailed")),
        ((b"old",), (b"old",), "If-Match", (409, "ConditionalRequestConflict")),
        ((b"old",), (b"",), "If-Match", (404, "NoSuchKey")),
        ((b"old",), (b"", b"old"), "If-Match", (409, "ConditionalRequestConflict")),
    ],
)
def test_completion_meets_what_changed_since_its_beginning(
    s3: Any, bucket: str, before: tuple[bytes, ...], meanwhile: tuple[bytes, ...], condition: str, refused: tuple[int, str]
) -> None:
    etag = change(s3, bucket, *before)
    conditions = {"IfMatch": etag} if condition == "If-Match" else {"IfNoneMatch": "*"}
    upload = begin(s3, bucket)
    change(s3, bucket, *meanwhile)
    error = error_of(finish, client=s3, upload=upload, **conditions)
    assert (error["Status"], error["Code"]) == refused
    assert error.get("Condition", condition) == condition
    assert s3.list_parts(**{name: upload[name] for name in ("Bucket", "Key", "UploadId")})["Parts"][0]["Size"] == 3
    if refused[0] == 409:  # a new upload is what helps
        finish(s3, begin(s3, bucket), **conditions)
        assert read(s3, bucket, "target") == b"new"
    finish(s3, upload)


def test_delete_removes_only_what_it_names(s3: Any, bucket: str) -> None:
    target = {"Bucket": bucket, "Key": "target"}
    assert refusal(s3.delete_object, **target, IfMatch="*") == (404, "NoSuchKey")
    etag = s3.put_object(**target, Body=b"old")["ETag"]
    assert refusal(s3.delete_object, **target, IfMatch=WRONG) == (412, "PreconditionFailed")
    s3.delete_object(**target, IfMatch=etag)
    assert refusal(s3.delete_object, **target, IfMatch=etag) == (404, "NoSuchKey")
    s3.put_object(**target, Body=b"old")
    s3.delete_object(**target, IfMatch="*")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    for more in ({"IfMatchSize": 3}, {"IfMatchLastModifiedTime": "2026-11-24T00:00:00Z"}):
        assert refusal(s3.delete_object, **target, **more) == (501, "NotImplemented")


def test_delete_of_many_checks_each(s3: Any, bucket: str) -> None:
    put_all(s3, bucket, "a", "b")
    etag = s3.head_object(Bucket=bucket, Key="a")["ETag"]
    wanted = [{"Key": "a", "ETag": etag}, {"Key": "b", "ETag": etag}, {"Key": "c", "ETag": etag}]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": wanted})
    assert answer["Deleted"] == [{"Key": "a"}]
    assert [(error["Key"], error["Code"]) for error in answer["Errors"]] == [("b", "PreconditionFailed"), ("c", "NoSuchKey")]
    assert read(s3, bucket, "b") == b"b"


READS = [
    ({"IfMatch": "right"}, 200),
    ({"IfMatch": "wrong"}, 412),
    ({"IfMatch": "any"}, 200),
    ({"IfMatch": "several"}, 200),
    ({"IfNoneMatch": "right"}, 304),
    ({"IfNoneMatch": "wrong"}, 200),
    ({"IfNoneMatch": "any"}, 304),
    ({"IfNoneMatch": "several"}, 304),
    ({"IfModifiedSince": "before"}, 200),
    ({"IfModifiedSince": "same"}, 304),
    ({"IfUnmodifiedSince": "before"}, 412),
    ({"IfUnmodifiedSince": "same"}, 200),
    ({"IfMatch": "right", "IfUnmodifiedSince": "before"}, 200),
    ({"IfMatch": "wrong", "IfUnmodifiedSince": "same"}, 412),
    ({"IfNoneMatch": "wrong", "IfModifiedSince": "same"}, 200),
    ({"IfNoneMatch": "right", "IfModifiedSince": "before"}, 304),
    ({"IfMatch": "wrong", "IfNoneMatch": "right"}, 412),
    ({"IfMatch": "right", "IfNoneMatch": "right"}, 304),
]


@pytest.fixture(scope="module")
def stored(s3: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """An SSE-C object: how to ask for it, and what conditions may say of it."""
    s3.create_bucket(Bucket="conditions")
    s3.put_object(Bucket="conditions", Key="a", Body=b"content", **trio(OTHER_KEY))
    arguments = {"Bucket": "conditions", "Key": "a", **trio(OTHER_KEY)}
    head_of = s3.head_object(**arguments)
    etag, moment = head_of["ETag"], head_of["LastModified"]
    values = {"right": etag, "wrong": WRONG, "any": "*", "several": f"{WRONG}, {etag}"}
    return arguments, values | {"same": moment, "before": moment - timedelta(minutes=1)}


@pytest.mark.parametrize(("conditions", "status"), READS)
def test_read_follows_its_conditions(
    s3: Any, stored: tuple[dict[str, str], dict[str, Any]], conditions: dict[str, str], status: int
) -> None:
    arguments, values = stored
    given = {name: values[value] for name, value in conditions.items()}
    for call in (s3.get_object, s3.head_object):
        if status == 200:
            assert shown(call, **arguments, **given)["ContentLength"] == 7
        else:
            error = error_of(call, **arguments, **given)
            assert error["Status"] == status
            assert status != 304 or error["Headers"]["etag"] == values["right"]


def test_key_is_checked_before_any_condition(
    s3: Any, stored: tuple[dict[str, str], dict[str, Any]], customer_key: CustomerKey
) -> None:
    _, values = stored
    for name in ("IfMatch", "IfNoneMatch"):
        for given in (trio(customer_key), {}):
            place = {"Bucket": "conditions", "Key": "a", **given}
            assert refusal(s3.get_object, **place, **{name: values["right"]})[0] == (403 if given else 400)


def test_answer_not_modified_has_no_body(aws: S3Server, s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="a", Body=b"content")["ETag"]
    answer = exchange(aws, head("GET", f"/{bucket}/a", {"connection": "close", "if-none-match": etag}))
    first, _, body = answer.partition(b"\r\n\r\n")
    assert (first.split()[1], body) == (b"304", b"")
    assert b"content-length" not in first


def test_date_that_is_none_is_refused(aws: S3Server, s3: Any, bucket: str) -> None:
    put_all(s3, bucket, "a")
    for name in ("if-modified-since", "if-unmodified-since"):
        assert ask(aws, "GET", f"/{bucket}/a", headers={name: "yesterday"})[:2] == (400, "InvalidArgument")
