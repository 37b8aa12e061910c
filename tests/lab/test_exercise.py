"""The first exercise, its check, hints and progress."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kubelab.lab import exercise, exercises
from kubelab.lab.buttons import ExerciseButtons
from kubelab.lab.progress import read
from tests.lab.shop import ShopLook


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KUBELAB_DATA", str(tmp_path))
    return tmp_path


def start_text() -> str:
    return (exercise("01").folder / "start.yaml").read_text()


def healed(**faults_left: bool) -> str:
    """Return the solution, with the named faults put back."""
    text = exercise("01").solution()
    back = {"replicas": ("replicas: 3", "replicas: 1"),
            "probe": ("            port: 80\n", "            port: 8080\n"),
            "selector": ("    app: shop\n  ports", "    app: store\n  ports"),
            "port": ("targetPort: 80", "targetPort: 8080")}
    for name in faults_left:
        before, after = back[name]
        assert before in text
        text = text.replace(before, after)
    return text


def test_start_state_fails_and_says_what_to_do_next() -> None:
    """The check fails on the broken start, and each failed requirement names the next step."""
    result = exercise("01").check_with(ShopLook(start_text()))
    assert not result.ok
    assert [r.ok for r in result.requirements] == [False, True, False, False]
    assert all(r.todo for r in result.requirements if not r.ok)


@pytest.mark.parametrize("fault", ["replicas", "probe", "selector", "port"])
def test_half_solved_fails(fault: str) -> None:
    """One fault left is enough to fail."""
    assert not exercise("01").check_with(ShopLook(healed(**{fault: True}))).ok


def test_removing_the_probe_is_no_solution() -> None:
    """A learner who deletes the failing probe is told why that is no healing."""
    text = healed()
    probe = text[text.index("        readinessProbe"):text.index("---\napiVersion: v1\nkind: Service")]
    result = exercise("01").check_with(ShopLook(text.replace(probe, "")))
    assert [r.ok for r in result.requirements] == [True, False, True, True]


def test_solution_passes_and_is_remembered(home: Path) -> None:
    """The solution passes, and the tick mark survives the session."""
    ex = exercise("01")
    result = ex.check_with(ShopLook(healed()))
    assert result.ok, result
    assert json.loads((home / "progress.json").read_text())[ex.name]["solved"] is True
    assert exercise("heal-the-shop").solved


def test_empty_cluster_is_told_to_start() -> None:
    """Where nothing was applied, the check says how to begin."""
    result = exercise("1").check_with(ShopLook(""))
    assert "ex.start(cluster)" in result.requirements[0].todo


def test_hints_come_one_by_one() -> None:
    """`hint()` gives the next of three, the last one again after that, and counts what was opened."""
    ex = exercise("01")
    assert [ex.hint().split(":")[0] for _ in range(4)] == ["Hint 1 of 3", "Hint 2 of 3", "Hint 3 of 3", "Hint 3 of 3"]
    assert read()[ex.name]["hints"] == 3


def test_every_exercise_is_complete() -> None:
    """Each folder has a titled task, three hints, a start, a check and a solution."""
    for ex in exercises():
        assert ex.task.startswith("# ")
        assert len(ex.hints) == 3
        assert ex.solution()
        assert (ex.folder / "start.yaml").exists()


def test_unknown_exercise_lists_those_there_are() -> None:
    """A wrong name is answered with the right ones."""
    with pytest.raises(KeyError, match="01-heal-the-shop"):
        exercise("99")


def test_damaged_progress_is_no_obstacle(home: Path) -> None:
    """A progress file that is no JSON counts as empty."""
    (home / "progress.json").write_text("{oops")
    assert read() == {}


def test_result_shows_signs_and_escapes() -> None:
    """A result reads as ticks and crosses, and its HTML carries no markup from the cluster."""
    result = exercise("01").check_with(ShopLook(start_text()))
    assert "✗ Three pods" in repr(result)
    assert "→" in repr(result)
    assert "&lt;" not in repr(result)
    assert "<li" in result._repr_html_()


def test_buttons_answer_without_a_cluster() -> None:
    """The check button says what is missing instead of failing silently; hints and solution need no cluster."""
    buttons = ExerciseButtons(exercise("01"))
    assert "ex.start(cluster)" in buttons.answer({"ask": "check"})["lines"][0][1]
    assert buttons.answer({"ask": "hint", "number": 2})["lines"][0][1].startswith("Hint 2 of 3")
    assert "kind: Deployment" in buttons.answer({"ask": "solution"})["code"]
