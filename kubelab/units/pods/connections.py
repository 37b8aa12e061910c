"""What kubectl logs, exec, attach, port-forward and proxy may ask of a pod, and which container they mean.

Models: pkg/registry/core/pod/strategy.go, pkg/apis/core/validation of PodLogOptions
"""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.machinery.errors import FieldError, bad_request, forbidden_field, invalid, invalid_value
from kubelab.machinery.request import Obj

LOG_OPTIONS = ("follow", "previous", "timestamps", "sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream")


def container_of(pod: Obj, name: str) -> str:
    """Return the container that is meant: the one named, or the only one. Raises BadRequest."""
    spec, pod_name = pod["spec"], pod["metadata"]["name"]
    main, init, ephemeral = ([c["name"] for c in spec.get(field) or ()]
                             for field in ("containers", "initContainers", "ephemeralContainers"))
    if name:
        if name not in (*main, *init, *ephemeral):
            raise bad_request(f"container {name} is not valid for pod {pod_name}")
        return name
    if len(main) == 1:
        return str(main[0])
    message = f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(main)}]"
    if init:
        message += f" or one of the init containers: [{' '.join(init)}]"
    if ephemeral:
        message += f" or one of the ephemeral containers: [{' '.join(ephemeral)}]"
    raise bad_request(message)


def check_log_options(pod: str, options: Mapping[str, str]) -> None:
    """Refuse numbers that make no sense. Raises BadRequest, Invalid."""
    errors: list[FieldError] = []
    for name, least, words in (("tailLines", 0, "must be greater than or equal to 0"),
                               ("limitBytes", 1, "must be greater than 0"),
                               ("sinceSeconds", 1, "must be greater than 0")):
        text = options.get(name)
        if text is None:
            continue
        try:
            number = int(text)
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
        if number < least:
            errors.append(invalid_value(name, number, words))
    if "sinceTime" in options and "sinceSeconds" in options:
        errors.append(forbidden_field("sinceTime", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    if errors:
        raise invalid("", "PodLogOptions", pod, errors)


def split_name(text: str, what: str) -> tuple[str, str, str]:
    """Split `name`, `name:port` or `scheme:name:port`. Raises BadRequest."""
    parts = text.split(":")
    if len(parts) == 1:
        return "", parts[0], ""
    if len(parts) == 2:
        return "", parts[0], parts[1]
    if len(parts) == 3 and parts[0] in ("http", "https", ""):
        return parts[0], parts[1], parts[2]
    raise bad_request(f'invalid {what} request "{text}"')
