//go:build tools

// Helm, for the tests of the chart: go.mod says which version, and this keeps it there.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
