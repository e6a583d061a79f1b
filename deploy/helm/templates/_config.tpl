{{- /* config.yaml: what the operator says, and what the chart alone knows. */ -}}
{{- define "batchkeeper.config" -}}
{{- include "batchkeeper.refuse" . -}}
{{- $namespaces := (include "batchkeeper.workNamespaces" . | fromJson).list -}}
{{- $own := dict -}}
{{- $_ := set $own "namespace" (first $namespaces) -}}
{{- $_ := set $own "state_dir" "/var/lib/batchkeeper" -}}
{{- $_ := set $own "specs" (dict "folder" (ternary "/specs" nil (eq (include "batchkeeper.specs" .) "true"))) -}}
{{- $_ := set $own "policy" (dict "namespaces" (rest $namespaces)) -}}
{{- $_ := set $own "http" (dict "host" "0.0.0.0" "port" 8080) -}}
{{- $_ := set $own "log" (dict "format" "json") -}}
{{- if .Values.staticTokens.secret -}}
{{- $_ := set $own "auth" (dict "static" (dict "file" "/etc/batchkeeper-tokens/tokens")) -}}
{{- end -}}
{{- /* A section of comments only is null, and says nothing: it takes away nothing of what is said here. */ -}}
{{- $told := deepCopy .Values.config -}}
{{- range $key, $value := $own -}}
{{- $said := get $told $key -}}
{{- if and (hasKey $told $key) (kindIs "invalid" $said) -}}
{{- $_ := unset $told $key -}}
{{- else if and (kindIs "map" $value) (kindIs "map" $said) -}}
{{- range $inner := keys $value -}}
{{- if and (hasKey $said $inner) (kindIs "invalid" (get $said $inner)) -}}
{{- $_ := unset $said $inner -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml (mergeOverwrite $own $told) -}}
{{- end }}

{{- /* Keys whose values the chart must know: said twice, they could differ. */ -}}
{{- define "batchkeeper.refuse" -}}
{{- $instead := dict
  "namespace" "set workNamespaces, whose first it is"
  "policy.namespaces" "set workNamespaces"
  "state_dir" "leave it out"
  "specs.folder" "set specs.enabled: the volume is mounted where the daemon looks"
  "store.uri" "put it into a Secret and name that in mongodb.secret.name"
  "store.mongod" "set mongodb.secret.name, or mongodb.trial.enabled"
  "notifications.url" "it is a secret: mount it by extraVolumes and name it in config.notifications.url_file"
  "http.enabled" "leave it out: the probes need it"
  "auth.static" "set staticTokens.secret"
  "kubernetes.kubeconfig" "leave it out: the pod has a service account"
  "kubernetes.context" "leave it out: the pod has a service account"
  "local" "leave it out: it is for jobs on one machine"
-}}
{{- range $key, $remedy := $instead -}}
{{- $inner := $.Values.config -}}
{{- $there := true -}}
{{- range splitList "." $key -}}
{{- if and $there (kindIs "map" $inner) (hasKey $inner .) -}}
{{- $inner = get $inner . -}}
{{- else -}}
{{- $there = false -}}
{{- end -}}
{{- end -}}
{{- if $there -}}
{{- fail (printf "config.%s is not for values: %s" $key $remedy) -}}
{{- end -}}
{{- end -}}
{{- $cluster := include "batchkeeper.section" (list . "cluster") | fromYaml -}}
{{- if not (has (toString $cluster.kind) (list "kubernetes" "runai")) -}}
{{- fail "config.cluster.kind: a pod runs jobs on its cluster: say kubernetes or runai" -}}
{{- end -}}
{{- $http := include "batchkeeper.section" (list . "http") | fromYaml -}}
{{- if has (toString $http.host) (list "127.0.0.1" "localhost" "::1") -}}
{{- fail (printf "config.http.host is %s, where no probe and no Service reaches it: leave it out" $http.host) -}}
{{- end -}}
{{- if and (hasKey $http "port") (not (kindIs "invalid" $http.port)) (not $http.port) -}}
{{- fail "config.http.port is 0, any free one, which no probe and no Service finds: leave it out" -}}
{{- end -}}
{{- if and (include "batchkeeper.specs" .) (not .Values.specs.existingClaim) (not .Values.specs.readOnly) (eq .Values.specs.accessMode "ReadOnlyMany") -}}
{{- fail "specs.accessMode is ReadOnlyMany, and no status can be written there: set specs.readOnly=true, or use ReadWriteMany" -}}
{{- end -}}
{{- if and (include "batchkeeper.alone" .) (gt (int .Values.replicas) 1) -}}
{{- fail (printf "specs.accessMode is %s, which one pod can mount: set replicas to 1, or use ReadWriteMany" .Values.specs.accessMode) -}}
{{- end -}}
{{- end }}
