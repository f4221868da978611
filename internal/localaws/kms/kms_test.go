package kms_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/localaws/inproc"
	"posthorn/internal/localaws/kms"
	"posthorn/internal/localaws/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.UnixMilli(1_800_000_000_123).UTC()

// open returns an SDK client of a server on a store.
func open(t *testing.T, db *store.DB) *sdk.Client {
	t.Helper()
	server, err := kms.New(kms.Options{Store: db, Now: func() time.Time { return epoch }})
	require.NoError(t, err)
	return sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: aws.String("http://kms.test"), HTTPClient: inproc.Client(server), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
}

func setup(t *testing.T) *sdk.Client {
	t.Helper()
	db, err := store.OpenMemory()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return open(t, db)
}

// createKey returns a new key's id.
func createKey(t *testing.T, c *sdk.Client) *string {
	t.Helper()
	out, err := c.CreateKey(t.Context(), &sdk.CreateKeyInput{})
	require.NoError(t, err)
	return out.KeyMetadata.KeyId
}

func TestAKeyIsDescribedAsTheServiceDoes(t *testing.T) {
	t.Parallel()
	c := setup(t)
	created, err := c.CreateKey(t.Context(), &sdk.CreateKeyInput{
		Description: aws.String("secrets"), KeySpec: types.KeySpecSymmetricDefault, KeyUsage: types.KeyUsageTypeEncryptDecrypt, Origin: types.OriginTypeAwsKms,
	})
	require.NoError(t, err)
	m := created.KeyMetadata
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, *m.KeyId)
	require.Equal(t, &types.KeyMetadata{
		AWSAccountId: aws.String("000000000000"), Arn: aws.String("arn:aws:kms:us-east-1:000000000000:key/" + *m.KeyId), CreationDate: aws.Time(epoch),
		CustomerMasterKeySpec: types.CustomerMasterKeySpecSymmetricDefault, Description: aws.String("secrets"), Enabled: true,
		EncryptionAlgorithms: []types.EncryptionAlgorithmSpec{types.EncryptionAlgorithmSpecSymmetricDefault}, KeyId: m.KeyId,
		KeyManager: types.KeyManagerTypeCustomer, KeySpec: types.KeySpecSymmetricDefault, KeyState: types.KeyStateEnabled,
		KeyUsage: types.KeyUsageTypeEncryptDecrypt, MultiRegion: aws.Bool(false), Origin: types.OriginTypeAwsKms,
	}, m)
	for _, name := range []*string{m.KeyId, m.Arn} {
		described, err := c.DescribeKey(t.Context(), &sdk.DescribeKeyInput{KeyId: name})
		require.NoError(t, err)
		require.Equal(t, m, described.KeyMetadata)
	}
	require.NotEqual(t, m.KeyId, createKey(t, c), "each is another one")
}

func TestADataKeyIsDecryptedInItsContextAlone(t *testing.T) {
	t.Parallel()
	c := setup(t)
	key := createKey(t, c)
	in := map[string]string{"tenant": "acme", "of": "x"}
	made, err := c.GenerateDataKey(t.Context(), &sdk.GenerateDataKeyInput{KeyId: key, KeySpec: types.DataKeySpecAes256, EncryptionContext: in})
	require.NoError(t, err)
	require.Len(t, made.Plaintext, 32)
	require.Equal(t, "arn:aws:kms:us-east-1:000000000000:key/"+*key, *made.KeyId)
	require.NotContains(t, string(made.CiphertextBlob), string(made.Plaintext))

	for _, given := range []*string{nil, key, made.KeyId} {
		out, err := c.Decrypt(t.Context(), &sdk.DecryptInput{KeyId: given, CiphertextBlob: made.CiphertextBlob, EncryptionContext: map[string]string{"of": "x", "tenant": "acme"}})
		require.NoError(t, err)
		require.Equal(t, made.Plaintext, out.Plaintext)
		require.Equal(t, made.KeyId, out.KeyId)
		require.Equal(t, types.EncryptionAlgorithmSpecSymmetricDefault, out.EncryptionAlgorithm)
	}
	for name, other := range map[string]map[string]string{
		"none": nil, "a part": {"tenant": "acme"}, "another value": {"tenant": "acme", "of": "y"}, "another name": {"tenant": "acme", "Of": "x"},
		"more": {"tenant": "acme", "of": "x", "and": ""}, "run together": {"ofx": "tenantacme"},
	} {
		_, err := c.Decrypt(t.Context(), &sdk.DecryptInput{KeyId: key, CiphertextBlob: made.CiphertextBlob, EncryptionContext: other})
		var bad *types.InvalidCiphertextException
		require.ErrorAs(t, err, &bad, name)
		require.Empty(t, bad.ErrorMessage(), "the service says no more")
	}
}

