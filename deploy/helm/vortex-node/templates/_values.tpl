{{- /* Lays the values over a StatefulSet; prints nothing. */ -}}
{{- define "vortex-node.stateful-set" -}}
{{- $object := index . 0 }}{{ $values := index . 1 }}
{{- $pod := $object.spec.template.spec }}
{{- range $container := concat $pod.initContainers $pod.containers }}
{{- $name := $values.image.repository | default (regexReplaceAll ":[^:/]*$" $container.image "") }}
{{- $tag := $values.image.tag | toString | default (last (splitList ":" $container.image)) }}
{{- $_ := set $container "image" (printf "%s:%s" $name $tag) }}
{{- if and (eq $container.name "vortex-node") $values.resources }}
{{- $_ := set $container "resources" (mergeOverwrite $container.resources $values.resources) }}
{{- end }}
{{- end }}
{{- if $values.image.pullSecrets }}
{{- $secrets := list }}
{{- range $values.image.pullSecrets }}{{ $secrets = append $secrets (dict "name" .) }}{{ end }}
{{- $_ := set $pod "imagePullSecrets" $secrets }}
{{- end }}
{{- if ne $values.replicas nil }}{{ $_ := set $object.spec "replicas" $values.replicas }}{{ end }}
{{- with $values.terminationGracePeriodSeconds }}{{ $_ := set $pod "terminationGracePeriodSeconds" . }}{{ end }}
{{- if or $values.settings $values.terminationGracePeriodSeconds }}
{{- $_ := set $object.spec.template.metadata.annotations "vortex-node/settings" (list $values.settings $values.terminationGracePeriodSeconds | toJson | sha256sum) }}
{{- end }}
{{- range $claim := $object.spec.volumeClaimTemplates }}
{{- with $values.storage.className }}{{ $_ := set $claim.spec "storageClassName" . }}{{ end }}
{{- with get $values.storage $claim.metadata.name }}{{ $_ := set $claim.spec.resources.requests "storage" . }}{{ end }}
{{- end }}
{{- end }}

{{- /* Lays the values over a ScaledObject; prints nothing. */ -}}
{{- define "vortex-node.scaled-object" -}}
{{- $object := index . 0 }}{{ $values := index . 1 }}
{{- with $values.prometheus }}
{{- range $trigger := $object.spec.triggers }}
{{- if eq $trigger.type "prometheus" }}{{ $_ := set $trigger.metadata "serverAddress" $values.prometheus }}{{ end }}
{{- end }}
{{- end }}
{{- with $values.minReplicas }}{{ $_ := set $object.spec "minReplicaCount" . }}{{ end }}
{{- with $values.maxReplicas }}{{ $_ := set $object.spec "maxReplicaCount" . }}{{ end }}
{{- end }}

{{- /* Lays the values over a PrometheusRule; prints nothing. */ -}}
{{- define "vortex-node.rules" -}}
{{- $object := index . 0 }}{{ $values := index . 1 }}
{{- with $values.monitoring.runbook }}
{{- range $group := $object.spec.groups }}{{ range $rule := $group.rules }}
{{- $_ := set $rule.annotations "runbook_url" (replace "deploy/RUNBOOK.md" $values.monitoring.runbook $rule.annotations.runbook_url) }}
{{- end }}{{ end }}
{{- end }}
{{- end }}
