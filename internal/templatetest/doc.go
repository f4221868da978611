// Package templatetest holds the deployment template against the code: what
// one says twice has to be the same. It is tests only.
package templatetest
