"""Which words a field takes, where there are but a few: what `kubectl explain` lists under ENUM.

    definition, as the package has it ─► with_enums ─► the same with the values of its fields, as it is published

Invariant: this is for readers alone; what is refused, and how, stands with the rules of each kind.
Models:    the +enum types of k8s.io/api
Left out:  what each value means; signals to stop a container with
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubelab.machinery.request import Obj

Words = tuple[str, ...]
POLICY, PROTOCOL = ("Delete", "Recycle", "Retain"), ("SCTP", "TCP", "UDP")
PREEMPTION, EFFECT = ("Never", "PreemptLowerPriority"), ("NoExecute", "NoSchedule", "PreferNoSchedule")
PROFILE, NODE_POLICY, TRAFFIC = ("Localhost", "RuntimeDefault", "Unconfined"), ("Honor", "Ignore"), ("Cluster", "Local")
ACCESS = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODE, FAILURE, MATCH = ("Block", "Filesystem"), ("Fail", "Ignore"), ("Equivalent", "Exact")
SCOPES = ("BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating",
          "VolumeAttributesClass")
PULL = {"imagePullPolicy": ("Always", "IfNotPresent", "Never"),
        "terminationMessagePolicy": ("FallbackToLogsOnError", "File")}
ROLLING = ("OnDelete", "RollingUpdate")
SIDE_EFFECTS = ("None", "NoneOnDryRun", "Some", "Unknown")
WEBHOOK = {"failurePolicy": FAILURE, "matchPolicy": MATCH, "sideEffects": SIDE_EFFECTS}
RULE = {"operations": ("*", "CONNECT", "CREATE", "DELETE", "UPDATE"), "scope": ("*", "Cluster", "Namespaced")}
CORE: Mapping[str, Mapping[str, Words]] = {
    "AppArmorProfile": {"type": PROFILE}, "SeccompProfile": {"type": PROFILE},
    "Container": PULL, "EphemeralContainer": PULL, "ContainerPort": {"protocol": PROTOCOL},
    "EndpointPort": {"protocol": PROTOCOL}, "ServicePort": {"protocol": PROTOCOL}, "PortStatus": {"protocol": PROTOCOL},
    "HTTPGetAction": {"scheme": ("HTTP", "HTTPS")},
    "HostPathVolumeSource": {"type": ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File",
                                      "FileOrCreate", "Socket")},
    "NamespaceStatus": {"phase": ("Active", "Terminating")},
    "NodeSelectorRequirement": {"operator": ("DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn")},
    "PersistentVolumeClaimSpec": {"accessModes": ACCESS, "volumeMode": VOLUME_MODE},
    "PersistentVolumeClaimStatus": {"accessModes": ACCESS, "phase": ("Bound", "Lost", "Pending")},
    "PersistentVolumeSpec": {"accessModes": ACCESS, "persistentVolumeReclaimPolicy": POLICY, "volumeMode": VOLUME_MODE},
    "PersistentVolumeStatus": {"phase": ("Available", "Bound", "Failed", "Pending", "Released")},
    "PodSecurityContext": {"fsGroupChangePolicy": ("Always", "OnRootMismatch"),
                           "supplementalGroupsPolicy": ("Merge", "Strict")},
    "PodSpec": {"dnsPolicy": ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
                "preemptionPolicy": PREEMPTION, "restartPolicy": ("Always", "Never", "OnFailure")},
    "PodStatus": {"phase": ("Failed", "Pending", "Running", "Succeeded", "Unknown"),
                  "qosClass": ("BestEffort", "Burstable", "Guaranteed")},
    "ResourceQuotaSpec": {"scopes": SCOPES},
    "ScopedResourceSelectorRequirement": {"operator": ("DoesNotExist", "Exists", "In", "NotIn"), "scopeName": SCOPES},
    "SecurityContext": {"procMount": ("Default", "Unmasked")},
    "ServiceSpec": {"externalTrafficPolicy": TRAFFIC, "internalTrafficPolicy": TRAFFIC,
                    "ipFamilyPolicy": ("PreferDualStack", "RequireDualStack", "SingleStack"),
                    "sessionAffinity": ("ClientIP", "None"),
                    "type": ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")},
    "Taint": {"effect": EFFECT}, "Toleration": {"effect": EFFECT, "operator": ("Equal", "Exists", "Gt", "Lt")},
    "TopologySpreadConstraint": {"nodeAffinityPolicy": NODE_POLICY, "nodeTaintsPolicy": NODE_POLICY,
                                 "whenUnsatisfiable": ("DoNotSchedule", "ScheduleAnyway")},
    "VolumeMount": {"mountPropagation": ("Bidirectional", "HostToContainer", "None")},
}
OTHERS: Mapping[str, Mapping[str, Mapping[str, Words]]] = {
    "admissionregistration.v1": {
        "MutatingWebhook": {**WEBHOOK, "reinvocationPolicy": ("IfNeeded", "Never")}, "ValidatingWebhook": WEBHOOK,
        "RuleWithOperations": RULE, "NamedRuleWithOperations": RULE, "MatchResources": {"matchPolicy": MATCH},
        "ValidatingAdmissionPolicySpec": {"failurePolicy": FAILURE},
        "MutatingAdmissionPolicySpec": {"failurePolicy": FAILURE}},
    "apps.v1": {
        "DaemonSetUpdateStrategy": {"type": ROLLING}, "StatefulSetUpdateStrategy": {"type": ROLLING},
        "DeploymentStrategy": {"type": ("Recreate", "RollingUpdate")},
        "StatefulSetSpec": {"podManagementPolicy": ("OrderedReady", "Parallel")}},
    "batch.v1": {
        "CronJobSpec": {"concurrencyPolicy": ("Allow", "Forbid", "Replace")},
        "JobSpec": {"completionMode": ("Indexed", "NonIndexed"),
                    "podReplacementPolicy": ("Failed", "TerminatingOrFailed")},
        "PodFailurePolicyRule": {"action": ("Count", "FailIndex", "FailJob", "Ignore")},
        "PodFailurePolicyOnExitCodesRequirement": {"operator": ("In", "NotIn")}},
    "discovery.v1": {"EndpointSlice": {"addressType": ("FQDN", "IPv4", "IPv6")},
                     "EndpointPort": {"protocol": PROTOCOL}},
    "networking.v1": {
        "HTTPIngressPath": {"pathType": ("Exact", "ImplementationSpecific", "Prefix")},
        "IngressPortStatus": {"protocol": PROTOCOL}, "NetworkPolicyPort": {"protocol": PROTOCOL},
        "NetworkPolicySpec": {"policyTypes": ("Egress", "Ingress")}},
    "policy.v1": {"PodDisruptionBudgetSpec": {"unhealthyPodEvictionPolicy": ("AlwaysAllow", "IfHealthyBudget")}},
    "scheduling.v1": {"PriorityClass": {"preemptionPolicy": PREEMPTION}},
    "storage.v1": {"StorageClass": {"reclaimPolicy": POLICY,
                                    "volumeBindingMode": ("Immediate", "WaitForFirstConsumer")}},
}
FIELDS: Mapping[str, Mapping[str, Words]] = {
    f"io.k8s.api.{version}.{name}": fields
    for version, definitions in {"core.v1": CORE, **OTHERS}.items() for name, fields in definitions.items()}


def with_enums(name: str, definition: Obj) -> Obj:
    """Return a definition with the values that its fields take."""
    fields = FIELDS.get(name)
    if not fields:
        return definition
    properties = definition["properties"]
    return {**definition, "properties": {**properties, **{
        field: _one_of(properties[field], values) for field, values in fields.items()}}}


def _one_of(field: Obj, values: Words) -> Obj:
    if field.get("type") == "array":
        items: dict[str, Any] = {**field["items"], "enum": [*values]}
        return {**field, "items": items}
    listed = "".join(f'\n - `"{value}"`' for value in values)
    told = f"{field.get('description', '')}\n\nPossible enum values:{listed}"
    return {**field, "description": told, "enum": [*values]}
