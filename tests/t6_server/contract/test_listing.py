"""Listings need no key, show plaintext sizes, and go on where they stopped; versions, each with a key of its own."""

from typing import Any
from urllib.parse import quote

import pytest
from support.endpoint import BODY, Endpoint
from support.trios import OTHER, Trio

from ssecfs.server.profiles import Case

NAMES = ["a", "b-", "b/1", "b/2", "c/", "c/d/e", "m n", "z", "é"]
"""In the order of their UTF-8 bytes."""


@pytest.fixture(scope="module")
def filled(endpoint: Endpoint) -> str:
    """A bucket with objects under a key, to be looked at only."""
    endpoint.make_bucket("listing")
    for name in NAMES:
        assert endpoint.ask("PUT", f"/listing/{quote(name)}", OTHER.headers(), BODY).status == 200
    return "listing"


def pages_v1(s3: Any, bucket: str, **more: Any) -> list[dict[str, Any]]:
    return list(s3.get_paginator("list_objects").paginate(Bucket=bucket, **more))


def pages_v2(s3: Any, bucket: str, **more: Any) -> list[dict[str, Any]]:
    return list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, **more))


both_versions = pytest.mark.parametrize("pages", [pages_v1, pages_v2])


def names_in(pages: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Object keys and common prefixes."""
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return keys, [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]


@both_versions
def test_listing_shows_plaintext_sizes_in_order(s3: Any, filled: str, pages: Any) -> None:
    (page,) = pages(s3, filled)
    assert [entry["Key"] for entry in page["Contents"]] == NAMES
    assert {entry["Size"] for entry in page["Contents"]} == {len(BODY)}


@both_versions
def test_listing_goes_on_where_it_stopped(s3: Any, filled: str, pages: Any) -> None:
    found = pages(s3, filled, PaginationConfig={"PageSize": 2})
    assert [len(page.get("Contents", [])) for page in found][:4] == [2, 2, 2, 2]
    assert names_in(found) == (NAMES, [])


@both_versions
def test_delimiter_groups_names_and_groups_count_as_entries(s3: Any, filled: str, pages: Any) -> None:
    wanted = (["a", "b-", "m n", "z", "é"], ["b/", "c/"])
    assert names_in(pages(s3, filled, Delimiter="/")) == wanted
    assert names_in(pages(s3, filled, Delimiter="/", PaginationConfig={"PageSize": 1})) == wanted
    assert names_in(pages(s3, filled, Delimiter="/", Prefix="c/")) == (["c/"], ["c/d/"])


@both_versions
def test_prefix_selects_names(s3: Any, filled: str, pages: Any) -> None:
    assert names_in(pages(s3, filled, Prefix="b")) == (["b-", "b/1", "b/2"], [])
    assert names_in(pages(s3, filled, Prefix="nothing")) == ([], [])


def test_listing_can_start_behind_a_name(s3: Any, filled: str) -> None:
    assert names_in([s3.list_objects_v2(Bucket=filled, StartAfter="c/")])[0] == NAMES[5:]
    assert names_in([s3.list_objects(Bucket=filled, Marker="c/")])[0] == NAMES[5:]


def test_listing_counts_and_names_owners_when_asked(s3: Any, filled: str) -> None:
    page = s3.list_objects_v2(Bucket=filled, MaxKeys=2)
    assert (page["KeyCount"], page["IsTruncated"], page["MaxKeys"]) == (2, True, 2)
    assert "Owner" not in page["Contents"][0]
    assert s3.list_objects_v2(Bucket=filled, MaxKeys=0)["IsTruncated"] is False


def test_names_are_encoded_when_asked(endpoint: Endpoint, own_bucket: str, trio: Trio) -> None:
    assert endpoint.ask("PUT", f"/{own_bucket}/m%20n%2B%25", trio.headers(), BODY).status == 200
    for version in ("", "&list-type=2"):
        answer = endpoint.ask("GET", f"/{own_bucket}?encoding-type=url{version}")
        assert answer.element("Contents/Key") == "m%20n%2B%25"
        assert endpoint.ask("GET", f"/{own_bucket}?prefix=m{version}").element("Contents/Key") == "m n+%"


def test_nonsense_limit_is_refused(endpoint: Endpoint, filled: str) -> None:
    for version in ("", "&list-type=2"):
        assert endpoint.ask("GET", f"/{filled}?max-keys=x{version}").outcome[:2] == (400, "InvalidArgument")


@pytest.fixture
def versioned(s3: Any, own_bucket: str) -> str:
    s3.put_bucket_versioning(Bucket=own_bucket, VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket=own_bucket)["Status"] == "Enabled"
    return own_bucket


def test_each_version_has_its_own_key(endpoint: Endpoint, versioned: str, trio: Trio) -> None:
    path = f"/{versioned}/a"
    old = endpoint.ask("PUT", path, trio.headers(), b"1").headers["x-amz-version-id"]
    new = endpoint.ask("PUT", path, OTHER.headers(), b"22").headers["x-amz-version-id"]
    assert endpoint.ask("GET", path, OTHER.headers()).body == b"22"
    assert endpoint.ask("GET", path, trio.headers()).outcome == endpoint.outcome_of(Case.WRONG_KEY)
    answer = endpoint.ask("GET", f"{path}?versionId={old}", trio.headers())
    assert (answer.body, answer.headers["x-amz-version-id"]) == (b"1", old)
    assert endpoint.ask("GET", f"{path}?versionId={old}", OTHER.headers()).outcome == endpoint.outcome_of(Case.WRONG_KEY)
    assert endpoint.ask("HEAD", f"{path}?versionId={new}").status == endpoint.outcome_of(Case.KEYLESS)[0]


def test_deletion_leaves_a_marker_and_versions_can_be_removed(endpoint: Endpoint, s3: Any, versioned: str, trio: Trio) -> None:
    path = f"/{versioned}/a"
    version_id = endpoint.ask("PUT", path, trio.headers(), BODY).headers["x-amz-version-id"]
    deleted = endpoint.ask("DELETE", path)
    marker_id = deleted.headers["x-amz-version-id"]
    assert (deleted.status, deleted.headers["x-amz-delete-marker"]) == (204, "true")
    assert endpoint.ask("GET", path, trio.headers()).outcome[:2] == (404, "NoSuchKey")
    assert endpoint.ask("GET", f"{path}?versionId={marker_id}").outcome == endpoint.outcome_of(Case.READ_MARKER)
    assert endpoint.ask("GET", f"{path}?versionId={version_id}", trio.headers()).body == BODY
    assert endpoint.ask("DELETE", f"{path}?versionId={marker_id}").status == 204
    assert endpoint.ask("GET", path, trio.headers()).body == BODY
    assert endpoint.ask("DELETE", f"{path}?versionId={version_id}").status == 204
    missing = endpoint.ask("GET", f"{path}?versionId={version_id}", trio.headers())
    assert missing.outcome == endpoint.outcome_of(Case.NO_SUCH_VERSION)
    assert "Versions" not in s3.list_object_versions(Bucket=versioned)


def test_versions_are_listed_without_a_key(endpoint: Endpoint, s3: Any, versioned: str, trio: Trio) -> None:
    for own in (trio, OTHER):
        assert endpoint.ask("PUT", f"/{versioned}/a", own.headers(), BODY).status == 200
    assert endpoint.ask("DELETE", f"/{versioned}/a").status == 204
    assert endpoint.ask("PUT", f"/{versioned}/b", trio.headers(), BODY).status == 200
    page = s3.list_object_versions(Bucket=versioned)
    shown = [(version["Key"], version["IsLatest"], version["Size"]) for version in page["Versions"]]
    assert shown == [("a", False, len(BODY)), ("a", False, len(BODY)), ("b", True, len(BODY))]
    assert [(marker["Key"], marker["IsLatest"]) for marker in page["DeleteMarkers"]] == [("a", True)]
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=versioned, PaginationConfig={"PageSize": 1})
    listed = [entry["VersionId"] for found in pages for kind in ("Versions", "DeleteMarkers") for entry in found.get(kind, [])]
    assert sorted(listed) == sorted(entry["VersionId"] for entry in page["Versions"] + page["DeleteMarkers"])


def test_many_are_deleted_to_markers(endpoint: Endpoint, s3: Any, versioned: str, trio: Trio) -> None:
    assert endpoint.ask("PUT", f"/{versioned}/a", trio.headers(), BODY).status == 200
    (deleted,) = s3.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "a"}]})["Deleted"]
    assert (deleted["Key"], deleted["DeleteMarker"]) == ("a", True)
    (marker,) = s3.list_object_versions(Bucket=versioned)["DeleteMarkers"]
    assert marker["VersionId"] == deleted["DeleteMarkerVersionId"]
