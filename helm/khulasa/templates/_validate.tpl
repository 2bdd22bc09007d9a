{{/* Values that contradict each other, or the cluster: each says what to change. */}}
{{- define "khulasa.validate" -}}
{{- include "khulasa.validateTimes" . -}}
{{- include "khulasa.validateModels" . -}}
{{- include "khulasa.validateSize" . -}}
{{- include "khulasa.validateAccess" . -}}
{{- include "khulasa.validateEnvironment" . -}}
{{- end -}}

{{- define "khulasa.validateTimes" -}}
{{- $server := .Values.server -}}
{{- if gt (float64 $server.maxDeadline) (float64 $server.drainGrace) -}}
{{- fail (printf "server.drainGrace is %v, less than server.maxDeadline (%v): a drain would cut calls that are allowed to last longer; raise drainGrace or lower maxDeadline" $server.drainGrace $server.maxDeadline) -}}
{{- end -}}
{{- if gt (float64 $server.maxDeadline) (float64 $server.maxConnectionAgeGrace) -}}
{{- fail (printf "server.maxConnectionAgeGrace is %v, less than server.maxDeadline (%v): an ageing connection would cut calls that are allowed to last longer; raise maxConnectionAgeGrace or lower maxDeadline" $server.maxConnectionAgeGrace $server.maxDeadline) -}}
{{- end -}}
{{- if gt (float64 $server.defaultDeadline) (float64 $server.maxDeadline) -}}
{{- fail (printf "server.defaultDeadline is %v, more than server.maxDeadline (%v): lower defaultDeadline or raise maxDeadline" $server.defaultDeadline $server.maxDeadline) -}}
{{- end -}}
{{- $least := include "khulasa.leastTermination" . | int64 -}}
{{- $given := int64 .Values.terminationGracePeriodSeconds -}}
{{- if and $given (lt $given $least) -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, and a drain takes up to %d (server.drainDelay + server.drainGrace + 10): raise it, or set it to 0 to have it computed" $given $least) -}}
{{- end -}}
{{- if gt (int .Values.server.maxCodePoints) (int .Values.server.maxRequestCodePoints) -}}
{{- fail "server.maxCodePoints is more than server.maxRequestCodePoints: a text of that length would fit no request; raise maxRequestCodePoints" -}}
{{- end -}}
{{- end -}}

{{- define "khulasa.validateModels" -}}
{{- $models := .Values.models -}}
{{- if and (has $models.source (list "pvc" "image")) (not $models.bundles) -}}
{{- fail (printf "models.source is %q and models.bundles is empty: name the directories on the volume that are to be served" $models.source) -}}
{{- end -}}
{{- if and (eq $models.source "pvc") (not $models.pvc.existingClaim) -}}
{{- fail "models.source is \"pvc\" and models.pvc.existingClaim is empty: name the claim that holds the bundles, or set models.source to \"build\" to have one filled" -}}
{{- end -}}
{{- if and (ne $models.source "image") $models.image.reference -}}
{{- fail (printf "models.image.reference is set and models.source is %q: set models.source to \"image\", or clear the reference" $models.source) -}}
{{- end -}}
{{- if and (has $models.source (list "embedded" "image")) $models.pvc.existingClaim -}}
{{- fail (printf "models.pvc.existingClaim is set and models.source is %q: set models.source to \"pvc\" or \"build\", or clear the claim" $models.source) -}}
{{- end -}}
{{- if and (ne $models.source "build") $models.build.items -}}
{{- fail (printf "models.build.items is set and models.source is %q: set models.source to \"build\", or clear the items" $models.source) -}}
{{- end -}}
{{- if eq $models.source "image" -}}{{- include "khulasa.validateImageVolume" . -}}{{- end -}}
{{- if eq $models.source "build" -}}{{- include "khulasa.validateBuild" . -}}{{- end -}}
{{- end -}}

{{- define "khulasa.validateImageVolume" -}}
{{- if not .Values.models.image.reference -}}
{{- fail "models.source is \"image\" and models.image.reference is empty: name the image that holds the bundles" -}}
{{- end -}}
{{- if semverCompare "<1.33.0-0" .Capabilities.KubeVersion.Version -}}
{{- fail (printf "models.source is \"image\", and Kubernetes %s has no image volumes: upgrade to 1.33 with the ImageVolume feature (on by itself from 1.35), or set models.source to \"pvc\"" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- end -}}

{{- define "khulasa.validateBuild" -}}
{{- $models := .Values.models -}}
{{- if $models.bundles -}}
{{- fail "models.source is \"build\" and models.bundles is set: what is built is served; clear models.bundles, or set models.source to \"pvc\"" -}}
{{- end -}}
{{- if not $models.build.items -}}
{{- fail "models.source is \"build\" and models.build.items is empty: say what to build" -}}
{{- end -}}
{{- if not $models.build.image -}}
{{- fail "models.source is \"build\" and models.build.image is empty: name an image of the server with the extra `convert`; the server's own cannot build" -}}
{{- end -}}
{{- if and (include "khulasa.oneNode" .) (include "khulasa.many" .) -}}
{{- fail "models.pvc.accessModes has no ReadWriteMany, so that one node alone can mount the models, and more than one replica is asked for: add ReadWriteMany, or set replicaCount to 1 and autoscaling.mode to \"none\"" -}}
{{- end -}}
{{- end -}}

{{- define "khulasa.validateSize" -}}
{{- $scaling := .Values.autoscaling -}}
{{- if include "khulasa.autoscaled" . -}}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
{{- fail (printf "autoscaling.minReplicas (%v) is more than autoscaling.maxReplicas (%v): lower one or raise the other" $scaling.minReplicas $scaling.maxReplicas) -}}
{{- end -}}
{{- if ge (float64 $scaling.targetQueueSeconds) (float64 .Values.server.queueSeconds) -}}
{{- fail (printf "autoscaling.targetQueueSeconds (%v) is not below server.queueSeconds (%v): calls would be refused before a pod is added; lower the target" $scaling.targetQueueSeconds .Values.server.queueSeconds) -}}
{{- end -}}
{{- end -}}
{{- if eq $scaling.mode "keda" -}}
{{- if not $scaling.keda.prometheusAddress -}}
{{- fail "autoscaling.mode is \"keda\" and autoscaling.keda.prometheusAddress is empty: say where Prometheus is" -}}
{{- end -}}
{{- if not (.Capabilities.APIVersions.Has "keda.sh/v1alpha1") -}}
{{- fail "autoscaling.mode is \"keda\", and the cluster has no keda.sh/v1alpha1: install KEDA, or set autoscaling.mode to \"hpa\" (helm template needs --api-versions keda.sh/v1alpha1)" -}}
{{- end -}}
{{- end -}}
{{- $resources := include "khulasa.resources" . | fromYaml -}}
{{- if not (or .Values.server.threads (dig "limits" "cpu" "" $resources) (dig "requests" "cpu" "" $resources)) -}}
{{- fail "resources names no CPU, neither as limit nor as request, so that nothing says how many threads to run: set resources.limits.cpu, or server.threads" -}}
{{- end -}}
{{- end -}}

{{- define "khulasa.validateAccess" -}}
{{- if and .Values.tls.clientCASecret (not .Values.tls.existingSecret) -}}
{{- fail "tls.clientCASecret is set and tls.existingSecret is empty: clients' certificates are only asked for under TLS; name the server's certificate" -}}
{{- end -}}
{{- if and .Values.auth.existingSecret (not .Values.tls.existingSecret) (not .Values.auth.allowPlaintext) -}}
{{- fail "auth.existingSecret is set without TLS, so that tokens would travel in the clear: set tls.existingSecret, or auth.allowPlaintext where a mesh encrypts" -}}
{{- end -}}
{{- if and .Values.test.enabled .Values.tls.clientCASecret (not .Values.test.clientCertificateSecret) -}}
{{- fail "tls.clientCASecret is set and `helm test` has no certificate: set test.clientCertificateSecret, or test.enabled to false" -}}
{{- end -}}
{{- if and .Values.test.enabled .Values.auth.existingSecret (not .Values.test.tokenSecret) -}}
{{- fail "auth.existingSecret is set and `helm test` has no token: set test.tokenSecret, or test.enabled to false" -}}
{{- end -}}
{{- if and .Values.server.otlpEndpoint .Values.networkPolicy.enabled (not .Values.networkPolicy.egress) -}}
{{- fail "server.otlpEndpoint is set and networkPolicy lets nothing out: name the collector and the cluster's DNS in networkPolicy.egress, or set networkPolicy.enabled to false" -}}
{{- end -}}
{{- if .Values.grpcRoute.enabled -}}
{{- if not .Values.grpcRoute.parentRefs -}}
{{- fail "grpcRoute.enabled is true and grpcRoute.parentRefs is empty: name the gateway" -}}
{{- end -}}
{{- if not (.Capabilities.APIVersions.Has "gateway.networking.k8s.io/v1") -}}
{{- fail "grpcRoute.enabled is true, and the cluster has no gateway.networking.k8s.io/v1: install the Gateway API, or set grpcRoute.enabled to false (helm template needs --api-versions gateway.networking.k8s.io/v1)" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "khulasa.validateEnvironment" -}}
{{- $settings := include "khulasa.settings" . | fromYaml -}}
{{- range .Values.extraEnv -}}
{{- if hasKey $settings .name -}}
{{- fail (printf "extraEnv sets %s, which the chart sets from other values: change that value instead (all are under server, models, tls and auth)" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
