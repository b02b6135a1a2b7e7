"""Files: their keys, saving, opening, links. With `generation.s3`, the only room that knows django-storages.

Keys are ours and are never overwritten: the fence or an id is part of the name, and the write itself is
conditional. A file is stored before the move that needs it, so a crash between them leaves an orphan,
which prune removes; the other order would leave a success without a picture.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, BinaryIO, Protocol, cast
from urllib.parse import quote, unquote, urljoin
from uuid import UUID

from django.conf import settings
from django.core.files.storage import FileSystemStorage, default_storage
from django.core.signing import Signer
from django.utils.crypto import constant_time_compare

from generation.models import Asset, Item

CHUNK_BYTES = 1024 * 1024
LINK_SALT = "atelier.files"


class StorageError(Exception):
    """The store cannot be used now, or refuses; the text names no host and no credential."""


class KeyTaken(StorageError):
    """Something is already stored under this key."""


class KeyMissing(StorageError):
    """Nothing is stored under this key."""


class StoreRefuses(StorageError):
    """The store can be reached, and does not let us."""


class FileTooLarge(StorageError):
    """More is stored under this key than may be read."""


class FileChanged(StorageError):
    """Somebody else has written under this key meanwhile."""


def work_key(item: Item, step: str, fence: int, extension: str) -> str:
    """Name a step's result: unique by item and fence, so that no two holders ever write the same key."""
    folder = "models" if extension == "glb" else "images"
    return f"{folder}/{item.request_id}/{item.public_id}-{step}-{fence}.{extension}"


def key_beside(key: str, name: str, extension: str) -> str:
    """Name what is kept beside a result, so that whoever finds that one finds it too."""
    return f"{key.rpartition('.')[0]}-{name}.{extension}"


def pose_key(pose_id: UUID, what: str, digest: str) -> str:
    """Name a picture of a library pose; another figure gets another name."""
    return f"library/poses/{pose_id}-{digest}-{what}.png"


def task_key(folder: str, task_id: str, name: str) -> str:
    """Name a result under its client's task. Tasks are unique to one person only: `name` begins with an id of ours."""
    return f"{folder}/{task_id}/{name}"


def input_key(owner_id: UUID, asset_id: UUID, extension: str) -> str:
    """Name a file that somebody brought."""
    return f"inputs/{owner_id}/{asset_id}.{extension}"


def key_aside(asset: Asset) -> str:
    """Name a file that had to make room at its final key: among the work of its own request."""
    extension = asset.key.rpartition(".")[2]
    return f"{'models' if extension == 'glb' else 'images'}/{asset.request_id}/{asset.pk}-replaced.{extension}"


def story_folder(storage_id: str, session_id: str) -> str:
    """Name the folder of a story's files, as its contract does; with a slash at its end."""
    return f"users/{storage_id}/{session_id}/images/"


def may_change(key: str) -> bool:
    """Say whether another file may come to lie under a key: a story's pictures give way to those of its next run."""
    return key.startswith("users/")


def story_key(folder: str, *names: str) -> str:
    """Name a file of a story."""
    return folder + "/".join(names)


def pose_file(generation_id: UUID, name: str) -> str:
    """Name a picture of a generated pose."""
    return f"poses/{generation_id}/{name}.png"


def pose_export(generation_id: UUID, name: str, extension: str) -> str:
    """Name an export of a generated pose."""
    return f"poses/{generation_id}/exports/{name}.{extension}"


def save(key: str, body: BinaryIO) -> None:
    """Store a file under a new key. Raises KeyTaken, or StorageError when the store cannot be reached."""
    body.seek(0)
    with _store_errors():
        _store().put_new(key, body)


def replace(key: str, body: BinaryIO) -> None:
    """Store a file in place of what may lie under the key. For keys that a contract fixes. Raises StorageError."""
    body.seek(0)
    with _store_errors():
        _store().put(key, body)


def copy(source: str, target: str) -> None:
    """Store what lies under one key under another too, in place of what may lie there. Nothing passes through us.

    Raises KeyMissing or StorageError.
    """
    with _store_errors():
        _store().copy(source, target)


