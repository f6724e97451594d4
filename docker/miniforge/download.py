"""Downloads a file and holds it against its checksum: download.py URL SHA256 FILE."""

import base64
import hashlib
import ssl
import sys
import urllib.parse
import urllib.request
from pathlib import Path

ROOTS = (Path("/host/ca.crt"), Path("/recipe/roots.pem"))
PIECE = 1 << 20
TIMEOUT_S = 60


def main(url: str, checksum: str, file: Path) -> None:
    place = shown(url)
    try:
        found = download(url, file)
    except (OSError, ValueError) as problem:  # the library's own errors are an OSError
        reason = getattr(problem, "reason", problem)
        raise SystemExit(f"recipe: {place} cannot be downloaded: {reason}") from None
    if found != checksum.lower():
        raise SystemExit(
            f"recipe: the checksum of {place} is wrong: sha256 {found}, and {checksum} is expected"
        )


def download(url: str, file: Path) -> str:
    """Writes the file; gives its SHA-256 in hexadecimal digits."""
    roots = next(path for path in ROOTS if path.exists() and path.stat().st_size)
    context = ssl.create_default_context(cafile=str(roots))
    digest = hashlib.sha256()
    with (
        urllib.request.urlopen(request(url), timeout=TIMEOUT_S, context=context) as answer,
        file.open("wb") as target,
    ):
        while piece := answer.read(PIECE):
            digest.update(piece)
            target.write(piece)
    return digest.hexdigest()


def request(url: str) -> urllib.request.Request:
    """A name and password in the URL go into a header: the library does not look for them there."""
    parts = urllib.parse.urlsplit(url)
    login, _, place = parts.netloc.rpartition("@")
    asked = urllib.request.Request(parts._replace(netloc=place).geturl())
    if login:
        token = base64.b64encode(urllib.parse.unquote_to_bytes(login)).decode()
        asked.add_unredirected_header("Authorization", f"Basic {token}")
    return asked


def shown(url: str) -> str:
    """The URL without the name and password that may be in it."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
