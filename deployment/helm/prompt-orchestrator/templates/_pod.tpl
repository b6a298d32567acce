{{- /* Where pods go. in: [root, component, values] */}}
{{- define "orchestrator.placement" -}}
{{- $values := index . 2 -}}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "orchestrator.selector" (list (index $ 0) (index $ 1)) | nindent 8 }}
  {{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- /* What no pod of ours is given: a token, and variables of the namespace's Services, which look like POSTGRES_PORT. */}}
{{- define "orchestrator.podBasics" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /*
A service's pod. in: [root, service]
It is told to stop, has its own time to end, and 5 s more before it is killed. An API is told 5 s after it was taken from its
Service (preStop): by then no new connection leads to it. Those that the gateway holds still do: it serves these on for
SHUTDOWN_DELAY_SECONDS, each answer the last of its connection, before it stops listening.
*/}}
{{- define "orchestrator.pod" -}}
{{- $root := index . 0 -}}
{{- $service := index . 1 -}}
{{- $values := index $root.Values (include "orchestrator.key" $service) -}}
{{- $isApi := hasSuffix "-api" $service -}}
{{- $preStop := ternary 5 0 $isApi -}}
metadata:
  labels:
    {{- include "orchestrator.labels" . | nindent 4 }}
    {{- with $root.Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or $values.podAnnotations $root.Values.prices }}
  annotations:
    {{- if $root.Values.prices }}
    checksum/prices: {{ sha256sum $root.Values.prices }}
    {{- end }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  serviceAccountName: {{ include "orchestrator.fullname" $root }}
  {{- include "orchestrator.podBasics" $root | nindent 2 }}
  terminationGracePeriodSeconds: {{ add $preStop $values.shutdownGraceSeconds 5 }}
  securityContext:
    {{- include "orchestrator.podSecurityContext" 1000 | nindent 4 }}
  containers:
    - name: {{ $service }}
      image: {{ include "orchestrator.image" (list $root.Values.image $root.Chart.AppVersion) | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      workingDir: /app
      command: [node, {{- if eq $service "projector" }} --max-semi-space-size=8, --heap-growing-percent=100,{{ end }} --import, ./platform/telemetry/preload.js, {{ $service }}/main.js]
      env:
        {{- include "orchestrator.env" . | nindent 8 }}
      ports:
        {{- if $isApi }}
        - name: http
          containerPort: 8080
        {{- end }}
        - name: admin
          containerPort: {{ include "orchestrator.adminPort" $service }}
      # It waits for Postgres before it listens, and ends by itself when that takes minutes.
      startupProbe:
        httpGet: { path: /livez, port: admin }
        periodSeconds: 2
        timeoutSeconds: 3
        failureThreshold: 180
      livenessProbe:
        httpGet: { path: /livez, port: admin }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      # An API goes on without Redis: prompts are taken and read. Without Postgres it can do neither.
      readinessProbe:
        httpGet: { path: {{ ternary "/readyz?exclude=redis" "/readyz" $isApi | quote }}, port: admin }
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 3
      {{- if $isApi }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ $preStop }}
      {{- end }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      securityContext:
        {{- include "orchestrator.securityContext" $root | nindent 8 }}
      volumeMounts:
        - name: tmp
          mountPath: /tmp
        {{- if eq $service "worker" }}
        - name: spool
          mountPath: /var/lib/orchestrator/spool
        {{- end }}
        {{- if and (eq $service "projector") $root.Values.archive.existingClaim }}
        - name: archive
          mountPath: /var/lib/orchestrator/archive
        {{- end }}
        {{- if and $root.Values.prices (ne $service "projector") }}
        - name: prices
          mountPath: /etc/orchestrator
          readOnly: true
        {{- end }}
        {{- with $root.Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {}
    {{- if and (eq $service "worker") (not $root.Values.worker.spool.persistent) }}
    - name: spool
      emptyDir:
        sizeLimit: {{ $root.Values.worker.spool.size }}
    {{- end }}
    {{- if and (eq $service "projector") $root.Values.archive.existingClaim }}
    - name: archive
      persistentVolumeClaim:
        claimName: {{ $root.Values.archive.existingClaim }}
    {{- end }}
    {{- if and $root.Values.prices (ne $service "projector") }}
    - name: prices
      configMap:
        name: {{ include "orchestrator.fullname" $root }}-prices
    {{- end }}
    {{- with $root.Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- include "orchestrator.placement" (list $root $service $values) | nindent 2 }}
{{- end }}
