package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"

	"posthorn/internal/faultwire"
	"posthorn/internal/hook"
	"posthorn/internal/seal"
)

// What KMS is asked is what the template's policies allow.
func TestWhatKMSIsAsked(t *testing.T) {
	t.Parallel()
	w := setup(t)
	asked := map[string][]map[string]any{}
	for _, operation := range []string{"GenerateDataKey", "Decrypt"} {
		w.faults.Add(faultwire.Fault{Operation: operation, Match: func(body []byte) bool {
			var in map[string]any
			if err := json.Unmarshal(body, &in); err != nil {
				t.Error(err)
			}
			delete(in, "CiphertextBlob")
			asked[operation] = append(asked[operation], in)
			return false
		}})
	}
	b := sealed(t, w.open(w.kms()), tenant, endpoint)
	requireOpens(t, w.open(w.kms()), tenant, endpoint, b)
	require.Equal(t, map[string][]map[string]any{
		"GenerateDataKey": {{"KeyId": w.kmsKey, "KeySpec": "AES_256", "EncryptionContext": map[string]any{"posthorn:tenant": tenant}}},
		"Decrypt":         {{"KeyId": w.kmsKey, "EncryptionContext": map[string]any{"posthorn:tenant": tenant}}},
	}, asked)
}

// Each call of the first sealing, and of opening by another process, fails,
// once or for good, before it is applied or after. Whatever happens, there is
// one data key, and what was sealed opens.
func TestSealingUnderFaults(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"GetItem", "GenerateDataKey", "PutItem", "Decrypt"} {
		for _, f := range []struct {
			name  string
			mode  faultwire.Mode
			times int
			fails bool
		}{
			{"fails once", faultwire.FailBefore, 1, false},
			{"is throttled once", faultwire.Throttle, 1, false},
			{"is applied, answer lost once", faultwire.LoseAnswer, 1, false},
			{"is applied, answer lost twice", faultwire.LoseAnswer, 2, false},
			{"fails for good", faultwire.FailBefore, 3, true},
			{"is applied, answer lost for good", faultwire.LoseAnswer, 3, true},
		} {
			t.Run(operation+" "+f.name, func(t *testing.T) {
				t.Parallel()
				w := setup(t)
				s := w.open(w.kms())
				use := func() error {
					_, err := s.Seal(t.Context(), tenant, endpoint, []byte(secret))
					return err
				}
				if operation == "Decrypt" {
					earlier := sealed(t, w.open(w.kms()), tenant, endpoint)
					use = func() error {
						_, err := s.Open(t.Context(), tenant, endpoint, earlier)
						return err
					}
				}
				w.faults.Add(faultwire.Fault{Operation: operation, Times: f.times, Mode: f.mode})
				err := use()
				require.Zero(t, w.faults.Pending(), "the fault did not strike")
				if !f.fails {
					require.NoError(t, err)
				} else {
					require.NotErrorIs(t, err, seal.ErrDamaged, "it may pass")
					require.NotErrorIs(t, err, hook.ErrNotFound)
					requireSilent(t, err)
					require.NoError(t, use(), "the caller tries again")
				}
				b := sealed(t, s, tenant, endpoint)
				requireOpens(t, w.open(w.kms()), tenant, endpoint, b)
			})
		}
	}
}

// A key that is gone, taken away or set wrongly can be put back: nothing is
// given up for it.
func TestAWrongSettingIsNoDamage(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := sealed(t, w.open(w.kms()), tenant, endpoint)
	const gone = "5c0d6f6e-1d2f-4a44-8b0e-0f7f5b1f7c11"
	for name, c := range map[string]struct {
		wrapper seal.Wrapper
		says    string
	}{
		"a key that is gone":   {seal.NewKMS(w.config, gone), "NotFoundException"},
		"another KMS key":      {seal.NewKMS(w.config, w.newKMSKey()), "IncorrectKeyException"},
		"a key of one's own":   {master(t, 1), "it was wrapped by a KMS key, and POSTHORN_SEAL_KEY or a key file is set"},
		"an unreachable place": {seal.NewKMS(config(&http.Client{Transport: answering(0, "")}), w.kmsKey), "no answer"},
	} {
		_, err := w.open(c.wrapper).Open(t.Context(), tenant, endpoint, b)
		require.ErrorContains(t, err, c.says, name)
		require.NotErrorIs(t, err, seal.ErrDamaged, name)
		require.NotErrorIs(t, err, hook.ErrNotFound, name)
		requireSilent(t, err)
		_, err = w.open(c.wrapper).Seal(t.Context(), tenant, endpoint, []byte(secret))
		require.ErrorContains(t, err, c.says, "no second data key: %s", name)
	}
	requireOpens(t, w.open(w.kms()), tenant, endpoint, b)
}

