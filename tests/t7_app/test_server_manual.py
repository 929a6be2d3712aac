"""ssecfs-server(1) agrees with the option table, the operations, the profiles and the faults."""

import re
from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any, Final

from ssecfs.app.options import PROFILE_NAMES, Kind, Option, find_command
from ssecfs.server.errors import STATUSES
from ssecfs.server.faults import STATUS_CODES, FaultKind
from ssecfs.server.profiles import AWS_ANSWERS, PROFILES, Case, Profile
from ssecfs.server.routes import BUCKET, OBJECT, SERVICE

MANUAL: Final = (Path(__file__).parents[2] / "man" / "ssecfs-server.1").read_text(encoding="utf-8")

LABELS: Final = {
    "etags": "ETag of an SSE-C object",
    "md5_rule": "MD5 of the key",
    "trio_order": "Order in which the three headers are checked",
    "encryption": "Effect of the three headers",
    "echo": "Answers that show algorithm and key MD5",
    "encrypts_by_default": "Buckets show a default encryption that nobody set",
    "shows_version": "Heads show a version id although the bucket has no versions",
    "conditional": "Requests on which If-Match and If-None-Match have an effect",
    "unquotes_etags": "ETags in quotes match in the conditions of uploads",
    "encrypts_copies": "CopyObject encrypts with the key for its target",
    "part_copy_key": "Key that opens the source of UploadPartCopy",
    "checks_completion_key": "CompleteMultipartUpload checks the key",
    "names_completed": "CompleteMultipartUpload tells the new ETag",
    "quotes_copied": "Copies tell the new ETag in quotes",
    "reads_parts": "GET and HEAD know partNumber",
    "takes_first_range": "Of several ranges the first one is read",
    "unknown_queries": "Parameters of the query without effect",
    "unknown_headers": "Headers without effect, by how they begin",
}
"""How the page calls the fields of a profile."""


def roff(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")


def section(name: str) -> str:
    found = re.search(rf"^\.S[HS] {name}\n(.*?)(?=^\.S[HS] |\Z)", MANUAL, re.MULTILINE | re.DOTALL)
    assert found, f"the manual page has no section {name}"
    return found[1]


def bold_heads(text: str) -> list[str]:
    return re.findall(r"^\.TP\n\.B (.*)$", text, re.MULTILINE)


def block(option: Option) -> str:
    """How the page shows an option."""
    name = f"\\-\\-{roff(option.name)}"
    head = f".B {name}" if option.kind is Kind.SWITCH else f'.BI "{name} " {roff(option.metavar)}'
    choices = f" One of {', '.join(option.choices)}." if option.choices else ""
    default = f" Default: {option.default}." if option.default else ""
    return f".TP\n{head}\n{roff(option.help[0].upper() + option.help[1:])}.{roff(choices)}{roff(default)}\n"


def difference(subject: str, values: Mapping[str, str]) -> str:
    """How the page shows who does what: what AWS does, then who does otherwise."""
    others: dict[str, list[str]] = {}
    for name, value in values.items():
        if value != values["aws"]:
            others.setdefault(value, []).append(name)
    sentences = [
        values["aws"][0].upper() + values["aws"][1:],
        *(f"{', '.join(names)}: {value}" for value, names in others.items()),
    ]
    return f".TP\n.B {roff(subject[0].upper() + subject[1:])}\n{roff('. '.join(sentences))}.\n"


def field_differences() -> str:
    names = [field.name for field in fields(Profile) if field.name not in {"name", "answers", "accepts"}]
    rows = {name: {profile.name: in_words(getattr(profile, name)) for profile in PROFILES.values()} for name in names}
    return "".join(difference(LABELS[name], row) for name, row in rows.items())


def in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, frozenset):
        return ", ".join(sorted(map(in_words, value))) or "none"
    if isinstance(value, tuple):
        return ", ".join(map(in_words, dict.fromkeys(value))) or "none"
    return str(value.value if isinstance(value, Enum) else value)


def answer_differences() -> str:
    rows = {case: {profile.name: answer(profile, case) for profile in PROFILES.values()} for case in Case}
    return "".join(difference(case.value, row) for case, row in rows.items())


def answer(profile: Profile, case: Case) -> str:
    code, _ = profile.answers.get(case, AWS_ANSWERS[case])
    return "served" if case in profile.accepts else f"{STATUSES[code]} {code}"


def test_manual_shows_every_option_and_no_other() -> None:
    command = find_command("serve")
    shown = section("OPTIONS")
    for option in command.options:
        assert block(option) in shown
    assert shown.count(".TP\n") == len(command.options) + len(command.arguments)


def test_manual_names_every_operation_and_no_other() -> None:
    shown = set(re.findall(r"\b[A-Z][a-z]+(?:[A-Z][A-Za-z0-9]+)+\b", section("OPERATIONS").partition(".PP")[0]))
    assert shown == {
        route.name
        for table in (SERVICE, BUCKET, OBJECT)
        for routes in table.values()
        for route in routes
        if not route.name.endswith("Faults")
    }


def test_manual_names_every_profile_and_no_other() -> None:
    names = [name.replace("\\-", "-") for name in bold_heads(section("PROFILES"))]
    assert names == list(PROFILE_NAMES)
    assert set(names) == set(PROFILES)


def test_manual_shows_every_difference_between_profiles() -> None:
    """What fails here shows how these parts of the page are to read; a new field needs a label, too."""
    assert differences_in("Differences in behaviour") == field_differences()
    assert differences_in("Differences in answers") == answer_differences()


def differences_in(name: str) -> str:
    return "".join(section(name).partition(".TP\n")[1:])


def test_manual_names_every_fault_and_status_and_no_other() -> None:
    shown = section("FAULTS")
    assert bold_heads(shown) == [roff(fault_head(kind)) for kind in FaultKind]
    assert f"One of {', '.join(map(str, STATUS_CODES))}." in shown


def fault_head(kind: FaultKind) -> str:
    values = {FaultKind.LATENCY: "=SECONDS", FaultKind.STATUS: "=CODE", FaultKind.THROTTLE: "=N"}
    return kind.value + values.get(kind, "")
