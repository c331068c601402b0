{{/* Names and labels. Names leave room for the longest suffix. */}}

{{- define "quarry.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "quarry.fullname" -}}
{{- $name := include "quarry.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "quarry.selectorLabels" -}}
app.kubernetes.io/name: {{ include "quarry.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "quarry.testLabels" -}}
{{- merge (dict "app.kubernetes.io/component" "test") (include "quarry.selectorLabels" . | fromYaml) | toYaml -}}
{{- end -}}

{{/* Labels of everything. Takes (dict "root" $ "component" "…"). */}}
{{- define "quarry.labels" -}}
{{- $own := include "quarry.selectorLabels" .root | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/component" (default "gateway" .component) -}}
{{- $_ = set $own "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ = set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ = set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{- merge $own .root.Values.commonLabels | toYaml -}}
{{- end -}}

{{- define "quarry.image" -}}
{{- with .Values.image -}}
{{- if .registry }}{{ trimSuffix "/" .registry }}/{{ end }}{{ .repository -}}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "quarry.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "quarry.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* What `config` says, checked and parsed: to look at, never to render. */}}
{{- define "quarry.config" -}}
{{- include "quarry.checkConfig" . -}}
{{- if .Values.config }}{{ fromYaml .Values.config | toJson }}{{ else }}{}{{ end -}}
{{- end -}}

{{/* Names of the variables that the values name, as a JSON list; what extraEnvFrom brings is not known. */}}
{{- define "quarry.givenVariables" -}}
{{- $given := keys .Values.existingSecret.env -}}
{{- range .Values.extraEnv }}{{ $given = append $given .name }}{{ end -}}
{{- toJson $given -}}
{{- end -}}

{{/* "true" where a shard is a SQLite file. */}}
{{- define "quarry.sqlite" -}}
{{- $found := .Values.quickstart -}}
{{- range $shard := (include "quarry.config" . | fromJson).shards -}}
{{- if hasKey $shard "sqlite" }}{{ $found = true }}{{ end -}}
{{- end -}}
{{- if $found }}true{{ end -}}
{{- end -}}

{{- define "quarry.replicas" -}}
{{- if kindIs "invalid" .Values.replicas -}}
{{- ternary 1 2 (eq (include "quarry.sqlite" .) "true") -}}
{{- else -}}
{{- int .Values.replicas -}}
{{- end -}}
{{- end -}}

{{/* Seconds of a duration such as 1h30m or 500ms, rounded up. */}}
{{- define "quarry.seconds" -}}
{{- $milliseconds := dict "y" 31536000000 "w" 604800000 "d" 86400000 "h" 3600000 "m" 60000 "s" 1000 "ms" 1 "us" 0.001 "ns" 0.000001 -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9.]+(y|w|d|h|ms|us|ns|m|s)" (toString .) -1 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- $sum = addf $sum (mulf (trimSuffix $unit . | float64) (get $milliseconds $unit)) -}}
{{- end -}}
{{- divf $sum 1000 | ceil | int -}}
{{- end -}}

{{/* Pause before SIGTERM, and the longest drain after it. */}}
{{- define "quarry.drainSeconds" -}}
{{- $config := include "quarry.config" . | fromJson -}}
{{- add .Values.preStopSeconds (include "quarry.seconds" (default "30s" $config.drain_timeout) | int) -}}
{{- end -}}

{{- define "quarry.graceSeconds" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- add (include "quarry.drainSeconds" .) 10 -}}
{{- else -}}
{{- int .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}

{{/* What Kubernetes' `restricted` pod security standard asks, and a read-only root besides. */}}
{{- define "quarry.podSecurity" -}}
{{- $own := dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- range $key, $id := .Values.securityContext -}}
{{- if not (kindIs "invalid" $id) }}{{ $_ := set $own $key (int64 $id) }}{{ end -}}
{{- end -}}
{{- if $own.fsGroup }}{{ $_ := set $own "fsGroupChangePolicy" "OnRootMismatch" }}{{ end -}}
{{- toYaml $own -}}
{{- end -}}

{{- define "quarry.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Containers of the user's, restricted in what they leave out. */}}
{{- define "quarry.restrictedContainers" -}}
{{- $containers := list -}}
{{- range .containers -}}
{{- $security := include "quarry.containerSecurity" $.root | fromYaml -}}
{{- $own := dict "securityContext" $security -}}
{{- $containers = append $containers (mergeOverwrite $own (deepCopy .)) -}}
{{- end -}}
{{- toYaml $containers -}}
{{- end -}}
