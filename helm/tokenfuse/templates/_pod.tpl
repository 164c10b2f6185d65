{{/* What every pod of this chart has in common. The argument of each is the root context. */}}

{{- define "tokenfuse.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "tokenfuse.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Settings that every process needs, one-shot commands included. Secrets are files below /run/secrets. */}}
{{- define "tokenfuse.env" -}}
- name: TOKENFUSE_BOOTSTRAP_SERVERS
  value: {{ required "kafka.bootstrapServers is required: the addresses of your Kafka brokers" .Values.kafka.bootstrapServers | quote }}
- name: TOKENFUSE_SECURITY_PROTOCOL
  value: {{ .Values.kafka.securityProtocol }}
{{- if hasPrefix "SASL" .Values.kafka.securityProtocol }}
- name: TOKENFUSE_SASL_MECHANISM
  value: {{ .Values.kafka.saslMechanism }}
{{- end }}
{{- if .Values.kafka.existingSecret }}
{{- with .Values.kafka.secretKeys.username }}
- name: TOKENFUSE_SASL_PLAIN_USERNAME_FILE
  value: /run/secrets/kafka/{{ . }}
{{- end }}
{{- with .Values.kafka.secretKeys.password }}
- name: TOKENFUSE_SASL_PLAIN_PASSWORD_FILE
  value: /run/secrets/kafka/{{ . }}
{{- end }}
{{- with .Values.kafka.secretKeys.ca }}
- name: TOKENFUSE_SSL_CAFILE
  value: /run/secrets/kafka/{{ . }}
{{- end }}
{{- with .Values.kafka.secretKeys.certificate }}
- name: TOKENFUSE_SSL_CERTFILE
  value: /run/secrets/kafka/{{ . }}
{{- end }}
{{- with .Values.kafka.secretKeys.key }}
- name: TOKENFUSE_SSL_KEYFILE
  value: /run/secrets/kafka/{{ . }}
{{- end }}
{{- end }}
- name: TOKENFUSE_TOPIC_PREFIX
  value: {{ .Values.topics.prefix | quote }}
- name: TOKENFUSE_REPLICATION_FACTOR
  value: {{ .Values.topics.replicationFactor | quote }}
- name: TOKENFUSE_SOURCE_PARTITIONS
  value: {{ .Values.topics.sourcePartitions | quote }}
- name: TOKENFUSE_DELTAS_PARTITIONS
  value: {{ .Values.topics.deltasPartitions | quote }}
- name: TOKENFUSE_STATE_DIR
  value: /var/lib/tokenfuse
- name: TOKENFUSE_RULES_DIR
  value: /etc/tokenfuse/rules
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "tokenfuse.volumeMounts" -}}
- {name: state, mountPath: /var/lib/tokenfuse}
- {name: tmp, mountPath: /tmp}
{{- if .Values.kafka.existingSecret }}
- {name: kafka, mountPath: /run/secrets/kafka, readOnly: true}
{{- end }}
{{- end }}

{{- define "tokenfuse.volumes" -}}
- name: state
  emptyDir: {sizeLimit: {{ .Values.stateSizeLimit }}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- if .Values.kafka.existingSecret }}
- name: kafka
  secret: {secretName: {{ .Values.kafka.existingSecret }}, defaultMode: 0440}
{{- end }}
{{- end }}

{{- define "tokenfuse.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}