def replace_if(key: str, data: bytes, version: str | None) -> None:
    """Store a file in place of that version of it, which `read_small` gave; None: in place of nothing.

    The condition is the store's own, so of several writers who read the same one wins. Raises FileChanged for the
    others, or StorageError.
    """
    with _store_errors():
        try:
            _store().put_if(key, io.BytesIO(data), version)
        except (FileExistsError, FileNotFoundError):
            raise FileChanged("that file was written meanwhile") from None


def read_small(key: str, most_bytes: int) -> tuple[bytes, str]:
    """Read a file whole, and its version. Raises KeyMissing, FileTooLarge, StoreRefuses or StorageError."""
    with _store_errors():
        data, version = _store().get(key, most_bytes)
    if len(data) > most_bytes:
        raise FileTooLarge(f"more than {most_bytes} bytes")
    return data, version


def written_at(key: str) -> int:
    """When a file was written, in microseconds since 1970. Raises KeyMissing or StorageError."""
    with _store_errors():
        return int(default_storage.get_modified_time(key).timestamp() * 1_000_000)


def has(key: str) -> bool:
    """Say whether anything is stored under a key. Raises StoreRefuses or StorageError."""
    with _store_errors():
        return default_storage.exists(key)


def open_file(key: str) -> IO[bytes]:
    """Open a stored file for reading. Raises KeyMissing or StorageError."""
    with _store_errors():
        return default_storage.open(key, "rb")


def read(key: str) -> bytes:
    """Read a stored file whole. Raises KeyMissing or StorageError."""
    with open_file(key) as file, _store_errors():
        return file.read()


def matches(key: str, size_bytes: int, sha256: str) -> bool:
    """Say whether exactly this content is stored under the key; False when nothing is. Reads it whole."""
    try:
        with open_file(key) as file, _store_errors():
            digest, size = hashlib.sha256(), 0
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
    except KeyMissing:
        return False
    return size == size_bytes and digest.hexdigest() == sha256


def delete(key: str) -> None:
    """Remove a file; nothing happens when it is not there."""
    with _store_errors():
        default_storage.delete(key)


def link(key: str, base_url: str) -> str:
    """Make an absolute link to a stored file.

    Stable when STORAGE_PUBLIC_URL is set; else signed and valid for LINK_SECONDS, up to a quarter more: the
    expiry is rounded so that links repeat and caches help. base_url: scheme and host the client came by.
    """
    if settings.STORAGE_PUBLIC_URL:
        return f"{settings.STORAGE_PUBLIC_URL}/{quote(key)}"
    signed = _signed(key, _expiry())
    return _root(settings.PUBLIC_URL or base_url) + signed if signed.startswith("/") else signed


@lru_cache(maxsize=64)
def _root(url: str) -> str:
    """Scheme and host of a URL. Remembered, because a page of fifty rows asks a hundred times."""
    return urljoin(url, "/").removesuffix("/")


def key_of_link(url: str, base_url: str) -> str | None:
    """The key that a link of our own leads to, whether it is still valid or not; None for any other link."""
    scheme, _, rest = url.partition("?")[0].partition("#")[0].partition("://")
    host, slash, path = rest.partition("/")
    address = f"{scheme}://{host}".lower() + slash + path
    signed = _signed_prefix()
    prefixes = {urljoin(settings.PUBLIC_URL or base_url, signed), urljoin(base_url, signed)}
    if settings.STORAGE_PUBLIC_URL:
        prefixes.add(f"{settings.STORAGE_PUBLIC_URL}/")
    key = next((address.removeprefix(one) for one in prefixes if address.startswith(one)), "")
    return unquote(key) or None


def _signed_prefix() -> str:
    """What every signed link of this store begins with."""
    return _store().signed_url("x", 2**31).partition("?")[0].removesuffix("x")


