"""Buckets that block SSE-C uploads, as new ones of AWS do since 2026; and customer keys over plain http.

Source: sections on blocked encryption and on refusals of the fact sheet on SSE-C.
"""

import pytest
from support.endpoint import BODY, Endpoint
from support.trios import OTHER, WRONG, Trio

from ssecfs.server.profiles import Case, Encryption


@pytest.fixture
def configured(endpoint: Endpoint, own_bucket: str, trio: Trio) -> str:
    """A bucket that blocks SSE-C, with an object from before; a service that knows no such configuration does not block."""
    assert endpoint.ask("PUT", f"/{own_bucket}/before", trio.headers(), BODY).status == 200
    if knows_blocking(endpoint):
        endpoint.block(own_bucket, "SSE-C")
    return own_bucket


def knows_blocking(endpoint: Endpoint) -> bool:
    return "encryption" not in endpoint.profile.unknown_queries


def test_ssec_uploads_are_refused_before_their_keys_are_looked_at(endpoint: Endpoint, configured: str, trio: Trio) -> None:
    wanted = endpoint.outcome_of(Case.BLOCKED) if knows_blocking(endpoint) else (200, "", "")
    path = f"/{configured}/a"
    assert endpoint.ask("PUT", path, trio.headers(), BODY).outcome == wanted
    assert endpoint.ask("POST", f"{path}?uploads", trio.headers()).outcome == wanted
    assert endpoint.ask("PUT", f"/{configured}/plain", {}, BODY).status == 200
    copied = endpoint.ask("PUT", path, trio.headers() | {"x-amz-copy-source": f"/{configured}/plain"})
    assert copied.outcome == (wanted if endpoint.profile.encrypts_copies else (200, "", ""))
    posted = endpoint.post_form(configured, "a", trio.headers(), BODY)
    assert posted.outcome[:2] == (wanted[:2] if knows_blocking(endpoint) else (204, ""))
    malformed = endpoint.ask("PUT", path, WRONG["AES128"][0](trio).headers(), BODY)
    assert malformed.outcome == (wanted if knows_blocking(endpoint) else endpoint.outcome_of(Case.BAD_ALGORITHM))


def test_objects_from_before_the_block_are_read(endpoint: Endpoint, configured: str, trio: Trio) -> None:
    assert endpoint.ask("GET", f"/{configured}/before", trio.headers()).body == BODY
    assert endpoint.ask("GET", f"/{configured}/before", OTHER.headers()).outcome == endpoint.outcome_of(Case.WRONG_KEY)
    assert endpoint.ask("DELETE", f"/{configured}/before").status == 204


def test_block_is_shown_and_lifted(endpoint: Endpoint, configured: str, trio: Trio) -> None:
    """A service that does not know the question takes it for a listing."""
    shown = endpoint.ask("GET", f"/{configured}?encryption")
    if not knows_blocking(endpoint):
        assert shown.element("Contents/Key") == "before"
        return
    assert shown.element("Rule/BlockedEncryptionTypes/EncryptionType") == "SSE-C"
    endpoint.block(configured, "NONE")
    assert endpoint.ask("PUT", f"/{configured}/a", trio.headers(), BODY).status == 200


def test_block_is_the_default_where_the_profile_says_so(endpoint: Endpoint, object_key: str, trio: Trio) -> None:
    bucket = f"n{object_key}"
    assert endpoint.ask("PUT", f"/{bucket}").status == 200
    is_blocked = endpoint.profile.encryption is Encryption.BLOCKED
    wanted = endpoint.outcome_of(Case.BLOCKED) if is_blocked else (200, "", "")
    assert endpoint.ask("PUT", f"/{bucket}/a", trio.headers(), BODY).outcome == wanted
    assert endpoint.ask("PUT", f"/{bucket}/plain", {}, BODY).status == 200


def test_customer_keys_are_refused_over_plain_http(plain_endpoint: Endpoint, trio: Trio) -> None:
    """Before anything else is looked at; what has no key is served."""
    wanted = (400, "InvalidRequest")
    assert plain_endpoint.ask("PUT", "/plain-http").status == 200
    assert plain_endpoint.ask("PUT", "/plain-http/a", {}, BODY).status == 200
    assert plain_endpoint.ask("PUT", "/plain-http/b", trio.headers(), BODY).outcome[:2] == wanted
    assert plain_endpoint.ask("PUT", "/plain-http/b", WRONG["31 bytes"][0](trio).headers(), BODY).outcome[:2] == wanted
    assert plain_endpoint.ask("HEAD", "/plain-http/b").status == 404
    assert plain_endpoint.ask("GET", "/plain-http/a").body == BODY
