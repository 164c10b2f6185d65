{{/*
The pod template of one role.
Arguments: root (the root context), role, resources, and optionally env, volumeMounts, volumes (YAML texts) and
annotations (a map).
*/}}
{{- define "tokenfuse.rolePod" -}}
{{- $root := .root -}}
metadata:
  labels:
    {{- include "tokenfuse.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
    {{- with $root.Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with merge (dict) (.annotations | default dict) $root.Values.podAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "tokenfuse.serviceAccountName" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $root.Values.terminationGracePeriodSeconds }}
  securityContext: {{- include "tokenfuse.podSecurity" $root | nindent 4 }}
  {{- with include "tokenfuse.placement" $root }}
  {{- . | trim | nindent 2 }}
  {{- end }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "tokenfuse.selector" $root | nindent 10 }}
          app.kubernetes.io/component: {{ .role }}
  containers:
    - name: {{ .role }}
      image: {{ include "tokenfuse.image" $root | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [run, --role, {{ .role }}]
      env:
        {{- include "tokenfuse.env" $root | nindent 8 }}
        # Static membership: a pod that comes back with its name takes its partitions up at once.
        - name: TOKENFUSE_INSTANCE_ID
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        - name: TOKENFUSE_HOST
          value: "0.0.0.0"
        - name: TOKENFUSE_PORT
          value: {{ $root.Values.port | quote }}
        {{- with .env }}
        {{- . | nindent 8 }}
        {{- end }}
      ports:
        - {name: http, containerPort: {{ $root.Values.port }}}
      # Live does not depend on Kafka. Ready waits for partitions and recovery, so the start has minutes.
      startupProbe:
        httpGet: {path: /livez, port: http}
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /livez, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 5
        timeoutSeconds: 5
      resources: {{- toYaml .resources | nindent 8 }}
      securityContext: {{- include "tokenfuse.containerSecurity" $root | nindent 8 }}
      volumeMounts:
        {{- include "tokenfuse.volumeMounts" $root | nindent 8 }}
        {{- with .volumeMounts }}
        {{- . | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "tokenfuse.volumes" $root | nindent 4 }}
    {{- with .volumes }}
    {{- . | nindent 4 }}
    {{- end }}
{{- end }}
