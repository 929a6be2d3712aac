"""The connection to an endpoint: options, credentials, the boto3 client with the settings that third-party servers need.

Imported by ``app``. What is done with the client is the business of ``client``.
"""

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ProfileNotFound
from botocore.handlers import add_expect_header
from botocore.utils import parse_timestamp

from ssecfs.errors import ConfigError, CredentialsError
from ssecfs.s3.transport import check_endpoint


@dataclass(frozen=True, slots=True)
class S3Options:
    """How to reach the endpoint.

    Attributes:
        endpoint_url: None: AWS, or what boto3 finds in its own configuration.
        profile_name: in the shared configuration; None: boto3's usual chain.
        ca_bundle: PEM file with the certificates to trust; None: the system's.
        is_http_allowed: a key may travel over plain http to this machine itself.
        connections: kept open at most.
        timeout_s: to connect, and between two pieces of an answer.
    """

    endpoint_url: str | None
    region: str | None
    profile_name: str | None
    ca_bundle: Path | None
    is_http_allowed: bool = False
    connections: int = 64
    timeout_s: float = 60.0


def make_client(options: S3Options) -> Any:
    """Make the boto3 client; call it once, in the main thread, before others use it.

    Raises:
        CredentialsError: none are configured.
        ConfigError: the endpoint or region makes no sense to boto3, or no key may travel there.
    """
    try:
        core = botocore.session.Session()
        core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_parse_timestamp)
        session = boto3.Session(botocore_session=core, profile_name=options.profile_name, region_name=options.region)
        credentials = session.get_credentials()
    except (ProfileNotFound, BotoCoreError) as error:
        message = f"no credentials: {type(error).__name__}; check --profile-name and the shared configuration"
        raise CredentialsError(message) from error
    if credentials is None:
        message = "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with --profile-name"
        raise CredentialsError(message)
    config = Config(
        signature_version="s3v4",
        # Trailing checksums broke many servers other than AWS; Content-MD5 is sent instead, which all of them check.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={
            "addressing_style": "path" if options.endpoint_url else "auto",
            # Over TLS the payload needs no second hash.
            "payload_signing_enabled": False,
        },
        max_pool_connections=options.connections,
        connect_timeout=min(options.timeout_s, 20.0),
        read_timeout=options.timeout_s,
        tcp_keepalive=True,
        retries={"mode": "standard", "total_max_attempts": 1},  # retry.py has the only loop
    )
    try:
        client = session.client(
            "s3",
            endpoint_url=options.endpoint_url,
            region_name=session.region_name or "us-east-1",
            verify=str(options.ca_bundle) if options.ca_bundle else None,
            config=config,
        )
    except (ValueError, BotoCoreError) as error:
        message = f"the endpoint or region is not usable: {type(error).__name__}"
        raise ConfigError(message) from error
    check_endpoint(client.meta.endpoint_url, is_http_allowed=options.is_http_allowed)
    # Servers that never answer 100 Continue would cost a second for each upload.
    client.meta.events.unregister("before-call.s3", add_expect_header)
    client.meta.events.register("before-call.s3.HeadObject", _stay_here)
    return client


def _parse_timestamp(value: Any) -> datetime:
    """A time in an answer. botocore's own parser understands anything, and takes a quarter of the time of a listing for it."""
    try:
        if isinstance(value, str) and value.endswith("Z"):
            return datetime.fromisoformat(value)
        if isinstance(value, str) and value.endswith("GMT"):
            return parsedate_to_datetime(value)
    except ValueError:
        pass  # the other one may know
    moment: datetime = parse_timestamp(value)
    return moment


def _stay_here(context: Any, **_: object) -> None:
    """Keep botocore from taking a 400 for a wrong region: to HEAD it is also "wrong customer key". It would ask twice more.

    The listing that every mount begins with has found the region by then.
    """
    context["s3_redirect"]["redirected"] = True
