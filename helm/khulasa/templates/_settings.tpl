{{/* Every setting of the server; those that are left empty are the server's own defaults. */}}
{{- define "khulasa.settings" -}}
KHULASA_LISTEN: "[::]:50051"
KHULASA_METRICS_LISTEN: "[::]:9464"
KHULASA_MODELS: {{ include "khulasa.models" . | quote }}
KHULASA_REQUIRED_SERVICES: {{ join "," .Values.server.requiredServices | quote }}
KHULASA_ENGINE: {{ .Values.server.engine | quote }}
KHULASA_THREADS: {{ include "khulasa.threads" . | quote }}
KHULASA_CALIBRATION_FILE: "/tmp/calibration.json"
KHULASA_CANARY: {{ .Values.server.canary | quote }}
KHULASA_MAX_CODE_POINTS: {{ .Values.server.maxCodePoints | int64 | quote }}
KHULASA_MAX_REQUEST_CODE_POINTS: {{ .Values.server.maxRequestCodePoints | int64 | quote }}
KHULASA_MAX_CONTENTS: {{ .Values.server.maxContents | int64 | quote }}
KHULASA_MAX_MESSAGE_BYTES: {{ .Values.server.maxMessageBytes | int64 | quote }}
KHULASA_QUEUE_SECONDS: {{ .Values.server.queueSeconds | quote }}
KHULASA_BULK_QUEUE_SECONDS: {{ .Values.server.bulkQueueSeconds | quote }}
KHULASA_DEFAULT_DEADLINE: {{ .Values.server.defaultDeadline | quote }}
KHULASA_MAX_DEADLINE: {{ .Values.server.maxDeadline | quote }}
KHULASA_STALL_SECONDS: {{ .Values.server.stallSeconds | quote }}
KHULASA_CACHE_BYTES: {{ .Values.server.cacheBytes | int64 | quote }}
KHULASA_MAX_CONNECTIONS: {{ .Values.server.maxConnections | int64 | quote }}
KHULASA_MAX_CONNECTION_AGE: {{ .Values.server.maxConnectionAge | quote }}
KHULASA_MAX_CONNECTION_AGE_GRACE: {{ .Values.server.maxConnectionAgeGrace | quote }}
KHULASA_DRAIN_DELAY: {{ .Values.server.drainDelay | quote }}
KHULASA_DRAIN_GRACE: {{ .Values.server.drainGrace | quote }}
KHULASA_TLS_CERT: {{ ternary "/etc/khulasa/tls/tls.crt" "" (ne .Values.tls.existingSecret "") | quote }}
KHULASA_TLS_KEY: {{ ternary "/etc/khulasa/tls/tls.key" "" (ne .Values.tls.existingSecret "") | quote }}
KHULASA_TLS_CLIENT_CA: {{ ternary "/etc/khulasa/client-ca/ca.crt" "" (ne .Values.tls.clientCASecret "") | quote }}
KHULASA_TOKENS_FILE: {{ ternary "/etc/khulasa/auth/tokens" "" (ne .Values.auth.existingSecret "") | quote }}
KHULASA_INSECURE_TOKENS: {{ .Values.auth.allowPlaintext | quote }}
KHULASA_REFLECTION: {{ .Values.server.reflection | quote }}
KHULASA_LOG_LEVEL: {{ .Values.server.logLevel | quote }}
KHULASA_OTLP_ENDPOINT: {{ .Values.server.otlpEndpoint | quote }}
{{- end -}}
