{{/* What the schema cannot say. Each message tells what is wrong, and what to do. */}}

{{- define "quarry.check" -}}
{{- include "quarry.checkPasswords" . -}}
{{- include "quarry.checkReferences" . -}}
{{- include "quarry.checkEnvironment" . -}}
{{- include "quarry.checkReplicas" . -}}
{{- include "quarry.checkDisruption" . -}}
{{- include "quarry.checkUpdate" . -}}
{{- include "quarry.checkDrain" . -}}
{{- include "quarry.checkMonitor" . -}}
{{- end -}}

{{/* Before anything looks into it (quarry.config). */}}
{{- define "quarry.checkConfig" -}}
{{- $config := .Values.config -}}
{{- if and .Values.quickstart $config -}}
{{- fail "quickstart serves its own configuration: leave config out, or set quickstart to false" -}}
{{- end -}}
{{- if not (or .Values.quickstart $config) -}}
{{- fail "config is empty: write your quarry.yaml below `config: |`, or add --set-file config=quarry.yaml; --set quickstart=true serves the sample shop" -}}
{{- end -}}
{{- if $config -}}
{{- if not (kindIs "string" $config) -}}
{{- fail "config must be text: write `config: |` and indent the file below it. Helm sorts the keys of a map, and the order of shards counts" -}}
{{- end -}}
{{- $parsed := fromYaml $config -}}
{{- if hasKey $parsed "Error" -}}
{{- fail (printf "config is not YAML: %s" $parsed.Error) -}}
{{- end -}}
{{- if not (kindIs "map" $parsed.shards) -}}
{{- fail "config has no shards: it needs `shards:` with a database under each name; docs/configuration.md has every key" -}}
{{- end -}}
{{- range $name, $shard := $parsed.shards -}}
{{- if not (kindIs "map" $shard) -}}
{{- fail (printf "shards.%s in config is not a map: give it `postgres:` or `sqlite:`" $name) -}}
{{- end -}}
{{- $file := default "" (default dict $shard.sqlite).file -}}
{{- if and (hasPrefix "/" $file) (not (hasPrefix "/var/lib/quarry/" $file)) -}}
{{- fail (printf "shards.%s.sqlite.file in config is outside of the volume: write a name without a folder, it lies in /var/lib/quarry" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A ConfigMap is readable by many. */}}
{{- define "quarry.checkPasswords" -}}
{{- $config := include "quarry.config" . | fromJson -}}
{{- range $name, $shard := $config.shards -}}
{{- $postgres := default dict $shard.postgres -}}
{{- range $conninfo := prepend (default list $postgres.replicas) (default "" $postgres.primary) -}}
{{- if or (regexMatch "password\\s*=\\s*'?[^$'\\s]" $conninfo) (regexMatch "^postgres(ql)?://[^@/:]*:[^$@/][^@/]*@" $conninfo) -}}
{{- fail (printf "shards.%s in config holds a password in plain text: put it in a Secret, name that in existingSecret.name, and write ${file:/etc/quarry/secrets/KEY}, or ${env:NAME} with existingSecret.env" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $secret := default "" (default dict $config.tokens).secret -}}
{{- if and $secret (not (contains "${" $secret)) -}}
{{- fail "tokens.secret in config is plain text: put it in a Secret, name that in existingSecret.name, and write ${file:/etc/quarry/secrets/KEY}" -}}
{{- end -}}
{{- end -}}

{{/* A reference that nothing fills would end every pod at its start. Comments do not count; a `#` within quotes is taken for one, and what follows it
     is left to quarryd. */}}
{{- define "quarry.checkReferences" -}}
{{- $text := regexReplaceAll "(?m)(^|\\s)#.*$" (default "" .Values.config) "" | replace "$${" "" -}}
{{- $given := include "quarry.givenVariables" . | fromJsonArray -}}
{{- if not .Values.extraEnvFrom -}}
{{- range regexFindAll "\\$\\{env:[^}]+\\}" $text -1 | uniq -}}
{{- $name := trimPrefix "${env:" . | trimSuffix "}" -}}
{{- if not (has $name $given) -}}
{{- fail (printf "config refers to %s, which nothing gives: add `%s: KEY` to existingSecret.env, or the variable to extraEnv" . $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (contains "${file:/etc/quarry/secrets/" $text) (not .Values.existingSecret.name) -}}
{{- fail "config refers to a file below /etc/quarry/secrets, and there is none: set existingSecret.name to the Secret that has it" -}}
{{- end -}}
{{- if and .Values.existingSecret.env (not .Values.existingSecret.name) -}}
{{- fail "existingSecret.env takes keys of a Secret that is not named: set existingSecret.name" -}}
{{- end -}}
{{- end -}}

{{- define "quarry.checkEnvironment" -}}
{{- $where := dict "QUARRY_CONFIG" "config" "QUARRY_DATA_DIR" "persistence" "QUARRY_LISTEN_GRPC" "listenAddress" "QUARRY_LISTEN_HTTP" "listenAddress" -}}
{{- $_ := set $where "QUARRY_LOOPS" "`loops:` in config" -}}
{{- $_ = set $where "QUARRY_PEERS_DNS" "`peers: {dns: …}` in config" -}}
{{- $_ = set $where "QUARRY_LOG_FORMAT" "`log: {format: …}` in config" -}}
{{- $_ = set $where "QUARRY_DRAIN_TIMEOUT" "`drain_timeout:` in config" -}}
{{- range $name := include "quarry.givenVariables" . | fromJsonArray -}}
{{- if hasKey $where $name -}}
{{- fail (printf "%s sets %s, which the chart sets itself or must know: use %s" (ternary "existingSecret.env" "extraEnv" (hasKey $.Values.existingSecret.env $name)) $name (get $where $name)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "quarry.checkReplicas" -}}
{{- $scaled := .Values.autoscaling.enabled -}}
{{- $replicas := include "quarry.replicas" . | int -}}
{{- if include "quarry.sqlite" . -}}
{{- if $scaled -}}
{{- fail "autoscaling cannot be used over SQLite, where one process owns a file: set autoscaling.enabled to false, or move the shards to PostgreSQL" -}}
{{- end -}}
{{- if gt $replicas 1 -}}
{{- fail (printf "replicas is %d, and a SQLite file belongs to one process: set replicas to 1, or move the shards to PostgreSQL" $replicas) -}}
{{- end -}}
{{- else if or $scaled (gt $replicas 1) -}}
{{- $variable := or .Values.extraEnvFrom (has "QUARRY_TOKENS_SECRET" (include "quarry.givenVariables" . | fromJsonArray)) -}}
{{- if not (or $variable (default dict (include "quarry.config" . | fromJson).tokens).secret) -}}
{{- fail "several gateways need the same tokens.secret, or a page token of one is refused by the others: put 16 bytes or more in a Secret (kubectl create secret generic NAME --from-literal=tokens=\"$(openssl rand -hex 32)\"), set existingSecret.name, and write tokens: {secret: \"${file:/etc/quarry/secrets/tokens}\"} in config; or set replicas to 1" -}}
{{- end -}}
{{- end -}}
{{- if $scaled -}}
{{- include "quarry.checkAutoscaling" . -}}
{{- end -}}
{{- end -}}

{{- define "quarry.checkAutoscaling" -}}
{{- with .Values.autoscaling -}}
{{- if lt (int .maxReplicas) (int .minReplicas) -}}
{{- fail (printf "autoscaling.maxReplicas is %d, below autoscaling.minReplicas of %d: raise it, or lower the other" (int .maxReplicas) (int .minReplicas)) -}}
{{- end -}}
{{- if not (or .targetCPU .metrics) -}}
{{- fail "autoscaling has nothing to go by: set autoscaling.targetCPU, or autoscaling.metrics" -}}
{{- end -}}
{{- $resources := $.Values.resources -}}
{{- if and .targetCPU (not (or (default dict $resources.requests).cpu (default dict $resources.limits).cpu)) -}}
{{- fail "autoscaling.targetCPU is a percentage of a CPU request that is not set: set resources.requests.cpu" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A budget that lets no gateway go holds up every drain of a node for ever. */}}
{{- define "quarry.checkDisruption" -}}
{{- $gateways := ternary .Values.autoscaling.minReplicas (include "quarry.replicas" .) .Values.autoscaling.enabled | int -}}
{{- with .Values.podDisruptionBudget -}}
{{- $kept := int .minAvailable -}}
{{- if hasSuffix "%" (toString .minAvailable) -}}
{{- $kept = divf (mulf (trimSuffix "%" .minAvailable | float64) $gateways) 100 | ceil | int -}}
{{- end -}}
{{- if not .enabled -}}
{{- else if and (kindIs "invalid" .minAvailable) (kindIs "invalid" .maxUnavailable) -}}
{{- fail "podDisruptionBudget has neither maxUnavailable nor minAvailable, which lets no gateway go: set one of them, or enabled to false" -}}
{{- else if kindIs "invalid" .minAvailable -}}
{{- if has (toString .maxUnavailable) (list "0" "0%") -}}
{{- fail "podDisruptionBudget.maxUnavailable is 0, so no node with a gateway could ever be drained: set it to 1 or more" -}}
{{- end -}}
{{- else if ge $kept $gateways -}}
{{- fail (printf "podDisruptionBudget.minAvailable keeps %d of %d gateways, so no node with one could ever be drained: lower it, raise the number of gateways, or use maxUnavailable" $kept $gateways) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "quarry.checkUpdate" -}}
{{- $rolling := default dict .Values.updateStrategy.rollingUpdate -}}
{{- $none := list "0" "0%" -}}
{{- if and (not (include "quarry.sqlite" .)) (eq .Values.updateStrategy.type "RollingUpdate") (has (toString $rolling.maxUnavailable) $none) (has (toString $rolling.maxSurge) $none) -}}
{{- fail "updateStrategy.rollingUpdate has 0 for maxUnavailable and for maxSurge, so no gateway could be changed: set one of them to 1 or more" -}}
{{- end -}}
{{- end -}}

{{- define "quarry.checkMonitor" -}}
{{- with .Values.serviceMonitor -}}
{{- if and .enabled .scrapeTimeout (gt (include "quarry.seconds" .scrapeTimeout | int) (include "quarry.seconds" .interval | int)) -}}
{{- fail (printf "serviceMonitor.scrapeTimeout is %s, above the interval of %s, which Prometheus refuses: lower it, or set it to null" .scrapeTimeout .interval) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "quarry.checkDrain" -}}
{{- if and (kindIs "invalid" .Values.terminationGracePeriodSeconds) (contains "${" (toString (include "quarry.config" . | fromJson).drain_timeout)) -}}
{{- fail "drain_timeout in config is a reference, and the chart must know it to allow that time: write the duration itself, or set terminationGracePeriodSeconds above it and preStopSeconds together" -}}
{{- end -}}
{{- $grace := include "quarry.graceSeconds" . | int -}}
{{- $drain := include "quarry.drainSeconds" . | int -}}
{{- if le $grace $drain -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, and preStopSeconds with drain_timeout of config take %d: calls in flight would be killed. Set it above %d, or to null" $grace $drain $drain) -}}
{{- end -}}
{{- end -}}
