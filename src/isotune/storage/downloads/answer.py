"""Sends a request and follows its redirects, as if the server meant harm."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
import urllib3

from isotune.storage.downloads.address import shown
from isotune.storage.downloads.errors import Broken, DownloadError, Unreachable
from isotune.storage.downloads.pace import PacedAdapter
from isotune.storage.downloads.proxy import explain_proxy_error, proxy_of

TIMEOUT = 30
"""Number of seconds to wait for a silent server."""

NO_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    urllib3.exceptions.LocationValueError,
)
"""Errors of an address, or of that of a proxy, before anything is sent."""

REDIRECTS = 10
"""Number of redirects to follow."""


class _Session(requests.Session):
    def __init__(self) -> None:
        super().__init__()
        for scheme in ("http://", "https://"):
            self.mount(scheme, PacedAdapter())

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Returns None: Requests would read, and decompress, the redirect's body into memory."""
        return None

    def target(self, response: requests.Response) -> str | None:
        """Returns where a response redirects to, or None."""
        return super().get_redirect_target(response)


@contextmanager
def answer(url: str, headers: Mapping[str, str]) -> Iterator[requests.Response]:
    """Requests `url`; yields the response at the end of all redirects, its body unread.

    Raises:
        Unreachable: the server did not answer.
        Broken: what it answered broke off, or was no HTTP.
        DownloadError: the address or a redirect is refused, or the connection cannot be trusted.
    """
    with _Session() as session:
        for _ in range(REDIRECTS + 1):
            with _send(session, url, headers) as response:
                target = _redirect(session, url, response)
                if target is None:
                    yield response
                    return
                url = target
    raise DownloadError(f"the server redirects more than {REDIRECTS} times")


def _send(session: _Session, url: str, headers: Mapping[str, str]) -> requests.Response:
    errors = requests.exceptions
    try:
        return session.get(
            url, headers=dict(headers), stream=True, timeout=TIMEOUT, allow_redirects=False
        )
    except errors.ProxyError as error:
        raise Unreachable(explain_proxy_error(url, error)) from error
    except errors.SSLError as error:
        raise DownloadError(_explain_ssl_error(error)) from error
    except errors.ReadTimeout as error:
        raise Unreachable("the server does not answer") from error
    except (errors.ConnectionError, errors.Timeout) as error:
        if error.args and isinstance(error.args[0], urllib3.exceptions.ProtocolError):
            raise Broken("the server's answer breaks off or is not HTTP") from error
        raise Unreachable("it cannot be reached") from error
    except (*NO_ADDRESS, UnicodeError) as error:
        if _is_address(url) and proxy_of(url) is not None:
            raise DownloadError(explain_proxy_error(url, error)) from error
        raise DownloadError("it is not a valid address") from error
    except (errors.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise DownloadError("the server's answer is not HTTP") from error
    except OSError as error:  # Requests finds no file where an environment variable says it is
        raise DownloadError(f"no certificates to trust: {str(error).rstrip('.')}") from error


def _is_address(url: str) -> bool:
    try:
        requests.Request("GET", url).prepare()
    except (requests.RequestException, ValueError):
        return False
    return True


def _explain_ssl_error(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "its server's certificate cannot be trusted"
        cause = cause.__cause__ or cause.__context__
    return "its server speaks no TLS that can be trusted"


def _redirect(session: _Session, url: str, response: requests.Response) -> str | None:
    """Returns the address that a response redirects to, or None."""
    try:
        location = session.target(response)
        return None if location is None else _followed(session, url, location)
    except (ValueError, requests.RequestException) as error:
        raise DownloadError("the server redirects to an address that is not valid") from error


def _followed(session: _Session, url: str, location: str) -> str:
    """Returns the address that a redirect from `url` leads to, with the user name of `url` if it
    is of the same host.
    """
    target = urljoin(url, requests.utils.requote_uri(location))
    old, new = urlsplit(url), urlsplit(target)
    if new.scheme not in ("http", "https") or (old.scheme, new.scheme) == ("https", "http"):
        raise DownloadError(f"the server redirects to {shown(target)}, which is not followed")
    if "@" in old.netloc and "@" not in new.netloc and not session.should_strip_auth(url, target):
        user = old.netloc.rpartition("@")[0]
        new = new._replace(netloc=f"{user}@{new.netloc}")
    return urlunsplit(new)
