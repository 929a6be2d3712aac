"""What boto3 signs for others, used by others: presigned URLs and upload forms, with and without SSE-C."""

import ssl
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from support.clients import assert_sealed, client_of, seeded_bytes, ssec_of
from support.s3server import S3Server, s3_server
from urllib3 import encode_multipart_formdata

from ssecfs.ssec import CustomerKey, request_headers

BODY = seeded_bytes(5, 30_000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("presigned") / "server", "--profile", "aws") as running:
        yield running


@pytest.fixture
def client(server: S3Server) -> Iterator[Any]:
    """A client with an empty bucket."""
    with client_of(server, signature_version="s3v4") as made:
        for entry in made.list_objects_v2(Bucket="bucket").get("Contents", ()):
            made.delete_object(Bucket="bucket", Key=entry["Key"])
        yield made


def fetch(
    server: S3Server, method: str, url: str, headers: dict[str, str] | None = None, body: bytes | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of what a program without any knowledge of S3 gets."""
    request = urllib.request.Request(url, body, headers or {}, method=method)
    trusting = ssl.create_default_context(cafile=str(server.ca_bundle))
    try:
        with urllib.request.urlopen(request, context=trusting, timeout=20) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except HTTPError as error:
        with error:
            return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()


def code_in(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, str]:
    status, _, body = answer
    return status, body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()


def url_for(client: Any, operation: str, object_key: str, **arguments: Any) -> str:
    url: str = client.generate_presigned_url(operation, {"Bucket": "bucket", "Key": object_key, **arguments}, ExpiresIn=60)
    return url


def test_urls_put_get_and_head_an_object_with_its_key(server: S3Server, client: Any, customer_key: CustomerKey) -> None:
    """The key is sent in headers, which are signed; it does not stand in the URL."""
    keyed, headers = ssec_of(customer_key), request_headers(customer_key)
    urls = {name: url_for(client, f"{name}_object", "one ü", **keyed) for name in ("put", "get", "head")}
    for url in urls.values():
        assert customer_key.reveal_base64() not in unquote(url)
        signed = parse_qs(urlsplit(url).query)["X-Amz-SignedHeaders"][0].split(";")
        assert signed == sorted(["host", *(name.lower() for name in headers)])
    assert fetch(server, "PUT", urls["put"], headers, BODY)[0] == 200
    assert fetch(server, "GET", urls["get"], headers)[::2] == (200, BODY)
    status, answered, _ = fetch(server, "HEAD", urls["head"], headers)
    assert (status, answered["content-length"]) == (200, "30000")
    assert fetch(server, "GET", urls["get"], headers | {"Range": "bytes=10-19"})[::2] == (206, BODY[10:20])
    assert_sealed(server, BODY)


def test_url_is_good_for_what_was_signed_only(server: S3Server, client: Any, customer_key: CustomerKey) -> None:
    keyed, headers = ssec_of(customer_key), request_headers(customer_key)
    client.put_object(Bucket="bucket", Key="one", Body=BODY, **keyed)
    url = url_for(client, "get_object", "one", **keyed)
    refused = (403, "SignatureDoesNotMatch")
    assert code_in(fetch(server, "GET", url)) == refused
    assert code_in(fetch(server, "GET", url, request_headers(CustomerKey(b"o" * 32)))) == refused
    assert code_in(fetch(server, "PUT", url, headers, b"other")) == refused
    assert code_in(fetch(server, "GET", url.replace("/one?", "/two?"), headers)) == refused
    assert code_in(fetch(server, "GET", url.replace("X-Amz-Expires=60", "X-Amz-Expires=600"), headers)) == refused
    bare = url_for(client, "get_object", "one")
    assert code_in(fetch(server, "GET", bare, headers)) == (403, "AccessDenied")  # headers that were not signed
    assert code_in(fetch(server, "GET", bare)) == (400, "InvalidRequest")  # signed, but without the key
    assert fetch(server, "GET", url, headers)[::2] == (200, BODY)


def test_url_can_carry_headers_of_the_answer_and_metadata(server: S3Server, client: Any) -> None:
    put = url_for(client, "put_object", "plain", Metadata={"colour": "blue"}, ContentType="text/plain")
    assert fetch(server, "PUT", put, {"x-amz-meta-colour": "blue", "Content-Type": "text/plain"}, BODY)[0] == 200
    get = url_for(client, "get_object", "plain", ResponseContentDisposition='attachment; filename="a b"')
    status, headers, body = fetch(server, "GET", get)
    assert (status, body, headers["x-amz-meta-colour"], headers["content-type"]) == (200, BODY, "blue", "text/plain")
    assert headers["content-disposition"] == 'attachment; filename="a b"'


def test_url_in_parts_uploads_a_large_object(server: S3Server, client: Any, customer_key: CustomerKey) -> None:
    keyed, headers = ssec_of(customer_key), request_headers(customer_key)
    upload = client.create_multipart_upload(Bucket="bucket", Key="parts", **keyed)["UploadId"]
    url = url_for(client, "upload_part", "parts", UploadId=upload, PartNumber=1, **keyed)
    status, answered, _ = fetch(server, "PUT", url, headers, BODY)
    assert status == 200
    done = {"Parts": [{"PartNumber": 1, "ETag": answered["etag"]}]}
    client.complete_multipart_upload(Bucket="bucket", Key="parts", UploadId=upload, MultipartUpload=done, **keyed)
    assert client.get_object(Bucket="bucket", Key="parts", **keyed)["Body"].read() == BODY


def post(server: S3Server, form: dict[str, Any], body: bytes = BODY, **changes: str) -> tuple[int, dict[str, str], bytes]:
    """Send a form with a file, as a browser does."""
    fields = {**form["fields"], **changes, "file": ("name on the disk.bin", body, "application/x-test")}
    content, content_type = encode_multipart_formdata(fields)
    return fetch(server, "POST", form["url"], {"Content-Type": content_type}, content)


def form_for(client: Any, object_key: str, fields: dict[str, str] | None = None, *conditions: Any) -> dict[str, Any]:
    """An upload form whose policy asks for its fields and for the conditions."""
    fields = fields or {}
    wanted = [{name: value} for name, value in fields.items()]
    form: dict[str, Any] = client.generate_presigned_post("bucket", object_key, fields, [*wanted, *conditions], ExpiresIn=60)
    return form


def test_form_uploads_a_file_with_its_key(server: S3Server, client: Any, customer_key: CustomerKey) -> None:
    fields = {**request_headers(customer_key), "x-amz-meta-colour": "blue", "Content-Type": "text/plain"}
    form = form_for(client, "forms/${filename}", fields, ["content-length-range", 1, 100_000])
    assert post(server, form)[::2] == (204, b"")
    stored = client.get_object(Bucket="bucket", Key="forms/name on the disk.bin", **ssec_of(customer_key))
    assert stored["Body"].read() == BODY
    assert (stored["Metadata"], stored["ContentType"]) == ({"colour": "blue"}, "text/plain")
    assert_sealed(server, BODY)


def test_form_answers_as_it_asks_to(server: S3Server, client: Any) -> None:
    status, _, body = post(server, form_for(client, "one", {"success_action_status": "201"}))
    assert status == 201
    assert b"<Bucket>bucket</Bucket><Key>one</Key><ETag>" in body


@pytest.mark.parametrize(
    ("size", "changes", "wanted"),
    [
        (0, {}, (400, "EntityTooSmall")),
        (101, {}, (400, "EntityTooLarge")),
        (50, {"key": "elsewhere"}, (403, "AccessDenied")),
        (50, {"x-amz-meta-colour": "red"}, (403, "AccessDenied")),
        (50, {"x-amz-meta-size": "not in the policy"}, (403, "AccessDenied")),
        (50, {"policy": "e30="}, (403, "SignatureDoesNotMatch")),
        (50, {"x-amz-signature": "0" * 64}, (403, "SignatureDoesNotMatch")),
    ],
)
def test_form_that_breaks_its_policy_is_refused(
    server: S3Server, client: Any, size: int, changes: dict[str, str], wanted: tuple[int, str]
) -> None:
    form = form_for(client, "forms/one", {"x-amz-meta-colour": "blue"}, ["content-length-range", 1, 100])
    assert code_in(post(server, form, BODY[:size], **changes)) == wanted
    assert client.list_objects_v2(Bucket="bucket")["KeyCount"] == 0
    assert post(server, form, BODY[:100])[0] == 204
