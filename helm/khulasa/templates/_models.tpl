{{- define "khulasa.claim" -}}
{{- default (printf "%s-models" (include "khulasa.fullname" .)) .Values.models.pvc.existingClaim -}}
{{- end -}}

{{/* Directory of one thing that is built: all that decides its content is in the name. */}}
{{- define "khulasa.buildDirectory" -}}
{{- printf "%s-%s" .name (omit . "name" | toJson | sha256sum | trunc 10) -}}
{{- end -}}

{{/* Directories on the volume, one a line. */}}
{{- define "khulasa.directories" -}}
{{- if eq .Values.models.source "build" -}}
{{- range .Values.models.build.items }}
/models/{{ include "khulasa.buildDirectory" . }}
{{- end -}}
{{- else if ne .Values.models.source "embedded" -}}
{{- range .Values.models.bundles }}
/models/{{ . }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What KHULASA_MODELS is. */}}
{{- define "khulasa.models" -}}
{{- if eq .Values.models.source "embedded" -}}
{{- join "," .Values.models.bundles -}}
{{- else -}}
{{- include "khulasa.directories" . | trim | splitList "\n" | join "," -}}
{{- end -}}
{{- end -}}

{{/* The volume that bundles are read from. */}}
{{- define "khulasa.modelsVolume" -}}
- name: models
  {{- if eq .Values.models.source "image" }}
  image:
    reference: {{ .Values.models.image.reference }}
    pullPolicy: {{ .Values.models.image.pullPolicy }}
  {{- else }}
  persistentVolumeClaim:
    claimName: {{ include "khulasa.claim" . }}
    readOnly: true
  {{- end }}
{{- end -}}

{{/* Arguments of `models build` for one item. */}}
{{- define "khulasa.buildArguments" -}}
{{ .source }} --revision {{ .revision }} --output /models/{{ include "khulasa.buildDirectory" . }}
{{- with .quantization }} --quantization {{ . }}{{ end }}
{{- with .keepLanguages }} --keep-languages {{ join "," . }}{{ end }}
{{- with .languages }} --languages {{ join "," . }}{{ end }}
{{- with .license }} --license {{ . }}{{ end }}
{{- end -}}

{{/* A node's own volume: a second node's pod would wait for it for ever. */}}
{{- define "khulasa.oneNode" -}}
{{- if and (eq .Values.models.source "build") (not .Values.models.pvc.existingClaim) (not (has "ReadWriteMany" .Values.models.pvc.accessModes)) -}}yes{{- end -}}
{{- end -}}
