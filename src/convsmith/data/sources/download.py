"""Downloads of the known sets, each checked by its SHA-256 before it takes its name in the cache."""

import logging
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from convsmith.base.errors import BadFile
from convsmith.base.files import cache_folder, make_folder, offline, sha256, write_files


@dataclass(frozen=True)
class Download:
    """A file, the addresses that serve it (tried in order), and its SHA-256."""

    file: str
    sha256: str
    urls: tuple[str, ...]


def _served(sums: Mapping[str, str], *bases: str) -> tuple[Download, ...]:
    return tuple(Download(file, sha, tuple(base + file for base in bases)) for file, sha in sums.items())


# The sums agree between independent projects that state them; those of MNIST's and Fashion-MNIST's
# files are of the .gz files as their authors published them.
DOWNLOADS: dict[str, tuple[Download, ...]] = {
    "mnist": _served(
        {
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion_mnist": _served(
        {
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    "cifar10": _served(
        {"cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
        "https://www.cs.toronto.edu/~kriz/",
    ),
    "cifar100": _served(
        {"cifar-100-binary.tar.gz": "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"},
        "https://www.cs.toronto.edu/~kriz/",
    ),
}


def download(name: str) -> Path:
    """The folder of the cache with the files of a known set, fetched where they are not there yet."""
    folder = cache_folder() / "data" / name
    make_folder(folder)
    for item in DOWNLOADS[name]:
        _fetch(item, folder)
    return folder


def unpack(archive: Path, folder: Path, members: Mapping[str, int]) -> None:
    """Write the named members of a .tar.gz into `folder`, flat; `members` maps each path to its largest size in bytes.

    Nothing else in the archive is looked at, so neither paths that lead outside nor links can do harm.
    """
    left = dict(members)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                limit = left.get(member.name)
                if limit is None or not member.isfile():
                    continue
                if member.size > limit:
                    raise BadFile(archive, f"{member.name} has {member.size} bytes; expected at most {limit}")
                file = tar.extractfile(member)
                write_files({folder / Path(member.name).name: file.read(limit) if file else b""})
                del left[member.name]
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise BadFile(archive, f"the archive is damaged ({error}); delete it to have it fetched again") from None
    if left:
        raise BadFile(archive, f"expected it to hold {', '.join(left)}")


def _fetch(item: Download, folder: Path) -> None:
    import pooch  # only here, so that sets on the disk are opened without its network libraries

    path = folder / item.file
    if offline() and not (path.is_file() and sha256(path) == item.sha256):
        raise BadFile(
            path,
            f"{'another SHA-256' if path.is_file() else 'no such file'}, and CONVSMITH_OFFLINE is set, so that nothing "
            f"is fetched. Expected SHA-256 {item.sha256}. Fetch it elsewhere "
            f"({' or '.join(item.urls)}) and put it there, or name a folder that has the files with --data",
        )
    pooch.get_logger().setLevel(logging.ERROR)
    failures: list[str] = []
    for url in item.urls:
        try:
            # pooch writes to a temporary file beside the goal and renames it once the sum is right.
            pooch.retrieve(url, f"sha256:{item.sha256}", fname=item.file, path=folder)
        except (OSError, ValueError) as error:
            failures.append(f"{url} ({_short(error)})")
        else:
            return
    raise BadFile(
        folder / item.file,
        f"could not be downloaded from {'; '.join(failures)}. Fetch it elsewhere and put it there, or name a "
        "folder that has the files with --data",
    )


def _short(error: Exception) -> str:
    if "NameResolution" in str(error) or isinstance(error, ConnectionError | TimeoutError):
        return "no connection"
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:160]}"
