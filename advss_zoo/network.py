"""The client that the Hugging Face Hub is asked with, and what the environment may tell it that cannot be followed.

Importing this imports no client.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

from advss_zoo.errors import AdvssError

PROXIES = ("http_proxy", "https_proxy", "all_proxy")  # also in capitals
SCHEMES = ("http", "https", "socks5", "socks5h")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def open_client() -> None:
    """Set up the client of huggingface_hub, which all its requests share.

    Raises:
        AdvssError: a variable of the environment names a proxy or a file of certificates that cannot be used.
    """
    from huggingface_hub import get_session

    try:
        get_session()
    except Exception as error:  # what a variable makes the client, ssl and socksio raise has no common base
        raise _explained(error) from error


def _explained(error: Exception) -> AdvssError:
    """Values of proxies are not repeated: they may hold a password."""
    proxies = dict(_proxies())
    if isinstance(error, ImportError):
        names = " or ".join(name for name, scheme in proxies.items() if scheme.startswith("socks"))
        return AdvssError(
            f"{names} names a SOCKS proxy, which needs the package socksio.", "Run `pip install socksio`, or unset it."
        )
    if isinstance(error, OSError):
        name = next((name for name in CERTIFICATES if os.environ.get(name)), "")
        return AdvssError(
            f"Certificates cannot be read from {name}={os.environ.get(name)}: {error.strerror or error}.",
            "Set it to a file of certificates (PEM), or unset it.",
        )
    for name, scheme in proxies.items():
        if scheme not in SCHEMES:
            return AdvssError(
                f"{name} names a proxy of the scheme {scheme}://, which is not supported.",
                f"Choose from {', '.join(f'{known}://' for known in SCHEMES)}, or unset it.",
            )
    names = " or ".join(proxies) or "A proxy"
    return AdvssError(f"{names} is not a valid address ({type(error).__name__}).", "Write http://HOST:PORT.")


def _proxies() -> Iterator[tuple[str, str]]:
    """The variables that name a proxy, each with the scheme of the proxy."""
    for name, value in os.environ.items():
        if name.lower() in PROXIES and value:
            yield name, value.partition("://")[0].lower() if "://" in value else "http"


def distrust(error: BaseException) -> tuple[str, str] | None:
    """Return why a server is not trusted, and what to do, where a request failed for its certificate."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return None if cause is None else (cause.verify_message, _where_certificates_come_from())


def _where_certificates_come_from() -> str:
    if file := os.environ.get("SSL_CERT_FILE"):
        return f"Certificates come from SSL_CERT_FILE={file}; add those of your network to it."
    if folder := os.environ.get("SSL_CERT_DIR"):
        missing = "" if Path(folder).is_dir() else ", which is not a folder"
        return f"Certificates come from SSL_CERT_DIR={folder}{missing}."
    if bundle := os.environ.get("REQUESTS_CA_BUNDLE"):
        return f"REQUESTS_CA_BUNDLE={bundle} is not read; set SSL_CERT_FILE instead."
    return "Set SSL_CERT_FILE to a file with the certificates of your network."
