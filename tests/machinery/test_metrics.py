"""Counters, gauges, histograms and their text."""

from __future__ import annotations

from kubelab.machinery.metrics import Counter, Gauge, Histogram, exponential, exposition


def test_text() -> None:
    """Each family comes with its help and type; a histogram's buckets are cumulative; values are escaped."""
    sent = Counter("sent_total", "What was sent.", ("code",))
    sent.add(("200",))
    sent.add(("200",), 2)
    took = Histogram("took_seconds", "How long.", ("verb",), (0.1, 1))
    for seconds in (0.05, 0.5, 0.5, 7):
        took.observe(("GET",), seconds)
    depth = Gauge("depth", "How deep.", ("name",), lambda: {('a"b\n',): 1.5})
    assert exposition([took, sent, depth]).splitlines() == [
        "# HELP depth How deep.", "# TYPE depth gauge", 'depth{name="a\\"b\\n"} 1.5',
        "# HELP sent_total What was sent.", "# TYPE sent_total counter", 'sent_total{code="200"} 3',
        "# HELP took_seconds How long.", "# TYPE took_seconds histogram",
        'took_seconds_bucket{verb="GET",le="0.1"} 1', 'took_seconds_bucket{verb="GET",le="1"} 3',
        'took_seconds_bucket{verb="GET",le="+Inf"} 4', 'took_seconds_sum{verb="GET"} 8.05',
        'took_seconds_count{verb="GET"} 4']


def test_series_nobody_observed_are_not_shown() -> None:
    """A series that somebody keeps at hand appears with its first observation; a counter without labels begins at 0."""
    sizes = Histogram("sizes", "How big.", ("kind",), (10,))
    kept = sizes.cell(("pods",))
    sent = Gauge("sent_total", "How many.", ("kind",), sizes.totals, "counter")
    shown = [line for line in exposition([sizes, sent, Counter("lost_total", "None yet.")]).splitlines()
             if not line.startswith("#")]
    assert shown == ["lost_total 0"]
    kept.observe(3)
    assert 'sent_total{kind="pods"} 1' in exposition([sent])


def test_bounds() -> None:
    """Exponential bounds grow by their factor."""
    assert exponential(1, 2, 4) == (1, 2, 4, 8)
