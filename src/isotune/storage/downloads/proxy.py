"""Names the proxy of a failed request."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from requests.exceptions import InvalidSchema, InvalidURL
from requests.utils import get_environ_proxies, select_proxy
from urllib3.exceptions import LocationValueError

from isotune.storage.downloads.address import shown


def proxy_of(url: str) -> str | None:
    """Returns the proxy of requests to `url`, which may hold a password, or None."""
    return select_proxy(url, get_environ_proxies(url))


def name_proxy(url: str) -> str:
    """Returns the proxy of requests to `url`, and the variable that sets it, as in ``the proxy
    http://proxy:3128 of HTTPS_PROXY``.
    """
    proxy = proxy_of(url)
    if proxy is None:
        return "the proxy"
    variables = (f"{urlsplit(url).scheme}_proxy", "all_proxy")
    names = [name for variable in variables for name in (variable, variable.upper())]
    named = next((f" of {name}" for name in names if os.environ.get(name) == proxy), "")
    return f"the proxy {shown(proxy if '://' in proxy else f'http://{proxy}')}{named}"


def explain_proxy_error(url: str, error: Exception) -> str:
    """Returns what is wrong with the proxy."""
    if isinstance(error, InvalidSchema) and "SOCKS" in str(error):
        return f"{name_proxy(url)} needs another library: pip install pysocks"
    if isinstance(error, (InvalidSchema, InvalidURL, LocationValueError)):
        return f"{name_proxy(url)} is not a valid address"
    status = re.search(r"Tunnel connection failed: ([0-9]{3})", str(error))
    return f"{name_proxy(url)} {f'answers {status[1]}' if status else 'cannot be reached'}"
