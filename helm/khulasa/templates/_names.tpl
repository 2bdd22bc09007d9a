{{- define "khulasa.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* Short enough for every suffix: a Service's name has 63 characters at most. */}}
{{- define "khulasa.fullname" -}}
{{- $name := include "khulasa.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "khulasa.headless" -}}
{{- include "khulasa.fullname" . }}-headless
{{- end -}}

{{/* What never changes: selectors are immutable, so no version may be among them. */}}
{{- define "khulasa.selector" -}}
app.kubernetes.io/name: {{ include "khulasa.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "khulasa.labels" -}}
app.kubernetes.io/name: {{ include "khulasa.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: khulasa
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "khulasa.serverLabels" -}}
{{ include "khulasa.labels" . }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "khulasa.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "khulasa.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "khulasa.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Balancers and gateways speak plain HTTP/2 to a port with this; under TLS, ALPN says it. */}}
{{- define "khulasa.grpcPort" -}}
- name: grpc
  port: {{ .Values.service.port }}
  targetPort: grpc
  protocol: TCP
  {{- if not .Values.tls.existingSecret }}
  appProtocol: kubernetes.io/h2c
  {{- end }}
{{- end -}}
