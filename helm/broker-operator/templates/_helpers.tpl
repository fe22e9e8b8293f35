{{/* Name of the release's objects: "broker-operator" in a release of that name, else RELEASE-broker-operator. */}}
{{- define "broker-operator.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "broker-operator.metricsService" -}}
{{- printf "%s-metrics" (include "broker-operator.fullname" . | trunc 55 | trimSuffix "-") -}}
{{- end -}}

{{- define "broker-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "broker-operator.labels" -}}
{{ include "broker-operator.selectorLabels" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: broker-operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "broker-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "broker-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "broker-operator.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{/* Pod and container security contexts that the restricted Pod Security Standard asks for. */}}
{{- define "broker-operator.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 1001
runAsGroup: 1001
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "broker-operator.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* What the operator does, and nothing more. The same rules are granted in one namespace or in all. */}}
{{- define "broker-operator.rules" -}}
- apiGroups: [broker-operator.dev]
  resources: [brokerclusters]
  verbs: [get, list, watch, patch]
- apiGroups: [broker-operator.dev]
  resources: [reassignments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [broker-operator.dev]
  resources: [brokerclusters/status, reassignments/status]
  verbs: [patch]
# Asked for where ownerReferences that block deletion need permission (OwnerReferencesPermissionEnforcement).
- apiGroups: [broker-operator.dev]
  resources: [brokerclusters/finalizers, reassignments/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, create, patch]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, create, patch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list]
- apiGroups: [""]
  resources: [events]
  verbs: [get, create, patch]
{{- end -}}
