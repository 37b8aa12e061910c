"""The buttons below a task: check, three hints, solution.

    button ─► {"ask": "check" | "hint" | "solution"} ─► Exercise ─► {"lines": [...]} ─► text below the buttons
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from kubelab.machinery.errors import ApiError

if TYPE_CHECKING:
    from kubelab.lab.exercise import Exercise

STATIC = Path(__file__).parent / "static"


class ExerciseButtons(anywidget.AnyWidget):
    """A row of buttons and the answer below it."""

    _esm = (STATIC / "exercise.js").read_text()
    title = traitlets.Unicode().tag(sync=True)
    hints = traitlets.Int(3).tag(sync=True)
    solved = traitlets.Bool(False).tag(sync=True)

    def __init__(self, exercise: Exercise) -> None:
        super().__init__(title=exercise.title, hints=len(exercise.hints), solved=exercise.solved)
        self._exercise = exercise
        self.on_msg(self._heard)

    def _heard(self, _: Any, message: dict[str, Any], __: Any) -> None:
        self.send(self.answer(message))

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return what is shown below the buttons: lines of (sign, text, what to do next), or a code block."""
        ask = message.get("ask")
        try:
            if ask == "hint":
                return {"head": "", "lines": [["", str(self._exercise.hint(int(message.get("number", 1)))), ""]]}
            if ask == "solution":
                return {"head": "One solution; cluster.apply(ex.solution()) applies it.",
                        "code": self._exercise.solution()}
            result = self._exercise.check()
        except (ApiError, OSError, ValueError, RuntimeError) as error:
            return {"head": "It could not be checked.", "lines": [["✗", str(error), ""]]}
        self.solved = self.solved or result.ok
        return {"head": result.summary, "lines": [list(line) for line in result.lines()]}
