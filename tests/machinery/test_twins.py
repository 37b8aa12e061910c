"""Keys that stand twice are found, and told where they stand."""

from __future__ import annotations

from kubelab.machinery.twins import parse_json, told_in_order


def test_unknown_and_duplicate_fields_are_told_as_they_stand_in_the_text() -> None:
    """Whatever order they were found in; a twin counts where it stands again."""
    text = b'{"spec":{"u":1,"p":1,"c":[{"v":1,"i":1,"i":2}],"p":2},"w":1}'
    _, twins = parse_json(text)
    assert twins == ["spec.c[0].i", "spec.p"]
    unknown = ("w", "spec.c[0].v", "spec.u")
    told = [*(f'duplicate field "{path}"' for path in twins), *(f'unknown field "{path}"' for path in unknown)]
    assert told_in_order(text, told) == [
        'unknown field "spec.u"', 'unknown field "spec.c[0].v"', 'duplicate field "spec.c[0].i"',
        'duplicate field "spec.p"', 'unknown field "w"']


def test_what_is_unknown_is_passed_over_whole() -> None:
    """Nothing is said of what stands twice within it."""
    told = [*(f'duplicate field "{path}"' for path in ("u", "u.a", "u[0].a", "ux")), 'unknown field "u"']
    text = b'{"u":1,"u":{"a":1,"a":1},"ux":1,"ux":2}'
    assert told_in_order(text, told) == ['unknown field "u"', 'duplicate field "ux"']
