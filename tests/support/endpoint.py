"""An S3 endpoint as the contract sees it, whoever serves it: signed requests as they are written, and boto3.

The signature is botocore's, so that the embedded server is not its own judge. What is expected is asked of a profile.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import boto3
import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from ssecfs.server.profiles import Case, Encryption, Profile

REGION: Final = "us-east-1"
BUCKET: Final = "contract"
BODY: Final = b"what is stored"
TIMEOUT_S: Final = 30
_ENCRYPTION: Final = """<ServerSideEncryptionConfiguration><Rule>
<ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault>
<BlockedEncryptionTypes><EncryptionType>{blocked}</EncryptionType></BlockedEncryptionTypes>
</Rule></ServerSideEncryptionConfiguration>"""
Outcome = tuple[int, str, str]
"""Status, code and message; a success has neither of the latter."""


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        headers: by lower-case name.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def outcome(self) -> Outcome:
        return self.status, self.error.get("Code", ""), self.error.get("Message", "")

    @property
    def error(self) -> dict[str, str]:
        """The elements of the error document; of a HEAD there is none."""
        if self.status < 400 or not self.body:
            return {}
        return {element.tag: element.text or "" for element in ET.fromstring(self.body)}

    def element(self, path: str) -> str | None:
        """The text of an element of the document."""
        return ET.fromstring(self.body).findtext("/".join(f"{{*}}{name}" for name in path.split("/")))


class _Signer(S3SigV4Auth):
    def __init__(self, credentials: Credentials, payload_hash: str | None) -> None:
        super().__init__(credentials, "s3", REGION)
        self._payload_hash = payload_hash

    def payload(self, request: AWSRequest) -> str:
        return self._payload_hash or str(super().payload(request))


class Endpoint:
    """A server, and the profile that says what to expect of it.

    Owns: connections, and the boto3 client ``s3``.
    """

    def __init__(self, url: str, ca_bundle: Path | None, credentials: tuple[str, str], profile: Profile) -> None:
        self.url: Final = url
        self.profile: Final = profile
        self._ca_bundle = str(ca_bundle) if ca_bundle else None
        self._credentials = Credentials(*credentials)
        place = urlsplit(url)
        options = {"ca_certs": self._ca_bundle} if ca_bundle else {}
        pool = urllib3.HTTPSConnectionPool if ca_bundle else urllib3.HTTPConnectionPool
        # No checksums of its own accord: older services do not understand them.
        self.s3: Final = self.client(request_checksum_calculation="when_required", response_checksum_validation="when_required")
        self._pool = pool(place.hostname or "", place.port, retries=False, timeout=TIMEOUT_S, **options)

    def close(self) -> None:
        self._pool.close()
        self.s3.close()

    def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        payload_hash: str | None = None,
    ) -> Answer:
        """Send a signed request.

        Args:
            target: path and query, percent-encoded.
            payload_hash: what is signed in place of the body's hash.
        """
        request = AWSRequest(method, self.url + target, headers=dict(headers or {}), data=body)
        _Signer(self._credentials, payload_hash).add_auth(request)
        return self.send(method, target, dict(request.headers.items()), body)

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Send a request as it is."""
        answer = self._pool.urlopen(method, target, body=body, headers=headers)
        return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.data)

    def post_form(self, bucket: str, object_key: str, fields: Mapping[str, str], content: bytes) -> Answer:
        """Upload as a web page does, with a form that is signed."""
        conditions = [{name: value} for name, value in fields.items()]
        form = self.s3.generate_presigned_post(bucket, object_key, dict(fields), conditions)["fields"]
        body, content_type = urllib3.encode_multipart_formdata([*form.items(), ("file", ("name", content))])
        return self.send("POST", f"/{bucket}", {"content-type": content_type}, body)

    def client(self, **config: Any) -> Any:
        """A boto3 client."""
        chosen = Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, **config)
        session = boto3.Session(self._credentials.access_key, self._credentials.secret_key, region_name=REGION)
        return session.client("s3", endpoint_url=self.url, verify=self._ca_bundle, config=chosen)

    def make_bucket(self, name: str) -> None:
        """Make a bucket that takes SSE-C uploads."""
        assert self.ask("PUT", f"/{name}").status == 200
        if self.profile.encryption is Encryption.BLOCKED:
            self.block(name, "NONE")

    def block(self, bucket: str, kind: str) -> None:
        """Let a bucket refuse a kind of encryption: SSE-C or NONE."""
        assert self.ask("PUT", f"/{bucket}?encryption", {}, _ENCRYPTION.format(blocked=kind).encode()).status == 200

    def accepts(self, case: Case) -> bool:
        return case in self.profile.accepts

    def outcome_of(self, case: Case, accepted: int = 200) -> Outcome:
        """What a case gets here: its answer, or the status of a success."""
        if self.accepts(case):
            return accepted, "", ""
        error = self.profile.error(case)
        return error.status, error.code, error.message
