"""Publishing: a step's stored result takes the final key that a door's contract fixes.

Work is stored under keys that no two holders of an item share. A final key is shared by all of them, so it is
written only here, after the step that made the result has settled: whoever holds the fence writes the same bytes.
What another item left under the key, when the door lets it be overwritten, moves back among its own request's work.
The work object goes after the commit; a crash before that leaves an orphan, which prune removes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.db import connection

from generation import events, images, storage
from generation.claim import Claim
from generation.engine.again import survives_restart
from generation.engine.attempts import Gone
from generation.engine.keeping import end_step
from generation.models import Asset, Attempt, Item, Outcome, Stage, rows
from generation.steps import File

AS_PNG = "png"


@dataclass(frozen=True)
class Move:
    """A file on its way: its row, its final key, which of the step's several it is, whose file lies there now."""

    asset: Asset
    target: str
    name: str
    older: Asset | None
    converted: File | None = None


def publish(claim: Claim) -> None:
    """Copy a step's result to its final key and end this step. Raises KeyTaken, StorageError, BadPicture or Gone.

    inputs: `from` names the step; `to` is the key, or a key for each name of its several files; `as` is `png` where
    the contract wants one whatever was made; with `overwrite` another item's file may lie there.
    """
    inputs = claim.item.step_plan.inputs
    moves = _moves(claim, inputs)
    connection.close()
    moves = [_copied(move, inputs.get("as", "")) for move in moves]
    _settle(claim, inputs["from"], moves)
    connection.close()
    for move in moves:
        with contextlib.suppress(storage.StorageError):
            storage.delete(move.asset.key)


def _moves(claim: Claim, inputs: Mapping[str, Any]) -> list[Move]:
    """What has to move where, and where it will lie if we die in between. Three queries."""
    item = claim.item
    files, to = _files(item, inputs["from"]), inputs["to"]
    wanted: dict[str, str] = {"": to} if isinstance(to, str) else to
    targets = {name: _named(wanted[name], files[name], inputs.get("as", "")) for name in wanted if name in files}
    keys = {files[name]["key"]: name for name in files if files[name]["key"] != targets.get(name, files[name]["key"])}
    assets = Asset.objects.filter(item=item, key__in=keys)
    lying = {asset.key: asset for asset in Asset.objects.filter(key__in=list(targets.values()))}
    moves = [
        Move(asset, targets[keys[asset.key]], keys[asset.key], lying.get(targets[keys[asset.key]])) for asset in assets
    ]
    for move in moves:
        if move.older and not inputs.get("overwrite"):
            raise storage.KeyTaken("another result lies under that key")
        rows.update(Attempt, claim.attempt_id, to={"key": move.target})
    return moves


def _named(key: str, file: Mapping[str, Any], wanted: str) -> str:
    extension = wanted or file["key"].rpartition(".")[2]
    return key.replace("{extension}", extension)


def _files(item: Item, step: str) -> dict[str, dict[str, Any]]:
    """The files that a step left behind, by name; none when it failed and was not required."""
    left = item.results.get(step, {})
    return {"": left} if "key" in left else left.get("files", {})


def _copied(move: Move, wanted: str) -> Move:
    """Put a file under its final key, after what lies there for another item was put aside."""
    if move.older:
        _put_aside(move.older)
    if wanted != AS_PNG or move.asset.content_type == "image/png":
        storage.copy(move.asset.key, move.target)
        return move
    with storage.open_file(move.asset.key) as body:
        png = images.as_png(body)  # type: ignore[arg-type]
    storage.replace(move.target, png.body)
    return replace(move, converted=png)


def _put_aside(older: Asset) -> None:
    """Keep an older file among its own request's work, once: a second look may find its place taken already."""
    aside = storage.key_aside(older)
    if not storage.matches(aside, older.size_bytes, older.sha256):
        storage.copy(older.key, aside)


@survives_restart
def _settle(claim: Claim, step: str, moves: list[Move]) -> None:
    item = claim.item
    item.results = {**item.results, step: _shown(item, step, moves)}
    with events.change(item.request_id) as change:
        end_step(change, item, claim.fence, {})
        for move in moves:
            if move.older:
                rows.update(Asset, move.older.pk, to={"key": storage.key_aside(move.older)})
            now: dict[str, Any] = {"key": move.target}
            if file := move.converted:
                now |= {"content_type": file.content_type, "size_bytes": file.size_bytes, "sha256": file.sha256}
            if not rows.update(Asset, move.asset.pk, to=now, given={"key": move.asset.key}):
                raise Gone
        rows.update(
            Attempt,
            claim.attempt_id,
            to={"stage": Stage.SETTLED, "outcome": Outcome.MADE, "ended_at": change.now},
        )


def _shown(item: Item, step: str, moves: list[Move]) -> dict[str, Any]:
    """What the step left behind, with the final keys in the place of the old."""
    left, files = item.results.get(step, {}), _files(item, step)
    for move in moves:
        now = {"key": move.target, **({"content_type": move.converted.content_type} if move.converted else {})}
        files = {**files, move.name: {**files[move.name], **now}}
    return {**left, **files[""]} if "" in files else {**left, "files": files} if files else left
