{{- define "mentalllama.labels" -}}
app.kubernetes.io/name: mentalllama
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "mentalllama.selector" -}}
app.kubernetes.io/name: mentalllama
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* An image by its digest, where one is given, else by its tag. */ -}}
{{- define "mentalllama.image" -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag }}{{ end }}
{{- end }}

{{- define "mentalllama.podSecurity" -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "mentalllama.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "mentalllama.check" -}}
{{- if and (gt (int .Values.gpus) 0) (lt (int .Values.gpus) (int .Values.tensorParallel)) }}
{{- fail (printf "gpus (%v) must be at least tensorParallel (%v)" .Values.gpus .Values.tensorParallel) }}
{{- end }}
{{- if and (gt (int .Values.tensorParallel) 1) (eq (int .Values.gpus) 0) }}
{{- fail "tensorParallel needs gpus" }}
{{- end }}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) }}
{{- fail "autoscaling.minReplicas must be at most autoscaling.maxReplicas" }}
{{- end }}
{{- end }}
