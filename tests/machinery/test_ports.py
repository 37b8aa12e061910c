from __future__ import annotations

from kubelab.machinery.ports import mapped


def test_low_ports_move_up_only_where_they_cannot_be_bound() -> None:
    """Port 80 stays where everything can be bound, and is 10080 where ports start at 1024."""
    assert (mapped(80, 0), mapped(80, 1024), mapped(8080, 1024), mapped(1024, 1024)) == (80, 10080, 8080, 1024)
