"""The indexes of an Indexed Job: which are done, which failed for good, which have no pod yet.

    status.completedIndexes "0,2-4" ◄─► {0, 2, 3, 4}

Invariant: pure functions.
Models:    pkg/controller/job/indexed_job_utils.go
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from kubelab.machinery.request import Obj

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
VARIABLE = "JOB_COMPLETION_INDEX"


def index_of(pod: Obj) -> int | None:
    """Return a pod's index, None when it has none that makes sense."""
    text = (pod["metadata"].get("annotations") or {}).get(INDEX, "")
    return int(text) if text.isdigit() else None


def parse(text: str) -> set[int]:
    """Read "0,2-4"."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def text_of(indexes: Iterable[int]) -> str:
    """Write indexes as the status does: neighbours as a range, 0,2-4."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][-1] == index - 1:
            runs[-1] = [runs[-1][0], index]
        else:
            runs.append([index, index])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def succeeded_indexes(job: Obj, pods: Iterable[Obj]) -> set[int]:
    """Return what was done before, and what succeeded pods add to it."""
    known = parse((job.get("status") or {}).get("completedIndexes", ""))
    new = {i for pod in pods if (i := index_of(pod)) is not None}
    return {i for i in known | new if i < job["spec"]["completions"]}


def failures_of(pod: Obj, note: str = FAILURES) -> int:
    """Return how often the pod's index had failed before it."""
    text = (pod["metadata"].get("annotations") or {}).get(note, "0")
    return int(text) if text.isdigit() else 0


def attempts_of(pod: Obj) -> int:
    """Return how often the index had failed before this pod, with the failures that its policy ignores."""
    return failures_of(pod) + failures_of(pod, IGNORED_FAILURES)


def last_failures(failed: Iterable[Obj]) -> dict[int, Obj]:
    """Return for each index the pod that failed last."""
    found: dict[int, Obj] = {}
    for pod in sorted(failed, key=attempts_of):
        index = index_of(pod)
        if index is not None:
            found[index] = pod
    return found


def failure_notes(last: Obj | None, ignored: bool) -> dict[str, str]:
    """Return what a pod says of its index's failures, when it comes after `last`."""
    counted, others = (failures_of(last), failures_of(last, IGNORED_FAILURES)) if last is not None else (0, 0)
    if last is not None:
        counted, others = (counted, others + 1) if ignored else (counted + 1, others)
    return {FAILURES: str(counted), **({IGNORED_FAILURES: str(others)} if others else {})}


def failed_indexes(job: Obj, failed: Iterable[Obj], given_up: Iterable[int] = ()) -> set[int] | None:
    """Return the indexes that have used up their retries; None when the job does not count by index."""
    limit = job["spec"].get("backoffLimitPerIndex")
    if limit is None:
        return None
    known = parse((job.get("status") or {}).get("failedIndexes", "")) | set(given_up)
    return known | {i for pod in failed if (i := index_of(pod)) is not None and failures_of(pod) >= limit}


def enough(policy: Obj, done: set[int]) -> int | None:
    """Return which rule of a success policy the indexes that are done meet, None when they meet none."""
    for number, rule in enumerate(policy.get("rules") or ()):
        wanted = done if rule.get("succeededIndexes") is None else done & parse(rule["succeededIndexes"])
        if rule.get("succeededCount") is not None:
            met = len(wanted) >= rule["succeededCount"]
        else:
            met = rule.get("succeededIndexes") is not None and wanted == parse(rule["succeededIndexes"])
        if met:
            return number
    return None


def first_without_pod(count: int, completions: int, taken: Collection[int]) -> list[int]:
    """Return the `count` lowest indexes that still need a pod."""
    found: list[int] = []
    for index in range(completions):
        if len(found) == count:
            break
        if index not in taken:
            found.append(index)
    return found


def duplicates(active: Sequence[Obj], completions: int) -> list[Obj]:
    """Return active pods too many: of one index all but the oldest, and those outside the range."""
    seen: set[int] = set()
    surplus: list[Obj] = []
    for pod in sorted(active, key=lambda p: str(p["metadata"].get("creationTimestamp", ""))):
        index = index_of(pod)
        if index is None or index >= completions or index in seen:
            surplus.append(pod)
        else:
            seen.add(index)
    return surplus


def indexed(pod: Obj, job: Obj, index: int, failures: Mapping[str, str] | None = None) -> Obj:
    """Give a pod made from the job's template its index: annotation, label, name, hostname, variable.

    `failures` are the annotations that count those of its index, where the job has a limit for each.
    """
    meta, name = pod["metadata"], f"{job['metadata']['name']}-{index}"
    notes = {**(meta.get("annotations") or {}), INDEX: str(index), **(failures or {})}
    metadata = {**meta, "generateName": f"{name}-", "annotations": notes,
                "labels": {**(meta.get("labels") or {}), INDEX: str(index)}}
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    spec = {**pod["spec"], "hostname": pod["spec"].get("hostname") or name}
    for key in ("initContainers", "containers"):
        if spec.get(key):
            spec[key] = [_told(container, source) for container in spec[key]]
    return {**pod, "metadata": metadata, "spec": spec}


def _told(container: Obj, source: Obj) -> Obj:
    env = container.get("env") or []
    if any(variable["name"] == VARIABLE for variable in env):
        return container
    return {**container, "env": [*env, {"name": VARIABLE, "valueFrom": source}]}