func TestADamagedDataKeyIsRefusedByKMS(t *testing.T) {
	t.Parallel()
	w := setup(t)
	k := w.kms()
	_, wrapped, err := k.NewKey(t.Context(), tenant)
	require.NoError(t, err)
	for _, b := range [][]byte{nil, {}, wrapped[:1], wrapped[1:], append([]byte{9}, wrapped[1:]...), append(bytes.Clone(wrapped), 0), wrapped[:len(wrapped)-1]} {
		_, err := k.Unwrap(t.Context(), tenant, b)
		require.ErrorIs(t, err, seal.ErrDamaged, "%x", b)
	}
	_, err = k.Unwrap(t.Context(), "other", wrapped)
	require.ErrorIs(t, err, seal.ErrDamaged)

	// Somebody who may encrypt with the KMS key stores no data key of his own
	// making that is shorter.
	out, err := awskms.NewFromConfig(w.config).Encrypt(t.Context(), &awskms.EncryptInput{
		KeyId: &w.kmsKey, Plaintext: []byte("short"), EncryptionContext: map[string]string{"posthorn:tenant": tenant},
	})
	require.NoError(t, err)
	_, err = w.table.AddDataKey(t.Context(), tenant, append([]byte{1}, out.CiphertextBlob...))
	require.NoError(t, err)
	_, err = w.open(k).Seal(t.Context(), tenant, endpoint, []byte(secret))
	require.ErrorContains(t, err, "5 bytes and not 32")
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answering is a service that answers everything alike, or not at all.
func answering(status int, body string) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		if status == 0 {
			return nil, fmt.Errorf("no answer")
		}
		return &http.Response{
			StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r,
		}, nil
	}
}

// Even an answer of KMS that cannot be read shows nothing of the key in it.
func TestNoErrorShowsTheKeyThatKMSAnswered(t *testing.T) {
	t.Parallel()
	key := []byte("a planted key of thirty-two byte")
	text := base64.StdEncoding.EncodeToString(key)
	for name, c := range map[string]struct {
		status int
		body   string
	}{
		"cut short":       {200, `{"CiphertextBlob":"AQ==","KeyId":"k","Plaintext":"` + text},
		"not base64":      {200, `{"CiphertextBlob":"AQ==","Plaintext":"` + text + `*"}`},
		"of another type": {200, `{"CiphertextBlob":5,"Plaintext":"` + text + `"}`},
		"too long":        {200, `{"CiphertextBlob":"AQ==","Plaintext":"` + base64.StdEncoding.EncodeToString(append(bytes.Clone(key), 1)) + `"}`},
		"with an error":   {400, `{"__type":"DisabledException","Plaintext":"` + text + `"}`},
		"with a failure":  {500, `{"Plaintext":"` + text + `"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := seal.NewKMS(config(&http.Client{Transport: answering(c.status, c.body)}), "k")
			s := seal.New(seal.Options{Keys: &memory{}, Wrapper: k})
			_, err := s.Seal(t.Context(), tenant, endpoint, []byte(secret))
			requireSilent(t, err, key, []byte(text))
			s = seal.New(seal.Options{Keys: &memory{keys: map[string][]byte{tenant: {1, 1}}}, Wrapper: k})
			_, err = s.Open(t.Context(), tenant, endpoint, []byte{1})
			requireSilent(t, err, key, []byte(text))
		})
	}
}

func TestTheKeyMayBeGivenByItsARN(t *testing.T) {
	t.Parallel()
	w := setup(t)
	out, err := awskms.NewFromConfig(w.config).DescribeKey(t.Context(), &awskms.DescribeKeyInput{KeyId: aws.String(w.kmsKey)})
	require.NoError(t, err)
	b := sealed(t, w.open(seal.NewKMS(w.config, *out.KeyMetadata.Arn)), tenant, endpoint)
	requireOpens(t, w.open(w.kms()), tenant, endpoint, b)
}
