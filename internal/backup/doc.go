// Package backup keeps dead letters in files, one a line as the API shows them, and
// sends them again from there, to the Posthorn they came from or to another one.
// Both go on where they stopped when they are interrupted.
package backup
