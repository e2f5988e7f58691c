{{/* Every object's name begins with it: objects of two releases never meet. Namespaces that both watch would. */}}
{{- define "kvring.name" -}}
{{- ternary .Release.Name (printf "%s-kvring" .Release.Name) (contains "kvring" .Release.Name) | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* Replicas of one release settle among themselves who leads. */}}
{{- define "kvring.lease" -}}
{{ include "kvring.name" . }}-operator
{{- end }}

{{- define "kvring.selector" -}}
app.kubernetes.io/name: kvring-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "kvring.labels" -}}
{{ include "kvring.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* An image's name, from (dict "image" .Values.image "chart" .Chart). */}}
{{- define "kvring.image" -}}
{{ printf "%s:%s" .image.repository (.image.tag | default .chart.AppVersion) }}
{{- end }}

{{/*
What the operator may do with objects in the namespaces that it watches. With those in rbac.yaml on machines and leases
this is the list `ACCESS` in kvring_operator/kube.py, and nothing more; a law test compares the two.
*/}}
{{- define "kvring.rules" -}}
- apiGroups: [kvring.dev]
  resources: [inferenceclusters]
  verbs: [get, list, watch, patch]
- apiGroups: [kvring.dev]
  resources: [inferenceclusters/status]
  verbs: [patch]
- apiGroups: [kvring.dev]
  resources: [inferenceclusters/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [services, configmaps]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}
