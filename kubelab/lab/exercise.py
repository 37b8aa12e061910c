"""An exercise is a folder: a task, a broken start, a check, three hints, a solution.

    exercises/01-heal-the-shop/
      README.md      the task; its first line is the title
      start.yaml     what `start` applies
      start.py       def start(cluster), for a start that is a story: what happened after that (optional)
      check.py       def check(look: Look) -> Iterator[Requirement]
      hints.yaml     three hints: where to look, what to compare, nearly the answer
      solution.yaml  one way that passes the check

Invariant: a further exercise is a further folder, and no line of code elsewhere.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from kubelab.client.client import Client
from kubelab.lab import progress
from kubelab.lab.look import Look
from kubelab.lab.result import Requirement, Result
from kubelab.machinery.errors import ApiError


class LabCluster(Protocol):
    """What an exercise needs of a cluster: `kubelab.Cluster` and what `Cluster.connect` returns."""

    client: Client

    def call(self, work: Coroutine[Any, Any, Any]) -> Any: ...
    def apply(self, *manifests: Any) -> Any: ...


class Shown(str):
    """A text that shows as itself in a notebook and in a terminal."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass
class Exercise:
    """One exercise. Its methods remember the cluster that `start` was given."""

    folder: Path
    cluster: LabCluster | None = None
    _opened: int = field(default=0, repr=False)

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def task(self) -> str:
        return (self.folder / "README.md").read_text()

    @property
    def title(self) -> str:
        return self.task.splitlines()[0].lstrip("# ").strip()

    @cached_property
    def hints(self) -> tuple[str, ...]:
        import yaml

        return tuple(str(h).strip() for h in yaml.safe_load((self.folder / "hints.yaml").read_text()))

    def start(self, cluster: LabCluster) -> Any:
        """Bring the cluster into the state that the task describes."""
        self.cluster = cluster
        lines = cluster.apply(self.folder / "start.yaml")
        if (self.folder / "start.py").exists():
            _load(self.folder / "start.py").start(cluster)
        return lines

    def check(self, cluster: LabCluster | None = None) -> Result:
        """Look at the cluster and say of each requirement whether it holds."""
        chosen = self.cluster = cluster or self.cluster
        if chosen is None:
            raise ValueError("which cluster? Call ex.start(cluster) first, or ex.check(cluster)")
        return self.check_with(Look(chosen.client, chosen.call, getattr(chosen, "etcd", None)))

    def check_with(self, look: Look) -> Result:
        found: list[Requirement] = []
        try:
            found.extend(_load(self.folder / "check.py").check(look))
        except (ApiError, OSError) as error:
            found.append(Requirement("The cluster answers", False, str(error)))
        result = Result(self.title, tuple(found))
        if result.ok:
            progress.remember(self.name, solved=True)
        return result

    def hint(self, number: int | None = None) -> Shown:
        """Return the next hint, or hint `number` (1 to 3)."""
        chosen = min(max(number or self._opened + 1, 1), len(self.hints))
        self._opened = max(self._opened, chosen)
        progress.remember(self.name, hints=max(self._opened, progress.read().get(self.name, {}).get("hints", 0)))
        return Shown(f"Hint {chosen} of {len(self.hints)}: {self.hints[chosen - 1]}")

    def solution(self) -> Shown:
        """Return one solution, as YAML that can be applied."""
        return Shown((self.folder / "solution.yaml").read_text())

    @property
    def solved(self) -> bool:
        return bool(progress.read().get(self.name, {}).get("solved"))

    def __repr__(self) -> str:
        return self.task

    def _ipython_display_(self) -> None:
        from IPython.display import display

        from kubelab.lab.buttons import ExerciseButtons

        task = {"text/markdown": self.task, "text/plain": self.task}
        display(task, raw=True)  # type: ignore[no-untyped-call]
        display(ExerciseButtons(self))  # type: ignore[no-untyped-call]


def folder() -> Path:
    """Return the folder of all exercises: of this clone, beside the package, or in the working directory."""
    package = Path(__file__).parents[1]
    for above in (package.parent, package, Path.cwd(), Path.cwd().parent):
        place = above / "exercises"
        if any(place.glob("[0-9][0-9]-*/check.py")):
            return place
    raise FileNotFoundError("no exercises/ folder was found; run this from a clone of kubelab")


def exercises() -> list[Exercise]:
    """Return every exercise, in order."""
    return [Exercise(check.parent) for check in sorted(folder().glob("[0-9][0-9]-*/check.py"))]


def exercise(name: str, cluster: LabCluster | None = None) -> Exercise:
    """Return an exercise by number ("01", "1") or by name ("heal-the-shop")."""
    found = exercises()
    for one in found:
        number, _, slug = one.name.partition("-")
        if name in (one.name, slug, number, number.lstrip("0")):
            one.cluster = cluster
            return one
    raise KeyError(f"no exercise {name!r}; there are {', '.join(e.name for e in found)}")


def _load(file: Path) -> Any:
    """Return a file of an exercise as a module."""
    spec = importlib.util.spec_from_file_location(f"kubelab_exercise_{file.parent.name[:2]}_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
