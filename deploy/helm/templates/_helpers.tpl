{{- define "batchkeeper.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- /* 50 characters: what is appended must fit into a label's 63. */ -}}
{{- define "batchkeeper.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "batchkeeper.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "batchkeeper.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "batchkeeper.selectorLabels" -}}
app.kubernetes.io/name: {{ include "batchkeeper.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "batchkeeper.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "batchkeeper.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: batchkeeper
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- /* Those of a pod: without the chart's version, so that only what changes a pod rolls it. */ -}}
{{- define "batchkeeper.podLabels" -}}
{{ include "batchkeeper.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: batchkeeper
{{- end }}

{{- define "batchkeeper.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "batchkeeper.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: name the account, or let serviceAccount.create be true" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "batchkeeper.image" -}}
{{- $repository := required "image.repository: name the image that you built from deploy/Dockerfile and pushed; none is published" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end }}

{{- /* The section of the daemon's configuration, or an empty one: {{ include "batchkeeper.section" (list . "http") | fromYaml }} */ -}}
{{- define "batchkeeper.section" -}}
{{- $root := index . 0 -}}
{{- toYaml (default (dict) (get $root.Values.config (index . 1))) -}}
{{- end }}

{{- define "batchkeeper.port" -}}
{{- $http := include "batchkeeper.section" (list . "http") | fromYaml -}}
{{- int (default 8080 $http.port) -}}
{{- end }}

{{- /* JSON {"list": […]}: the namespaces that batches may be in. */ -}}
{{- define "batchkeeper.workNamespaces" -}}
{{- $cluster := include "batchkeeper.section" (list . "cluster") | fromYaml -}}
{{- $runai := include "batchkeeper.section" (list . "runai") | fromYaml -}}
{{- if .Values.workNamespaces -}}
{{- dict "list" (uniq .Values.workNamespaces) | toJson -}}
{{- else if and (eq (toString $cluster.kind) "runai") $runai.project -}}
{{- dict "list" (list (printf "runai-%s" $runai.project)) | toJson -}}
{{- else -}}
{{- dict "list" (list .Release.Namespace) | toJson -}}
{{- end -}}
{{- end }}

{{- /* Whether a value is one of the words that the daemon takes for false; empty: it is not. */ -}}
{{- define "batchkeeper.no" -}}
{{- if has (lower (toString .)) (list "false" "off" "no" "f" "n" "0") -}}
true
{{- end -}}
{{- end }}

{{- /* Whether it keeps EE2's records, and no job of the cluster; empty: it does not. */ -}}
{{- define "batchkeeper.ee2" -}}
{{- $store := include "batchkeeper.section" (list . "store") | fromYaml -}}
{{- if eq (toString $store.layout) "ee2" -}}
true
{{- end -}}
{{- end }}

{{- /* Whether a volume of specs is watched; empty: none is. EE2's records have no specs. */ -}}
{{- define "batchkeeper.specs" -}}
{{- if and .Values.specs.enabled (not (include "batchkeeper.ee2" .)) -}}
true
{{- end -}}
{{- end }}

{{- /* Whether the API asks the cluster whose a token is; empty: it does not. */ -}}
{{- define "batchkeeper.tokenReview" -}}
{{- $api := include "batchkeeper.section" (list . "api") | fromYaml -}}
{{- $auth := include "batchkeeper.section" (list . "auth") | fromYaml -}}
{{- $review := default (dict) $auth.token_review -}}
{{- if not (or (include "batchkeeper.ee2" .) (include "batchkeeper.no" $api.enabled) (include "batchkeeper.no" $review.enabled)) -}}
true
{{- end -}}
{{- end }}

{{- /* The pod's own rights, merged with what the operator says. */ -}}
{{- define "batchkeeper.podSecurity" -}}
{{- $own := dict "runAsNonRoot" true "runAsUser" 10001 "runAsGroup" 10001 "fsGroup" 10001 "fsGroupChangePolicy" "OnRootMismatch" "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- toYaml (mergeOverwrite $own (deepCopy .Values.podSecurityContext)) -}}
{{- end }}

{{- define "batchkeeper.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* 52 characters: with its revision, which is a label of the pods, they are 63. */ -}}
{{- define "batchkeeper.mongodb" -}}
{{- printf "%s-mongodb" (include "batchkeeper.fullname" . | trunc 44 | trimSuffix "-") -}}
{{- end }}

{{- /* Two pods can't share a volume that one node may mount. */ -}}
{{- define "batchkeeper.alone" -}}
{{- if and (include "batchkeeper.specs" .) (not .Values.specs.existingClaim) (hasPrefix "ReadWriteOnce" .Values.specs.accessMode) -}}
true
{{- end -}}
{{- end }}
