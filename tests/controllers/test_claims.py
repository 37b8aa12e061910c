"""Adoption and release."""

from __future__ import annotations

from typing import Any

from kubelab.control_plane.controllers.claims import sort_claims
from kubelab.machinery.selectors import from_label_selector

SELECTOR = from_label_selector({"matchLabels": {"a": "b"}})


def obj(labels: dict[str, str], owner: str = "", deleted: bool = False) -> Any:
    meta: dict[str, Any] = {"name": "x", "uid": "x", "labels": labels}
    if owner:
        meta["ownerReferences"] = [{"uid": owner, "controller": True}]
    if deleted:
        meta["deletionTimestamp"] = "now"
    return {"metadata": meta}


def test_claims_are_sorted() -> None:
    """Mine and matching is kept, mine and not matching released, nobody's and matching adopted, others' left alone."""
    owner = {"metadata": {"uid": "me"}}
    mine, lost = obj({"a": "b"}, "me"), obj({"a": "c"}, "me")
    free, foreign, dying = obj({"a": "b"}), obj({"a": "b"}, "you"), obj({"a": "b"}, deleted=True)
    claims = sort_claims(owner, SELECTOR, [mine, lost, free, foreign, dying, obj({"z": "z"})])
    assert (claims.kept, claims.released, claims.adopted) == ([mine], [lost], [free])


def test_a_dying_owner_neither_adopts_nor_releases() -> None:
    """What is being deleted does not reach for more."""
    owner = {"metadata": {"uid": "me", "deletionTimestamp": "now"}}
    claims = sort_claims(owner, SELECTOR, [obj({"a": "c"}, "me"), obj({"a": "b"})])
    assert not (claims.kept or claims.released or claims.adopted)
