"""`ssecfs serve` as a process: what it refuses to start with, whom it lets in, how it ends, and what its log never shows."""

import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography import x509
from support.rawhttp import ask, connected, exchange, head, unsigned_head
from support.s3server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server, clean_environment, s3_server
from support.secretwatch import SecretWatch

from ssecfs.app.cli import main
from ssecfs.server.certificate import load_or_make_certificate
from ssecfs.ssec import CustomerKey, copy_source_headers, request_headers

SERVE: Final = (sys.executable, "-m", "ssecfs", "serve")


@contextmanager
def serving(directory: Path, *options: str, **environment: str | None) -> Iterator[tuple[list[str], subprocess.Popen[str]]]:
    """Run the server with an environment of one's own (None: not set); gives its first three lines."""
    chosen = clean_environment() | {name: value for name, value in environment.items() if value is not None}
    chosen = {name: value for name, value in chosen.items() if environment.get(name, "") is not None}
    command = [*SERVE, str(directory), "--listen", "127.0.0.1:0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=chosen) as process:
        assert process.stdout is not None
        try:
            lines = []
            while not lines or not lines[-1].startswith("try: "):
                lines.append(process.stdout.readline())
                assert lines[-1]
            yield lines, process
        finally:
            process.terminate()
    assert process.returncode == 0


Refuse = Callable[..., tuple[int, str]]


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Starts a server that does not start; gives exit code and message."""

    def run(directory: Path, *options: str) -> tuple[int, str]:
        code = main(["serve", str(directory), "--listen", "127.0.0.1:0", *options])
        printed = capsys.readouterr()
        assert (printed.out, printed.err.count("\n")) == ("", 1)
        return code, printed.err.removeprefix("ssecfs: ").strip()

    return run


def client_of(lines: list[str], directory: Path, access_key_id: str, secret: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=lines[0].split()[-1],
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret,
        region_name="us-east-1",
        verify=str(directory / "tls" / "cert.pem"),
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--profile", "azure"], "--profile takes one of ovh, aws, ceph"),
        (["--listen", "0.0.0.0:0", "--tls", "off"], "without TLS only loopback is served, not 0.0.0.0"),
        (["--listen", "[::]:0", "--tls", "off"], "without TLS only loopback is served, not ::"),
        (["--listen", "9000"], "--listen 9000: write HOST:PORT"),
        (["--listen", "127.0.0.1:65536"], "write HOST:PORT"),
        (["--listen", "127.0.0.1:\u0663"], "write HOST:PORT"),
        (["--tls", "maybe"], "--tls maybe: write auto, off, or two PEM files"),
        (["--tls", "/none/cert.pem,/none/key.pem"], "two PEM files that exist"),
        (["--bucket", "No Bucket"], "'No Bucket' is no name for a bucket"),
        (["--http-keys", "perhaps"], "--http-keys takes one of allow, refuse"),
        (["--idle-timeout", "0"], "--idle-timeout must be more than 0 seconds"),
        (["--log-level", "loud"], "--log-level takes one of debug"),
    ],
)
def test_option_that_makes_no_sense_is_one_line_and_exit_code_2(
    tmp_path: Path, refuse: Refuse, options: list[str], message: str
) -> None:
    code, printed = refuse(tmp_path / "server", *options)
    assert (code, message in printed) == (2, True)
    assert not (tmp_path / "server").exists()


def test_directory_in_use_is_refused_and_its_server_goes_on(tmp_path: Path, refuse: Refuse) -> None:
    with s3_server(tmp_path / "server", tls="off") as server:
        code, message = refuse(server.directory, "--tls", "off")
        assert (code, message) == (
            1,
            f"directory {server.directory} is served by another process already; stop that one first",
        )
        assert ask(server, "HEAD", "/bucket")[0] == 200


def test_port_in_use_is_refused(tmp_path: Path, refuse: Refuse) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = f"127.0.0.1:{other.getsockname()[1]}"
        code, message = refuse(tmp_path / "server", "--listen", place)
    assert (code, message) == (1, f"cannot serve {tmp_path / 'server'} on {place}: Address already in use")


def test_files_that_are_no_certificate_and_its_key_are_refused(tmp_path: Path, refuse: Refuse) -> None:
    (tmp_path / "one").mkdir()
    certificate, private_key = load_or_make_certificate(tmp_path / "one" / "tls", "localhost")
    _, other_key = load_or_make_certificate(tmp_path / "other", "localhost")
    for pair in ((private_key, certificate), (certificate, other_key), (Path(__file__), Path(__file__))):
        code, message = refuse(tmp_path / "server", "--tls", f"{pair[0]},{pair[1]}")
        assert code == 2
        assert message.startswith(f"{pair[0]} and {pair[1]} are no certificate and its private key, in PEM")
    with s3_server(tmp_path / "server", tls=f"{certificate},{private_key}") as server:
        assert not (server.directory / "tls").exists()
        context = ssl.create_default_context(cafile=str(certificate))
        with connected(server) as plain, context.wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(unsigned_head("GET", "/"))
            assert connection.recv(100).startswith(b"HTTP/1.1 403 ")


def test_directory_and_log_that_cannot_be_used_are_refused(tmp_path: Path, refuse: Refuse) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert refuse(file) == (1, f"cannot serve {file} on 127.0.0.1:0: File exists: {file}")
    log = tmp_path / "none" / "log"
    code, message = refuse(tmp_path / "server", "--request-log", str(log))
    assert (code, message.endswith(f": No such file or directory: {log}")) == (1, True)
    (tmp_path / "server" / "index.sqlite").write_text("this is no database, and long enough to be looked at" * 100)
    code, message = refuse(tmp_path / "server")
    assert (code, message) == (1, f"the index of {tmp_path / 'server'} cannot be used: file is not a database")


def test_data_without_its_index_or_key_is_refused_and_kept(tmp_path: Path, refuse: Refuse) -> None:
    directory = tmp_path / "server"
    with s3_server(directory, tls="off") as server:
        assert ask(server, "PUT", "/bucket/large", b"large" * 20_000)[0] == 200
    data = [path for path in (directory / "data").rglob("*") if path.is_file()]
    assert len(data) == 1
    index = directory / "index.sqlite"
    index.rename(tmp_path / "index")
    code, message = refuse(directory)
    assert (code, message) == (
        1,
        f"{directory} holds data but no index.sqlite: bring the index back, or serve another directory",
    )
    (tmp_path / "index").rename(index)
    secret = (directory / "server.key").read_bytes()
    (directory / "server.key").write_bytes(secret[:31])
    code, message = refuse(directory)
    assert (code, message) == (1, f"{directory}/server.key has 31 bytes instead of 32: bring the right one back")
    (directory / "server.key").write_bytes(secret)
    with s3_server(directory, tls="off") as server:
        assert ask(server, "GET", "/bucket/large")[2] == b"large" * 20_000


def test_pair_in_the_environment_is_the_only_one(tmp_path: Path) -> None:
    with serving(tmp_path / "server") as (lines, _):
        assert not any(line.startswith("access keys: ") for line in lines)
        assert client_of(lines, tmp_path / "server", ACCESS_KEY_ID, SECRET_ACCESS_KEY).list_buckets()["Buckets"] == []
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            client_of(lines, tmp_path / "server", "OTHER", SECRET_ACCESS_KEY).list_buckets()
    assert not (tmp_path / "server" / "credentials").exists()


@pytest.mark.parametrize("half", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_pair_is_made_where_none_is_given_kept_private_and_used_again(tmp_path: Path, half: str) -> None:
    directory = tmp_path / "server"
    environment: dict[str, str | None] = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, half: "half of a pair"}
    made = ""
    for _ in range(2):
        with serving(directory, **environment) as (lines, _process):
            assert f"access keys: {directory / 'credentials'}\n" in lines
            file = directory / "credentials"
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert made in {"", file.read_text()}
            made = file.read_text()
            session = boto3.Session(*(line.split(" = ")[1] for line in made.splitlines()[1:]))
            credentials = session.get_credentials()
            assert credentials is not None
            client = client_of(lines, directory, credentials.access_key, credentials.secret_key)
            assert client.list_buckets()["Buckets"] == []
    private = [path for path in directory.rglob("*") if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert private == []
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_file_of_credentials_counts_more_than_the_environment_and_may_hold_several(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(
        "".join(f"[{name}]\naws_access_key_id={name}\naws_secret_access_key=of-{name}\n" for name in ("one", "two"))
    )
    with serving(tmp_path / "server", "--credentials", str(file)) as (lines, _):
        assert f"access keys: {file}\n" in lines
        for name in ("one", "two"):
            assert client_of(lines, tmp_path / "server", name, f"of-{name}").list_buckets()["Buckets"] == []
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            client_of(lines, tmp_path / "server", "one", "of-two").list_buckets()
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            client_of(lines, tmp_path / "server", ACCESS_KEY_ID, SECRET_ACCESS_KEY).list_buckets()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no access key"),
        ("[default]\naws_access_key_id = id\n", "is not in the format of the AWS shared credentials file"),
        ("aws_secret_access_key = hunter2\n", "is not in the format of the AWS shared credentials file"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_file_of_credentials_with_a_mistake_is_refused_without_showing_any_of_it(
    tmp_path: Path, secrets: SecretWatch, refuse: Refuse, content: str | None, message: str
) -> None:
    secrets.add("hunter2")
    file = tmp_path / "credentials"
    if content is not None:
        file.write_text(content)
    code, printed = refuse(tmp_path / "server", "--credentials", str(file))
    assert (code, printed.startswith(f"credentials file {file} {message}")) == (1, True)
    assert not secrets.shown_in(printed)


def test_buckets_are_made_once_and_keep_what_is_in_them(tmp_path: Path) -> None:
    for buckets in (("first", "second"), ("first", "third")):
        with s3_server(tmp_path / "server", tls="off", buckets=buckets) as server:
            if "second" in buckets:
                assert ask(server, "PUT", "/first/a", b"kept")[0] == 200
            listed = ask(server, "GET", "/")[2]
    assert [name in listed for name in (b">first<", b">second<", b">third<")] == [True, True, True]
    with serving(tmp_path / "server", SSECFS_BUCKET="fourth", SSECFS_TLS="off") as (lines, _):
        place = urlsplit(lines[0].split()[-1])
        server.url = place.geturl()
        assert ask(server, "GET", "/first/a")[2] == b"kept"
        assert ask(server, "HEAD", "/fourth")[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_server_with_idle_connections_open(tmp_path: Path, number: signal.Signals) -> None:
    with s3_server(tmp_path / "server", tls="off") as server:
        place = urlsplit(server.url)
        idle = HTTPConnection(place.netloc, timeout=30)
        idle.request("GET", "/")
        assert idle.getresponse().read().startswith(b"<?xml")
        with connected(server) as silent:  # accepted, and nothing sent
            assert ask(server, "HEAD", "/bucket")[0] == 200
            server.process.send_signal(number)
            assert server.process.wait(4) == 0  # requests under way would have had five seconds
            assert silent.recv(1) == b""
        assert idle.sock.recv(1) == b""
        idle.close()
    assert (tmp_path / "server-errors.txt").read_text() == ""


def test_signal_lets_a_request_under_way_finish(tmp_path: Path) -> None:
    with s3_server(tmp_path / "server", tls="off") as server, connected(server) as connection:
        connection.sendall(head("PUT", "/bucket/a", {"content-length": "6"}) + b"one")
        assert ask(server, "HEAD", "/bucket")[0] == 200
        server.process.send_signal(signal.SIGTERM)
        connection.sendall(b"two")
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(4) == 0
    with s3_server(tmp_path / "server", tls="off") as server:
        assert ask(server, "GET", "/bucket/a")[2] == b"onetwo"


@pytest.mark.long
def test_signal_cuts_off_a_request_that_takes_too_long(tmp_path: Path) -> None:
    """Marked long for the five seconds that it has."""
    with s3_server(tmp_path / "server", "--fault", "latency=600,operation=HeadBucket", tls="off") as server:
        with connected(server) as connection:
            connection.sendall(head("HEAD", "/bucket", {}))
            assert ask(server, "GET", "/")[0] == 200
            server.process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionResetError):
                connection.recv(100)
        assert server.process.wait(4) == 0


def test_ipv6_is_served(tmp_path: Path) -> None:
    with s3_server(tmp_path / "server", "--listen", "[::1]:0") as server:
        assert server.url.startswith("https://[::1]:")
        client = server.client()
        client.put_object(Bucket="bucket", Key="a", Body=b"x")
        assert client.get_object(Bucket="bucket", Key="a")["Body"].read() == b"x"
        client.close()
    with s3_server(tmp_path / "server", "--listen", "[::1]:0", tls="off") as server:
        assert ask(server, "GET", "/bucket/a")[2] == b"x"


def test_certificate_is_kept_until_another_host_is_served(tmp_path: Path) -> None:
    folder = tmp_path / "tls"

    def names() -> tuple[bytes, list[str]]:
        certificate, _ = load_or_make_certificate(folder, host)
        content = certificate.read_bytes()
        extension = x509.load_pem_x509_certificate(content).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return content, extension.value.get_values_for_type(x509.DNSName)

    host = "127.0.0.1"
    first = names()
    assert names() == first
    host = "s3.example.com"
    second = names()
    assert (second[0] != first[0], second[1]) == (True, ["localhost", "s3.example.com"])
    host = "localhost"
    assert names() == second
    (folder / "key.pem").write_bytes(b"")
    assert names()[0] != second[0]


def test_customer_keys_over_plain_http_are_refused_on_request(tmp_path: Path, customer_key: CustomerKey) -> None:
    with s3_server(tmp_path / "server", "--http-keys", "refuse", tls="off") as server:
        for headers in (request_headers(customer_key), copy_source_headers(customer_key)):
            status, code, body = ask(server, "PUT", "/bucket/a", b"x", headers)
            assert (status, code) == (400, "InvalidRequest")
            assert b"must be made over a secure connection." in body
        assert ask(server, "PUT", "/bucket/a", b"x")[0] == 200


def test_debug_log_shows_requests_and_no_key_material(tmp_path: Path, customer_key: CustomerKey, secrets: SecretWatch) -> None:
    secrets.add(SECRET_ACCESS_KEY)
    key_headers, wrong = request_headers(customer_key), {"x-amz-server-side-encryption-customer-key-md5": "wrong"}
    with s3_server(tmp_path / "server", "--log-level", "debug", tls="off") as server:
        tries = [
            ("PUT", "/bucket/a", b"x"),
            ("GET", "/bucket/a", b""),
            ("HEAD", "/bucket/a", b""),
            ("POST", "/bucket/a?uploads", b""),
        ]
        for headers in ({}, key_headers, key_headers | wrong):
            for method, target, body in tries:
                announced = {"content-length": str(len(body)), "connection": "close"}
                exchange(server, head(method, target, announced | headers), body)
        copy = {"x-amz-copy-source": "bucket/a"} | copy_source_headers(customer_key) | key_headers
        ask(server, "PUT", "/bucket/b", headers=copy)
        hidden = f"/bucket/a?x={customer_key.reveal_bytes().hex()}&X-Amz-Signature={'5' * 64}"
        exchange(server, unsigned_head("GET", hidden, authorization=f"AWS4-HMAC-SHA256 {customer_key.reveal_base64()}"))
        exchange(server, b"GET /" + customer_key.reveal_bytes().hex().encode() + b" HTTP/1.1\r\nno header\r\n\r\n")
        damage(server)
        assert ask(server, "GET", "/bucket/a", headers=key_headers)[1] == "InternalError"
        logged = [line for line in errors_of(server).splitlines() if " DEBUG ssecfs.server.http: request " in line]
        assert len(logged) == 3 * len(tries) + 3
        assert "DamagedError" in errors_of(server)
        server.kill()
        assert secrets.files_showing(tmp_path) == []
        assert "5" * 64 not in errors_of(server)
        (tmp_path / "server-errors.txt").write_text("")  # it rightly holds the damage


def errors_of(server: S3Server) -> str:
    return (server.directory.parent / f"{server.directory.name}-errors.txt").read_text()


def damage(server: S3Server) -> None:
    subprocess.run(["sqlite3", str(server.directory / "index.sqlite"), "UPDATE small_pieces SET sealed = x'00'"], check=True)


def test_log_is_silent_unless_asked(tmp_path: Path) -> None:
    with s3_server(tmp_path / "server", tls="off") as server:
        assert ask(server, "GET", "/bucket/missing")[1] == "NoSuchKey"
    assert errors_of(server) == ""
    assert "SSECFS_LOG_LEVEL" not in os.environ
