package seal

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// The first byte of a wrapped data key says by what it was wrapped: one that
// is only set wrongly is not taken for a damaged one.
const (
	byKMS    = 1
	byMaster = 2
)

// contextKey names the tenant in a data key's encryption context. template.yaml
// asks for it.
const contextKey = "posthorn:tenant"

// KMS wraps data keys with a symmetric key of AWS KMS. The tenant is their
// encryption context, without which KMS does not decrypt them.
type KMS struct {
	client *kms.Client
	key    string
}

// NewKMS returns the Wrapper for a KMS key, given by its id or ARN, or by an
// alias. It calls nothing.
func NewKMS(account aws.Config, key string) *KMS {
	return &KMS{client: kms.NewFromConfig(account), key: key}
}

// NewKey implements Wrapper.
func (k *KMS) NewKey(ctx context.Context, tenant string) (plain, wrapped []byte, err error) {
	out, err := k.client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{
		KeyId: &k.key, KeySpec: types.DataKeySpecAes256, EncryptionContext: map[string]string{contextKey: tenant},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("ask KMS: %w", err)
	}
	return out.Plaintext, append([]byte{byKMS}, out.CiphertextBlob...), nil
}

// Unwrap implements Wrapper. It names the key, as KMS advises: what any other
// key encrypted is refused, and is no damage, for the setting may be wrong.
func (k *KMS) Unwrap(ctx context.Context, tenant string, wrapped []byte) ([]byte, error) {
	switch {
	case len(wrapped) > 0 && wrapped[0] == byMaster:
		return nil, errors.New("it was wrapped by POSTHORN_SEAL_KEY or a key file, and a KMS key is set")
	case len(wrapped) < 2 || wrapped[0] != byKMS:
		return nil, ErrDamaged
	}
	out, err := k.client.Decrypt(ctx, &kms.DecryptInput{
		KeyId: &k.key, CiphertextBlob: wrapped[1:], EncryptionContext: map[string]string{contextKey: tenant},
	})
	if bad := (*types.InvalidCiphertextException)(nil); errors.As(err, &bad) {
		return nil, fmt.Errorf("%w: KMS does not take it for this tenant's", ErrDamaged)
	}
	if err != nil {
		return nil, fmt.Errorf("ask KMS: %w", err)
	}
	return out.Plaintext, nil
}
