"""Reads: get, list and watch, all from the cache; only a list of the past goes to etcd.

    list ─► selectors, limit, continue ─► Collection.select ─► a join of stored bytes
    watch ─► Watcher ─► Collection.watch

Invariant: the pages of one list show one revision.
Models:    k8s.io/apiserver/pkg/endpoints/handlers/get.go, storage/continue.go
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kubelab.control_plane.apiserver.cache import Collection, Matches, matcher
from kubelab.control_plane.apiserver.call import invalid_options
from kubelab.control_plane.apiserver.storage import Storage
from kubelab.control_plane.etcd.api import Compacted
from kubelab.machinery import continuing
from kubelab.machinery.errors import ApiError, FieldError, bad_request, forbidden_field, gone
from kubelab.machinery.request import Encoded, Obj
from kubelab.machinery.selectors import FieldSelector, Selector, parse_field_selector, parse_label_selector
from kubelab.units.catalogue import Kind

MATCHES = ("Exact", "NotOlderThan")
_INTEGER = re.compile(r"[-+]?[0-9]+")
EXPIRED = ("The provided continue parameter is too old to display a consistent list result. You can start a new list "
           "without the continue parameter, or use the continue token in this response to retrieve the remainder of "
           "the results. Continuing with the provided token results in an inconsistent list - objects that were "
           "created, modified, or deleted between the time the first chunk was returned and now may show up in the "
           "list.")


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to a list: `items` in key order, as of `revision`."""

    items: list[Encoded]
    revision: int
    continue_: str = ""
    remaining: int | None = None

    @property
    def metadata(self) -> Obj:
        out: Obj = {"resourceVersion": str(self.revision)}
        if self.continue_:
            out["continue"] = self.continue_
            if self.remaining is not None:
                out["remainingItemCount"] = self.remaining
        return out

    def metadata_of(self, kind: Kind) -> Obj:
        """Return the metadata of a list of a kind; lists of custom resources say also that there is no more."""
        return self.metadata if kind.own is None else {"continue": "", **self.metadata}


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What a list or watch asks, checked as Kubernetes checks it."""

    labels: Selector | None
    fields: FieldSelector | None
    limit: int
    continue_: str
    revision: int | None  # None: not given
    match: str
    timeout_s: int = 0  # of a watch; 0: not given


def list_options(collection: Collection, query: Mapping[str, str], name: str = "", *,
                 watching: bool = False) -> ListOptions:
    """Read the query of a list or watch. Raises `BadRequest` or `Invalid`."""
    labels = parse_label_selector(query["labelSelector"]) if query.get("labelSelector") else None
    text = query.get("fieldSelector", "")
    fields = parse_field_selector(text) if text else None
    timeout_s, limit = integer(query.get("timeoutSeconds", "")), integer(query.get("limit", ""))
    _check_match(query, watching=watching)
    if name:
        if fields is not None and fields.exact.get("metadata.name") != name:
            raise bad_request("fieldSelector metadata.name doesn't match requested name")
        fields = parse_field_selector(f"metadata.name={name}" + (f",{text}" if text else ""))
    if fields is not None:
        _check_fields(collection, fields)
    return ListOptions(labels, fields, max(limit, 0), query.get("continue", ""),
                       revision_of(query.get("resourceVersion", "")), query.get("resourceVersionMatch", ""), timeout_s)


def revision_of(given: str) -> int | None:
    """Read a resourceVersion of the query, None where there is none. Raises `BadRequest`."""
    if not given:
        return None
    if given.isascii() and given.isdigit() and len(given) <= 20 and int(given) < 1 << 64:
        return int(given)
    why = "value out of range" if given.isascii() and given.isdigit() else "invalid syntax"
    raise bad_request(f'invalid resource version: resourceVersion: Invalid value: "{given}": strconv.ParseUint: '
                      f'parsing "{given}": {why}')


def integer(text: str) -> int:
    """Read a number of the query as Go does; nothing is 0. Raises `BadRequest`."""
    if not text:
        return 0
    if not _INTEGER.fullmatch(text):
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if len(text) > 20 or not -(1 << 63) <= int(text) < 1 << 63:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
    return int(text)


def _check_fields(collection: Collection, fields: FieldSelector) -> None:
    kind = collection.kind
    plain = not kind.selectable_keys and kind.own is None  # it takes what every kind takes, and says so
    known = ("metadata.name", *(("metadata.namespace",) if plain or kind.namespaced else ()), *kind.selectable_keys)
    for path, _, _ in fields.requirements:
        if path not in known and plain:
            raise bad_request(f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"')
        if path not in known:
            raise bad_request(kind.unselectable.format(path))


def _check_match(query: Mapping[str, str], *, watching: bool) -> None:
    revision, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    initial, path = "sendInitialEvents" in query, "resourceVersionMatch"
    listing, matches = bool(match) and not watching, MATCHES[1:] if watching else (*MATCHES, "")
    choices = ", ".join(f'"{choice}"' for choice in matches)
    unknown = FieldError(path, "FieldValueNotSupported", f'Unsupported value: "{match}": supported values: {choices}')
    rules = (
        (watching and initial and match != "NotOlderThan", "sendInitialEvents requires setting resourceVersionMatch to "
         "NotOlderThan"),
        (watching and match and not initial,
         "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"),
        (watching and match and match not in matches, unknown),
        (listing and not revision, "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        (match and query.get("continue"), "resourceVersionMatch is forbidden when continue is provided"),
        (listing and match not in matches, unknown),
        (listing and match == "Exact" and revision == "0",
         'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'),
        (initial and not watching, forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list")))
    errors = [why if isinstance(why, FieldError) else forbidden_field(path, why) for broken, why in rules if broken]
    if errors:
        raise invalid_options("ListOptions", errors)


async def list_page(storage: Storage, collection: Collection, namespace: str, options: ListOptions) -> Page:
    """Answer a list. Raises `Expired` when the page asked for is of a revision that is gone."""
    matches = matcher(collection, options.labels, options.fields)
    after, revision = "", 0
    if options.continue_:
        if options.revision:
            raise bad_request("specifying resource version is not allowed when using continue")
        at, after = continuing.decode(options.continue_)
        if at > storage.revision:
            raise too_large(at, storage.revision)
        revision = at if at > 0 else revision
    elif options.revision:
        if not await storage.fresh(options.revision):
            raise too_large(options.revision, storage.revision)
        if options.match == "Exact" or (options.limit and not options.match):
            revision = options.revision
    revision = revision or storage.revision
    if collection.latest > revision:  # changed since: only etcd still knows how it was
        found = await _in_the_past(storage, collection, namespace, revision, after)
        chosen = [(key, body) for key, body in found if matches is None or matches(body.obj)]
    else:
        chosen = _chosen(collection, namespace, matches, after, options)
    return _cut(chosen, revision, options, selected=matches is not None)


def _chosen(collection: Collection, namespace: str, matches: Matches | None, after: str,
            options: ListOptions) -> list[tuple[str, Encoded]]:
    name = options.fields.exact.get("metadata.name") if options.fields is not None else None
    if name and (namespace or not collection.kind.namespaced):
        key = f"{namespace}/{name}" if namespace else name
        body = collection.objects.get(key)
        return [(key, body)] if body is not None and matches is not None and matches(body.obj) else []
    return list(collection.select(namespace, matches, after))


def _cut(chosen: list[tuple[str, Encoded]], revision: int, options: ListOptions, *, selected: bool) -> Page:
    if not options.limit or len(chosen) <= options.limit:
        return Page([body for _, body in chosen], revision)
    page = chosen[:options.limit]
    remaining = None if selected else len(chosen) - options.limit
    return Page([body for _, body in page], revision, continuing.encode(revision, page[-1][0]), remaining)


async def _in_the_past(storage: Storage, collection: Collection, namespace: str, revision: int,
                       after: str) -> list[tuple[str, Encoded]]:
    try:
        return await storage.at(collection, namespace, revision, after)
    except Compacted:
        if not after:
            raise gone(f"The resourceVersion for the provided list is too old: {revision}") from None
        error = gone(EXPIRED)
        error.metadata = {"continue": continuing.encode(continuing.NOW, after.removesuffix("\0"))}
        raise error from None


def too_large(asked: int, current: int) -> ApiError:
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    return ApiError(504, "Timeout", message, {"causes": [{"reason": "ResourceVersionTooLarge",
                                                         "message": "Too large resource version"}]})
