"""ListObjects v1 and v2, ListObjectVersions: every page of every size, with names of every kind, in buckets of any size."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlencode
from xml.etree import ElementTree as ET

import pytest
from support.rawhttp import ask
from support.s3calls import enable_versions, error_of, put_all, refusal, trio
from support.s3server import S3Server, s3_server

from ssecfs.server.database import Database
from ssecfs.server.objecttable import ObjectTable
from ssecfs.server.options import Durability
from ssecfs.server.uploadtable import UploadTable
from ssecfs.ssec import CustomerKey

MANY: Final = 100_000
AWKWARD: Final = (
    "a", "a/", "a/b", "a/b/", "a/b/c", "a//b", "a//c", "a0", "a b", "a+b", "a%20b", "a%2Fb", "//", "///x", "/lead", "../up",
    "a/../b", "./here", "é", "e\u0301", "€/euro", "€uro", "\U0001f600/x", "\U0001f600", "\ud7ff/x", "\ue000", "\uffff",
    "\U0010ffff/last", "\x01control", "\x01/a", "tab\tkey", "line\nfeed", "return\r", "\x7f", "<&>\"'", "~", "z" * 1024,
)  # fmt: skip


@dataclass(frozen=True)
class Operation:
    """One way of listing.

    Attributes:
        mark: chooses it.
        marker: behind which name a page begins.
        following: what asks for the next page, and the element that says how.
    """

    mark: str
    marker: str
    following: dict[str, str] = field(default_factory=dict)

    def page(self, server: S3Server, bucket: str, **query: str | int) -> ET.Element:
        target = f"/{bucket}?{self.mark}encoding-type=url&{urlencode({name.replace('_', '-'): query[name] for name in query})}"
        status, code, body = ask(server, "GET", target)
        assert (status, code) == (200, "")
        return ET.fromstring(body)

    def pages(self, server: S3Server, bucket: str, limit: int, **query: str) -> Iterator[list[str]]:
        """The names on each page; a page is as long as asked for, but for the last one."""
        more: dict[str, str] = {}
        while True:
            page = self.page(server, bucket, max_keys=limit, **query, **more)
            names = names_on(page)
            yield names
            more = {name: unquote(page.findtext(f"{{*}}{element}") or "") for name, element in self.following.items()}
            if self.mark == "" and not more["marker"]:
                more = {"marker": names[-1] if names else ""}  # AWS names it only with a delimiter
            more = {name: value for name, value in more.items() if value}
            if page.findtext("{*}IsTruncated") == "false":
                assert self.mark == "" or not more
                return
            assert len(names) == limit


V1: Final = Operation("", "marker", {"marker": "NextMarker"})
V2: Final = Operation("list-type=2&", "start_after", {"continuation_token": "NextContinuationToken"})
VERSIONS: Final = Operation(
    "versions&", "key_marker", {"key_marker": "NextKeyMarker", "version_id_marker": "NextVersionIdMarker"}
)
each_operation: Final = pytest.mark.parametrize("operation", [V1, V2, VERSIONS], ids=["v1", "v2", "versions"])


def names_on(page: ET.Element) -> list[str]:
    """Object keys and common prefixes of a page, together in order."""
    found = [
        [entry.findtext(f"{{*}}{name}") for entry in page.iterfind(f"{{*}}{element}")]
        for element, name in (("Contents", "Key"), ("Version", "Key"), ("DeleteMarker", "Key"), ("CommonPrefixes", "Prefix"))
    ]
    assert all(names == sorted(names, key=in_order) for names in found)
    return sorted((unquote(name or "") for name in chain(*found)), key=str.encode)


def in_order(name: str | None) -> bytes:
    return unquote(name or "").encode()


def expected(object_keys: tuple[str, ...], prefix: str, delimiter: str) -> list[str]:
    """What a listing shows, from the definition."""
    shown = set()
    for object_key in object_keys:
        if object_key.startswith(prefix):
            head, found, _ = object_key[len(prefix) :].partition(delimiter) if delimiter else (object_key, "", "")
            shown.add(prefix + head + found if found else object_key)
    return sorted(shown, key=str.encode)


@pytest.fixture(scope="module")
def awkward(s3: Any) -> str:
    s3.create_bucket(Bucket="awkward")
    put_all(s3, "awkward", *AWKWARD)
    return "awkward"


@each_operation
@pytest.mark.parametrize("limit", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    ("prefix", "delimiter"),
    [("", ""), ("", "/"), ("a/", "/"), ("a", "/"), ("a/b", "/"), ("/", "/"), ("", "//"), ("", "b"), ("€", ""), ("none", "/"),
     ("\U0010ffff", "/"), ("\U0001f600", "\U0001f600"), ("\x01", "/")],
)  # fmt: skip
def test_pages_of_any_size_show_every_name_once(
    aws: S3Server, awkward: str, operation: Operation, prefix: str, delimiter: str, limit: int
) -> None:
    found = list(chain(*operation.pages(aws, awkward, limit, prefix=prefix, delimiter=delimiter)))
    assert found == expected(AWKWARD, prefix, delimiter)


def test_boto_reads_back_names_of_every_kind(s3: Any, awkward: str) -> None:
    for operation in ("list_objects", "list_objects_v2"):
        found = [entry["Key"] for page in s3.get_paginator(operation).paginate(Bucket=awkward) for entry in page["Contents"]]
        assert found == sorted(AWKWARD, key=str.encode)
    assert all(s3.get_object(Bucket=awkward, Key=name)["Body"].read() == name.encode() for name in AWKWARD)


@each_operation
def test_every_name_can_be_a_marker(aws: S3Server, awkward: str, operation: Operation) -> None:
    names = sorted(AWKWARD, key=str.encode)
    for place, name in enumerate(names):
        assert names_on(operation.page(aws, awkward, **{operation.marker: name})) == names[place + 1 :]


@each_operation
def test_marker_inside_a_common_prefix_leaves_all_of_it_out(aws: S3Server, s3: Any, bucket: str, operation: Operation) -> None:
    put_all(s3, bucket, "folder/aSubfolder/subFile1", "folder/aSubfolder/subFile2", "folder/file1", "folder/file2")
    for behind in ("folder/aSubfolder/subFile1", "folder/aSubfolder/"):
        page = operation.page(aws, bucket, prefix="folder/", delimiter="/", max_keys=1, **{operation.marker: behind})
        assert names_on(page) == ["folder/file1"]


def test_v1_names_the_next_marker_only_with_a_delimiter(s3: Any, bucket: str) -> None:
    put_all(s3, bucket, "a", "b/1", "b/2", "c")
    first = s3.list_objects(Bucket=bucket, MaxKeys=1)
    assert (first["IsTruncated"], "NextMarker" in first, first["Marker"]) == (True, False, "")
    second = s3.list_objects(Bucket=bucket, MaxKeys=1, Delimiter="/", Marker="a")
    assert (second["NextMarker"], second["Marker"]) == ("b/", "a")
    assert [entry["Owner"]["ID"] for entry in s3.list_objects(Bucket=bucket)["Contents"]] == ["ssecfs"] * 4


def test_v2_says_what_it_was_asked(s3: Any, bucket: str) -> None:
    put_all(s3, bucket, "a", "b/1", "b/2", "c")
    first = s3.list_objects_v2(Bucket=bucket, MaxKeys=2, Delimiter="/")
    assert (first["KeyCount"], first["MaxKeys"], first["IsTruncated"], first["Name"]) == (2, 2, True, bucket)
    assert "Owner" not in first["Contents"][0]
    rest = s3.list_objects_v2(
        Bucket=bucket, StartAfter="a", ContinuationToken=first["NextContinuationToken"], FetchOwner=True, MaxKeys=5000
    )
    assert ([entry["Key"] for entry in rest["Contents"]], rest["MaxKeys"]) == (["c"], 1000)
    assert (rest["ContinuationToken"], "StartAfter" in rest) == (first["NextContinuationToken"], False)
    assert rest["Contents"][0]["Owner"]["ID"] == "ssecfs"
    assert s3.list_objects_v2(Bucket=bucket, StartAfter="b/1")["StartAfter"] == "b/1"


@each_operation
def test_page_of_no_keys_is_empty_and_whole(aws: S3Server, awkward: str, operation: Operation) -> None:
    page = operation.page(aws, awkward, max_keys=0)
    assert (names_on(page), page.findtext("{*}IsTruncated"), page.findtext("{*}MaxKeys")) == ([], "false", "0")


def test_entry_shows_what_a_head_shows(s3: Any, bucket: str, customer_key: CustomerKey) -> None:
    put = s3.put_object(Bucket=bucket, Key="sealed", Body=b"0123456789", **trio(customer_key))
    (entry,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    (version,) = s3.list_object_versions(Bucket=bucket)["Versions"]
    head = s3.head_object(Bucket=bucket, Key="sealed", **trio(customer_key))
    for shown in (entry, version):
        assert (shown["Size"], shown["ETag"], shown["StorageClass"]) == (10, put["ETag"], "STANDARD")
        assert shown["LastModified"].replace(microsecond=0) == head["LastModified"]
    assert (version["VersionId"], version["IsLatest"]) == ("null", True)


@each_operation
def test_names_are_encoded_only_on_request(aws: S3Server, s3: Any, bucket: str, operation: Operation) -> None:
    put_all(s3, bucket, "<&>\r %/é", "plain")
    page = operation.page(aws, bucket, delimiter="/", prefix="<")
    assert [element.text for element in page.iter() if element.text and "%" in element.text] == ["%3C", "%3C%26%3E%0D%20%25/"]
    status, _, body = ask(aws, "GET", f"/{bucket}?{operation.mark}prefix=%3C")
    root = ET.fromstring(body)
    assert (status, [element.text for element in root.iterfind(".//{*}Key")]) == (200, ["<&>\r %/é"])
    assert root.find("{*}EncodingType") is None


@pytest.mark.parametrize(
    ("operation", "arguments", "name"),
    [
        ("list_objects", {"MaxKeys": -1}, "max-keys"),
        ("list_objects_v2", {"MaxKeys": -1}, "max-keys"),
        ("list_object_versions", {"MaxKeys": -1}, "max-keys"),
        ("list_objects", {"EncodingType": "URL"}, "encoding-type"),
        ("list_objects_v2", {"EncodingType": "base64"}, "encoding-type"),
        ("list_object_versions", {"EncodingType": "base64"}, "encoding-type"),
        ("list_objects_v2", {"ContinuationToken": ""}, "continuation-token"),
        ("list_objects_v2", {"ContinuationToken": "!!!!"}, "continuation-token"),
        ("list_objects_v2", {"ContinuationToken": "YQ==="}, "continuation-token"),
        ("list_objects_v2", {"ContinuationToken": "_w=="}, "continuation-token"),
        ("list_object_versions", {"VersionIdMarker": "1"}, "version-id-marker"),
        ("list_object_versions", {"KeyMarker": "a", "VersionIdMarker": "none"}, "version-id-marker"),
    ],
)
def test_argument_that_makes_no_sense_is_refused(
    s3: Any, awkward: str, operation: str, arguments: dict[str, Any], name: str
) -> None:
    error = error_of(getattr(s3, operation), Bucket=awkward, **arguments)
    assert (error["Status"], error["Code"], error["ArgumentName"]) == (400, "InvalidArgument", name)
    assert refusal(getattr(s3, operation), Bucket="no-such-bucket") == (404, "NoSuchBucket")


def test_page_goes_on_in_the_middle_of_a_name_even_when_its_marker_is_gone(s3: Any, bucket: str) -> None:
    enable_versions(s3, bucket)
    ids = [s3.put_object(Bucket=bucket, Key="a", Body=b"")["VersionId"] for _ in range(5)][::-1]
    first = s3.list_object_versions(Bucket=bucket, MaxKeys=2, Prefix="a")
    assert [version["VersionId"] for version in first["Versions"]] == ids[:2]
    markers = {"KeyMarker": first["NextKeyMarker"], "VersionIdMarker": first["NextVersionIdMarker"]}
    for gone in ids[:2]:
        s3.delete_object(Bucket=bucket, Key="a", VersionId=gone)
    rest = s3.list_object_versions(Bucket=bucket, **markers)["Versions"]
    assert [(version["VersionId"], version["IsLatest"]) for version in rest] == [
        (ids[2], True),
        (ids[3], False),
        (ids[4], False),
    ]


@dataclass
class Index:
    """The index of a bucket with very many keys, and what work it does."""

    path: Path
    database: Database
    statements: list[str] = field(default_factory=list)
    steps: int = 0

    @property
    def connection(self) -> sqlite3.Connection:
        return self.database._connection

    def watch(self) -> None:
        self.connection.set_progress_handler(self._count, 1)
        self.connection.set_trace_callback(self.statements.append)

    def _count(self) -> None:
        self.steps += 1

    def work_of(self, page: Iterator[Any]) -> tuple[int, int]:
        """How many entries a page has, and how many steps SQLite's machine makes for it."""
        before = self.steps
        return sum(1 for _ in page), self.steps - before

    def plans(self) -> set[str]:
        """How each statement since the last call is carried out."""
        self.connection.set_trace_callback(None)
        statements, self.statements = self.statements, []
        return {str(row[3]) for text in statements for row in self.connection.execute(f"EXPLAIN QUERY PLAN {text}")}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's directory: 100 folders of 1000 keys, each with an old version and an upload; one name of 100 000 versions."""
    path = tmp_path_factory.mktemp("many") / "server"
    path.mkdir()
    database = Database(path / "index.sqlite", Durability.KILL)
    columns = [row[1] for row in database.rows("PRAGMA table_info(objects)")]
    chosen = {
        "bucket": "'many'", "object_key": "printf('folder%02d/%06d', i / 1000, i)", "kind": "'object'", "size": "i",
        "etag": "'\"e\"'", "modified_ms": "1000", "texts": """'[{}, "", {}]'""", "seal": "'00 00 00 00 server'", "pieces": "''",
    }  # fmt: skip
    numbers = f"WITH RECURSIVE numbers(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i < {MANY - 1})"
    with database.transaction():
        for table, more in (
            ("objects", {"sequence": "2", "version_id": "'2'"}),
            ("old_versions", {"sequence": "1", "version_id": "'1'"}),
            ("old_versions", {"sequence": "i + 3", "version_id": "CAST(i + 3 AS TEXT)", "object_key": "'one'"}),
        ):
            values = chosen | more
            database.run(f"{numbers} INSERT INTO {table} SELECT {', '.join(values[name] for name in columns)} FROM numbers")
        upload = f"printf('%048x', i), 'many', {chosen['object_key']}, 1000, '[{{}}, {{}}, [\"\", \"\"]]', {chosen['seal']}, 0"
        database.run(f"{numbers} INSERT INTO uploads SELECT {upload} FROM numbers")
        database.run("INSERT INTO buckets VALUES ('many', 0, 'Enabled', '', '[]')")
    database.close()
    return path


