"""A certificate that the server makes for itself, kept in its directory.

Imported by ``server.run``.
"""

import datetime as dt
import ipaddress
import os
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFETIME: Final = dt.timedelta(days=3650)
LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")


def load_or_make_certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """The certificate and private key in a folder; made if they are missing, do not belong together, or name another host.

    Args:
        folder: made if missing.
        host: name or address that is listened on, beside those of this machine.

    Returns:
        Paths of the PEM certificate (what a client names as its CA bundle) and of the PEM private key.
    """
    certificate_file, private_key_file = folder / "cert.pem", folder / "key.pem"
    if _is_usable(certificate_file, private_key_file, host):
        return certificate_file, private_key_file
    folder.mkdir(mode=0o700, exist_ok=True)
    private_key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ssecfs serve")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(_alternatives(host)), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private_key, hashes.SHA256())
    )
    key_pem = private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(private_key_file, key_pem)
    _write(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))
    return certificate_file, private_key_file


def _is_usable(certificate_file: Path, private_key_file: Path, host: str) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        private_key = serialization.load_pem_private_key(private_key_file.read_bytes(), None)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (FileNotFoundError, TypeError, ValueError, x509.ExtensionNotFound):
        return False
    return set(_alternatives(host)) <= set(names) and certificate.public_key() == private_key.public_key()


def _alternatives(host: str) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for text in dict.fromkeys((*LOCAL_NAMES, host)):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(text)))
        except ValueError:
            names.append(x509.DNSName(text))
    return names


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
