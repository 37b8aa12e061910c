"""What Go's types say of Kubernetes' fields beside the published schemas: names of types, what is left out when empty.

    imagePullPolicy: 7 ─► cannot unmarshal number into Go struct field Container.spec.containers.imagePullPolicy of
                          type v1.PullPolicy
    paused: false ─► a bool with omitempty: left out          suspend: false ─► a pointer: stays

Source: the structs of k8s.io/api, k8s.io/apimachinery and k8s.io/apiextensions-apiserver 0.36, read by reflection
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Field = tuple[str, str]  # struct, name in JSON


def _fields(text: str) -> Iterable[Field]:
    """Read `Struct.one,other Another.third`."""
    for word in text.split():
        struct, _, names = word.partition(".")
        for name in names.split(","):
            yield struct, name


# Optional strings and lists that are written though they are empty: pointers, or fields without omitempty.
STAYS = frozenset(_fields("""
    AllocatedDeviceStatus.conditions,shareID AppArmorProfile.localhostProfile
    AzureDiskVolumeSource.cachingMode,fsType,kind AzureFilePersistentVolumeSource.secretNamespace
    CSIDriverSpec.fsGroupPolicy CSINodeDriver.topologyKeys CSIVolumeSource.fsType ClusterRole.rules
    ClusterTrustBundleProjection.name,signerName Container.restartPolicy ContainerImage.names
    ContainerStatus.stopSignal CronJobSpec.timeZone CustomResourceDefinitionStatus.conditions,storedVersions
    CustomResourceDefinitionVersion.deprecationWarning CustomResourceSubresourceScale.labelSelectorPath
    DaemonSetCondition.status,type DeploymentCondition.status,type Device.nodeName DeviceAttribute.string,version
    DeviceClaim.requests DeviceClassSpec.extendedResourceName DeviceConstraint.distinctAttribute,matchAttribute
    DeviceRequestAllocationResult.shareID Endpoint.hostname,nodeName,zone EndpointAddress.nodeName
    EndpointPort.appProtocol,name,protocol EndpointSlice.endpoints,ports EphemeralContainer.restartPolicy
    Event.reportingComponent,reportingInstance GRPCAction.service GlusterfsPersistentVolumeSource.endpointsNamespace
    HPAScalingRules.selectPolicy HorizontalPodAutoscalerStatus.currentMetrics HostPathVolumeSource.type
    ISCSIPersistentVolumeSource.initiatorName ISCSIVolumeSource.initiatorName
    IngressClassParametersReference.apiGroup,namespace,scope IngressPortStatus.error IngressSpec.ingressClassName
    JSONSchemaProps.$ref,x-kubernetes-list-type,x-kubernetes-map-type
    JobSpec.completionMode,managedBy,podReplacementPolicy JobStatus.failedIndexes
    LeaseSpec.holderIdentity,preferredHolder,strategy Lifecycle.stopSignal LoadBalancerIngress.ipMode
    LocalVolumeSource.fsType MatchResources.matchPolicy MutatingAdmissionPolicySpec.failurePolicy
    MutatingWebhook.failurePolicy,matchPolicy,reinvocationPolicy NamedRuleWithOperations.scope
    NetworkPolicyPort.protocol NodeRuntimeHandler.name ObjectMeta.managedFields ParamRef.parameterNotFoundAction
    PersistentVolumeClaimSpec.storageClassName,volumeAttributesClassName,volumeMode
    PersistentVolumeClaimStatus.currentVolumeAttributesClassName
    PersistentVolumeSpec.volumeAttributesClassName,volumeMode PodDNSConfigOption.value
    PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy PodFailurePolicyOnExitCodesRequirement.containerName
    PodFailurePolicyOnPodConditionsPattern.status PodResourceClaim.resourceClaimName,resourceClaimTemplateName
    PodResourceClaimStatus.resourceClaimName PodSchedulingGroup.podGroupName
    PodSecurityContext.fsGroupChangePolicy,seLinuxChangePolicy,supplementalGroupsPolicy
    PodSpec.hostnameOverride,preemptionPolicy,runtimeClassName PortStatus.error PriorityClass.preemptionPolicy
    ProjectedVolumeSource.sources ReplicaSetCondition.status,type ResourceHealth.message
    ResourcePolicyRule.namespaces ResourceSliceSpec.nodeName Role.rules RoleRef.apiGroup RuleWithOperations.scope
    SeccompProfile.localhostProfile SecurityContext.procMount ServicePort.appProtocol ServiceReference.path
    ServiceSpec.internalTrafficPolicy,ipFamilyPolicy,loadBalancerClass,trafficDistribution
    StatefulSetCondition.status,type StatefulSetSpec.serviceName StorageClass.reclaimPolicy,volumeBindingMode
    SuccessPolicyRule.succeededIndexes TopologySpreadConstraint.nodeAffinityPolicy,nodeTaintsPolicy
    TypedLocalObjectReference.apiGroup TypedObjectReference.apiGroup,namespace
    ValidatingAdmissionPolicySpec.failurePolicy ValidatingWebhook.failurePolicy,matchPolicy Validation.reason
    ValidationRule.reason VolumeAttachmentSource.persistentVolumeName VolumeMount.mountPropagation,recursiveReadOnly
    VolumeMountStatus.recursiveReadOnly WebhookClientConfig.url
    WindowsSecurityContextOptions.gmsaCredentialSpec,gmsaCredentialSpecName,runAsUserName
