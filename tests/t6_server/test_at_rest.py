"""The format at rest is what ssecfs-server(1) says: a reader that was written by the page reads what the server stored."""

import base64
import random
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from cryptography.exceptions import InvalidSignature
from support import atrest
from support.atrest import named_pieces, read_checksum, read_stored, stored_pieces
from support.rawhttp import ask
from support.s3server import S3Server, s3_server

from ssecfs.ssec import CustomerKey, request_headers

MANUAL: Final = (Path(__file__).parents[2] / "man" / "ssecfs-server.1").read_text(encoding="utf-8")
CONTENT: Final = random.Random(5).randbytes(200_000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("at-rest") / "server", tls="off") as running:
        yield running


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000])
@pytest.mark.parametrize("is_ssec", [True, False])
def test_object_of_any_size_is_stored_as_the_manual_says(
    server: S3Server, customer_key: CustomerKey, size: int, is_ssec: bool
) -> None:
    headers = request_headers(customer_key) if is_ssec else {}
    others = stored_pieces(server.directory)
    assert ask(server, "PUT", "/bucket/sch%C3%B6n/a%20b", CONTENT[:size], headers)[0] == 200
    secret = customer_key.reveal_bytes() if is_ssec else None
    assert read_stored(server.directory, "schön/a b", secret) == CONTENT[:size]
    files, rows = stored_pieces(server.directory)
    assert (files, rows) == named_pieces(server.directory)
    assert (len(files - others[0]), len(rows - others[1])) == ((1, 0) if size > 65_536 else (0, 1))
    assert ask(server, "DELETE", "/bucket/sch%C3%B6n/a%20b")[0] == 204
    assert stored_pieces(server.directory) == others


def test_multipart_object_and_its_copy_are_stored_as_the_manual_says(server: S3Server, customer_key: CustomerKey) -> None:
    client, body = server.client(), CONTENT * 27
    key = {
        "SSECustomerAlgorithm": "AES256",
        "SSECustomerKey": customer_key.reveal_base64(),
        "SSECustomerKeyMD5": customer_key.md5,
    }
    place = {"Bucket": "bucket", "Key": "parts"}
    upload = place | {"UploadId": client.create_multipart_upload(**place, **key)["UploadId"]}
    parts = [
        {"PartNumber": number, "ETag": client.upload_part(**upload, PartNumber=number, Body=part, **key)["ETag"]}
        for number, part in ((3, body), (10, b"tail"))
    ]
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, **key)
    assert read_stored(server.directory, "parts", customer_key.reveal_bytes()) == body + b"tail"
    source = {f"CopySource{name}": value for name, value in key.items()}
    client.copy_object(Bucket="bucket", Key="copy", CopySource="bucket/parts", **source)
    assert read_stored(server.directory, "copy", None) == body + b"tail"
    client.close()


def test_checksum_is_sealed_as_the_manual_says(server: S3Server, customer_key: CustomerKey) -> None:
    value = base64.b64encode(zlib.crc32(CONTENT).to_bytes(4, "big")).decode()
    headers = request_headers(customer_key) | {"x-amz-checksum-crc32": value}
    assert ask(server, "PUT", "/bucket/checked", CONTENT, headers)[0] == 200
    assert read_checksum(server.directory, "checked", customer_key.reveal_bytes()) == ["crc32", value, "FULL_OBJECT"]
    assert not any(value.encode() in path.read_bytes() for path in server.directory.rglob("*") if path.is_file())


def test_verifier_tells_another_key(server: S3Server, customer_key: CustomerKey) -> None:
    assert ask(server, "PUT", "/bucket/a", b"x", request_headers(customer_key))[0] == 200
    with pytest.raises(InvalidSignature):
        read_stored(server.directory, "a", b"another key, 32 bytes long as well"[:32])


def test_manual_names_what_the_reader_relies_on() -> None:
    page = re.sub(r"\\f[BRIP]", "", MANUAL).replace("\\-", "-")
    strings = set(re.findall(r'"(SSO1|ssecfs-s3/\w+/v1)"', page))
    assert strings == {atrest.MAGIC, atrest.KEK_INFO, atrest.VERIFIER_INFO, atrest.PIECE_INFO, atrest.NOTE_INFO}
    for words in (
        f"chunks of {atrest.CHUNK_BYTES} bytes",
        f"{atrest.TAG_BYTES} bytes of tag",
        "object id (16 bytes), salt (32), wrapped data key (60), verifier (32), in hex",
        "NAME,NUMBER,SIZE,SALT",
        '"SSO1" || object id || NUMBER (4 bytes) || chunk number (8 bytes) || 1 for the last chunk, else 0 (1 byte)',
        "nonce: chunk number (12 bytes)",
        "small_pieces (name, sealed)",
        "data/XX/NAME",
    ):
        assert words in page.replace("\\fI", ""), words
