"""The places for files in a form of the MakeIt3D door: one for each file that an operation is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from generation.dashboard import sources, wares
from generation.doors.makeit3d.catalogue import Input, Kind, Offer, Operation
from generation.models import Asset

_LABELS = {"mask": "What is to change", "model": "Model"}
_HINTS = {"mask": "White is repainted, black stays. It has to be as large as the picture."}


@dataclass(frozen=True)
class Slot:
    """A place for one file. name: of its field; of: the input that it is a part of."""

    name: str
    label: str
    hint: str
    of: Input
    chosen: Asset | None
    faults: Sequence[str]
    is_required: bool = True

    @property
    def accepts(self) -> str:
        return sources.ACCEPTS[self.of.kind]

    @property
    def what(self) -> str:
        """What a person would call such a file."""
        if self.of.word == "mask":
            return "mask"
        return "sketch" if "sketch" in self.of.name else {Kind.IMAGE: "picture", Kind.MODEL: "model"}[self.of.kind]


def slots_of(
    operation: Operation, offer: Offer, chosen: Mapping[str, Asset | None], faults: Mapping[str, Sequence[str]]
) -> list[Slot]:
    """Every place that an offer has, with what lies there. chosen, faults: by the names of places."""
    found = []
    for one in operation.inputs:
        names = asked_names(one, offer)
        for nth, name in enumerate(names):
            label, hint = _label(one, nth, len(names)), "" if nth else _HINTS.get(one.word, "")
            found.append(Slot(name, label, hint, one, chosen.get(name), faults.get(name, []), is_required=not nth))
    return found


def first_slot(operation: Operation) -> str:
    """Where a file goes that somebody wants to use for an operation; empty when it takes none."""
    return next((names_of(one)[0] for one in operation.inputs), "")


def input_of(operation: Operation, name: str) -> Input | None:
    return next((one for one in operation.inputs if name in names_of(one)), None)


def names_of(one: Input) -> list[str]:
    """The names of an input's places in their order."""
    return [f"{one.name}.{nth}" for nth in range(one.most)] if one.most else [one.name]


def asked_names(one: Input, offer: Offer) -> list[str]:
    """Those of them that an offer looks at."""
    return names_of(one)[: offer.takes or None]


def _label(one: Input, nth: int, count: int) -> str:
    if count > 1:
        return wares.VIEWS[nth]
    return "Sketch" if "sketch" in one.name else _LABELS.get(one.word, "Picture")
