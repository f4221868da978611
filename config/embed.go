// Package configfiles holds the built-in copy of the files in this folder, so
// that a program without a config folder beside it starts all the same.
package configfiles

import "embed"

// FS holds retry.yaml, webhooks.yaml and queue.yaml as they were at build time.
//
//go:embed retry.yaml webhooks.yaml queue.yaml
var FS embed.FS
