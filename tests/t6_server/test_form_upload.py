"""PostObject: the upload from a web page, with everything its policy allows and nothing else."""

import base64
import hmac
import json
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

import pytest
import urllib3
from support.rawhttp import exchange, unsigned_head
from support.s3calls import OTHER_KEY, enable_versions, read, refusal, trio
from support.s3server import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, S3Server

from ssecfs.server.sigv4 import signing_key
from ssecfs.ssec import CustomerKey, request_headers

HOUR_S = 3600
Form = dict[str, str]
Reply = tuple[int, dict[str, str], bytes]


def form(
    bucket: str, fields: Form | None = None, *conditions: Any, expires_s: float = HOUR_S, secret: str = SECRET_ACCESS_KEY
) -> Form:
    """The fields of a form for an object ``a``, with a policy that allows just them, or what the conditions say."""
    date = time.strftime("%Y%m%d", time.gmtime())
    filled = {
        "key": "a",
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": f"{ACCESS_KEY_ID}/{date}/{REGION}/s3/aws4_request",
        "x-amz-date": f"{date}T000000Z",
        **(fields or {}),
    }
    own = conditions or [{name: value} for name, value in filled.items()]
    expiration = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + expires_s))
    policy = base64.b64encode(json.dumps({"expiration": expiration, "conditions": [{"bucket": bucket}, *own]}).encode())
    return filled | signature_of(policy, date, secret)


def signature_of(policy: bytes, date: str, secret: str = SECRET_ACCESS_KEY) -> Form:
    derived = signing_key(secret, date, REGION)
    return {"policy": policy.decode(), "x-amz-signature": hmac.digest(derived, policy, "sha256").hex()}


ANYTHING = [["starts-with", f"${name}", ""] for name in ("key", "x-amz-algorithm", "x-amz-credential", "x-amz-date")]


def post(server: S3Server, bucket: str, fields: Form, content: bytes = b"content", name: str = "a file.html") -> Reply:
    """Send a form as a browser does: the fields, then the file with its name and its type."""
    body, kind = urllib3.encode_multipart_formdata([*fields.items(), ("file", (name, content, "text/html"))])
    return send(server, bucket, body, kind)


def send(server: S3Server, bucket: str, body: bytes, kind: str) -> Reply:
    sent = unsigned_head("POST", f"/{bucket}", content_type=kind, content_length=str(len(body)))
    first, _, rest = exchange(server, sent, body).partition(b"\r\n\r\n")
    status, *lines = first.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, rest


def refused(reply: Reply) -> tuple[int, str, str]:
    status, _, body = reply
    root = ET.fromstring(body)
    return status, root.findtext("Code") or "", root.findtext("Message") or ""


def test_form_stores_its_file(aws: S3Server, s3: Any, bucket: str) -> None:
    aws.requests()
    status, headers, body = post(aws, bucket, form(bucket))
    assert aws.operations() == {"PostObject": 1}
    head = s3.head_object(Bucket=bucket, Key="a")
    assert (status, body, headers["location"], headers["etag"]) == (204, b"", f"/{bucket}/a", head["ETag"])
    assert (read(s3, bucket, "a"), head["ContentType"]) == (b"content", "binary/octet-stream")


def test_fields_are_the_headers_of_the_object(aws: S3Server, s3: Any, bucket: str) -> None:
    tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    fields = {"Content-Type": "text/plain", "Cache-Control": "no-store", "x-amz-meta-Name": "value", "tagging": tags}
    assert post(aws, bucket, form(bucket, fields))[0] == 204
    head = s3.head_object(Bucket=bucket, Key="a")
    assert (head["ContentType"], head["CacheControl"], head["Metadata"]) == ("text/plain", "no-store", {"name": "value"})
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == [{"Key": "a", "Value": "b"}]


def test_customer_key_comes_in_fields(aws: S3Server, s3: Any, bucket: str, customer_key: CustomerKey) -> None:
    fields = request_headers(customer_key)
    allowed = [*ANYTHING, *(["starts-with", f"${name}", ""] for name in fields)]  # so the policy does not hold the key
    status, headers, _ = post(aws, bucket, form(bucket, fields, *allowed))
    assert (status, headers["x-amz-server-side-encryption-customer-key-md5"]) == (204, customer_key.md5)
    assert read(s3, bucket, "a", **trio(customer_key)) == b"content"
    assert refusal(s3.get_object, Bucket=bucket, Key="a") == (400, "InvalidRequest")
    mixed = fields | {"x-amz-server-side-encryption-customer-key-md5": OTHER_KEY.md5}
    assert refused(post(aws, bucket, form(bucket, mixed, *allowed)))[:2] == (400, "InvalidArgument")
    rule = {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
        "BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]},
    }
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    assert refused(post(aws, bucket, form(bucket, fields, *allowed)))[:2] == (403, "AccessDenied")


