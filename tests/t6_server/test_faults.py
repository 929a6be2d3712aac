"""Faults: each is what it says, for the requests it names, as often as it says; by flag and at run time."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from hypothesis import given
from hypothesis import strategies as st
from support.rawhttp import ask, connected, exchange, head, parsed, stored_keys, unsigned_head
from support.s3server import S3Server, s3_server

from ssecfs.app.cli import main
from ssecfs.server.faults import LATE_FAILING, OPERATIONS, STATUS_CODES, Fault, FaultKind, Faults, parse_fault
from ssecfs.server.routes import BUCKET, OBJECT, SERVICE

CONTENT: Final = bytes(range(256)) * 4096
LARGE: Final = CONTENT * 4
CONTROL: Final = "/?ssecfs-faults"

SetRules = Callable[..., None]

WRONG: Final = [
    ("explode", "there is no fault 'explode'; there are: latency, status, throttle"),
    ("", "there is no fault ''"),
    ("latency", "latency takes a value"),
    ("reset=1", "reset takes no value"),
    ("latency=soon", "latency must be a number above 0"),
    ("latency=0", "latency must be a number above 0"),
    ("latency=-1", "latency must be a number above 0"),
    ("latency=inf", "latency must be a number above 0"),
    ("latency=nan", "latency must be a number above 0"),
    ("throttle=0", "throttle must be a number above 0"),
    ("status=200", "status must be one of 400, 403"),
    ("status=503,every=0", "'0' is not a number above 0"),
    ("status=503,count=many", "'many' is not a number above 0"),
    ("status=503,every=\u0663", "is not a number above 0"),
    ("status=503,sometimes=1", "'sometimes' is none of every, count and operation"),
    ("status=503,operation=PutObjct", "status knows no operation 'PutObjct'; there are: AbortMultipartUpload"),
    ("status=503,operation=PutFaults", "status knows no operation 'PutFaults'"),
    ("error-in-200,operation=PutObject", "there are: CompleteMultipartUpload, CopyObject, UploadPartCopy"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("faults") / "server", tls="off") as running:
        assert ask(running, "PUT", "/bucket/there", CONTENT)[0] == 200
        yield running


@pytest.fixture
def misbehave(server: S3Server) -> Iterator[SetRules]:
    """Puts rules in force for the time of a test."""

    def set_rules(*rules: str) -> None:
        assert ask(server, "PUT", CONTROL, "\n".join(rules).encode())[0] == 200
        server.requests()

    yield set_rules
    behave(server)


def behave(server: S3Server) -> list[dict[str, Any]]:
    """End all faults; gives what the log says of the requests before."""
    assert ask(server, "DELETE", CONTROL)[0] == 204
    return [request for request in server.requests() if not request["operation"].endswith("Faults")]


def watch(server: S3Server, method: str, target: str, body: bytes = b"") -> tuple[bytes, str]:
    """What comes back, and how the connection ends."""
    received = b""
    with connected(server) as connection:
        try:
            connection.sendall(head(method, target, {"content-length": str(len(body)), "connection": "close"}) + body)
            while more := connection.recv(1 << 16):
                received += more
        except ConnectionError:
            return received, "reset"
    return received, "end"


def test_every_nth_request_of_an_operation_fails_and_no_other(server: S3Server, misbehave: SetRules) -> None:
    misbehave("status=503,every=3,operation=HeadObject")
    statuses = []
    for _ in range(7):
        statuses.append(ask_head(server))
        assert ask(server, "GET", "/bucket/there")[0] == 200
    assert statuses == [200, 200, 503, 200, 200, 503, 200]


def ask_head(server: S3Server, name: str = "there") -> int:
    return int(exchange(server, head("HEAD", f"/bucket/{name}", {"connection": "close"})).split()[1])


@pytest.mark.parametrize(("status", "code"), STATUS_CODES.items())
def test_status_is_answered_and_nothing_is_done(server: S3Server, misbehave: SetRules, status: int, code: str) -> None:
    misbehave(f"status={status},operation=PutObject")
    assert ask(server, "PUT", "/bucket/not-there", b"x")[:2] == (status, code)
    assert stored_keys(server) == {"there"}


def test_count_ends_a_fault_and_new_rules_count_anew(server: S3Server, misbehave: SetRules) -> None:
    for _ in range(2):
        misbehave("status=500,every=2,count=2")
        assert [ask_head(server) for _ in range(6)] == [200, 500, 200, 500, 200, 200]


def test_latency_holds_up_its_operation_only(server: S3Server, misbehave: SetRules) -> None:
    misbehave("latency=0.3,operation=HeadObject,count=1")
    assert [ask_head(server), ask_head(server)] == [200, 200]
    slow, quick = behave(server)
    assert slow["seconds"] > 0.29 > quick["seconds"]


def test_several_rules_act_together(server: S3Server, misbehave: SetRules) -> None:
    misbehave("status=503", "latency=0.1", "latency=0.1")
    assert ask(server, "GET", "/bucket/there")[:2] == (503, "ServiceUnavailable")
    (request,) = behave(server)
    assert request["seconds"] > 0.19


def test_throttling_lets_so_many_through_each_second() -> None:
    now = [1000.0]
    faults = Faults(clock=lambda: now[0])
    faults.replace([parse_fault("throttle=2,operation=GetObject"), parse_fault("throttle=1,operation=PutObject")])

    def passed() -> list[bool]:
        return [not faults.due(operation) for operation in ("GetObject", "PutObject", "GetObject", "GetObject", "PutObject")]

    assert passed() == [True, True, True, False, False]
    now[0] = 1000.99
    assert passed() == [False] * 5
    now[0] = 1001
    assert passed() == [True, True, True, False, False]


def test_throttled_request_is_told_to_slow_down(server: S3Server, misbehave: SetRules) -> None:
    misbehave("throttle=0.5")
    assert ask(server, "GET", "/bucket/there")[:2] == (503, "SlowDown")


def test_reset_in_the_middle_of_an_answer(server: S3Server, misbehave: SetRules) -> None:
    misbehave("reset")
    received, end = watch(server, "GET", "/bucket/there")
    assert end == "reset"
    assert b"\r\ncontent-length: 1048576\r\n" in received or received == b""  # a reset may overtake what was sent
    assert len(received) < len(CONTENT)
    (request,) = behave(server)
    assert (request["status"], request["ending"], request["bytes_out"]) == (200, "reset", len(CONTENT) // 2)


def test_reset_in_the_middle_of_an_upload_stores_nothing(server: S3Server, misbehave: SetRules) -> None:
    misbehave("reset")
    assert watch(server, "PUT", "/bucket/not-there", LARGE) == (b"", "reset")
    (request,) = behave(server)
    assert (request["status"], request["ending"]) == (0, "reset")
    assert len(LARGE) // 2 <= request["bytes_in"] < len(LARGE)
    assert stored_keys(server) == {"there"}


def test_reset_without_any_body_comes_before_the_answer(server: S3Server, misbehave: SetRules) -> None:
    misbehave("reset")
    assert watch(server, "HEAD", "/bucket/there") == (b"", "reset")
    assert behave(server)[0]["ending"] == "lost"


def test_short_body_ends_in_order(server: S3Server, misbehave: SetRules) -> None:
    misbehave("short")
    received, end = watch(server, "GET", "/bucket/there")
    before, _, body = received.partition(b"\r\n\r\n")
    assert end == "end"
    assert b"\r\ncontent-length: 1048576\r\n" in before
    assert body == CONTENT[: len(CONTENT) // 2]
    assert ask_head(server) == 200
    assert [request["ending"] for request in behave(server)] == ["short", "whole"]


def test_lost_answer_leaves_everything_done(server: S3Server, misbehave: SetRules) -> None:
    misbehave("lost-answer,count=1")
    assert watch(server, "PUT", "/bucket/new", b"new") == (b"", "reset")
    assert ask(server, "GET", "/bucket/new")[2] == b"new"
    assert [(request["status"], request["ending"]) for request in behave(server)] == [(200, "lost"), (200, "whole")]
    assert ask(server, "DELETE", "/bucket/new")[0] == 204


def test_error_inside_a_200_fails_what_may_fail_late_and_nothing_else(server: S3Server, misbehave: SetRules) -> None:
    source = {"x-amz-copy-source": "bucket/there"}
    begun = ask(server, "POST", "/bucket/parts?uploads")[2]
    upload = f"uploadId={ET.fromstring(begun).findtext('{*}UploadId')}"
    misbehave("error-in-200")
    assert ask(server, "PUT", "/bucket/new", b"new")[0] == 200
    late = (
        ask(server, "PUT", "/bucket/copy", headers=source),
        ask(server, "PUT", f"/bucket/parts?partNumber=1&{upload}", headers=source),
        ask(server, "POST", f"/bucket/parts?{upload}", b"<CompleteMultipartUpload/>"),
    )
    for status, _, body in late:
        assert (status, ET.fromstring(body).tag, ET.fromstring(body).findtext("Code")) == (200, "Error", "InternalError")
    logged = {request["operation"]: (request["status"], request["code"]) for request in behave(server)}
    assert logged == {"PutObject": (200, "")} | dict.fromkeys(LATE_FAILING, (200, "InternalError"))
    assert stored_keys(server) == {"there", "new"}
    assert b"<PartNumber>" not in ask(server, "GET", f"/bucket/parts?{upload}")[2]
    assert ask(server, "DELETE", f"/bucket/parts?{upload}")[0] == 204
    assert ask(server, "DELETE", "/bucket/new")[0] == 204


def test_rules_can_be_seen_replaced_and_ended_while_all_else_fails(server: S3Server, misbehave: SetRules) -> None:
    misbehave("status=503", " latency=0.001,count=3 ", "", "error-in-200,every=2,operation=CopyObject")
    shown = b"status=503\nlatency=0.001,count=3\nerror-in-200,every=2,operation=CopyObject\n"
    assert ask(server, "GET", CONTROL)[::2] == (200, shown)
    assert ask(server, "GET", "/bucket/there")[0] == 503
    assert ask(server, "PUT", CONTROL, shown)[0] == 200
    assert ask(server, "GET", CONTROL)[2] == shown
    assert behave(server) != []
    assert ask(server, "GET", CONTROL)[::2] == (200, b"")
    assert ask(server, "GET", "/bucket/there")[0] == 200


def test_control_without_a_signature_is_refused(server: S3Server, misbehave: SetRules) -> None:
    misbehave("status=503,operation=HeadBucket")
    for method in ("GET", "PUT", "DELETE"):
        answer = exchange(server, unsigned_head(method, CONTROL, content_length="5"), b"reset")
        assert parsed(answer)[:2] == (403, "AccessDenied")
    assert ask(server, "GET", CONTROL)[2] == b"status=503,operation=HeadBucket\n"


@pytest.mark.parametrize(("text", "message"), [pair for pair in WRONG if pair[0]])
def test_wrong_rule_at_run_time_is_refused_and_changes_nothing(
    server: S3Server, misbehave: SetRules, text: str, message: str
) -> None:
    misbehave("status=503,operation=HeadBucket")
    status, code, body = ask(server, "PUT", CONTROL, f"reset\n{text}\n".encode())
    assert (status, code) == (400, "InvalidArgument")
    assert message in (ET.fromstring(body).findtext("Message") or "")
    assert ask(server, "GET", CONTROL)[2] == b"status=503,operation=HeadBucket\n"


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_wrong_rule_by_flag_is_one_line_and_nothing_is_served(
    tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(tmp_path / "server"), "--listen", "127.0.0.1:0", "--fault", "reset", "--fault", text]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"ssecfs: {text!r}: ")
    assert message in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "server").exists()


def rules() -> st.SearchStrategy[Fault]:
    values = {
        FaultKind.STATUS: st.sampled_from([float(status) for status in STATUS_CODES]),
        FaultKind.LATENCY: st.floats(1e-9, 1e9),
        FaultKind.THROTTLE: st.floats(1e-9, 1e9),
    }
    names = st.sampled_from(["", *sorted(OPERATIONS)])
    late = st.sampled_from(["", *sorted(LATE_FAILING)])
    return st.sampled_from(FaultKind).flatmap(
        lambda kind: st.builds(
            Fault,
            st.just(kind),
            values.get(kind, st.just(0.0)),
            st.integers(1, 10**9 - 1),
            st.integers(0, 10**9 - 1),
            late if kind is FaultKind.ERROR_IN_200 else names,
        )
    )


@given(rules())
def test_text_of_a_rule_is_parsed_back_to_it(fault: Fault) -> None:
    assert parse_fault(str(fault)) == fault


def test_rules_know_the_operations_of_the_route_table() -> None:
    tables = (SERVICE, BUCKET, OBJECT)
    names = {route.name for table in tables for routes in table.values() for route in routes}
    assert {name for name in names if not name.endswith("Faults")} == OPERATIONS


def test_faults_by_flag_meet_a_client_over_tls(tmp_path: Path) -> None:
    flags = (
        "status=503,every=2,operation=HeadObject",
        "lost-answer,count=1,operation=DeleteObject",
        "reset,count=1,operation=GetObject",
        "short,every=2,count=1,operation=GetObject",
        "reset,every=2,count=1,operation=PutObject",
    )
    options = [word for flag in flags for word in ("--fault", flag)]
    with s3_server(tmp_path / "server", *options) as server:
        client = server.client()
        place = {"Bucket": "bucket", "Key": "a"}
        client.put_object(**place, Body=CONTENT)
        with pytest.raises(BotoCoreError):
            client.put_object(**place, Body=LARGE)  # in HTTP's own chunks, with a checksum behind them
        client.head_object(**place)
        with pytest.raises(ClientError, match="503"):
            client.head_object(**place)
        for _ in ("reset", "short"):
            with pytest.raises(Exception, match=r"[Cc]onnection|IncompleteRead"):
                client.get_object(**place)["Body"].read()
        assert client.get_object(**place)["Body"].read() == CONTENT
        with pytest.raises(BotoCoreError):
            client.delete_object(**place)
        assert client.list_objects_v2(Bucket="bucket")["KeyCount"] == 0
        client.close()
        endings = [(request["operation"], request["ending"]) for request in server.requests()]
    assert [name for name, _ in endings[:1]] == ["PutObject"]
    assert [pair for pair in endings if pair[1] != "whole"] == [
        ("PutObject", "reset"),
        ("GetObject", "reset"),
        ("GetObject", "short"),
        ("DeleteObject", "lost"),
    ]
