"""What the operating system knows of this process: its time on the CPU, its memory, its open files.

    GET /metrics ─► prometheus_client's collector reads /proc there and then ─► process_*

Invariant: nothing is measured before it is asked for. Where there is no /proc, there are no such series.
Models:    the process collector of prometheus/client_golang
"""

from __future__ import annotations

from collections.abc import Iterator

from kubelab.machinery import metrics


class ProcessMetrics:
    """All that is called process_*, as one family."""

    name = "process_"

    def lines(self) -> Iterator[str]:
        from prometheus_client import ProcessCollector

        for family in ProcessCollector(registry=None).collect():
            for told in family.samples:
                yield from metrics.head(told.name, family.documentation, family.type)
                yield metrics.sample(told.name, (), (), told.value)