def test_form_chooses_its_answer(aws: S3Server, s3: Any, bucket: str) -> None:
    for asked, answered in (("200", 200), ("204", 204), ("299", 204), ("", 204)):
        status, _, body = post(aws, bucket, form(bucket, {"success_action_status": asked}))
        assert (status, body) == (answered, b"")
    status, headers, body = post(aws, bucket, form(bucket, {"success_action_status": "201"}))
    root = ET.fromstring(body)
    assert (status, headers["content-type"], root.tag.rpartition("}")[2]) == (201, "application/xml", "PostResponse")
    shown = {entry.tag.rpartition("}")[2]: entry.text for entry in root}
    assert shown == {"Location": f"/{bucket}/a", "Bucket": bucket, "Key": "a", "ETag": headers["etag"]}


@pytest.mark.parametrize("field", ["success_action_redirect", "redirect"])
def test_form_sends_the_browser_on(aws: S3Server, bucket: str, field: str) -> None:
    fields = {field: "https://example.org/done?mine=1", "success_action_status": "201"}
    status, headers, body = post(aws, bucket, form(bucket, fields))
    place = urlsplit(headers["location"])
    assert (status, body, place.netloc, place.path) == (303, b"", "example.org", "/done")
    assert parse_qs(place.query) == {"mine": ["1"], "bucket": [bucket], "key": ["a"], "etag": [headers["etag"]]}
    assert post(aws, bucket, form(bucket, {field: "javascript:alert(1)"}))[0] == 204


def test_name_of_the_file_may_be_part_of_the_key(aws: S3Server, s3: Any, bucket: str) -> None:
    fields = form(bucket, {"key": "up/${filename}"}, ["starts-with", "$key", "up/"], *ANYTHING[1:])
    assert post(aws, bucket, fields)[1]["location"] == f"/{bucket}/up/a%20file.html"
    assert read(s3, bucket, "up/a file.html") == b"content"


@pytest.mark.parametrize(
    ("size", "answer"),
    [(0, (400, "EntityTooSmall")), (9, (400, "EntityTooSmall")), (10, 204), (20, 204), (21, (400, "EntityTooLarge"))],
)
def test_size_lies_in_the_range_of_the_policy(aws: S3Server, s3: Any, bucket: str, size: int, answer: Any) -> None:
    reply = post(aws, bucket, form(bucket, None, *ANYTHING, ["content-length-range", 10, 20]), b"x" * size)
    assert (reply[0] if answer == 204 else refused(reply)[:2]) == answer
    assert ("Contents" in s3.list_objects_v2(Bucket=bucket)) == (answer == 204)


def test_large_file_is_stored_whole(aws: S3Server, s3: Any, bucket: str) -> None:
    content = bytes(range(256)) * 12_000
    assert post(aws, bucket, form(bucket), content)[0] == 204
    assert read(s3, bucket, "a") == content


def changed(fields: Form, **more: str) -> Form:
    return fields | {name.replace("_", "-"): value for name, value in more.items()}


