"""What each operation takes and gives with a customer key: echo, ETag, sizes; and where none is needed.

Source: the table of headers by operation in the fact sheet on SSE-C.
"""

import base64
import hashlib
import re
from typing import Any

import pytest
from support.endpoint import BODY, BUCKET, Answer, Endpoint
from support.trios import ALGORITHM_ECHO, MD5_ECHO, OTHER, Trio, base64_of, md5_of

from ssecfs.server.profiles import Case, Echo, ETags

MD5 = hashlib.md5(BODY).hexdigest()


def echo_in(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name in {ALGORITHM_ECHO, MD5_ECHO}}


def echo_of(endpoint: Endpoint, trio: Trio, *, is_copy: bool = False) -> dict[str, str]:
    """What answers to a request with a key show of it."""
    silent = {Echo.NONE, Echo.NOT_COPIES} if is_copy else {Echo.NONE}
    return {} if endpoint.profile.echo in silent else trio.echo


def test_answers_show_which_key_was_used_and_never_the_key(endpoint: Endpoint, target: str, trio: Trio) -> None:
    wanted = echo_of(endpoint, trio)
    created = endpoint.ask("POST", f"{target}-parts?uploads", trio.headers())
    part = f"{target}-parts?partNumber=1&uploadId={created.element('UploadId')}"
    answers = [
        endpoint.ask("PUT", target, trio.headers(), BODY),
        endpoint.ask("GET", target, trio.headers()),
        endpoint.ask("HEAD", target, trio.headers()),
        created,
        endpoint.ask("PUT", part, trio.headers(), BODY),
    ]
    assert [answer.status for answer in answers] == [200] * 5
    assert [echo_in(answer) for answer in answers] == [wanted] * 5
    assert not any("x-amz-server-side-encryption" in answer.headers for answer in answers)
    assert not any(trio.encoded in str([answer.headers, answer.body]) for answer in answers)


def test_plain_requests_show_no_key_but_the_servers_own_encryption(endpoint: Endpoint, plain: str) -> None:
    created = endpoint.ask("POST", f"{plain}-parts?uploads")
    part = f"{plain}-parts?partNumber=1&uploadId={created.element('UploadId')}"
    answers = [
        endpoint.ask("PUT", plain, {}, BODY),
        endpoint.ask("GET", plain),
        endpoint.ask("HEAD", plain),
        endpoint.ask("PUT", f"{plain}-copy", {"x-amz-copy-source": plain}),
        created,
        endpoint.ask("PUT", part, {}, BODY),
    ]
    own = "AES256" if endpoint.profile.encrypts_by_default else None
    shown = [(answer.status, echo_in(answer), answer.headers.get("x-amz-server-side-encryption")) for answer in answers]
    assert shown == [(200, {}, own)] * 6


def test_completion_and_listings_show_no_key(endpoint: Endpoint, target: str, trio: Trio) -> None:
    upload_id = endpoint.ask("POST", f"{target}?uploads", trio.headers()).element("UploadId")
    part = endpoint.ask("PUT", f"{target}?partNumber=1&uploadId={upload_id}", trio.headers(), BODY)
    listed = endpoint.ask("GET", f"{target}?uploadId={upload_id}")
    assert (listed.element("Part/PartNumber"), listed.element("Part/Size")) == ("1", str(len(BODY)))
    entry = f"<Part><PartNumber>1</PartNumber><ETag>{part.headers['etag']}</ETag></Part>"
    document = f"<CompleteMultipartUpload>{entry}</CompleteMultipartUpload>".encode()
    completed = endpoint.ask("POST", f"{target}?uploadId={upload_id}", {}, document)
    object_key = target.rpartition("/")[2]
    answers = [listed, completed, *(endpoint.ask("GET", f"/{BUCKET}?prefix={object_key}{more}") for more in ("", "&versions"))]
    assert [(answer.status, echo_in(answer)) for answer in answers] == [(200, {})] * 4
    assert not any(b"ustomer" in answer.body for answer in answers)


