package conformance

import (
	"bytes"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/stretchr/testify/require"
)

// tenantContext is the encryption context that internal/seal gives.
func tenantContext(tenant string) map[string]string {
	return map[string]string{"posthorn:tenant": tenant}
}

// newKey makes a symmetric key and returns its id and its ARN.
func (t *trial) newKey() (id, arn *string) {
	out, err := t.kms.CreateKey(t.ctx, &kms.CreateKeyInput{})
	require.NoError(t, err)
	return out.KeyMetadata.KeyId, out.KeyMetadata.Arn
}

// dataKey makes a data key for a tenant.
func (t *trial) dataKey(key *string, tenant string) *kms.GenerateDataKeyOutput {
	out, err := t.kms.GenerateDataKey(t.ctx, &kms.GenerateDataKeyInput{KeyId: key, KeySpec: types.DataKeySpecAes256, EncryptionContext: tenantContext(tenant)})
	require.NoError(t, err)
	return out
}

func (t *trial) decrypt(key *string, blob []byte, context map[string]string) (*kms.DecryptOutput, error) {
	return t.kms.Decrypt(t.ctx, &kms.DecryptInput{KeyId: key, CiphertextBlob: blob, EncryptionContext: context})
}

func keyChecks() []check {
	return []check{
		{
			on: onKMS, name: "a data key of AES_256 has 32 bytes, another each time, and is decrypted in its context", source: kmsAPI + "GenerateDataKey.html",
			run: func(t *trial) {
				id, arn := t.newKey()
				first, second := t.dataKey(id, "acme"), t.dataKey(arn, "acme")
				require.Equal(t, []string{*arn, *arn}, []string{*first.KeyId, *second.KeyId})
				require.Len(t, first.Plaintext, 32)
				require.NotEqual(t, first.Plaintext, second.Plaintext)
				require.False(t, bytes.Contains(first.CiphertextBlob, first.Plaintext))
				for _, key := range []*string{id, arn, nil} {
					out, err := t.decrypt(key, first.CiphertextBlob, tenantContext("acme"))
					require.NoError(t, err)
					require.Equal(t, first.Plaintext, out.Plaintext)
					require.Equal(t, *arn, *out.KeyId)
				}
			},
		},
		{
			on: onKMS, name: "a data key is not decrypted in another context, or in none", source: kmsAPI + "Decrypt.html",
			run: func(t *trial) {
				id, _ := t.newKey()
				blob := t.dataKey(id, "acme").CiphertextBlob
				for name, context := range map[string]map[string]string{
					"another tenant": tenantContext("other"), "another case": tenantContext("Acme"), "none": nil,
					"more": {"posthorn:tenant": "acme", "x": "y"}, "another name": {"tenant": "acme"},
				} {
					_, err := t.decrypt(id, blob, context)
					var bad *types.InvalidCiphertextException
					require.ErrorAs(t, err, &bad, name)
				}
			},
		},
		{
			on: onKMS, name: "what was damaged is not decrypted", source: kmsAPI + "Decrypt.html",
			run: func(t *trial) {
				id, _ := t.newKey()
				blob := t.dataKey(id, "acme").CiphertextBlob
				blob[len(blob)-1] ^= 1
				for _, damaged := range [][]byte{blob, blob[:len(blob)-8]} {
					_, err := t.decrypt(id, damaged, tenantContext("acme"))
					var bad *types.InvalidCiphertextException
					require.ErrorAs(t, err, &bad)
				}
			},
		},
		{
			on: onKMS, name: "what was never encrypted is not decrypted", source: kmsAPI + "Decrypt.html",
			run: func(t *trial) {
				id, _ := t.newKey()
				_, err := t.decrypt(id, []byte("never encrypted"), tenantContext("acme"))
				var bad *types.InvalidCiphertextException
				require.ErrorAs(t, err, &bad)
			},
		},
		{
			on: onKMS, name: "what another key has encrypted is refused, and not taken for damaged", source: kmsAPI + "Decrypt.html",
			run: func(t *trial) {
				id, _ := t.newKey()
				other, _ := t.newKey()
				_, err := t.decrypt(other, t.dataKey(id, "acme").CiphertextBlob, tenantContext("acme"))
				var wrong *types.IncorrectKeyException
				require.ErrorAs(t, err, &wrong)
			},
		},
		{
			on: onKMS, name: "a key that is not there is not found", source: kmsAPI + "GenerateDataKey.html",
			run: func(t *trial) {
				id, _ := t.newKey()
				none := "00000000-0000-4000-8000-000000000000"
				_, err := t.kms.GenerateDataKey(t.ctx, &kms.GenerateDataKeyInput{KeyId: &none, KeySpec: types.DataKeySpecAes256})
				var missing *types.NotFoundException
				require.ErrorAs(t, err, &missing)
				_, err = t.decrypt(&none, t.dataKey(id, "acme").CiphertextBlob, tenantContext("acme"))
				require.ErrorAs(t, err, &missing)
			},
		},
	}
}
