"""Where a customer key may travel. No I/O, and no boto3, which takes long to import.

Imported by ``endpoint``, which checks what boto3 has resolved, and by ``app``, which says it before anything else is done.
"""

import ipaddress
from urllib.parse import urlsplit

from ssecfs.errors import ConfigError


def check_endpoint(endpoint_url: str, *, is_http_allowed: bool) -> None:
    """Refuse an endpoint over which a customer key must not travel.

    Raises:
        ConfigError: not a URL, or http where it is not allowed.
    """
    parts = urlsplit(endpoint_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        message = f"--endpoint-url {endpoint_url} is no URL; write for example https://s3.example.com"
        raise ConfigError(message)
    if parts.username or parts.password:
        message = "--endpoint-url must not hold credentials; use the AWS environment variables or a profile"
        raise ConfigError(message)
    if parts.scheme == "https":
        return
    if not _is_loopback(parts.hostname):
        message = f"refused: over plain http to {parts.hostname} everybody on the way could read the key; use https"
        raise ConfigError(message)
    if not is_http_allowed:
        message = "refused: a key over plain http; to loopback it is possible with --allow-http"
        raise ConfigError(message)


def _is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