"""))

# Optional numbers and booleans that are left out when they are zero: no pointers, unlike most.
VANISHES = frozenset(_fields("""
    AWSElasticBlockStoreVolumeSource.partition,readOnly AzureFilePersistentVolumeSource.readOnly
    AzureFileVolumeSource.readOnly CSIPersistentVolumeSource.readOnly CephFSPersistentVolumeSource.readOnly
    CephFSVolumeSource.readOnly CinderPersistentVolumeSource.readOnly CinderVolumeSource.readOnly
    Condition.observedGeneration Container.stdin,stdinOnce,tty ContainerImage.sizeBytes ContainerPort.hostPort
    ContainerRestartRule.action ContainerRestartRuleOnExitCodes.operator ContainerStateTerminated.signal
    CounterSet.counters CustomResourceColumnDefinition.priority CustomResourceDefinitionCondition.observedGeneration
    CustomResourceDefinitionSpec.preserveUnknownFields CustomResourceDefinitionStatus.observedGeneration
    CustomResourceDefinitionVersion.deprecated DaemonSetSpec.minReadySeconds
    DaemonSetStatus.numberAvailable,numberUnavailable,observedGeneration,updatedNumberScheduled
    DeploymentSpec.minReadySeconds,paused
    DeploymentStatus.availableReplicas,observedGeneration,readyReplicas,replicas,unavailableReplicas,updatedReplicas
    DeviceCounterConsumption.counters DeviceSubRequest.count EphemeralContainer.stdin,stdinOnce,tty Event.count
    EventSeries.count ExactDeviceRequest.count FCVolumeSource.readOnly FlexPersistentVolumeSource.readOnly
    FlexVolumeSource.readOnly FlowSchemaCondition.type GCEPersistentDiskVolumeSource.partition,readOnly
    GlusterfsPersistentVolumeSource.readOnly GlusterfsVolumeSource.readOnly
    HorizontalPodAutoscalerStatus.currentReplicas
    ISCSIPersistentVolumeSource.chapAuthDiscovery,chapAuthSession,readOnly
    ISCSIVolumeSource.chapAuthDiscovery,chapAuthSession,readOnly ImageVolumeStatus.imageRef
    JSONSchemaProps.exclusiveMaximum,exclusiveMinimum,nullable,uniqueItems
    JSONSchemaProps.x-kubernetes-embedded-resource,x-kubernetes-int-or-string JobStatus.active,failed,succeeded
    NFSVolumeSource.readOnly NodeSpec.unschedulable ObjectMeta.generation ParentReference.name,resource
    PersistentVolumeClaimVolumeSource.readOnly PodCertificateProjection.keyType,signerName
    PodCondition.observedGeneration PodDisruptionBudgetStatus.observedGeneration PodSpec.hostIPC,hostNetwork,hostPID
    PodStatus.observedGeneration PortworxVolumeSource.readOnly PriorityClass.globalDefault
    PriorityLevelConfigurationCondition.type
    Probe.failureThreshold,initialDelaySeconds,periodSeconds,successThreshold,timeoutSeconds
    QuobyteVolumeSource.readOnly RBDPersistentVolumeSource.readOnly RBDVolumeSource.readOnly
    ReplicaSetSpec.minReadySeconds
    ReplicaSetStatus.availableReplicas,fullyLabeledReplicas,observedGeneration,readyReplicas
    ReplicationControllerSpec.minReadySeconds
    ReplicationControllerStatus.availableReplicas,fullyLabeledReplicas,observedGeneration,readyReplicas
    ResourceFieldSelector.divisor ResourcePolicyRule.clusterScope ScaleIOPersistentVolumeSource.readOnly,sslEnabled
    ScaleIOVolumeSource.readOnly,sslEnabled ServiceBackendPort.number ServicePort.nodePort,targetPort
    ServiceSpec.healthCheckNodePort,publishNotReadyAddresses StatefulSetSpec.minReadySeconds
    StatefulSetStatus.currentReplicas,observedGeneration,readyReplicas,updatedReplicas
    StorageOSPersistentVolumeSource.readOnly StorageOSVolumeSource.readOnly
    ValidatingAdmissionPolicyBindingSpec.policyName,validationActions
    ValidatingAdmissionPolicyStatus.observedGeneration VolumeMount.readOnly VolumeMountStatus.readOnly
