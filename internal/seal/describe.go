package seal

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// KeyDescription is what a KMS key is like, as far as sealing depends on it.
type KeyDescription struct {
	State     string // Enabled when it can be used
	Symmetric bool   // it encrypts and decrypts with one key, as data keys need
}

// DescribeKey reads what a KMS key, given by its id or ARN or by an alias, is
// like, and changes nothing.
func DescribeKey(ctx context.Context, on aws.Config, key string) (*KeyDescription, error) {
	client := kms.NewFromConfig(on)
	out, err := client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &key})
	if err != nil {
		return nil, fmt.Errorf("describe key %s: %w", key, err)
	}
	m := out.KeyMetadata
	return &KeyDescription{
		State:     string(m.KeyState),
		Symmetric: m.KeyUsage == types.KeyUsageTypeEncryptDecrypt && m.KeySpec == types.KeySpecSymmetricDefault,
	}, nil
}
