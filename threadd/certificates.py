"""A certificate authority of this machine's own, and the certificate of the doors that it signs.

The authority is worth nothing for any other name: it is constrained to this machine's and to the Hub's. Addresses are
not constrained, since the gRPC clients that are made of C++ refuse certificates over such a constraint.
"""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from store.errors import StatusCode, ThreaddError
from store.files import write_whole

HUB_NAMES: Final = ("api.hub.textile.io", "webapi.hub.textile.io", "hub.textile.io")
"""The names under which programs know the hosted Hub."""

_NAMES: Final = ("localhost", *HUB_NAMES, "textile.io", "*.textile.io", "*.hub.textile.io")
_ADDRESSES: Final = ("127.0.0.1", "127.0.0.2", "::1")
_PERMITTED_NAMES: Final = ("localhost", "textile.io")

_AUTHORITY_DAYS: Final = 3650
# Systems of Apple take no certificate of a longer life, whoever signed it.
_DAYS: Final = 825
# Clocks differ.
_SKEW: Final = dt.timedelta(hours=1)


class CertificateError(ThreaddError):
    """Certificates cannot be made."""

    code: ClassVar[StatusCode] = StatusCode.FAILED_PRECONDITION


@dataclass(frozen=True, slots=True)
class Files:
    """Where they are, all of them PEM and readable for their owner only.

    Args:
        authority: The certificate of the authority, which clients have to trust.
        certificate: What `--tls-cert` takes.
        key: What `--tls-key` takes.
    """

    authority: Path
    certificate: Path
    key: Path


def make(folder: Path, now: dt.datetime) -> Files:
    """Make a certificate and its key, by the authority in the folder; make that first where there is none.

    Args:
        folder: Where they are put; made if it is not there.
        now: The time, with its zone.

    Raises:
        CertificateError: The folder cannot be written, or what it holds as an authority is none.
    """
    files = Files(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    authority_key = folder / "ca-key.pem"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if authority_key.exists():
            authority = _read_authority(files.authority, authority_key, now)
        else:
            authority = _make_authority(now)
            write_whole(authority_key, _key_pem(authority.key))
            write_whole(files.authority, authority.certificate.public_bytes(serialization.Encoding.PEM))
        made = _sign(authority, now)
        write_whole(files.key, _key_pem(made.key))
        write_whole(files.certificate, made.certificate.public_bytes(serialization.Encoding.PEM))
    except OSError as error:
        raise CertificateError(f"cannot write certificates to {folder}: {error.strerror}") from error
    return files


@dataclass(frozen=True, slots=True)
class _Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def _read_authority(certificate: Path, key: Path, now: dt.datetime) -> _Pair:
    remedy = "remove both for new ones, which clients then have to trust anew"
    try:
        loaded = serialization.load_pem_private_key(key.read_bytes(), None)
        issued = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise CertificateError(f"{certificate} and {key} cannot be read; {remedy}") from error
    if not isinstance(loaded, ec.EllipticCurvePrivateKey) or issued.public_key() != loaded.public_key():
        raise CertificateError(f"{certificate} and {key} are not a certificate and its key; {remedy}")
    if issued.not_valid_after_utc < now + dt.timedelta(days=_DAYS):
        ends = f"{issued.not_valid_after_utc:%Y-%m-%d}"
        raise CertificateError(f"{certificate} ends on {ends}, too soon to sign with its key {key}; {remedy}")
    return _Pair(issued, loaded)


def _make_authority(now: dt.datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"threadd's local authority of {now:%Y-%m-%d}")])
    permitted = [x509.DNSName(name) for name in _PERMITTED_NAMES]
    builder = (
        _builder(name, name, key.public_key(), now, _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _Pair(builder.sign(key, hashes.SHA256()), key)


def _sign(authority: _Pair, now: dt.datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in _NAMES]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in _ADDRESSES]
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        _builder(subject, authority.certificate.subject, key.public_key(), now, _DAYS)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuer_key, critical=False)
    )
    return _Pair(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: dt.datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now - _SKEW + dt.timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
