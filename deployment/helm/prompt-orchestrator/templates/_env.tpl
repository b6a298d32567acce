{{- /* A number as it was written: Helm reads 10000000 as a float and would print 1e+07. */}}
{{- define "orchestrator.scalar" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) }}{{ printf "%.0f" . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{- /* in: [variable, {name, key}] */}}
{{- define "orchestrator.secretEnv" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ (index . 1).name }}
      key: {{ (index . 1).key }}
{{- end }}

{{- /* The database: whole or in its parts. in: [root, values with uriFrom, user and passwordFrom] */}}
{{- define "orchestrator.postgresEnv" -}}
{{- $postgres := (index . 0).Values.postgres -}}
{{- $login := index . 1 -}}
{{- if $login.uriFrom -}}
{{ include "orchestrator.secretEnv" (list "POSTGRES_URI" $login.uriFrom) }}
{{- else -}}
- name: POSTGRES_HOST
  value: {{ $postgres.host | quote }}
- name: POSTGRES_PORT
  value: {{ include "orchestrator.scalar" $postgres.port | quote }}
- name: POSTGRES_NAME
  value: {{ $postgres.database | quote }}
- name: POSTGRES_USER
  value: {{ $login.user | quote }}
{{ include "orchestrator.secretEnv" (list "POSTGRES_PASSWORD" $login.passwordFrom) }}
{{- end }}
{{- end }}

{{- define "orchestrator.redisEnv" -}}
{{- if .Values.redis.uriFrom -}}
{{ include "orchestrator.secretEnv" (list "REDIS_URI" .Values.redis.uriFrom) }}
{{- else -}}
- name: REDIS_URI
  value: {{ .Values.redis.uri | quote }}
{{- end }}
{{- end }}

{{- /* Of `config` what the service reads, as files/variables.json says. in: [root, service] */}}
{{- define "orchestrator.configEnv" -}}
{{- $root := index . 0 -}}
{{- $service := index . 1 -}}
{{- $readers := $root.Files.Get "files/variables.json" | fromJson -}}
{{- range $name, $value := $root.Values.config }}
{{- if has $service (index $readers $name) }}
- name: {{ $name }}
  value: {{ include "orchestrator.scalar" $value | quote }}
{{ end }}
{{- end }}
{{- end }}

{{- /* What the migration is given. in: root */}}
{{- define "orchestrator.migrateEnv" -}}
{{- $migration := .Values.postgres.migration -}}
{{ include "orchestrator.postgresEnv" (list . (ternary $migration .Values.postgres (or (not (not $migration.uriFrom)) (ne $migration.user "")))) }}
- name: MIGRATIONS_DIR
  value: /app/db/migrations
{{- with include "orchestrator.configEnv" (list . "migrate") }}
{{ . | trim }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* in: [root, service] */}}
{{- define "orchestrator.env" -}}
{{- $root := index . 0 -}}
{{- $service := index . 1 -}}
{{- $values := index $root.Values (include "orchestrator.key" $service) -}}
{{- $streams := $root.Values.redis.streams -}}
{{ include "orchestrator.postgresEnv" (list $root $root.Values.postgres) }}
{{ include "orchestrator.redisEnv" $root }}
- name: ADMIN_PORT
  value: {{ include "orchestrator.adminPort" $service | quote }}
- name: SHUTDOWN_GRACE_SECONDS
  value: {{ include "orchestrator.scalar" $values.shutdownGraceSeconds | quote }}
{{- if hasSuffix "-api" $service }}
- name: SHUTDOWN_DELAY_SECONDS
  value: {{ include "orchestrator.scalar" $values.shutdownDelaySeconds | quote }}
- name: PORT
  value: "8080"
{{- end }}
{{- if eq $service "command-api" }}
- name: REDIS_PUB_STREAM_ID
  value: {{ $streams.tasks | quote }}
{{- else if eq $service "query-api" }}
{{- with $root.Values.postgres.read.uriFrom }}
{{ include "orchestrator.secretEnv" (list "POSTGRES_READ_URI" .) }}
{{- end }}
{{- else if eq $service "worker" }}
- name: REDIS_SUB_STREAM_ID
  value: {{ $streams.tasks | quote }}
- name: REDIS_PUB_STREAM_ID
  value: {{ $streams.results | quote }}
- name: NUMBER_OF_WORKERS
  value: {{ include "orchestrator.scalar" $values.slots | quote }}
- name: SPOOL_DIR
  value: /var/lib/orchestrator/spool/answers
{{ include "orchestrator.secretEnv" (list "GEMINI_API_KEY" $root.Values.provider.apiKeyFrom) }}
{{- else }}
- name: REDIS_RES_STREAM_ID
  value: {{ $streams.results | quote }}
{{- if $root.Values.archive.existingClaim }}
- name: ARCHIVE_DIR
  value: /var/lib/orchestrator/archive
{{- end }}
{{- end }}
{{- if and $root.Values.prices (ne $service "projector") }}
- name: PRICES_FILE
  value: /etc/orchestrator/prices.json
{{- end }}
{{- with include "orchestrator.configEnv" . }}
{{ . | trim }}
{{- end }}
{{- with $root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* in: [root, service or "migrate"] */}}
{{- define "orchestrator.containerEnv" -}}
{{- if eq (index . 1) "migrate" }}{{ include "orchestrator.migrateEnv" (index . 0) }}{{ else }}{{ include "orchestrator.env" . }}{{ end }}
{{- end }}
