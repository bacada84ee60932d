{{- /* Names are fixed: there is one installation in a namespace. */ -}}

{{- define "vamp.labels" -}}
app.kubernetes.io/name: vamp
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- end }}

{{- define "vamp.selector" -}}
app.kubernetes.io/name: vamp
app.kubernetes.io/component: {{ . }}
{{- end }}

{{- define "vamp.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- /* Where pods run, and as whom. `pod` is their part of the values. */ -}}
{{- define "vamp.pod" -}}
# A thousand gateways are a thousand Services, and seven variables for each.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
  {{- if .lowPorts }}
  sysctls:
    - {name: net.ipv4.ip_unprivileged_port_start, value: "0"}
  {{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* What every container needs. */ -}}
{{- define "vamp.container" -}}
image: {{ include "vamp.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
env:
  - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
  - {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
  - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
  {{- with .pod.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .pod.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Flags of the agent, wherever it runs. */ -}}
{{- define "vamp.agentFlags" -}}
- --token-file=/var/run/secrets/vamp.io/token
- --ca-file=/var/run/secrets/vamp.io/ca.crt
- --data-dir=/var/lib/vamp
- --drain-timeout={{ .root.Values.agent.drainSeconds }}s
{{- with .controller }}
- --controller={{ . }}
{{- end }}
{{- end }}

{{- define "vamp.agentMounts" -}}
- {name: cache, mountPath: /var/lib/vamp}
- {name: trust, mountPath: /var/run/secrets/vamp.io, readOnly: true}
{{- end }}

{{- /* The certificate may come later than the pod: the controller makes it. */ -}}
{{- define "vamp.agentVolumes" -}}
- name: cache
  {{- toYaml .Values.agent.cacheVolume | nindent 2 }}
- name: trust
  projected:
    sources:
      {{- if .Values.tokenSecret }}
      - secret: {name: {{ .Values.tokenSecret }}, items: [{key: agent, path: token}]}
      {{- else }}
      - serviceAccountToken: {path: token, audience: vamp, expirationSeconds: 3600}
      {{- end }}
      - configMap: {name: vamp-ca, optional: true}
{{- end }}
