"""What a rule of a role allows, and whether one right is held by another.

    rule ─► single rights (verb, group, resource, name) ─► each covered by a rule that is held?

Models:    k8s.io/component-helpers/auth/rbac/validation
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from kubelab.machinery.request import Obj


def allows_resource(rule: Obj, verb: str, group: str, target: str) -> bool:
    """Match a rule with a verb on `target`, a resource or resource/subresource (names are the caller's matter)."""
    if not (listed(rule.get("verbs"), verb) and listed(rule.get("apiGroups"), group)):
        return False
    resources: Sequence[str] = rule.get("resources") or ()
    if "*" in resources or target in resources:
        return True
    _, slash, subresource = target.partition("/")
    return bool(slash) and f"*/{subresource}" in resources


def allows_path(rule: Obj, verb: str, path: str) -> bool:
    """Match a rule with a verb on a URL that is no resource."""
    urls: Sequence[str] = rule.get("nonResourceURLs") or ()
    return listed(rule.get("verbs"), verb) and any(path_matches(url, path) for url in urls)


def single(rules: Iterable[Obj]) -> Iterator[Obj]:
    """Take rules apart into rights of one verb on one thing."""
    for rule in rules:
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                for verb in rule.get("verbs") or ():
                    right = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                    names = rule.get("resourceNames") or ()
                    yield from (right | {"resourceNames": [name]} for name in names)
                    if not names:
                        yield right
        for url in rule.get("nonResourceURLs") or ():
            yield from ({"nonResourceURLs": [url], "verbs": [verb]} for verb in rule.get("verbs") or ())


def covers(rule: Obj, right: Obj) -> bool:
    """Tell whether a rule holds all of a single right."""
    verb, = right["verbs"]
    if "nonResourceURLs" in right:
        return allows_path(rule, verb, right["nonResourceURLs"][0])
    if not allows_resource(rule, verb, right["apiGroups"][0], right["resources"][0]):
        return False
    names = rule.get("resourceNames") or ()
    return not names or (bool(right.get("resourceNames")) and right["resourceNames"][0] in names)


def compact(rights: Iterable[Obj]) -> list[Obj]:
    """Join the verbs of what stands on the same thing."""
    joined: dict[tuple[str, ...], Obj] = {}
    rest = []
    for right in rights:
        if "nonResourceURLs" in right:
            rest.append(right)
            continue
        key = (right["apiGroups"][0], right["resources"][0], *right.get("resourceNames", ()))
        found = joined.setdefault(key, right | {"verbs": []})
        found["verbs"] += right["verbs"]
    return rest + list(joined.values())


def listed(values: Collection[str] | None, wanted: str) -> bool:
    """Say whether a rule's list names what is wanted, or everything."""
    return values is not None and (wanted in values or "*" in values)


def path_matches(pattern: str, path: str) -> bool:
    """Say whether a rule's URL is this path; `/healthz/*` means all below, `*` everything."""
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))