"""))

# Lists that are written as null where there is none.
NULL_STAYS = frozenset(_fields("""
    AllocatedDeviceStatus.conditions CSINodeDriver.topologyKeys CSINodeSpec.drivers
    CephFSPersistentVolumeSource.monitors CephFSVolumeSource.monitors CertificateSigningRequestSpec.request
    ClusterRole.rules ContainerImage.names CustomResourceDefinitionSpec.versions
    CustomResourceDefinitionStatus.conditions,storedVersions DeviceClaim.requests Endpoint.addresses
    EndpointSlice.endpoints,ports HTTPIngressRuleValue.paths HorizontalPodAutoscalerStatus.currentMetrics
    LimitRangeSpec.limits MutatingWebhook.admissionReviewVersions NodeSelector.nodeSelectorTerms
    NonResourcePolicyRule.nonResourceURLs,verbs PodExtendedResourceClaimStatus.requestMappings
    PodFailurePolicy.rules PodFailurePolicyOnExitCodesRequirement.values PodSpec.containers PolicyRule.verbs
    PolicyRulesWithSubjects.subjects ProjectedVolumeSource.sources RBDPersistentVolumeSource.monitors
    RBDVolumeSource.monitors ResourcePolicyRule.apiGroups,namespaces,resources,verbs Role.rules SuccessPolicy.rules
    TopologySelectorLabelRequirement.values ValidatingWebhook.admissionReviewVersions
    WebhookConversion.conversionReviewVersions