func TestSizesOfDataKeys(t *testing.T) {
	t.Parallel()
	c := setup(t)
	key := createKey(t, c)
	for _, in := range []*sdk.GenerateDataKeyInput{{KeySpec: types.DataKeySpecAes128}, {NumberOfBytes: aws.Int32(16)}} {
		in.KeyId = key
		out, err := c.GenerateDataKey(t.Context(), in)
		require.NoError(t, err)
		require.Len(t, out.Plaintext, 16)
	}
}

func TestWhatIsEncryptedIsDecrypted(t *testing.T) {
	t.Parallel()
	c := setup(t)
	key := createKey(t, c)
	for _, plain := range [][]byte{{0}, bytes.Repeat([]byte("x"), 4096)} {
		sealed, err := c.Encrypt(t.Context(), &sdk.EncryptInput{KeyId: key, Plaintext: plain})
		require.NoError(t, err)
		out, err := c.Decrypt(t.Context(), &sdk.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
		require.NoError(t, err)
		require.Equal(t, plain, out.Plaintext)
	}
}

func TestNoFlippedBitIsDecrypted(t *testing.T) {
	t.Parallel()
	c := setup(t)
	sealed, err := c.Encrypt(t.Context(), &sdk.EncryptInput{KeyId: createKey(t, c), Plaintext: []byte("p")})
	require.NoError(t, err)
	for bit := range len(sealed.CiphertextBlob) * 8 {
		blob := bytes.Clone(sealed.CiphertextBlob)
		blob[bit/8] ^= 1 << (bit % 8)
		_, err := c.Decrypt(t.Context(), &sdk.DecryptInput{CiphertextBlob: blob})
		require.Error(t, err, "bit %d", bit)
	}
}

func TestRefusalsAreTheServices(t *testing.T) {
	t.Parallel()
	c := setup(t)
	key, other := createKey(t, c), createKey(t, c)
	sealed, err := c.Encrypt(t.Context(), &sdk.EncryptInput{KeyId: key, Plaintext: []byte("p")})
	require.NoError(t, err)
	foreign, err := setup(t).CreateKey(t.Context(), &sdk.CreateKeyInput{})
	require.NoError(t, err)
	gone := *foreign.KeyMetadata.KeyId
	ofGone := bytes.Clone(sealed.CiphertextBlob)
	ofGone[1] ^= 1

	const arn = "arn:aws:kms:us-east-1:000000000000:"
	describe := func(id string) func() error {
		return func() error {
			_, err := c.DescribeKey(t.Context(), &sdk.DescribeKeyInput{KeyId: &id})
			return err
		}
	}
	generate := func(in sdk.GenerateDataKeyInput) func() error {
		return func() error {
			if in.KeyId == nil {
				in.KeyId = key
			}
			_, err := c.GenerateDataKey(t.Context(), &in)
			return err
		}
	}
	decrypt := func(in sdk.DecryptInput) func() error {
		return func() error {
			_, err := c.Decrypt(t.Context(), &in)
			return err
		}
	}
	encrypt := func(in sdk.EncryptInput) func() error {
		return func() error {
			in.KeyId = key
			_, err := c.Encrypt(t.Context(), &in)
			return err
		}
	}
	create := func(in sdk.CreateKeyInput) func() error {
		return func() error {
			_, err := c.CreateKey(t.Context(), &in)
			return err
		}
	}
	for _, tc := range []struct {
		name          string
		call          func() error
		code, message string
	}{
		{"a key that is not there", describe(gone), "NotFoundException", "Key '" + arn + "key/" + gone + "' does not exist"},
		{"its ARN", describe(arn + "key/" + gone), "NotFoundException", "Key '" + arn + "key/" + gone + "' does not exist"},
		{"another region's ARN", describe("arn:aws:kms:eu-west-1:000000000000:key/" + *key), "NotFoundException", "Invalid keyId 'arn:aws:kms:eu-west-1:000000000000:key/" + *key + "'"},
		{"no form of a key", describe("my key"), "NotFoundException", "Invalid keyId 'my key'"},
		{"half an ARN", describe("key/" + *key), "NotFoundException", "Invalid keyId 'key/" + *key + "'"},
		{"an alias", describe("alias/a"), "NotFoundException", "Alias " + arn + "alias/a is not found."},
		{"an alias's ARN", describe(arn + "alias/a"), "NotFoundException", "Alias " + arn + "alias/a is not found."},
		{"a data key of no key", generate(sdk.GenerateDataKeyInput{KeyId: &gone, KeySpec: types.DataKeySpecAes256}), "NotFoundException", "Key '" + arn + "key/" + gone + "' does not exist"},
		{"a data key without a size", generate(sdk.GenerateDataKeyInput{}), "ValidationException", "Please specify either number of bytes or key spec."},
		{"a data key with two sizes", generate(sdk.GenerateDataKeyInput{KeySpec: types.DataKeySpecAes256, NumberOfBytes: aws.Int32(32)}), "ValidationException", "Please specify either number of bytes or key spec."},
		{"too long a data key", generate(sdk.GenerateDataKeyInput{NumberOfBytes: aws.Int32(1025)}), "ValidationException", "1 validation error detected: Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value between 1 and 1024"},
		{"a data key of another kind", generate(sdk.GenerateDataKeyInput{KeySpec: "AES_512"}), "ValidationException", "1 validation error detected: Value 'AES_512' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [AES_256, AES_128]"},
		{"grants", generate(sdk.GenerateDataKeyInput{KeySpec: types.DataKeySpecAes256, GrantTokens: []string{"x"}}), "UnsupportedOperationException", "The parameter GrantTokens is not implemented by the local stand-in for KMS"},
		{"the wrong key", decrypt(sdk.DecryptInput{KeyId: other, CiphertextBlob: sealed.CiphertextBlob}), "IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation."},
		{"a ciphertext of no key here", decrypt(sdk.DecryptInput{CiphertextBlob: ofGone}), "AccessDeniedException", "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."},
		{"no ciphertext", decrypt(sdk.DecryptInput{CiphertextBlob: []byte("hello")}), "InvalidCiphertextException", ""},
		{"an empty ciphertext", decrypt(sdk.DecryptInput{CiphertextBlob: []byte{}}), "ValidationException", "1 validation error detected: Value 'java.nio.HeapByteBuffer' at 'ciphertextBlob' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"too long a plaintext", encrypt(sdk.EncryptInput{Plaintext: make([]byte, 4097)}), "ValidationException", "1 validation error detected: Value 'java.nio.HeapByteBuffer' at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"},
		{"another algorithm", encrypt(sdk.EncryptInput{Plaintext: []byte("x"), EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha256}), "UnsupportedOperationException", "An encryption algorithm other than SYMMETRIC_DEFAULT is not implemented by the local stand-in for KMS"},
		{"an RSA key", create(sdk.CreateKeyInput{KeySpec: types.KeySpecRsa2048}), "UnsupportedOperationException", "A KeySpec other than SYMMETRIC_DEFAULT is not implemented by the local stand-in for KMS"},
		{"a key of several regions", create(sdk.CreateKeyInput{MultiRegion: aws.Bool(true)}), "UnsupportedOperationException", "A key of several regions is not implemented by the local stand-in for KMS"},
		{"a key with tags", create(sdk.CreateKeyInput{Tags: []types.Tag{{TagKey: aws.String("a"), TagValue: aws.String("b")}}}), "UnsupportedOperationException", "The parameter Tags is not implemented by the local stand-in for KMS"},
		{"an operation there is not", func() error {
			_, err := c.ListKeys(t.Context(), &sdk.ListKeysInput{})
			return err
		}, "UnknownOperationException", "The operation ListKeys is not implemented by the local stand-in for KMS"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var e smithy.APIError
			require.ErrorAs(t, tc.call(), &e)
			require.Equal(t, tc.code, e.ErrorCode())
			require.Equal(t, tc.message, e.ErrorMessage())
		})
	}
}

// What no SDK sends is refused in the protocol's own way.
func TestRequestsOfAnotherForm(t *testing.T) {
	t.Parallel()
	db, err := store.OpenMemory()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	server, err := kms.New(kms.Options{Store: db})
	require.NoError(t, err)
	for _, tc := range []struct {
		name, method, target, body, code string
	}{
		{"no operation", "POST", "", "{}", "UnknownOperationException"},
		{"another service", "POST", "DynamoDB_20120810.GetItem", "{}", "UnknownOperationException"},
		{"another method", "GET", "TrentService.CreateKey", "{}", "UnknownOperationException"},
		{"no JSON", "POST", "TrentService.CreateKey", "KeyId=x", "SerializationException"},
		{"another type", "POST", "TrentService.DescribeKey", `{"KeyId":5}`, "SerializationException"},
		{"more than a request", "POST", "TrentService.DescribeKey", `{"KeyId":"x"} {}`, "SerializationException"},
		{"too much", "POST", "TrentService.CreateKey", `{"Description":"` + strings.Repeat("x", 64<<10) + `"}`, "SerializationException"},
		{"no key", "POST", "TrentService.DescribeKey", `{"KeyId":null}`, "ValidationException"},
		{"no blob", "POST", "TrentService.Decrypt", `{}`, "ValidationException"},
		{"a blob that is not base64", "POST", "TrentService.Decrypt", `{"CiphertextBlob":"*"}`, "SerializationException"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(tc.method, "/", strings.NewReader(tc.body))
			r.Header.Set("X-Amz-Target", tc.target)
			w := httptest.NewRecorder()
			server.ServeHTTP(w, r)
			require.Equal(t, http.StatusBadRequest, w.Code)
			require.Equal(t, "application/x-amz-json-1.1", w.Header().Get("Content-Type"))
			body, err := io.ReadAll(w.Body)
			require.NoError(t, err)
			var e struct {
				Type string `json:"__type"`
			}
			require.NoError(t, json.Unmarshal(body, &e))
			require.Equal(t, tc.code, e.Type, string(body))
		})
	}
}

