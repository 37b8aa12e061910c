"""The rules of a pod and of what stands in one: defaults, validation, changes, warnings, columns."""
