// Package monitoring holds the rules and dashboards of deploy/ against the
// metrics that Posthorn exports: Prometheus's own parser reads them, and what they
// name has to be there. It is tests only, in a module of its own, since nothing
// that runs needs Prometheus.
package monitoring
