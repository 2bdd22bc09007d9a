{{- define "khulasa.podSpec" -}}
serviceAccountName: {{ include "khulasa.serviceAccount" . }}
automountServiceAccountToken: false
# Kubernetes would add a variable for every Service of the namespace.
enableServiceLinks: false
# server.drainDelay + server.drainGrace + 10: a call accepted in the last moment of the delay may
# last as long as the grace; then the engine ends its batch and all is closed.
terminationGracePeriodSeconds: {{ include "khulasa.termination" . }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- include "khulasa.placement" . }}
{{- with .Values.topologySpread }}
topologySpreadConstraints:
  {{- range . }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "khulasa.selector" $ | nindent 8 }}
    # Old pods of a rollout are on their way out: new ones spread among themselves.
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- if eq .Values.models.source "build" }}
initContainers:
  {{- include "khulasa.waiter" . | nindent 2 }}
{{- end }}
containers:
  {{- include "khulasa.server" . | nindent 2 }}
volumes:
  {{- include "khulasa.volumes" . | nindent 2 }}
{{- end -}}

{{- define "khulasa.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "khulasa.affinity" . | fromYaml }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A volume of one node: the Job and the pod that waits for it must be there together, or each
     would keep the other from mounting it. The first to come chooses the node. */}}
{{- define "khulasa.affinity" -}}
{{- $together := dict -}}
{{- if include "khulasa.oneNode" . -}}
{{- $pods := dict "app.kubernetes.io/name" (include "khulasa.name" .) "app.kubernetes.io/instance" .Release.Name -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" $pods) -}}
{{- $together = dict "podAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term)) -}}
{{- end -}}
{{- merge (deepCopy .Values.affinity) $together | toYaml -}}
{{- end -}}

{{/* A bundle appears whole or not at all, so its manifest says that it is there. */}}
{{- define "khulasa.waiter" -}}
- name: wait-for-models
  image: {{ include "khulasa.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command:
    - /bin/sh
    - -ec
    - |
      for directory in "$@"; do
        until [ -f "$directory/manifest.json" ]; do
          echo "waiting for $directory"
          sleep 5
        done
      done
    - wait
    {{- range include "khulasa.directories" . | trim | splitList "\n" }}
    - {{ . }}
    {{- end }}
  resources:
    requests: {cpu: 10m, memory: 16Mi}
    limits: {cpu: 100m, memory: 64Mi}
  securityContext:
    {{- toYaml .Values.securityContext | nindent 4 }}
  volumeMounts:
    - {name: models, mountPath: /models, readOnly: true}
{{- end -}}

{{- define "khulasa.server" -}}
- name: server
  image: {{ include "khulasa.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [khulasa-server, serve]
  envFrom:
    - configMapRef:
        name: {{ include "khulasa.fullname" . }}
  {{- with .Values.extraEnv }}
  env:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    - {name: grpc, containerPort: 50051, protocol: TCP}
    - {name: metrics, containerPort: 9464, protocol: TCP}
  # Probes ask the metrics port, for the kubelet's own gRPC probe knows no TLS.
  startupProbe:
    httpGet: {path: /readyz, port: metrics}
    # Every 5 s, as often as startup.seconds allow: loading and proving the models. Liveness and
    # readiness are not asked before.
    periodSeconds: 5
    timeoutSeconds: 3
    failureThreshold: {{ div (add .Values.startup.seconds 4) 5 }}
  readinessProbe:
    httpGet: {path: /readyz, port: metrics}
    # Unready within 10 s. Overload does not turn it: it would send the load of one pod to others.
    periodSeconds: 5
    timeoutSeconds: 3
    failureThreshold: 2
  livenessProbe:
    httpGet: {path: /livez, port: metrics}
    # A minute without an answer of the event loop. It answers during load, overload and drain, so
    # what this restarts is stuck; the wait is long because a restart drops every call.
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  resources:
    {{- include "khulasa.resources" . | nindent 4 }}
  securityContext:
    {{- toYaml .Values.securityContext | nindent 4 }}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
    {{- if ne .Values.models.source "embedded" }}
    - {name: models, mountPath: /models, readOnly: true}
    {{- end }}
    {{- if .Values.tls.existingSecret }}
    # A directory and not single files, which the kubelet would never renew.
    - {name: tls, mountPath: /etc/khulasa/tls, readOnly: true}
    {{- end }}
    {{- if .Values.tls.clientCASecret }}
    - {name: client-ca, mountPath: /etc/khulasa/client-ca, readOnly: true}
    {{- end }}
    {{- if .Values.auth.existingSecret }}
    - {name: auth, mountPath: /etc/khulasa/auth, readOnly: true}
    {{- end }}
{{- end -}}

{{- define "khulasa.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- if ne .Values.models.source "embedded" }}
{{ include "khulasa.modelsVolume" . }}
{{- end }}
{{- if .Values.tls.existingSecret }}
- name: tls
  secret:
    secretName: {{ .Values.tls.existingSecret }}
    # Readable by the group that podSecurityContext.fsGroup names, by nobody else.
    defaultMode: 0440
{{- end }}
{{- if .Values.tls.clientCASecret }}
- name: client-ca
  secret:
    secretName: {{ .Values.tls.clientCASecret }}
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- if .Values.auth.existingSecret }}
- name: auth
  secret:
    secretName: {{ .Values.auth.existingSecret }}
    defaultMode: 0440
    items: [{key: {{ .Values.auth.key }}, path: tokens}]
{{- end }}
{{- end -}}
