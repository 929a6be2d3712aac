"""Signatures: AWS's published examples, headers, presigned URLs, clocks, scopes, and several access keys."""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree as ET

import boto3
import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from support.rawhttp import ask, exchange, parsed, unsigned_head
from support.s3calls import OTHER_KEY, put_all, read, refusal, trio
from support.s3server import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, S3Server, s3_server

from ssecfs.server.authentication import authenticate, parse_moment
from ssecfs.server.credentials import CredentialsFileError, accepted_credentials
from ssecfs.server.errors import S3Error
from ssecfs.server.request import Request, parse_request
from ssecfs.server.sigv4 import canonical_request, signing_key
from ssecfs.ssec import CustomerKey, request_headers

SECRETS: Final = {
    "AKIAIOSFODNN7EXAMPLE": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",  # AWS's own, in all of its examples
    ACCESS_KEY_ID: SECRET_ACCESS_KEY,
}
PUBLISHED_S: Final = float(parse_moment("20130524T000000Z") or 0)
EMPTY: Final = hashlib.sha256(b"").hexdigest()
HOST: Final = "examplebucket.s3.amazonaws.com"
SCOPE: Final = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"

PUBLISHED: Final = [
    (
        "GET",
        "/test.txt",
        "",
        {"host": HOST, "range": "bytes=0-9", "x-amz-content-sha256": EMPTY, "x-amz-date": "20130524T000000Z"},
        "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    (
        "PUT",
        "/test%24file.text",
        "",
        {
            "date": "Fri, 24 May 2013 00:00:00 GMT",
            "host": HOST,
            "x-amz-content-sha256": "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            "x-amz-date": "20130524T000000Z",
            "x-amz-storage-class": "REDUCED_REDUNDANCY",
        },
        "9e0e90d9c76de8fa5b200d8c849cd5b8dc7a3be3951ddb7f6a76b4158342019d",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    (
        "GET",
        "/",
        "lifecycle",
        {"host": HOST, "x-amz-content-sha256": EMPTY, "x-amz-date": "20130524T000000Z"},
        "9766c798316ff2757b517bc739a67f6213b4ab36dd5da2f94eaebf79c77395ca",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    (
        "GET",
        "/",
        "max-keys=2&prefix=J",
        {"host": HOST, "x-amz-content-sha256": EMPTY, "x-amz-date": "20130524T000000Z"},
        "df57d21db20da04d7fa30298dd4488ba3a2b47ca3a489c74750e0f1e7df1b9b7",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
]
"""The examples of "Authenticating Requests: Using the Authorization Header": canonical request (hashed) and signature."""

PRESIGNED: Final = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)
"""That of "Authenticating Requests: Using Query Parameters"."""


def request_of(method: str, path: str, query: str, headers: Mapping[str, str]) -> Request:
    """A request as it comes; AWS's examples name the bucket in the host."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    parsed_query = parse_request(method, b"/", query.encode(), raw, is_secure=True)
    return Request(method, path, parsed_query.query, parsed_query.headers, "bucket", path[1:], is_secure=True)


def signature_in(text: str, names: str, signature: str) -> dict[str, str]:
    return {"authorization": f"AWS4-HMAC-SHA256 Credential={text},SignedHeaders={names},Signature={signature}"}


@pytest.mark.parametrize(("method", "path", "query", "headers", "digest", "signature"), PUBLISHED)
def test_published_signature_by_header_is_accepted(
    method: str, path: str, query: str, headers: dict[str, str], digest: str, signature: str
) -> None:
    request = request_of(method, path, query, headers)
    canonical = canonical_request(request, sorted(headers), headers["x-amz-content-sha256"])
    assert hashlib.sha256(canonical).hexdigest() == digest
    authorization = signature_in(SCOPE, ";".join(sorted(headers)), signature)
    signed = authenticate(request_of(method, path, query, headers | authorization), SECRETS, PUBLISHED_S)
    assert (signed.signature, signed.access_key_id) == (signature, "AKIAIOSFODNN7EXAMPLE")


def test_published_signing_key_is_derived() -> None:
    derived = signing_key(SECRETS["AKIAIOSFODNN7EXAMPLE"], "20130524", "us-east-1")
    assert derived.hex() == "dbb893acc010964918f1fd433add87c70e8b0db6be30c1fbeafefa5ec6ba8378"


@pytest.mark.parametrize(
    ("offset_s", "message"), [(-901, "not valid yet"), (-900, ""), (0, ""), (86_400, ""), (86_401, "has expired")]
)
def test_published_presigned_url_is_accepted_in_its_time(offset_s: int, message: str) -> None:
    request = request_of("GET", "/test.txt", PRESIGNED, {"host": HOST})
    if not message:
        assert authenticate(request, SECRETS, PUBLISHED_S + offset_s).payload_hash == "UNSIGNED-PAYLOAD"
    else:
        with pytest.raises(S3Error, match=f"AccessDenied: Request (is )?{message}"):
            authenticate(request, SECRETS, PUBLISHED_S + offset_s)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("X-Amz-Expires", "604801", "AuthorizationQueryParametersError: X-Amz-Expires must be less than a week"),
        ("X-Amz-Expires", "-1", "AuthorizationQueryParametersError: X-Amz-Expires must be non-negative"),
        ("X-Amz-Expires", "1h", "AuthorizationQueryParametersError: X-Amz-Expires should be a number"),
        ("X-Amz-Expires", None, "AuthorizationQueryParametersError: Query-string authentication version 4 requires"),
        ("X-Amz-Date", None, "AuthorizationQueryParametersError: Query-string authentication version 4 requires"),
        ("X-Amz-Date", "Fri, 24 May 2013", "AuthorizationQueryParametersError: X-Amz-Date must be in the ISO8601"),
        ("X-Amz-Date", "20130525T000000Z", "AuthorizationQueryParametersError: Invalid credential date"),
        ("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE", "AuthorizationQueryParametersError: Error parsing the X-Amz-Credential"),
        ("X-Amz-Credential", SCOPE.replace("/s3/", "/sqs/"), "AuthorizationQueryParametersError: Error parsing"),
        ("X-Amz-Credential", SCOPE.replace("us-east-1", "eu-west-1"), "SignatureDoesNotMatch"),
        ("X-Amz-Credential", SCOPE.replace("AKIA", "NONE"), "InvalidAccessKeyId"),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA1", "AuthorizationQueryParametersError: X-Amz-Algorithm only supports"),
        ("X-Amz-SignedHeaders", "range", "AccessDenied: There were headers present in the request which were not signed"),
        ("X-Amz-Signature", "0" * 64, "SignatureDoesNotMatch"),
        ("X-Amz-Expires", "86399", "SignatureDoesNotMatch"),
        ("versionId", "1", "SignatureDoesNotMatch"),
    ],
)
def test_changed_presigned_url_is_refused(name: str, value: str | None, code: str) -> None:
    query = dict(parse_qsl(PRESIGNED)) | {name: value}
    text = "&".join(f"{name}={value}" for name, value in query.items() if value is not None)
    with pytest.raises(S3Error, match=code):
        authenticate(request_of("GET", "/test.txt", text, {"host": HOST}), SECRETS, PUBLISHED_S)


def signed_at(moment_s: float, secret: str = SECRET_ACCESS_KEY, region: str = REGION, **more: str) -> dict[str, str]:
    """The headers of a GET of /bucket/a, signed by botocore at a time of our choice."""
    headers = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD", **{name.replace("_", "-"): value for name, value in more.items()}}
    request = AWSRequest("GET", "http://localhost/bucket/a", headers)
    request.context["timestamp"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment_s))
    signer = S3SigV4Auth(Credentials(ACCESS_KEY_ID, secret), "s3", region)
    signer._modify_request_before_signing(request)
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    signer._inject_signature_to_request(request, signature)
    return {"host": "localhost"} | {name.lower(): value for name, value in request.headers.items()}


NOW_S: Final = float(parse_moment("20261124T120000Z") or 0)


@pytest.mark.parametrize(("skew_s", "is_accepted"), [(0, True), (900, True), (-900, True), (901, False), (-901, False)])
def test_clock_may_be_a_quarter_of_an_hour_off(skew_s: int, *, is_accepted: bool) -> None:
    request = request_of("GET", "/bucket/a", "", signed_at(NOW_S + skew_s))
    if is_accepted:
        assert authenticate(request, SECRETS, NOW_S).access_key_id == ACCESS_KEY_ID
        return
    with pytest.raises(S3Error) as refused:
        authenticate(request, SECRETS, NOW_S)
    error = refused.value
    assert (error.status, error.code) == (403, "RequestTimeTooSkewed")
    assert (error.details["ServerTime"], error.details["MaxAllowedSkewMilliseconds"]) == ("2026-11-24T12:00:00Z", "900000")


def test_any_region_is_served_and_bound_to_the_signature() -> None:
    for region in ("us-east-1", "eu-west-1", "gra", ""):
        headers = signed_at(NOW_S, region=region)
        assert authenticate(request_of("GET", "/bucket/a", "", headers), SECRETS, NOW_S).scope.split("/")[1] == region
    moved = headers | {"authorization": headers["authorization"].replace("//s3", "/gra/s3")}
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        authenticate(request_of("GET", "/bucket/a", "", moved), SECRETS, NOW_S)


def with_authorization(old: str, new: str) -> dict[str, str]:
    headers = signed_at(NOW_S)
    return headers | {"authorization": headers["authorization"].replace(old, new)}


def without(name: str) -> dict[str, str]:
    return {other: value for other, value in signed_at(NOW_S).items() if other != name}


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (with_authorization("/s3/", "/sqs/"), "AuthorizationHeaderMalformed"),
        (with_authorization("aws4_request", "aws4"), "AuthorizationHeaderMalformed"),
        (with_authorization("20261124", "20261123"), "AuthorizationHeaderMalformed"),
        (with_authorization("Signature=", "Sign="), "AuthorizationHeaderMalformed"),
        (with_authorization("SignedHeaders=", "SignedHeaders=;"), "SignatureDoesNotMatch"),
        (with_authorization(ACCESS_KEY_ID, "NOBODY"), "InvalidAccessKeyId"),
        (with_authorization("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), "InvalidRequest: .*Please use AWS4-HMAC-SHA256"),
        (signed_at(NOW_S, secret="another"), "SignatureDoesNotMatch"),
        (signed_at(NOW_S) | {"x-amz-meta-a": "b"}, "AccessDenied: There were headers present .* which were not signed"),
        (signed_at(NOW_S, x_amz_meta_a="b") | {"x-amz-meta-a": "c"}, "SignatureDoesNotMatch"),
        (signed_at(NOW_S) | {"host": "elsewhere"}, "SignatureDoesNotMatch"),
        (without("x-amz-date"), "AccessDenied: AWS authentication requires a valid Date or x-amz-date header"),
        (without("x-amz-content-sha256"), "InvalidRequest: Missing required header for this request: x-amz-content-sha256"),
        (signed_at(NOW_S) | {"x-amz-content-sha256": "none"}, "InvalidRequest: The value of x-amz-content-sha256"),
        ({"host": "h", "authorization": "AWS id:c2lnbmF0dXJl"}, "InvalidRequest: .*Please use AWS4-HMAC-SHA256"),
        ({"host": "h", "authorization": ""}, "InvalidRequest: .*Please use AWS4-HMAC-SHA256"),
        ({"host": "h"}, "AccessDenied: Access Denied"),
    ],
)
def test_header_that_does_not_hold_is_refused(headers: dict[str, str], code: str) -> None:
    with pytest.raises(S3Error, match=code):
        authenticate(request_of("GET", "/bucket/a", "", headers), SECRETS, NOW_S)


def test_date_header_serves_where_the_other_is_missing() -> None:
    """Signed over Date only, as old clients do."""
    headers = {"host": HOST, "date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    names = sorted(headers)
    request = request_of("GET", "/test.txt", "", headers)
    derived = signing_key(SECRETS["AKIAIOSFODNN7EXAMPLE"], "20130524", "us-east-1")
    text = hashlib.sha256(canonical_request(request, names, "UNSIGNED-PAYLOAD")).hexdigest()
    signer = S3SigV4Auth(Credentials("AKIAIOSFODNN7EXAMPLE", ""), "s3", "us-east-1")
    scope = SCOPE.partition("/")[2]
    signature = signer._sign(derived, f"AWS4-HMAC-SHA256\n20130524T000000Z\n{scope}\n{text}", hex=True)
    signed = signature_in(SCOPE, ";".join(names), signature)
    authenticate(request_of("GET", "/test.txt", "", headers | signed), SECRETS, PUBLISHED_S + 900)


def test_body_must_be_the_one_that_was_signed(aws: S3Server, s3: Any, bucket: str) -> None:
    digest = hashlib.sha256(b"signed").hexdigest()
    answer = ask(aws, "PUT", f"/{bucket}/a", b"SIGNED", {"x-amz-content-sha256": digest})
    assert answer[:2] == (400, "XAmzContentSHA256Mismatch")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    assert ask(aws, "PUT", f"/{bucket}/a", b"signed", {"x-amz-content-sha256": digest})[0] == 200


@pytest.mark.parametrize(
    ("method", "target", "code"),
    [
        ("GET", "/", "AccessDenied"),
        ("GET", "/bucket?list-type=2", "AccessDenied"),
        ("PUT", "/bucket/a", "AccessDenied"),
        ("DELETE", "/bucket/a", "AccessDenied"),
        ("POST", "/bucket?delete", "AccessDenied"),
        ("GET", "/bucket/a?AWSAccessKeyId=a&Expires=9999999999&Signature=b", "InvalidRequest"),
    ],
)
def test_anonymous_and_old_requests_are_refused(aws: S3Server, method: str, target: str, code: str) -> None:
    answer = parsed(exchange(aws, unsigned_head(method, target)))
    assert answer[:2] == (403 if code == "AccessDenied" else 400, code)
    assert code == "AccessDenied" or b"Please use AWS4-HMAC-SHA256" in answer[2]


def presigned(client: Any, operation: str, **arguments: Any) -> str:
    """The target of a presigned request."""
    url = urlsplit(client.generate_presigned_url(operation, arguments, ExpiresIn=60))
    return f"{url.path}?{url.query}"


def call(server: S3Server, method: str, target: str, body: bytes = b"", **headers: str) -> tuple[int, str, bytes]:
    place = urlsplit(server.url).netloc
    lines = [f"{name}: {value}" for name, value in ({"host": place, "content-length": str(len(body))} | headers).items()]
    sent = "\r\n".join([f"{method} {target} HTTP/1.1", "connection: close", *lines, "", ""]).encode()
    return parsed(exchange(server, sent, body))


def test_presigned_urls_write_and_read(aws: S3Server, bucket: str, customer_key: CustomerKey) -> None:
    client = aws.client(signature_version="s3v4")
    place, sealed, headers = {"Bucket": bucket, "Key": "a b/é"}, trio(customer_key), request_headers(customer_key)
    put = presigned(client, "put_object", **place, **sealed)
    get = presigned(client, "get_object", **place, **sealed)
    client.close()
    assert customer_key.reveal_base64() not in put + get
    assert call(aws, "PUT", put, b"content", **headers)[:2] == (200, "")
    assert call(aws, "GET", get, **headers) == (200, "", b"content")
    assert call(aws, "GET", get)[1] == "SignatureDoesNotMatch"
    assert call(aws, "GET", get, **request_headers(OTHER_KEY))[1] == "SignatureDoesNotMatch"
    assert call(aws, "PUT", get, b"x", **headers)[1] == "SignatureDoesNotMatch"
    unsigned = headers | {"x-amz-meta-a": "b"}
    status, code, body = call(aws, "GET", get, **unsigned)
    assert (status, code, ET.fromstring(body).findtext("HeadersNotSigned")) == (403, "AccessDenied", "x-amz-meta-a")


def test_expired_url_says_when(aws: S3Server, s3: Any, bucket: str) -> None:
    put_all(s3, bucket, "a")
    request = AWSRequest("GET", f"{aws.url}/{bucket}/a")
    signer = S3SigV4QueryAuth(Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY), "s3", REGION, expires=60)
    request.context["timestamp"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - 120))
    signer._modify_request_before_signing(request)
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    signer._inject_signature_to_request(request, signature)
    url = urlsplit(request.url)
    status, code, body = call(aws, "GET", f"{url.path}?{url.query}")
    root = ET.fromstring(body)
    assert (status, code, root.findtext("Message"), root.findtext("X-Amz-Expires")) == (
        403,
        "AccessDenied",
        "Request has expired",
        "60",
    )
    assert root.findtext("ServerTime", "") > root.findtext("Expires", "")


def test_only_one_signature_is_allowed(aws: S3Server, bucket: str) -> None:
    client = aws.client(signature_version="s3v4")
    target = presigned(client, "list_objects_v2", Bucket=bucket)
    client.close()
    assert call(aws, "GET", target, authorization="AWS4-HMAC-SHA256 ...")[:2] == (400, "InvalidArgument")


def client_of(server: S3Server, access_key_id: str, secret: str) -> Any:
    session = boto3.Session(aws_access_key_id=access_key_id, aws_secret_access_key=secret, region_name="eu-west-1")
    return session.client("s3", endpoint_url=server.url, config=Config(retries={"total_max_attempts": 1}))


def test_every_access_key_of_a_file_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    pairs = {"KEYONE": "secret/one+", "KEYTWO": "secret%two"}
    path.write_text(
        "".join(f"[{name}]\naws_access_key_id = {name}\naws_secret_access_key = {pairs[name]}\n\n" for name in pairs)
    )
    (tmp_path / "run").mkdir()
    with s3_server(tmp_path / "run" / "server", "--credentials", str(path), tls="off") as server:
        one, two = (client_of(server, name, secret) for name, secret in pairs.items())
        put_all(one, "bucket", "a")
        assert read(two, "bucket", "a") == b"a"
        crossed, foreign = client_of(server, "KEYONE", pairs["KEYTWO"]), server.client()
        assert refusal(crossed.list_buckets) == (403, "SignatureDoesNotMatch")
        assert refusal(foreign.list_buckets) == (403, "InvalidAccessKeyId")
        for client in (one, two, crossed, foreign):
            client.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("", "holds no access key"),
        ("[a]\naws_access_key_id = b\n", "not in the format"),
        ("aws_access_key_id = secret-text\n", "not in the format"),
        ("\xff", "not in the format"),
    ],
)
def test_file_that_holds_no_access_keys_is_named_and_not_shown(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "credentials"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(CredentialsFileError, match=message) as refused:
        accepted_credentials(tmp_path, path, {})
    assert str(path) in str(refused.value)
    assert "secret-text" not in str(refused.value)


def test_environment_comes_before_what_the_server_makes_for_itself(tmp_path: Path) -> None:
    given = {"AWS_ACCESS_KEY_ID": "ID", "AWS_SECRET_ACCESS_KEY": "secret"}
    assert accepted_credentials(tmp_path, None, given) == {"ID": "secret"}
    assert list(tmp_path.iterdir()) == []
    made = accepted_credentials(tmp_path, None, {})
    assert accepted_credentials(tmp_path, None, {}) == made
    assert (tmp_path / "credentials").stat().st_mode & 0o077 == 0
    assert len(next(iter(made.values()))) == 40