// A key that was told of is there after a loss of power: without it nothing
// that it encrypted could be read.
func TestKeysOutliveALossOfPower(t *testing.T) {
	t.Parallel()
	disk := vfs.NewCrashableMem()
	db, err := store.OpenFS(disk, "db")
	require.NoError(t, err)
	c := open(t, db)
	key := createKey(t, c)
	made, err := c.GenerateDataKey(t.Context(), &sdk.GenerateDataKeyInput{KeyId: key, KeySpec: types.DataKeySpecAes256})
	require.NoError(t, err)
	left := disk.CrashClone(vfs.CrashCloneCfg{})
	require.NoError(t, db.Close())

	db, err = store.OpenFS(left, "db")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	out, err := open(t, db).Decrypt(t.Context(), &sdk.DecryptInput{KeyId: key, CiphertextBlob: made.CiphertextBlob})
	require.NoError(t, err)
	require.Equal(t, made.Plaintext, out.Plaintext)
}

func TestAStoreThatCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{"no JSON": "x", "short material": `{"material":"AAAA"}`} {
		db, err := store.OpenMemory()
		require.NoError(t, err)
		b := db.NewBatch()
		require.NoError(t, b.Set([]byte("kms/k/5c0d6f6e-0000-4000-8000-000000000000"), []byte(value)))
		require.NoError(t, db.ApplyLazily(b))
		_, err = kms.New(kms.Options{Store: db})
		require.ErrorContains(t, err, "5c0d6f6e-0000-4000-8000-000000000000", name)
		require.NoError(t, db.Close())
	}
	_, err := kms.New(kms.Options{})
	require.ErrorContains(t, err, "no store")
}
