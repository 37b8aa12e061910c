"""What people look at: the live cluster view, the object graph, tables and progress; clients of the API, nothing else.

Invariant: importing this package loads no widget library; each view loads what it draws with when it is first shown.
"""