@pytest.mark.parametrize(
    ("case", "answer"),
    [
        ("expired", (403, "AccessDenied", "Policy expired")),
        ("other value", (403, "AccessDenied", "Policy Condition failed")),
        ("other start", (403, "AccessDenied", "Policy Condition failed")),
        ("other bucket", (403, "AccessDenied", "Policy Condition failed")),
        ("more fields", (403, "AccessDenied", "Extra input fields: x-amz-meta-more")),
        ("other policy", (403, "SignatureDoesNotMatch", "does not match")),
        ("other signature", (403, "SignatureDoesNotMatch", "does not match")),
        ("other secret", (403, "SignatureDoesNotMatch", "does not match")),
        ("no signature", (403, "SignatureDoesNotMatch", "does not match")),
        ("unknown access key", (403, "InvalidAccessKeyId", "does not exist in our records")),
        ("other date", (400, "AuthorizationHeaderMalformed", "malformed")),
        ("other service", (400, "AuthorizationHeaderMalformed", "malformed")),
        ("no policy", (403, "AccessDenied", "Access Denied")),
        ("version 2", (400, "InvalidRequest", "Please use AWS4-HMAC-SHA256")),
        ("no JSON", (400, "InvalidPolicyDocument", "Invalid JSON")),
        ("no key", (403, "AccessDenied", "Policy Condition failed")),
        ("empty key", (400, "InvalidArgument", "must contain a field named 'key'")),
        ("long key", (400, "InvalidArgument", "must contain a field named 'key'")),
        ("wrong checksum", (400, "BadDigest", "CRC32")),
    ],
)
def test_form_that_its_policy_does_not_allow_stores_nothing(
    aws: S3Server, s3: Any, bucket: str, case: str, answer: tuple[int, str, str]
) -> None:
    good = form(bucket)
    date = good["x-amz-date"][:8]
    forms: dict[str, Form] = {
        "expired": form(bucket, expires_s=-1),
        "other value": changed(good, key="b"),
        "other start": form(bucket, None, ["starts-with", "$key", "up/"], *ANYTHING[1:]),
        "other bucket": form("another-bucket"),
        "more fields": changed(good, x_amz_meta_more="value"),
        "other policy": good | {"policy": form(bucket, None, *ANYTHING)["policy"]},
        "other signature": changed(good, x_amz_signature="0" * 64),
        "other secret": form(bucket, secret="another secret access key"),
        "no signature": {name: value for name, value in good.items() if name != "x-amz-signature"},
        "unknown access key": changed(good, x_amz_credential=f"NOBODY/{date}/{REGION}/s3/aws4_request"),
        "other date": changed(good, x_amz_date="20130524T000000Z"),
        "other service": changed(good, x_amz_credential=f"{ACCESS_KEY_ID}/{date}/{REGION}/sqs/aws4_request"),
        "no policy": {"key": "a"},
        "version 2": {"key": "a", "AWSAccessKeyId": ACCESS_KEY_ID, "policy": good["policy"], "signature": "c2lnbmF0dXJl"},
        "no JSON": good | signature_of(base64.b64encode(b"{"), date),
        "no key": {name: value for name, value in good.items() if name != "key"},
        "empty key": form(bucket, {"key": ""}),
        "long key": form(bucket, {"key": "a" * 1025}),
        "wrong checksum": form(bucket, {"x-amz-checksum-crc32": "AAAAAA=="}),
    }
    status, code, message = refused(post(aws, bucket, forms[case]))
    assert (status, code) == answer[:2]
    assert answer[2] in message
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_fields_to_ignore_need_no_condition(aws: S3Server, bucket: str) -> None:
    assert post(aws, bucket, form(bucket) | {"x-ignore-me": "1", "submit": "Send", "bucket": bucket})[0] == 204


def test_what_comes_behind_the_file_is_ignored(aws: S3Server, s3: Any, bucket: str) -> None:
    parts = [*form(bucket).items(), ("file", ("name", b"content", "text/html")), ("key", "b"), ("x-amz-meta-a", "b")]
    assert send(aws, bucket, *urllib3.encode_multipart_formdata(parts))[0] == 204
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["a"]


def test_body_that_is_no_form_with_a_file_is_refused(aws: S3Server, bucket: str) -> None:
    assert refused(send(aws, bucket, b"a=b", "application/x-www-form-urlencoded"))[:2] == (412, "PreconditionFailed")
    without = urllib3.encode_multipart_formdata(list(form(bucket).items()))
    assert refused(send(aws, bucket, *without))[:2] == (400, "InvalidArgument")
    large = form(bucket) | {"x-ignore-me": "a" * (21 << 10)}
    assert refused(post(aws, bucket, large))[:2] == (400, "MaxPostPreDataLengthExceededError")


def test_upload_makes_a_version(aws: S3Server, s3: Any, bucket: str) -> None:
    enable_versions(s3, bucket)
    ids = [post(aws, bucket, form(bucket), content)[1]["x-amz-version-id"] for content in (b"first", b"second")]
    assert [read(s3, bucket, "a", VersionId=version_id) for version_id in ids] == [b"first", b"second"]


def test_curl_uploads_what_boto_has_signed(aws: S3Server, s3: Any, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_bytes(b"<p>")
    client = aws.client(signature_version="s3v4")
    signed = client.generate_presigned_post(bucket, "pages/${filename}", ExpiresIn=60)
    client.close()
    fields = [f"{name}={value}" for name, value in signed["fields"].items()]
    arguments = [part for field in [*fields, f"file=@{tmp_path}/page.html"] for part in ("--form", field)]
    subprocess.run(["curl", "--silent", "--show-error", "--fail", *arguments, signed["url"]], check=True, timeout=20)
    assert read(s3, bucket, "pages/page.html") == b"<p>"