def _expiry() -> int:
    quarter = settings.LINK_SECONDS // 4
    return (int(time.time()) // quarter + 5) * quarter


@lru_cache(maxsize=4096)
def _signed(key: str, expires: int) -> str:
    return _store().signed_url(key, expires)


class LocalFiles(FileSystemStorage):
    """Files in a local folder, served by `generation.files` through links that Django's signer made."""

    def put_new(self, key: str, body: BinaryIO) -> None:
        target = Path(self.path(key))
        target.parent.mkdir(parents=True, exist_ok=True)
        # Written aside and linked into place: never half a file, never another's file.
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".part-") as part:
            shutil.copyfileobj(body, part, CHUNK_BYTES)
            part.flush()
            os.chmod(part.name, 0o640)
            os.link(part.name, target)

    def put(self, key: str, body: BinaryIO) -> None:
        target = Path(self.path(key))
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".part-") as part:
            shutil.copyfileobj(body, part, CHUNK_BYTES)
            part.flush()
            os.chmod(part.name, 0o640)
            _take_place(Path(part.name), target)

    def copy(self, source: str, target: str) -> None:
        path = Path(self.path(target))
        path.parent.mkdir(parents=True, exist_ok=True)
        _take_place(Path(self.path(source)), path)

    def put_if(self, key: str, body: BinaryIO, version: str | None) -> None:
        target = Path(self.path(key))
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # ends with us, however we end
            found = hashlib.sha256(target.read_bytes()).hexdigest() if target.exists() else None
            if found != version:
                raise FileExistsError(key)
            self.put(key, body)
        finally:
            os.close(folder)

    def get(self, key: str, most_bytes: int) -> tuple[bytes, str]:
        with open(self.path(key), "rb") as file:
            data = file.read(most_bytes + 1)
        return data, hashlib.sha256(data).hexdigest()

    def exists(self, name: str) -> bool:
        """Folders are no files: a bucket has none either."""
        return Path(self.path(name)).is_file()

    def signed_url(self, key: str, expires: int) -> str:
        return f"/files/{quote(key)}?expires={expires}&signature={_signature(key, expires)}"


def _take_place(source: Path, target: Path) -> None:
    """Give a file a second name, at once in place of whatever had that name. Content is never written twice."""
    link = target.with_name(f".link-{uuid.uuid4()}")
    os.link(source, link)
    try:
        os.replace(link, target)
    finally:
        link.unlink(missing_ok=True)  # still there when both were the same file already


CONTENT_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "glb": "model/gltf-binary",
    "obj": "model/obj",
    "json": "application/json",
    "md": "text/markdown",
}


def content_type_of(key: str) -> str:
    return CONTENT_TYPES.get(key.rsplit(".", 1)[-1], "application/octet-stream")


def is_signed(key: str, expires: str, signature: str) -> bool:
    """Check a local link: signed by us, for this key, and not yet expired."""
    if not expires.isascii() or not expires.isdigit() or len(expires) > 12 or int(expires) < time.time():
        return False
    return constant_time_compare(signature, _signature(key, int(expires)))


def _signature(key: str, expires: int) -> str:
    return Signer(salt=LINK_SALT).signature(f"{key}|{expires}")


class Store(Protocol):
    """What we ask of a store beside Django's own verbs. Its faults are OSErrors: FileExistsError, FileNotFoundError."""

    def put_new(self, key: str, body: BinaryIO) -> None: ...

    def put(self, key: str, body: BinaryIO) -> None: ...

    def copy(self, source: str, target: str) -> None: ...

    def put_if(self, key: str, body: BinaryIO, version: str | None) -> None: ...

    def get(self, key: str, most_bytes: int) -> tuple[bytes, str]: ...

    def signed_url(self, key: str, expires: int) -> str: ...


def _store() -> Store:
    return cast(Store, default_storage)


@contextlib.contextmanager
def _store_errors() -> Iterator[None]:
    """Turn the stores' own errors into ours, without their hosts and bucket names."""
    try:
        yield
    except FileExistsError:
        raise KeyTaken("that key is taken") from None
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise KeyMissing("no such file") from None
    except PermissionError:
        raise StoreRefuses("the store does not let us") from None
    except OSError as error:
        raise StorageError(f"the store cannot be used: {type(error).__name__}") from error