@pytest.fixture
def index(directory: Path) -> Iterator[Index]:
    index = Index(directory, Database(directory / "index.sqlite", Durability.KILL))
    index.watch()
    yield index
    index.connection.set_progress_handler(None, 0)
    index.database.close()


def test_page_deep_in_a_bucket_costs_what_the_first_one_costs(index: Index) -> None:
    table = ObjectTable(index.database)
    index.statements.clear()
    starts = ["", "folder50/050000", "folder98/098999"]
    current = [index.work_of(iter(table.list_current("many", "", "", start, 1000).objects)) for start in starts]
    versions = [index.work_of(islice(table.list_versions("many", "", (start, 0)), 1000)) for start in starts]
    inside = [index.work_of(islice(table.list_versions("many", "", ("one", below)), 1000)) for below in (MANY, 50_000, 2000)]
    uploads = [index.work_of(islice(UploadTable(index.database).all_of("many", "", start), 1000)) for start in starts]
    for works in (current, versions, inside, uploads):
        assert {entries for entries, _ in works} == {1000}
        steps = [steps for _, steps in works]
        assert max(steps) < 1.05 * min(steps) + 100
        assert max(steps) < 60 * 1000
    looks = index.plans() - {"MERGE (UNION ALL)", "LEFT", "RIGHT"}
    assert looks
    assert all(plan.startswith("SEARCH ") for plan in looks), "a scan or a sort of the whole bucket"


def test_folder_costs_one_look_into_the_index_however_full_it_is(index: Index) -> None:
    table = ObjectTable(index.database)
    index.statements.clear()
    before = index.steps
    found = table.list_current("many", "", "/", "", 1000)
    assert (len(found.prefixes), found.next_key) == (100, None)
    assert index.steps - before < 200 * 101
    assert len(index.statements) == 101


def test_listings_show_all_of_a_hundred_thousand_keys(directory: Path) -> None:
    with s3_server(directory, "--profile", "aws", tls="off", buckets=()) as server:
        found = list(chain(*V2.pages(server, "many", 1000)))
        assert found == [f"folder{number // 1000:02}/{number:06}" for number in range(MANY)]
        assert server.operations() == {"ListObjectsV2": 100}
        (folders,) = V1.pages(server, "many", 1000, delimiter="/")
        assert folders == [f"folder{number:02}/" for number in range(100)]
