"""Presigned URLs: what ``ssecfs presign`` prints works as it stands, for one thing, for a while, and holds no key."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from support.s3server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server, clean_environment, s3_server
from support.secretwatch import SecretWatch

from ssecfs.app.cli import main
from ssecfs.app.presign import curl_command
from ssecfs.s3.presign import Method
from ssecfs.server.authentication import authenticate, parse_moment
from ssecfs.server.errors import S3Error
from ssecfs.server.request import parse_request
from ssecfs.ssec import CustomerKey, request_headers

PROGRAMS: Final = Path(sys.executable).parent
CONTENT: Final = bytes(range(256)) * 1000
Presign = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("presign") / "server") as running:
        yield running


@pytest.fixture
def presign(server: S3Server, keyfile: Path, secrets: SecretWatch) -> Presign:
    """Runs ``ssecfs presign``; gives the URL and the command that it prints."""

    def run(method: str, place: str, *options: str, **environment: str) -> tuple[str, str]:
        bundle = () if "AWS_CA_BUNDLE" in environment else ("--ca-bundle", str(server.ca_bundle))
        connection = ("--endpoint-url", server.url, *bundle, "--keyfile", str(keyfile))
        done = subprocess.run(
            [PROGRAMS / "ssecfs", "presign", method, place, *connection, *options],
            env=clean_environment(**environment),
            capture_output=True,
            text=True,
            check=True,
        )
        assert not secrets.shown_in(done.stdout + done.stderr)
        url, command = done.stdout.splitlines()
        return url, command

    return run


def shell(command: str, folder: Path, *around: str) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody who has no credentials."""
    environment = {name: value for name, value in clean_environment().items() if not name.startswith("AWS_")}
    return subprocess.run(
        [*around, "bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def folder_with(place: Path, name: str) -> Path:
    place.mkdir()
    (place / name).write_bytes(CONTENT)
    return place


@pytest.mark.parametrize("name", ["data.tar", 'it\'s a [1-3] {a,b} name #1 100% of ümläuts \\ "$HOME" `x`;&', "-"])
def test_printed_commands_put_look_and_get(presign: Presign, tmp_path: Path, name: str) -> None:
    place, there, back = f"bucket/some/{name}", folder_with(tmp_path / "there", name), tmp_path / "back"
    back.mkdir()
    put = shell(presign("put", place)[1], there)
    assert put.returncode == 0, put.stderr
    head = shell(presign("head", place)[1], back)
    assert head.returncode == 0, head.stderr
    assert head.stdout.startswith("HTTP/1.1 200")
    assert f"\ncontent-length: {len(CONTENT)}" in head.stdout.lower()
    got = shell(presign("get", place)[1], back)
    assert got.returncode == 0, got.stderr
    assert [path.name for path in back.iterdir()] == [name]
    assert (back / name).read_bytes() == CONTENT


def test_printed_command_trusts_what_the_environment_says(presign: Presign, server: S3Server, tmp_path: Path) -> None:
    there = folder_with(tmp_path / "there", "data")
    put = shell(presign("put", "bucket/data", AWS_CA_BUNDLE=str(server.ca_bundle))[1], there)
    assert put.returncode == 0, put.stderr


@pytest.mark.parametrize(("object_key", "name"), [("folder/", "folder"), ("..", "object"), ("a/..", "object"), (".", "object")])
def test_file_has_a_name_where_the_object_key_gives_none(object_key: str, name: str) -> None:
    assert curl_command(Method.GET, object_key, "https://x/", Path("/key"), None).endswith(f" --output {name} https://x/")


def test_key_is_in_no_argument_and_no_environment_of_any_program(
    presign: Presign, tmp_path: Path, secrets: SecretWatch, customer_key: CustomerKey
) -> None:
    secrets.add(SECRET_ACCESS_KEY)
    secrets.add(quote(customer_key.reveal_base64(), safe=""))
    folder, trace = folder_with(tmp_path / "folder", "data"), tmp_path / "trace"
    url, command = presign("put", "bucket/data")
    assert not secrets.shown_in(url + command)
    strace = ("strace", "--follow-forks", "--trace=execve", "--no-abbrev", "--string-limit=100000", "--output", str(trace))
    done = shell(command, folder, *strace)
    assert done.returncode == 0, done.stderr
    started = trace.read_text()
    assert '"headers", "--keyfile"' in started
    assert '["curl", "--fail-with-body"' in started
    assert not secrets.shown_in(started + done.stdout + done.stderr)


def test_url_signs_the_three_headers_and_holds_none(presign: Presign, customer_key: CustomerKey) -> None:
    url, command = presign("get", "bucket/object", "--expires", "60")
    query = dict(parse_qsl(urlsplit(url).query))
    assert query["X-Amz-SignedHeaders"].split(";") == ["host", *sorted(request_headers(customer_key))]
    assert query["X-Amz-Expires"] == "60"
    assert [name for name in query if not name.startswith("X-Amz-")] == []
    assert customer_key.md5 not in url + command


def test_url_is_good_for_nothing_else(presign: Presign, server: S3Server, tmp_path: Path) -> None:
    there = folder_with(tmp_path / "there", "data")
    assert shell(presign("put", "bucket/data")[1], there).returncode == 0
    url, command = presign("get", "bucket/data")
    other_key = tmp_path / "other-key"
    assert main(["keygen", str(other_key)]) == 0
    keyfile = str(tmp_path / "keyfile")
    wrong = {
        "another key": command.replace(keyfile, str(other_key)),
        "no key": f"curl --silent --fail-with-body --cacert {server.ca_bundle} '{url}'",
        "another object": command.replace("/bucket/data?", "/bucket/other?"),
        "another method": command.replace("--output data", "--request DELETE"),
        "a longer time": command.replace("X-Amz-Expires=3600", "X-Amz-Expires=3601"),
    }
    for name, line in wrong.items():
        assert line != command, name
        refused = shell(line.replace("--output data", ""), there)
        assert refused.returncode == 22, name
        assert "<Code>SignatureDoesNotMatch</Code>" in refused.stdout, name
    assert shell(command, there).returncode == 0


def test_url_is_good_until_it_expires(presign: Presign, server: S3Server, customer_key: CustomerKey) -> None:
    parts = urlsplit(presign("get", "bucket/object", "--expires", "60")[0])
    headers = {"host": parts.netloc, **request_headers(customer_key)}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    request = parse_request("GET", parts.path.encode(), parts.query.encode(), raw, is_secure=True)
    sent_s = parse_moment(request.parameter("X-Amz-Date") or "")
    assert sent_s is not None
    secrets = {ACCESS_KEY_ID: SECRET_ACCESS_KEY}
    for now_s in (sent_s, sent_s + 60):
        assert authenticate(request, secrets, now_s).access_key_id == ACCESS_KEY_ID
    with pytest.raises(S3Error, match="Request has expired"):
        authenticate(request, secrets, sent_s + 60.5)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["delete", "bucket/a"], 2, "presign delete: the method is one of get, put, head"),
        (["get", "bucket"], 2, "bucket: write BUCKET/OBJECT, for example backups/2026/data.tar"),
        (["get", "/a"], 2, "/a: write BUCKET/OBJECT"),
        (["get", "bucket/"], 2, "bucket/: write BUCKET/OBJECT"),
        (["get", "no bucket/a"], 2, "no URL can be signed for no bucket"),
        (["get"], 2, "the following arguments are required: BUCKET/OBJECT"),
        (["get", "bucket/a", "--expires", "0"], 2, "--expires takes 1 to 604800 seconds (a week), not 0"),
        (["get", "bucket/a", "--expires", "604801"], 2, "--expires takes 1 to 604800 seconds (a week), not 604801"),
        (["get", "bucket/a", "--expires", "forever"], 2, "--expires takes 1 to 604800 seconds (a week), not inf"),
        (["get", "bucket/a", "--expires", "soon"], 2, "--expires: 'soon' is no number of seconds"),
        (["get", "bucket/a", "--endpoint-url", "http://s3.example.com"], 2, "refused: over plain http to s3.example.com"),
        (["get", "bucket/a", "--endpoint-url", "http://127.0.0.1:9000"], 2, "possible with --allow-http"),
        (["get", "bucket/a", "--ca-bundle", "/none/ca.pem"], 2, "--ca-bundle /none/ca.pem: there is no such file"),
        (["get", "bucket/a", "--keyfile", "/none/key"], 8, "/none/key"),
        (["get", "bucket/a", "--profile-name", "none"], 4, "no credentials"),
    ],
)
def test_wrong_arguments_are_one_clear_line(
    keyfile: Path,
    arguments: list[str],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in clean_environment().items():
        monkeypatch.setenv(name, value)
    assert main(["presign", "--keyfile", str(keyfile), *arguments]) == code
    printed = capsys.readouterr()
    assert message in printed.err
    assert (printed.out, printed.err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    ("endpoint_url", "message"),
    [
        ("http://s3.example.com", "refused: over plain http to s3.example.com"),
        ("http://127.0.0.1:9000", "possible with --allow-http"),
    ],
)
def test_endpoint_of_the_environment_or_of_awss_own_files_is_held_to_https_too(
    keyfile: Path,
    tmp_path: Path,
    endpoint_url: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config, mountpoint = tmp_path / "config", tmp_path / "mountpoint"
    config.write_text(f"[default]\nendpoint_url = {endpoint_url}\n")
    mountpoint.mkdir()
    mount = ["mount", "bucket", str(mountpoint), "--foreground", "--cache-dir", str(tmp_path / "cache")]
    for chosen in ({"AWS_ENDPOINT_URL": endpoint_url}, {"AWS_CONFIG_FILE": str(config)}):
        with monkeypatch.context() as patch:
            for name, value in clean_environment(**chosen).items():
                patch.setenv(name, value)
            for command in (["presign", "get", "bucket/a"], mount):
                assert main([*command, "--keyfile", str(keyfile)]) == 2
                printed = capsys.readouterr()
                assert (printed.out, message in printed.err) == ("", True)


@pytest.mark.parametrize("command", [["presign", "get", "bucket/a"], ["headers"]])
def test_command_without_keyfile_says_what_is_missing(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    assert capsys.readouterr().err == "ssecfs: say which customer key to use: --keyfile FILE\n"


def test_presign_without_credentials_says_so(
    keyfile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert main(["presign", "get", "bucket/a", "--keyfile", str(keyfile)]) == 4
    assert capsys.readouterr().err.startswith("ssecfs: no credentials: set AWS_ACCESS_KEY_ID")


def test_headers_are_the_three_and_never_shown_on_a_terminal(
    keyfile: Path, customer_key: CustomerKey, secrets: SecretWatch
) -> None:
    command = [PROGRAMS / "ssecfs", "headers", "--keyfile", str(keyfile)]
    piped = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert dict(line.split(": ") for line in piped.splitlines()) == request_headers(customer_key)
    terminal, its_end = os.openpty()
    with os.fdopen(terminal, "rb", buffering=0) as shown:
        refused = subprocess.run(command, stdout=its_end, stderr=subprocess.PIPE, text=True, check=False)
        os.write(its_end, b"nothing more\n")
        os.close(its_end)
        assert shown.read(1000) == b"nothing more\r\n"
    assert refused.returncode == 2
    assert "not shown on a terminal: pipe them" in refused.stderr