@pytest.mark.parametrize("operation", ["put", "form", "part"])
def test_etag_of_an_object_with_a_key_is_of_the_profiles_kind(
    endpoint: Endpoint, object_key: str, target: str, trio: Trio, operation: str
) -> None:
    def etag() -> str:
        if operation == "form":
            assert endpoint.post_form(BUCKET, object_key, trio.headers(), BODY).status == 204
            return endpoint.ask("HEAD", target, trio.headers()).headers["etag"]
        if operation == "put":
            return endpoint.ask("PUT", target, trio.headers(), BODY).headers["etag"]
        return endpoint.ask("PUT", part, trio.headers(), BODY).headers["etag"]

    part = f"{target}?partNumber=1&uploadId={endpoint.ask('POST', f'{target}?uploads', trio.headers()).element('UploadId')}"
    first, second = etag(), etag()
    assert re.fullmatch(r'"[0-9a-f]{32}"', first)
    is_md5 = endpoint.profile.etags is ETags.MD5
    assert (first == f'"{MD5}"', first == second) == (is_md5, is_md5)


def test_etag_of_a_plain_object_is_its_md5(endpoint: Endpoint, plain: str) -> None:
    assert endpoint.ask("HEAD", plain).headers["etag"] == f'"{MD5}"'


def test_heads_describe_the_plaintext(endpoint: Endpoint, target: str, trio: Trio) -> None:
    given = {"x-amz-meta-name": "value", "content-type": "text/x-test", "cache-control": "no-cache"}
    stored = endpoint.ask("PUT", target, trio.headers() | given, BODY)
    head, got = endpoint.ask("HEAD", target, trio.headers()), endpoint.ask("GET", target, trio.headers())
    wanted = given | {"etag": stored.headers["etag"], "content-length": str(len(BODY)), "accept-ranges": "bytes"}
    for answer in (head, got):
        assert {name: answer.headers.get(name) for name in wanted} == wanted
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer.headers["last-modified"])
    assert (head.body, got.body) == (b"", BODY)


def test_response_headers_can_be_overridden(endpoint: Endpoint, stored: str, trio: Trio) -> None:
    answer = endpoint.ask("GET", f"{stored}?response-content-type=text%2Fx-other", trio.headers())
    assert (answer.headers["content-type"], answer.body) == ("text/x-other", BODY)


def test_deletion_needs_no_key(endpoint: Endpoint, stored: str, trio: Trio) -> None:
    assert endpoint.ask("DELETE", stored).status == 204
    assert endpoint.ask("GET", stored, trio.headers()).outcome[:2] == (404, "NoSuchKey")
    assert endpoint.ask("DELETE", stored).status == 204


def test_deletion_of_many_needs_no_key(endpoint: Endpoint, s3: Any, stored: str, plain: str, trio: Trio) -> None:
    names = [path.rpartition("/")[2] for path in (stored, plain, f"{stored}-missing")]
    answer = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": name} for name in names]})
    assert {entry["Key"] for entry in answer["Deleted"]} == set(names)
    assert [endpoint.ask("HEAD", path, trio.headers()).status for path in (stored, plain)] == [404, 404]


def test_deletion_of_many_in_quiet_lists_nothing(s3: Any, endpoint: Endpoint, stored: str) -> None:
    document = f"<Delete><Quiet>true</Quiet><Object><Key>{stored.rpartition('/')[2]}</Key></Object></Delete>".encode()
    answer = endpoint.ask("POST", f"/{BUCKET}?delete", {"content-md5": md5_of(document)}, document)
    assert (answer.status, answer.element("Deleted")) == (200, None)


def test_tags_need_no_key(s3: Any, object_key: str, stored: str) -> None:
    place = {"Bucket": BUCKET, "Key": object_key}
    tags = [{"Key": "colour", "Value": "blue"}, {"Key": "shape", "Value": "round"}]
    s3.put_object_tagging(**place, Tagging={"TagSet": tags})
    assert sorted(s3.get_object_tagging(**place)["TagSet"], key=lambda tag: str(tag["Key"])) == tags
    s3.delete_object_tagging(**place)
    assert s3.get_object_tagging(**place)["TagSet"] == []


def test_tags_come_with_the_upload_and_are_counted(endpoint: Endpoint, target: str, trio: Trio) -> None:
    assert endpoint.ask("PUT", target, trio.headers() | {"x-amz-tagging": "a=1&b=2"}, BODY).status == 200
    assert endpoint.ask("GET", target, trio.headers()).headers["x-amz-tagging-count"] == "2"


