"""What is counted of webhooks: each call, how long it took, and why it refused.

    Called(name, type, operation) ─► agreed │ refused │ failed (open or closed) │ broken

Invariant: a call ends in exactly one of these; a code above 600 is counted as 600, so that no webhook makes series.
Models:    k8s.io/apiserver/pkg/admission/metrics/metrics.go
"""

from __future__ import annotations

from time import perf_counter

from kubelab.machinery import metrics

NAMED = ("name", "type", "operation")
SECONDS = metrics.histogram(
    "apiserver_admission_webhook_admission_duration_seconds", "Admission webhook latency histogram in seconds, "
    "identified by name and broken out for each operation and API resource and type (validate or admit).",
    (*NAMED, "rejected"), (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10, 25))
REQUESTS = metrics.counter(
    "apiserver_admission_webhook_request_total", "Admission webhook request total, identified by name and broken out "
    "for each admission type (validating or mutating) and operation. Additional labels specify whether the request was "
    "rejected or not and an HTTP status code. Codes greater than 600 are truncated to 600, to keep the metrics "
    "cardinality bounded.", (*NAMED, "code", "rejected"))
REJECTIONS = metrics.counter(
    "apiserver_admission_webhook_rejection_count", "Admission webhook rejection count, identified by name and broken "
    "out for each admission type (validating or admit) and operation. Additional labels specify an error type "
    "(calling_webhook_error or apiserver_internal_error if an error occurred; no_error otherwise) and optionally a "
    "non-zero rejection code if the webhook rejects the request with an HTTP status code (honored by the apiserver "
    "when the code is greater or equal to 400). Codes greater than 600 are truncated to 600, to keep the metrics "
    "cardinality bounded.", (*NAMED, "error_type", "rejection_code"))
FAIL_OPEN = metrics.counter(
    "apiserver_admission_webhook_fail_open_count", "Admission webhook fail open count, identified by name and broken "
    "out for each admission type (validating or mutating).", ("name", "type"))
MOST_CODE = 600


class Called:
    """One call of one webhook, from here on timed."""

    def __init__(self, name: str, type_: str, operation: str) -> None:
        self._labels, self._began = (name, type_, operation), perf_counter()

    def agreed(self) -> None:
        self._ended(200, rejected=False)

    def refused(self, code: int) -> None:
        """It said no."""
        self._rejected("no_error", code)

    def failed(self, code: int, *, ignored: bool) -> None:
        """It gave no answer; the write goes on where that is ignored."""
        if ignored:
            FAIL_OPEN.add(self._labels[:2])
            self._ended(code, rejected=False)
        else:
            self._rejected("calling_webhook_error", code)

    def broken(self) -> None:
        """It could not be asked at all."""
        self._rejected("apiserver_internal_error", 0)

    def _rejected(self, why: str, code: int) -> None:
        REJECTIONS.add((*self._labels, why, str(min(code, MOST_CODE))))
        self._ended(code, rejected=True)

    def _ended(self, code: int, *, rejected: bool) -> None:
        told = "true" if rejected else "false"
        REQUESTS.add((*self._labels, str(min(code, MOST_CODE)), told))
        SECONDS.observe((*self._labels, told), perf_counter() - self._began)
