{{/* Room above what must be waited for: an engine ends the batch it computes, then all is closed. */}}
{{- define "khulasa.leastTermination" -}}
{{- addf .Values.server.drainDelay .Values.server.drainGrace 10 | ceil | int64 -}}
{{- end -}}

{{- define "khulasa.termination" -}}
{{- default (include "khulasa.leastTermination" . | int64) (int64 .Values.terminationGracePeriodSeconds) -}}
{{- end -}}

{{/* Seconds until a Deployment without progress is told as failed: waiting for the build, one
     start, and the time a pod must be ready, with a minute for pulling the image. */}}
{{- define "khulasa.progressDeadline" -}}
{{- $build := 0 -}}
{{- if eq .Values.models.source "build" -}}{{- $build = .Values.models.build.timeoutSeconds -}}{{- end -}}
{{- add $build .Values.startup.seconds .Values.minReadySeconds 60 -}}
{{- end -}}

{{/* Whole cores of a quantity such as "2", 1.5 or "1500m"; at least 1, for a thread that is
     throttled makes all others wait. */}}
{{- define "khulasa.cores" -}}
{{- $text := toString . -}}
{{- $cores := ternary (divf (trimSuffix "m" $text | float64) 1000) (float64 $text) (hasSuffix "m" $text) -}}
{{- max 1 (floor $cores | int64) -}}
{{- end -}}

{{/* As they were set, or as they follow from what was measured: the sums are told in values.yaml. */}}
{{- define "khulasa.resources" -}}
{{- $demo := .Values.models.presets.demo -}}
{{- $production := .Values.models.presets.production -}}
{{- $embedded := eq .Values.models.source "embedded" -}}
{{- $busy := ternary $demo.busyMB $production.busyMB $embedded -}}
{{- $largest := ternary $demo.largestMB $production.largestMB $embedded -}}
{{- $cache := divf .Values.server.cacheBytes 1e6 -}}
{{- $connections := mulf .Values.server.maxConnections 0.065536 -}}
{{- $most := addf (addf $busy $largest $largest | mulf 1.25) $cache $connections -}}
{{- if .Values.resources -}}
{{- toYaml .Values.resources -}}
{{- else -}}
requests:
  cpu: {{ ternary $demo.cores $production.cores $embedded | quote }}
  memory: {{ include "khulasa.mebibytes" (addf $busy $cache) }}
limits:
  cpu: {{ ternary $demo.mostCores $production.mostCores $embedded | quote }}
  memory: {{ include "khulasa.mebibytes" $most }}
{{- end -}}
{{- end -}}

{{/* MB (10^6 bytes) as a quantity, rounded up to 64 Mi. */}}
{{- define "khulasa.mebibytes" -}}
{{- mul 64 (divf . 67.108864 | ceil | int64) }}Mi
{{- end -}}

{{- define "khulasa.threads" -}}
{{- $resources := include "khulasa.resources" . | fromYaml -}}
{{- $limit := dig "limits" "cpu" "" $resources -}}
{{- $request := dig "requests" "cpu" "" $resources -}}
{{- if .Values.server.threads -}}
{{- .Values.server.threads -}}
{{- else if $limit -}}
{{- /* The server reads the limit from its control group, and a smaller node's cores with it. */ -}}
auto
{{- else -}}
{{- include "khulasa.cores" $request }}x1
{{- end -}}
{{- end -}}

{{- define "khulasa.autoscaled" -}}
{{- if ne .Values.autoscaling.mode "none" -}}yes{{- end -}}
{{- end -}}

{{/* Whether more than one pod may run for longer than an update takes. */}}
{{- define "khulasa.many" -}}
{{- if or (include "khulasa.autoscaled" .) (gt (int .Values.replicaCount) 1) -}}yes{{- end -}}
{{- end -}}
