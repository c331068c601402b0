{{/* The pod of a gateway, the same in the Deployment and the StatefulSet. */}}

{{- define "quarry.pod" -}}
metadata:
  labels:
    {{- merge (include "quarry.selectorLabels" . | fromYaml) .Values.podLabels .Values.commonLabels | toYaml | nindent 4 }}
  annotations:
    checksum/config: {{ default "" .Values.config | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "quarry.serviceAccountName" . }}
  automountServiceAccountToken: false
  # The variables that Kubernetes makes for services of names like quarry-x would be taken for settings.
  enableServiceLinks: false
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ include "quarry.graceSeconds" . }}
  securityContext:
    {{- include "quarry.podSecurity" . | nindent 4 }}
  {{- with .Values.initContainers }}
  initContainers:
    {{- include "quarry.restrictedContainers" (dict "root" $ "containers" .) | nindent 4 }}
  {{- end }}
  containers:
    {{- include "quarry.container" . | nindent 4 }}
    {{- with .Values.extraContainers }}
    {{- include "quarry.restrictedContainers" (dict "root" $ "containers" .) | nindent 4 }}
    {{- end }}
  {{- with include "quarry.volumes" . | trim }}
  volumes:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with include "quarry.placement" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "quarry.container" -}}
- name: quarryd
  image: {{ include "quarry.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [quarryd]
  {{- if .Values.quickstart }}
  args: [run, --quickstart, /var/lib/quarry]
  {{- else }}
  args: [run, --config, /etc/quarry/quarry.yaml]
  {{- end }}
  env:
    {{- include "quarry.env" . | nindent 4 }}
  {{- with .Values.extraEnvFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    - {name: grpc, containerPort: 7400}
    - {name: http, containerPort: 7480}
  startupProbe:
    httpGet: {path: /livez, port: http}
    {{- toYaml .Values.probes.startup | nindent 4 }}
  livenessProbe:
    httpGet: {path: /livez, port: http}
    {{- toYaml .Values.probes.liveness | nindent 4 }}
  readinessProbe:
    httpGet: {path: /readyz, port: http}
    {{- toYaml .Values.probes.readiness | nindent 4 }}
  {{- if .Values.preStopSeconds }}
  lifecycle:
    preStop:
      sleep: {seconds: {{ .Values.preStopSeconds }}}
  {{- end }}
  resources:
    {{- toYaml .Values.resources | nindent 4 }}
  securityContext:
    {{- include "quarry.containerSecurity" . | nindent 4 }}
  volumeMounts:
    {{- if not .Values.quickstart }}
    - {name: config, mountPath: /etc/quarry/quarry.yaml, subPath: quarry.yaml, readOnly: true}
    {{- end }}
    {{- if .Values.existingSecret.name }}
    - {name: secrets, mountPath: /etc/quarry/secrets, readOnly: true}
    {{- end }}
    - {name: data, mountPath: /var/lib/quarry}
    {{- with .Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Settings of the pod's surroundings. They win over the file; those of taste are left to it where it has them. */}}
{{- define "quarry.env" -}}
{{- $config := include "quarry.config" . | fromJson -}}
- {name: QUARRY_LISTEN_GRPC, value: {{ printf "%s:7400" .Values.listenAddress | quote }}}
- {name: QUARRY_LISTEN_HTTP, value: {{ printf "%s:7480" .Values.listenAddress | quote }}}
- {name: QUARRY_DATA_DIR, value: /var/lib/quarry}
{{- if not (default dict $config.log).format }}
- {name: QUARRY_LOG_FORMAT, value: json}
{{- end }}
{{- $peers := default dict $config.peers }}
{{- if not (or (include "quarry.sqlite" .) $peers.dns $peers.addresses) }}
- {name: QUARRY_PEERS_DNS, value: {{ printf "%s-peers.%s.svc:7400" (include "quarry.fullname" .) .Release.Namespace | quote }}}
{{- end }}
{{- $cpu := ternary "limits" "requests" (hasKey (default dict .Values.resources.limits) "cpu") }}
{{- if and (not (hasKey $config "loops")) (get (default dict (get .Values.resources $cpu)) "cpu") }}
- name: QUARRY_LOOPS
  valueFrom: {resourceFieldRef: {containerName: quarryd, resource: {{ $cpu }}.cpu, divisor: "1"}}
{{- end }}
{{- range $name, $key := .Values.existingSecret.env }}
- name: {{ $name }}
  valueFrom: {secretKeyRef: {name: {{ $.Values.existingSecret.name | quote }}, key: {{ $key | quote }}}}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "quarry.volumes" -}}
{{- if not .Values.quickstart }}
- name: config
  configMap: {name: {{ include "quarry.fullname" . }}}
{{- end }}
{{- with .Values.existingSecret.name }}
- name: secrets
  secret: {secretName: {{ . | quote }}, defaultMode: {{ ternary "0444" "0440" (kindIs "invalid" $.Values.securityContext.fsGroup) }}}
{{- end }}
{{- if not (include "quarry.sqlite" .) }}
- name: data
  emptyDir: {sizeLimit: 16Mi}
{{- else if .Values.persistence.existingClaim }}
- name: data
  persistentVolumeClaim: {claimName: {{ .Values.persistence.existingClaim | quote }}}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "quarry.placement" -}}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- $ours := dict "labelSelector" (dict "matchLabels" (include "quarry.selectorLabels" $ | fromYaml)) }}
  {{- range . }}
  - {{ ternary . (merge (deepCopy .) $ours) (hasKey . "labelSelector") | toYaml | nindent 4 | trim }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
