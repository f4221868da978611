// Package kms is a development stand-in for AWS KMS: an [http.Handler] that
// speaks the service's AWS JSON 1.1 protocol, so that the AWS SDKs and the AWS
// CLI talk to it as they talk to the service, and keeps its keys in a
// [store.DB].
//
// It has symmetric keys and what encrypts with them: CreateKey, DescribeKey,
// GenerateDataKey, Encrypt and Decrypt, with the service's documented
// semantics, limits, error codes and error texts. The rest (aliases, other kinds
// of key, grants, policies, tags, rotation, deletion) is refused with an error
// that says so; nothing is accepted and ignored. Signatures are not checked.
//
// Keys are in the store as they are: it is as secret as its folder. A key is
// stored under
//
//	kms/k/<key id>    creation, description and 32 bytes of key material, JSON
//
// A ciphertext is a version byte, the 16 bytes of the key's id, and what
// AES-256-GCM makes of the plaintext with the encryption context as additional
// data.
package kms
