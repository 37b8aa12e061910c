"""The lab: exercises that a cluster itself marks.

    from kubelab.lab import exercise
    ex = exercise("01")        # shows the task with its buttons
    ex.start(cluster); ex.check(); ex.hint(); ex.solution()

Invariant: a check asks the cluster what is, never the learner what was typed; whatever heals the cluster counts.
"""

from __future__ import annotations

from kubelab.lab.command import cli_check
from kubelab.lab.exercise import Exercise, exercise, exercises
from kubelab.lab.look import Look
from kubelab.lab.result import Requirement, Result

__all__ = ["Exercise", "Look", "Requirement", "Result", "cli_check", "exercise", "exercises"]
