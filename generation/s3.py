"""Files in an S3 bucket, or in anything that speaks its protocol. A room of its own: importing boto3 takes a second.

Its faults come out as the OSErrors that a local folder would raise, without hosts and bucket names.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError
from storages.backends.s3 import S3Storage

from generation.storage import content_type_of

TAKEN = ("PreconditionFailed", "ConditionalRequestConflict", "412")
# The signature's own limit: a week.
LONGEST_LINK_S = 7 * 86400
MISSING = ("NoSuchKey", "NotFound", "404")


class S3Files(S3Storage):
    def make_bucket(self) -> bool:
        """Make the bucket; False when it exists already."""
        client = self.connection.meta.client
        with _as_os_errors():
            try:
                client.head_bucket(Bucket=self.bucket_name)
            except ClientError as error:
                if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
                    raise
            else:
                return False
            # us-east-1 is the one region that must not be named.
            place = {"CreateBucketConfiguration": {"LocationConstraint": self.region_name}}
            client.create_bucket(Bucket=self.bucket_name, **({} if self.region_name == "us-east-1" else place))
            return True

    def put_new(self, key: str, body: BinaryIO) -> None:
        """Store under a key that must be free: the condition is the store's own, so no two writers race."""
        with _as_os_errors():
            self.bucket.meta.client.put_object(
                Bucket=self.bucket_name, Key=key, Body=body, ContentType=content_type_of(key), IfNoneMatch="*"
            )

    def put(self, key: str, body: BinaryIO) -> None:
        with _as_os_errors():
            self.bucket.meta.client.put_object(
                Bucket=self.bucket_name, Key=key, Body=body, ContentType=content_type_of(key)
            )

    def copy(self, source: str, target: str) -> None:
        with _as_os_errors():
            self.bucket.meta.client.copy_object(
                Bucket=self.bucket_name,
                Key=target,
                CopySource={"Bucket": self.bucket_name, "Key": source},
                ContentType=content_type_of(target),
                MetadataDirective="REPLACE",
            )

    def put_if(self, key: str, body: BinaryIO, version: str | None) -> None:
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
        with _as_os_errors():
            self.bucket.meta.client.put_object(
                Bucket=self.bucket_name, Key=key, Body=body, ContentType=content_type_of(key), **condition
            )

    def get(self, key: str, most_bytes: int) -> tuple[bytes, str]:
        with _as_os_errors():
            found = self.bucket.meta.client.get_object(Bucket=self.bucket_name, Key=key)
            with contextlib.closing(found["Body"]) as body:
                return body.read(most_bytes + 1), found["ETag"]

    def exists(self, name: str) -> bool:
        with _as_os_errors():
            return bool(super().exists(name))

    def signed_url(self, key: str, expires: int) -> str:
        return str(self.url(key, expire=min(LONGEST_LINK_S, max(60, math.ceil(expires - time.time())))))

    def _open(self, name: str, mode: str = "rb") -> Any:
        with _as_os_errors():
            return super()._open(name, mode)

    def delete(self, name: str) -> None:
        with _as_os_errors():
            super().delete(name)


@contextlib.contextmanager
def _as_os_errors() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in TAKEN:
            raise FileExistsError("that key is taken") from None
        if code in MISSING:
            raise FileNotFoundError("no such file") from None
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 403:
            raise PermissionError("the store does not let us") from error
        raise OSError(f"the store answered {code}") from error
    except BotoCoreError as error:
        raise OSError(f"the store cannot be used: {type(error).__name__}") from error
