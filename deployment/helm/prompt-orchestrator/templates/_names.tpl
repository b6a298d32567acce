{{- define "orchestrator.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* At most 40 characters: a component's name and a pod's ordinal follow. */}}
{{- define "orchestrator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "orchestrator.name" .) .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name (include "orchestrator.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* in: [root, component] */}}
{{- define "orchestrator.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "orchestrator.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- /* in: [root, component] */}}
{{- define "orchestrator.labels" -}}
{{- $root := index . 0 -}}
{{ include "orchestrator.selector" . }}
app.kubernetes.io/version: {{ default $root.Chart.AppVersion $root.Values.image.tag | trunc 63 | trimAll "-_." | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* in: [image values, default tag] */}}
{{- define "orchestrator.image" -}}
{{- $image := index . 0 -}}
{{- $image.repository }}:{{ default (index . 1) $image.tag }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- /* Where a component's values are. in: component */}}
{{- define "orchestrator.key" -}}
{{- if eq . "command-api" }}commandApi{{ else if eq . "query-api" }}queryApi{{ else }}{{ . }}{{ end }}
{{- end }}

{{- define "orchestrator.adminPort" -}}
{{- index (dict "command-api" 9464 "query-api" 9465 "worker" 9466 "projector" 9467) . }}
{{- end }}

{{- /* What has pods: the services, and the gateway where there is one. */}}
{{- define "orchestrator.components" -}}
command-api query-api worker projector{{ if .Values.gateway.enabled }} gateway{{ end }}
{{- end }}

{{- define "orchestrator.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "orchestrator.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
