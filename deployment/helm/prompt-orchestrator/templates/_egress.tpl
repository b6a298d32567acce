{{- /* The ports of an address, or of several separated by commas. in: the address; out: ports, separated by spaces */}}
{{- define "orchestrator.portsOf" -}}
{{- $standard := dict "http" 80 "https" 443 "postgres" 5432 "postgresql" 5432 "redis+sentinel" 26379 "rediss+sentinel" 26379 -}}
{{- $scheme := regexFind "^[a-z+]+://" . | trimSuffix "://" -}}
{{- $ports := list -}}
{{- range regexReplaceAll "^([a-z+]+://)?([^@/]*@)?" . "" | regexFind "^[^/?]*" | splitList "," -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default (dig $scheme 6379 $standard)) -}}
{{- end -}}
{{- join " " $ports -}}
{{- end }}

{{- /*
The ports by which a container reaches its Postgres, Redis, collector or provider: those that its own environment names. What
it does not name (the address is a Secret’s, a sentinel tells where the master is) has the ports among the values, else
the usual ones. in: [environment, target, ports among the values]; out: ports, separated by spaces, or nothing: it
does not go there
*/}}
{{- define "orchestrator.egressPorts" -}}
{{- $env := index . 0 -}}
{{- $target := index . 1 -}}
{{- $addresses := dict
  "postgres" (list "POSTGRES_URI" "POSTGRES_READ_URI")
  "redis" (list "REDIS_URI")
  "telemetry" (list "JAEGER_URI" "OTEL_EXPORTER_OTLP_ENDPOINT" "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
  "provider" (list "GEMINI_BASE_URL")
-}}
{{- $usual := dict "postgres" (list 5432) "redis" (list 6379 26379) "telemetry" (list 4318) "provider" (list 443) -}}
{{- $named := list -}}
{{- $assumed := list -}}
{{- $isUsed := false -}}
{{- range $env -}}
{{- if has .name (index $addresses $target) -}}
{{- $isUsed = true -}}
{{- if .value -}}
{{- $named = concat $named (include "orchestrator.portsOf" .value | splitList " ") -}}
{{- if contains "+sentinel://" .value }}{{ $assumed = append $assumed 6379 }}{{ end -}}
{{- else -}}
{{- $assumed = concat $assumed (index $usual $target) -}}
{{- end -}}
{{- else if and (eq $target "postgres") (eq .name "POSTGRES_PORT") -}}
{{- $isUsed = true -}}
{{- $named = append $named .value -}}
{{- else if and (eq $target "provider") (eq .name "GEMINI_API_KEY") -}}
{{- $isUsed = true -}}
{{- end -}}
{{- end -}}
{{- if $isUsed -}}
{{- if not (or $named $assumed) }}{{ $assumed = index $usual $target }}{{ end -}}
{{- $ports := list -}}
{{- range concat $named (default $assumed (index . 2)) }}{{ $ports = append $ports (include "orchestrator.scalar" .) }}{{ end -}}
{{- $ports | uniq | join " " -}}
{{- end -}}
{{- end }}

{{- /*
Where they are: as the values say, else anywhere; but workers call the provider outside of private networks alone, unless
another address of it is named. in: [environment, target, peers among the values]; out: YAML, or nothing
*/}}
{{- define "orchestrator.egressPeers" -}}
{{- $isPublic := eq (index . 1) "provider" -}}
{{- range index . 0 -}}
{{- if eq .name "GEMINI_BASE_URL" }}{{ $isPublic = false }}{{ end -}}
{{- end -}}
{{- if index . 2 -}}
{{ toYaml (index . 2) }}
{{- else if $isPublic -}}
- ipBlock:
    cidr: 0.0.0.0/0
    except: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16, 100.64.0.0/10]
- ipBlock:
    cidr: ::/0
    except: [fc00::/7, fe80::/10]
{{- end -}}
{{- end }}