""")) | {("Event", "firstTimestamp"), ("Event", "lastTimestamp"), ("Event", "eventTime")}

_NAMED = """
    []types.UID: UncountedTerminatedPods.failed,succeeded []v1.Capability: Capabilities.add,drop []v1.FinalizerName:
    NamespaceSpec.finalizers []v1.IPFamily: ServiceSpec.ipFamilies []v1.KeyUsage:
    CertificateSigningRequestSpec.usages []v1.OperationType: NamedRuleWithOperations.operations
    RuleWithOperations.operations []v1.PersistentVolumeAccessMode: PersistentVolumeClaimSpec.accessModes
    PersistentVolumeClaimStatus.accessModes PersistentVolumeSpec.accessModes []v1.PolicyType:
    NetworkPolicySpec.policyTypes []v1.ResourceQuotaScope: ResourceQuotaSpec.scopes []v1.UniqueVolumeName:
    NodeStatus.volumesInUse []v1.ValidationAction: ValidatingAdmissionPolicyBindingSpec.validationActions
    []v1.VolumeLifecycleMode: CSIDriverSpec.volumeLifecycleModes map[string]v1.ExtraValue:
    CertificateSigningRequestSpec.extra map[v1.QualifiedName]resource.Quantity: CapacityRequirements.requests
    DeviceRequestAllocationResult.consumedCapacity map[v1.QualifiedName]v1.DeviceAttribute: Device.attributes
    map[v1.QualifiedName]v1.DeviceCapacity: Device.capacity map[v1.ResourceName]v1.ClaimResourceStatus:
    PersistentVolumeClaimStatus.allocatedResourceStatuses types.UID: ConfigMapNodeConfigSource.uid
    DeviceRequestAllocationResult.shareID ObjectMeta.uid ObjectReference.uid OwnerReference.uid
    ResourceClaimConsumerReference.uid v1.AddressType: EndpointSlice.addressType v1.AllocationConfigSource:
    DeviceAllocationConfiguration.source v1.AppArmorProfileType: AppArmorProfile.type v1.AzureDataDiskCachingMode:
    AzureDiskVolumeSource.cachingMode v1.AzureDataDiskKind: AzureDiskVolumeSource.kind v1.CompletionMode:
    JobSpec.completionMode v1.ComponentConditionType: ComponentCondition.type v1.ConcurrencyPolicy:
    CronJobSpec.concurrencyPolicy v1.ConditionStatus: CertificateSigningRequestCondition.status
    ComponentCondition.status Condition.status CustomResourceDefinitionCondition.status DaemonSetCondition.status
    DeploymentCondition.status FlowSchemaCondition.status HorizontalPodAutoscalerCondition.status
    JobCondition.status NamespaceCondition.status NodeCondition.status PersistentVolumeClaimCondition.status
    PodCondition.status PodFailurePolicyOnPodConditionsPattern.status PriorityLevelConfigurationCondition.status
    ReplicaSetCondition.status ReplicationControllerCondition.status StatefulSetCondition.status
    v1.ContainerRestartPolicy: Container.restartPolicy EphemeralContainer.restartPolicy
    v1.ContainerRestartRuleAction: ContainerRestartRule.action v1.ContainerRestartRuleOnExitCodesOperator:
    ContainerRestartRuleOnExitCodes.operator v1.ConversionStrategyType: CustomResourceConversion.strategy
    v1.CoordinatedLeaseStrategy: LeaseSpec.strategy v1.CustomResourceDefinitionConditionType:
    CustomResourceDefinitionCondition.type v1.DNSPolicy: PodSpec.dnsPolicy v1.DaemonSetConditionType:
    DaemonSetCondition.type v1.DaemonSetUpdateStrategyType: DaemonSetUpdateStrategy.type v1.DeploymentConditionType:
    DeploymentCondition.type v1.DeploymentStrategyType: DeploymentStrategy.type v1.DeviceAllocationMode:
    DeviceSubRequest.allocationMode ExactDeviceRequest.allocationMode v1.DeviceTaintEffect: DeviceTaint.effect
    DeviceToleration.effect v1.DeviceTolerationOperator: DeviceToleration.operator v1.FSGroupPolicy:
    CSIDriverSpec.fsGroupPolicy v1.FailurePolicyType: MutatingAdmissionPolicySpec.failurePolicy
    MutatingWebhook.failurePolicy ValidatingAdmissionPolicySpec.failurePolicy ValidatingWebhook.failurePolicy
    v1.FieldValueErrorReason: ValidationRule.reason v1.FlowDistinguisherMethodType: FlowDistinguisherMethod.type
    v1.FlowSchemaConditionType: FlowSchemaCondition.type v1.FullyQualifiedName:
    DeviceConstraint.distinctAttribute,matchAttribute v1.HostPathType: HostPathVolumeSource.type v1.IPFamilyPolicy:
    ServiceSpec.ipFamilyPolicy v1.JSONSchemaDefinitions: JSONSchemaProps.definitions v1.JSONSchemaDependencies:
    JSONSchemaProps.dependencies v1.JSONSchemaURL: JSONSchemaProps.$schema v1.JobConditionType: JobCondition.type
    v1.LabelSelectorOperator: LabelSelectorRequirement.operator v1.LimitResponseType: LimitResponse.type
    v1.LimitType: LimitRangeItem.type v1.LoadBalancerIPMode: LoadBalancerIngress.ipMode
    v1.ManagedFieldsOperationType: ManagedFieldsEntry.operation v1.MatchPolicyType: MatchResources.matchPolicy
    MutatingWebhook.matchPolicy ValidatingWebhook.matchPolicy v1.MountPropagationMode: VolumeMount.mountPropagation
    v1.NamespaceConditionType: NamespaceCondition.type v1.NamespacePhase: NamespaceStatus.phase v1.NodeAddressType:
    NodeAddress.type v1.NodeConditionType: NodeCondition.type v1.NodeInclusionPolicy:
    TopologySpreadConstraint.nodeAffinityPolicy,nodeTaintsPolicy v1.NodePhase: NodeStatus.phase
    v1.NodeSelectorOperator: NodeSelectorRequirement.operator v1.OSName: PodOS.name v1.ParameterNotFoundActionType:
    ParamRef.parameterNotFoundAction v1.PatchType: Mutation.patchType v1.PathType: HTTPIngressPath.pathType
    v1.PersistentVolumeClaimConditionType: PersistentVolumeClaimCondition.type
    v1.PersistentVolumeClaimModifyVolumeStatus: ModifyVolumeStatus.status v1.PersistentVolumeClaimPhase:
    PersistentVolumeClaimStatus.phase v1.PersistentVolumeClaimRetentionPolicyType:
    StatefulSetPersistentVolumeClaimRetentionPolicy.whenDeleted,whenScaled v1.PersistentVolumeMode:
    PersistentVolumeClaimSpec.volumeMode PersistentVolumeSpec.volumeMode v1.PersistentVolumePhase:
    PersistentVolumeStatus.phase v1.PersistentVolumeReclaimPolicy:
    PersistentVolumeSpec.persistentVolumeReclaimPolicy StorageClass.reclaimPolicy v1.PodConditionType:
    PodCondition.type PodFailurePolicyOnPodConditionsPattern.type PodReadinessGate.conditionType
    v1.PodFSGroupChangePolicy: PodSecurityContext.fsGroupChangePolicy v1.PodFailurePolicyAction:
    PodFailurePolicyRule.action v1.PodFailurePolicyOnExitCodesOperator:
    PodFailurePolicyOnExitCodesRequirement.operator v1.PodManagementPolicyType: StatefulSetSpec.podManagementPolicy
    v1.PodPhase: PodStatus.phase v1.PodQOSClass: PodStatus.qosClass v1.PodReplacementPolicy:
    JobSpec.podReplacementPolicy v1.PodResizeStatus: PodStatus.resize v1.PodSELinuxChangePolicy:
    PodSecurityContext.seLinuxChangePolicy v1.PreemptionPolicy: PodSpec.preemptionPolicy
    PriorityClass.preemptionPolicy v1.PriorityLevelConfigurationConditionType:
    PriorityLevelConfigurationCondition.type v1.PriorityLevelEnablement: PriorityLevelConfigurationSpec.type
    v1.ProcMountType: SecurityContext.procMount v1.Protocol: ContainerPort.protocol EndpointPort.protocol
    IngressPortStatus.protocol NetworkPolicyPort.protocol PortStatus.protocol ServicePort.protocol v1.PullPolicy:
    Container.imagePullPolicy EphemeralContainer.imagePullPolicy ImageVolumeSource.pullPolicy
    v1.RecursiveReadOnlyMode: VolumeMount.recursiveReadOnly VolumeMountStatus.recursiveReadOnly
    v1.ReinvocationPolicyType: MutatingAdmissionPolicySpec.reinvocationPolicy MutatingWebhook.reinvocationPolicy
    v1.ReplicaSetConditionType: ReplicaSetCondition.type v1.ReplicationControllerConditionType:
    ReplicationControllerCondition.type v1.RequestConditionType: CertificateSigningRequestCondition.type
    v1.ResourceHealthStatus: ResourceHealth.health v1.ResourceID: ResourceHealth.resourceID v1.ResourceList:
    ContainerStatus.allocatedResources LimitRangeItem.default,defaultRequest,max,maxLimitRequestRatio,min
    NodeStatus.allocatable,capacity Overhead.podFixed PersistentVolumeClaimStatus.allocatedResources,capacity
    PersistentVolumeSpec.capacity PodSpec.overhead PodStatus.allocatedResources ResourceQuotaSpec.hard
    ResourceQuotaStatus.hard,used ResourceRequirements.limits,requests VolumeResourceRequirements.limits,requests
    v1.ResourceName: ContainerResizePolicy.resourceName ContainerResourceMetricSource.name
    ContainerResourceMetricStatus.name ResourceMetricSource.name ResourceMetricStatus.name ResourceStatus.name
    v1.ResourceQuotaScope: ScopedResourceSelectorRequirement.scopeName v1.ResourceResizeRestartPolicy:
    ContainerResizePolicy.restartPolicy v1.ResourceScope: CustomResourceDefinitionSpec.scope v1.RestartPolicy:
    PodSpec.restartPolicy v1.ScopeSelectorOperator: ScopedResourceSelectorRequirement.operator v1.ScopeType:
    NamedRuleWithOperations.scope RuleWithOperations.scope v1.SeccompProfileType: SeccompProfile.type v1.SecretType:
    Secret.type v1.ServiceAffinity: ServiceSpec.sessionAffinity v1.ServiceExternalTrafficPolicy:
    ServiceSpec.externalTrafficPolicy v1.ServiceInternalTrafficPolicy: ServiceSpec.internalTrafficPolicy
    v1.ServiceType: ServiceSpec.type v1.SideEffectClass: MutatingWebhook.sideEffects ValidatingWebhook.sideEffects
    v1.Signal: ContainerStatus.stopSignal Lifecycle.stopSignal v1.StatefulSetConditionType:
    StatefulSetCondition.type v1.StatefulSetUpdateStrategyType: StatefulSetUpdateStrategy.type v1.StatusReason:
    Validation.reason v1.StorageMedium: EmptyDirVolumeSource.medium v1.SupplementalGroupsPolicy:
    PodSecurityContext.supplementalGroupsPolicy v1.TaintEffect: Taint.effect Toleration.effect
    v1.TerminationMessagePolicy: Container.terminationMessagePolicy EphemeralContainer.terminationMessagePolicy
    v1.TolerationOperator: Toleration.operator v1.URIScheme: HTTPGetAction.scheme v1.UnhealthyPodEvictionPolicyType:
    PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy v1.UniqueVolumeName: AttachedVolume.name
    v1.UnsatisfiableConstraintAction: TopologySpreadConstraint.whenUnsatisfiable v1.ValidationRules:
    JSONSchemaProps.x-kubernetes-validations v1.VolumeBindingMode: StorageClass.volumeBindingMode
    v2.HPAScalingPolicyType: HPAScalingPolicy.type v2.HorizontalPodAutoscalerConditionType:
    HorizontalPodAutoscalerCondition.type v2.MetricSourceType: MetricSpec.type MetricStatus.type
    v2.MetricTargetType: MetricTarget.type v2.ScalingPolicySelect: HPAScalingRules.selectPolicy
