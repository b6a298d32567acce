{{- /*
What one value alone cannot be refused for; everything that is wrong is told at once. Every template begins with it: none
is sure to be rendered first.
*/}}
{{- define "orchestrator.validate" -}}
{{- $faults := list -}}
{{- $postgres := .Values.postgres -}}
{{- $parts := and $postgres.host $postgres.database -}}
{{- if not (or $postgres.uriFrom (and $parts $postgres.user $postgres.passwordFrom)) -}}
{{- $faults = append $faults "postgres: set uriFrom, or host, database, user and passwordFrom" -}}
{{- end -}}
{{- if and $postgres.uriFrom (or $postgres.host $postgres.database $postgres.user $postgres.passwordFrom) -}}
{{- $faults = append $faults "postgres: uriFrom is the whole address: host, database, user and passwordFrom must not be set beside it" -}}
{{- end -}}
{{- $migration := $postgres.migration -}}
{{- if and (or $migration.user $migration.passwordFrom) (not (and $parts $migration.user $migration.passwordFrom)) -}}
{{- $faults = append $faults "postgres.migration: user and passwordFrom go together, beside postgres.host and postgres.database; else set uriFrom" -}}
{{- end -}}
{{- if and $migration.uriFrom (or $migration.user $migration.passwordFrom) -}}
{{- $faults = append $faults "postgres.migration: set uriFrom, or user and passwordFrom, not both" -}}
{{- end -}}
{{- if eq (empty .Values.redis.uri) (empty .Values.redis.uriFrom) -}}
{{- $faults = append $faults "redis: set uri (an address without a password) or uriFrom (a Secret), one of them" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- $faults = append $faults "ingress.host: is needed while ingress.enabled" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.gateway.enabled) -}}
{{- $faults = append $faults "ingress: needs gateway.enabled; an Ingress alone cannot route by method" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- $faults = append $faults "httpRoute.parentRefs: name the Gateway while httpRoute.enabled" -}}
{{- end -}}
{{- range list "commandApi" "queryApi" -}}
{{- $api := index $.Values . -}}
{{- if ge (int $api.shutdownDelaySeconds) (int $api.shutdownGraceSeconds) -}}
{{- $faults = append $faults (printf "%s.shutdownDelaySeconds: is part of shutdownGraceSeconds, and must be less" .) -}}
{{- end -}}
{{- end -}}
{{- range list "commandApi" "queryApi" "worker" -}}
{{- $autoscaling := (index $.Values .).autoscaling -}}
{{- if and $autoscaling.enabled (gt (int $autoscaling.minReplicas) (int $autoscaling.maxReplicas)) -}}
{{- $faults = append $faults (printf "%s.autoscaling: minReplicas is above maxReplicas" .) -}}
{{- end -}}
{{- end -}}
{{- $keda := .Values.worker.autoscaling -}}
{{- if $keda.enabled -}}
{{- with $keda.postgres -}}
{{- if not (and .host .database .user .passwordFrom) -}}
{{- $faults = append $faults "worker.autoscaling.postgres: host, database, user and passwordFrom are needed: KEDA asks Postgres itself" -}}
{{- end -}}
{{- end -}}
{{- if gt (int $keda.fallbackReplicas) (int $keda.maxReplicas) -}}
{{- $faults = append $faults "worker.autoscaling.fallbackReplicas is above maxReplicas" -}}
{{- end -}}
{{- end -}}
{{- if $faults -}}
{{- fail (printf "\nThe values are not valid:\n  %s" (join "\n  " $faults)) -}}
{{- end -}}
{{- end }}