def test_form_upload_takes_a_key(endpoint: Endpoint, object_key: str, target: str, trio: Trio) -> None:
    assert endpoint.post_form(BUCKET, object_key, trio.headers(), BODY).status == 204
    assert endpoint.ask("GET", target, trio.headers()).body == BODY
    assert endpoint.ask("GET", target).outcome == endpoint.outcome_of(Case.KEYLESS)


def test_attributes_are_shown_with_the_key(endpoint: Endpoint, stored: str, trio: Trio) -> None:
    """A service that does not know the operation takes it for a GET."""
    wanted = {"x-amz-object-attributes": "ETag,ObjectSize,StorageClass"}
    answer = endpoint.ask("GET", f"{stored}?attributes", trio.headers() | wanted)
    if "attributes" in endpoint.profile.unknown_queries:
        assert (answer.status, answer.body) == (200, BODY)
        return
    etag = endpoint.ask("HEAD", stored, trio.headers()).headers["etag"].strip('"')
    shown = [answer.element(name) for name in ("ETag", "ObjectSize", "StorageClass")]
    assert (answer.status, shown) == (200, [etag, str(len(BODY)), "STANDARD"])


def test_presigned_url_works_with_the_key_in_its_headers_only(endpoint: Endpoint, s3: Any, object_key: str, trio: Trio) -> None:
    names = {"SSECustomerAlgorithm": trio.algorithm, "SSECustomerKey": trio.encoded, "SSECustomerKeyMD5": trio.md5}
    urls = [
        s3.generate_presigned_url(name, Params={"Bucket": BUCKET, "Key": object_key} | names).removeprefix(endpoint.url)
        for name in ("put_object", "get_object")
    ]
    assert not any(base64.b64decode(trio.encoded or "").hex() in url or (trio.encoded or "") in url for url in urls)
    assert endpoint.send("PUT", urls[0], trio.headers(), BODY).status == 200
    assert endpoint.send("GET", urls[1], trio.headers()).body == BODY
    assert endpoint.send("GET", urls[1], OTHER.headers()).outcome[:2] == (403, "SignatureDoesNotMatch")
    assert endpoint.send("GET", urls[1], {}).status == 403


def test_buckets_are_made_once_and_removed_when_empty(endpoint: Endpoint, own_bucket: str, trio: Trio) -> None:
    assert endpoint.ask("PUT", f"/{own_bucket}").outcome == endpoint.outcome_of(Case.BUCKET_IS_YOURS)
    assert endpoint.ask("HEAD", f"/{own_bucket}").status == 200
    assert endpoint.ask("PUT", f"/{own_bucket}/a", trio.headers(), BODY).status == 200
    assert endpoint.ask("DELETE", f"/{own_bucket}").outcome[:2] == (409, "BucketNotEmpty")
    assert endpoint.ask("DELETE", f"/{own_bucket}/a").status == 204
    assert endpoint.ask("DELETE", f"/{own_bucket}").status == 204
    assert endpoint.ask("HEAD", f"/{own_bucket}").status == 404
    assert endpoint.ask("GET", f"/{own_bucket}").outcome[:2] == (404, "NoSuchBucket")


def test_buckets_are_listed(s3: Any, own_bucket: str) -> None:
    assert {BUCKET, own_bucket} <= {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}


def test_body_that_is_not_as_signed_is_refused(endpoint: Endpoint, target: str, trio: Trio) -> None:
    answer = endpoint.ask("PUT", target, trio.headers(), BODY, payload_hash=hashlib.sha256(b"another").hexdigest())
    assert answer.outcome[:2] == (400, "XAmzContentSHA256Mismatch")
    assert endpoint.ask("HEAD", target, trio.headers()).status == 404
    assert endpoint.ask("PUT", target, trio.headers(), BODY, payload_hash="UNSIGNED-PAYLOAD").status == 200


def test_content_md5_is_of_the_plaintext_and_checked(endpoint: Endpoint, target: str, trio: Trio) -> None:
    def put(content_md5: str) -> tuple[int, str]:
        return endpoint.ask("PUT", target, trio.headers() | {"content-md5": content_md5}, BODY).outcome[:2]

    assert put(md5_of(b"another")) == (400, "BadDigest")
    assert put(base64_of(b"short")) == (400, "InvalidDigest")
    assert endpoint.ask("HEAD", target, trio.headers()).status == 404
    assert put(md5_of(BODY)) == (200, "")
