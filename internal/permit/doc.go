// Package permit holds the AWS calls that functions make against what the
// template's roles allow, in tests. It stands between an SDK client and its
// service, refuses what IAM would, and keeps which permissions were used, so
// that those that nobody needs come to light.
//
// It knows as much of IAM as the template uses, and refuses to read the rest.
package permit