"""


def _named() -> Iterable[tuple[Field, str]]:
    type_ = ""
    for word in _NAMED.split():
        if word.endswith(":"):
            type_ = word[:-1]
        else:
            yield from ((field, type_) for field in _fields(word))


NAMED: Mapping[Field, str] = dict(_named())
"""Fields whose type has a name of its own: ("Container", "imagePullPolicy") -> v1.PullPolicy."""

# Structs within structs, whose fields stand in JSON as if they were the outer one's; Go's errors name the inner one.
_EMBEDDED = """
    LocalObjectReference. ConfigMapKeySelector.name
    LocalObjectReference. SecretKeySelector.name
    LocalObjectReference. ConfigMapEnvSource.name
    LocalObjectReference. SecretEnvSource.name
    ProbeHandler. Probe.exec,grpc,httpGet,tcpSocket
    LocalObjectReference. ConfigMapVolumeSource.name
    LocalObjectReference. ConfigMapProjection.name
    LocalObjectReference. SecretProjection.name
    IngressRuleValue. IngressRule.http
    RuleWithOperations.Rule. NamedRuleWithOperations.apiGroups,apiVersions,resources,scope
    RuleWithOperations. NamedRuleWithOperations.operations
    Rule. RuleWithOperations.apiGroups,apiVersions,resources,scope
    DeviceConfiguration. DeviceClassConfiguration.opaque
    DeviceConfiguration. DeviceClaimConfiguration.opaque
    DeviceConfiguration. DeviceAllocationConfiguration.opaque
"""
# Of these all fields but a few are the inner one's.
_MOSTLY = {"Volume": ("VolumeSource.", {"name"}),
           "EphemeralContainer": ("EphemeralContainerCommon.", {"targetContainerName"}),
           "PersistentVolumeSpec": ("PersistentVolumeSource.", {
               "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy",
               "storageClassName", "volumeAttributesClassName", "volumeMode"})}


def _embedded() -> Iterable[tuple[Field, str]]:
    words = _EMBEDDED.split()
    for inner, fields in zip(words[::2], words[1::2], strict=True):
        yield from ((field, inner) for field in _fields(fields))


_INNER = dict(_embedded())


def embedded(struct: str, name: str) -> str:
    """Return the path of the struct that a field comes from, such as "VolumeSource.", "" for the struct's own."""
    mostly = _MOSTLY.get(struct)
    if mostly is not None:
        return "" if name in mostly[1] else mostly[0]
    return _INNER.get((struct, name), "")
