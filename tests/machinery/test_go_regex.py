"""Regular expressions as Go reads them: what a real API server 1.36 said of each."""

from __future__ import annotations

import pytest

from kubelab.machinery.go_regex import GoRegexError, compiled


@pytest.mark.parametrize(("pattern", "why"), [
    ("[", "missing closing ]: `[`"), ("[a", "missing closing ]: `[a`"), ("(", "missing closing ): `(`"),
    (")", "unexpected ): `)`"), ("*", "missing argument to repetition operator: `*`"),
    ("a**", "invalid nested repetition operator: `**`"), ("a++", "invalid nested repetition operator: `++`"),
    ("a{2,1}", "invalid repeat count: `{2,1}`"), ("x{1001}", "invalid repeat count: `{1001}`"),
    ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"), ("(?!x)", "invalid or unsupported Perl syntax: `(?!`"),
    ("(?z)", "invalid or unsupported Perl syntax: `(?z`"), ("[z-a]", "invalid character class range: `z-a`"),
    ("[[:foo:]]", "invalid character class range: `[:foo:]`"), (r"\pX", r"invalid character class range: `\pX`"),
    (r"\8", r"invalid escape sequence: `\8`"), ("\\", "trailing backslash at end of expression: ``"),
])
def test_what_is_no_pattern_is_refused(pattern: str, why: str) -> None:
    """The words are Go's."""
    with pytest.raises(GoRegexError) as refused:
        compiled(pattern)
    assert str(refused.value) == f"error parsing regexp: {why}"


@pytest.mark.parametrize(("pattern", "fits", "not_"), [
    ("^[a-z]+$", "ab", "ab\n"), (r"^\d+$", "12", "\u0661"), (r"^\p{L}+$", "äß", "a1"), (r"^\PL$", "1", "x"),
    ("^(?<n>a)(?P<m>b)$", "ab", "a"), (r"^\Qa.b\E$", "a.b", "axb"), ("^(a(?i)b)c$", "aBc", "aBC"),
    ("^(?m:a$)", "a\nb", "ab"), (r"^[\d\-x]+\z", "1-x", "a"), ("^[[:alpha:]_]+$", "a_B", "1"), ("^[^]a]$", "b", "]"),
    ("^a{,2}$", "a{,2}", "aa"), (r"^\x41\101$", "AA", "A"), ("^(?s).$", "\n", "ab"), ("(?:x|y)*z{2}", "xyzz", "xz"),
    (r"^\p{Greek}+$", "αβ", "ab"), ("^[[:^digit:]]$", "a", "1"),
])
def test_what_matches(pattern: str, fits: str, not_: str) -> None:
    """Also what Python writes otherwise."""
    assert compiled(pattern).search(fits) and not compiled(pattern).search(not_)
