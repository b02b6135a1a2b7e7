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
from generation.engine.settling import end_step
from generation.models import Asset, Attempt, Item, Outcome, Stage, rows
from generation.steps import File

AS_PNG = "png"


@dataclass(frozen=True)
class Move:
    """A file on its way: its row, its final key, whose step's it is and which of several, whose file lies there now."""

    asset: Asset
    target: str
    step: str
    name: str
    older: Asset | None
    converted: File | None = None


def publish(claim: Claim) -> None:
    """Copy results to their final keys and end this step. Raises KeyTaken, StorageError, BadPicture or Gone.

    inputs: `from` names the step; `to` is the key, or a key for each name of its several files. Several steps at once
    stand in `moves`, step -> what `to` would be; one that left nothing is passed over. `as` is `png` where the
    contract wants one whatever was made, or says so for each step; with `overwrite` another item's file may lie there.
    """
    inputs = claim.item.step_plan.inputs
    moves = _moves(claim, inputs)
    connection.close()
    moves = [_copied(move, _wanted(inputs, move.step)) for move in moves]
    _settle(claim, moves)
    connection.close()
    for move in moves:
        with contextlib.suppress(storage.StorageError):
            storage.delete(move.asset.key)


def _moves(claim: Claim, inputs: Mapping[str, Any]) -> list[Move]:
    """What has to move where, and where it will lie if we die in between. Two queries."""
    item = claim.item
    sources: Mapping[str, Any] = inputs.get("moves") or {inputs["from"]: inputs["to"]}
    keys: dict[str, tuple[str, str]] = {}  # where a file lies -> its step, its name
    targets: dict[tuple[str, str], str] = {}
    for step, to in sources.items():
        files = _files(item, step)
        for name, key in {"": to}.items() if isinstance(to, str) else to.items():
            if name in files:
                targets[step, name] = _named(key, files[name], _wanted(inputs, step))
                if files[name]["key"] != targets[step, name]:
                    keys[files[name]["key"]] = (step, name)
    lying = {asset.key: asset for asset in Asset.objects.filter(key__in=[*keys, *targets.values()])}
    moves = [
        Move(lying[key], targets[step, name], step, name, lying.get(targets[step, name]))
        for key, (step, name) in keys.items()
        if key in lying and lying[key].item_id == item.pk
    ]
    if any(move.older for move in moves) and not inputs.get("overwrite"):
        raise storage.KeyTaken("another result lies under that key")
    if moves:
        rows.update(Attempt, claim.attempt_id, to={"key": moves[-1].target})
    return moves


def _wanted(inputs: Mapping[str, Any], step: str) -> str:
    """The format that a step's files must have; empty as they are."""
    wanted: str | Mapping[str, str] = inputs.get("as", "")
    return wanted if isinstance(wanted, str) else wanted.get(step, "")


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
def _settle(claim: Claim, moves: list[Move]) -> None:
    item = claim.item
    item.results = {**item.results, **_shown(item, moves)}
    with events.change(item.request_id) as change:
        status = end_step(change, item, claim.fence, {})
        for move in moves:
            if move.older:
                rows.update(Asset, move.older.pk, to={"key": storage.key_aside(move.older)})
            now: dict[str, Any] = {"key": move.target}
            if file := move.converted:
                now |= {"content_type": file.content_type, "size_bytes": file.size_bytes, "sha256": file.sha256}
            if not rows.update(Asset, move.asset.pk, to=now, given={"key": move.asset.key}):
                raise Gone
        change.alter(Attempt, claim.attempt_id, stage=Stage.SETTLED, outcome=Outcome.MADE, ended_at=change.now)
    item.status = status


def _shown(item: Item, moves: list[Move]) -> dict[str, Any]:
    """What the steps left behind, with the final keys in the place of the old."""
    shown: dict[str, Any] = {}
    for move in moves:
        left = shown.get(move.step, item.results[move.step])
        now = {"key": move.target, **({"content_type": move.converted.content_type} if move.converted else {})}
        if move.name:
            files = left["files"]
            shown[move.step] = {**left, "files": {**files, move.name: {**files[move.name], **now}}}
        else:
            shown[move.step] = {**left, **now}
    return shown
