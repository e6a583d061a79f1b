//go:build tools

// What the benchmarks run beside Batchkeeper; this file keeps it in go.mod.
package tools

import _ "sigs.k8s.io/kueue/cmd/kueue"
