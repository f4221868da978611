package kms

import (
	"crypto/rand"
	"encoding/json"
	"strconv"
)

// The only kind of key there is here.
const (
	keySpec   = "SYMMETRIC_DEFAULT"
	keyUsage  = "ENCRYPT_DECRYPT"
	keyOrigin = "AWS_KMS"
)

type createKeyInput struct {
	Description *string
	KeySpec     *string
	KeyUsage    *string
	Origin      *string
	MultiRegion *bool
}

type keyOutput struct {
	KeyMetadata metadata
}

// metadata is KeyMetadata of the API reference.
type metadata struct {
	AWSAccountID          string `json:"AWSAccountId"`
	Arn                   string
	CreationDate          json.Number // seconds
	CustomerMasterKeySpec string
	Description           string
	Enabled               bool
	EncryptionAlgorithms  []string
	KeyID                 string `json:"KeyId"`
	KeyManager            string
	KeySpec               string
	KeyState              string
	KeyUsage              string
	MultiRegion           bool
	Origin                string
}

func (s *Server) createKey(in *createKeyInput) (*keyOutput, error) {
	for _, p := range []struct {
		name  string
		given *string
		only  string
	}{{"KeySpec", in.KeySpec, keySpec}, {"KeyUsage", in.KeyUsage, keyUsage}, {"Origin", in.Origin, keyOrigin}} {
		if p.given != nil && *p.given != p.only {
			return nil, notImplemented("A " + p.name + " other than " + p.only)
		}
	}
	if in.MultiRegion != nil && *in.MultiRegion {
		return nil, notImplemented("A key of several regions")
	}
	description := ""
	if in.Description != nil {
		description = *in.Description
	}
	if len(description) > 8192 {
		return nil, invalidMember("'"+description[:20]+"...'", "description", "Member must have length less than or equal to 8192")
	}
	k, err := s.add(description)
	if err != nil {
		return nil, err
	}
	return s.describe(k), nil
}

type describeKeyInput struct {
	KeyID *string `json:"KeyId"`
}

func (s *Server) describeKey(in *describeKeyInput) (*keyOutput, error) {
	k, err := s.find(in.KeyID)
	if err != nil {
		return nil, err
	}
	return s.describe(k), nil
}

func (s *Server) describe(k *key) *keyOutput {
	return &keyOutput{metadata{
		AWSAccountID: s.account, Arn: s.arnOf(k), CreationDate: json.Number(strconv.FormatFloat(float64(k.Created)/1000, 'f', 3, 64)),
		CustomerMasterKeySpec: keySpec, Description: k.Description, Enabled: true, EncryptionAlgorithms: []string{keySpec}, KeyID: k.id,
		KeyManager: "CUSTOMER", KeySpec: keySpec, KeyState: "Enabled", KeyUsage: keyUsage, Origin: keyOrigin,
	}}
}

func (s *Server) arnOf(k *key) string { return s.arn + "key/" + k.id }

type generateDataKeyInput struct {
	KeyID             *string `json:"KeyId"`
	KeySpec           *string
	NumberOfBytes     *int
	EncryptionContext map[string]string
}

type generateDataKeyOutput struct {
	CiphertextBlob []byte
	KeyID          string `json:"KeyId"`
	Plaintext      []byte
}

func (s *Server) generateDataKey(in *generateDataKeyInput) (*generateDataKeyOutput, error) {
	k, err := s.find(in.KeyID)
	if err != nil {
		return nil, err
	}
	var size int
	switch {
	case (in.KeySpec == nil) == (in.NumberOfBytes == nil):
		return nil, invalid("Please specify either number of bytes or key spec.")
	case in.NumberOfBytes != nil:
		if size = *in.NumberOfBytes; size < 1 || size > 1024 {
			return nil, invalidMember("'"+strconv.Itoa(size)+"'", "numberOfBytes", "Member must have value between 1 and 1024")
		}
	case *in.KeySpec == "AES_256":
		size = 32
	case *in.KeySpec == "AES_128":
		size = 16
	default:
		return nil, invalidMember("'"+*in.KeySpec+"'", "keySpec", "Member must satisfy enum value set: [AES_256, AES_128]")
	}
	plain := make([]byte, size)
	if _, err := rand.Read(plain); err != nil {
		return nil, err
	}
	return &generateDataKeyOutput{k.seal(plain, in.EncryptionContext), s.arnOf(k), plain}, nil
}

type encryptInput struct {
	KeyID               *string `json:"KeyId"`
	Plaintext           []byte
	EncryptionAlgorithm *string
	EncryptionContext   map[string]string
}

type encryptOutput struct {
	CiphertextBlob      []byte
	EncryptionAlgorithm string
	KeyID               string `json:"KeyId"`
}

func (s *Server) encrypt(in *encryptInput) (*encryptOutput, error) {
	k, err := s.find(in.KeyID)
	if err != nil {
		return nil, err
	}
	if err := checkBytes("plaintext", in.Plaintext, 4096); err != nil {
		return nil, err
	}
	if err := checkAlgorithm(in.EncryptionAlgorithm); err != nil {
		return nil, err
	}
	return &encryptOutput{k.seal(in.Plaintext, in.EncryptionContext), keySpec, s.arnOf(k)}, nil
}

type decryptInput struct {
	KeyID               *string `json:"KeyId"` // of the key that it has to be, if it matters
	CiphertextBlob      []byte
	EncryptionAlgorithm *string
	EncryptionContext   map[string]string
}

type decryptOutput struct {
	EncryptionAlgorithm string
	KeyID               string `json:"KeyId"`
	Plaintext           []byte
}

func (s *Server) decrypt(in *decryptInput) (*decryptOutput, error) {
	if err := checkBytes("ciphertextBlob", in.CiphertextBlob, 6144); err != nil {
		return nil, err
	}
	if err := checkAlgorithm(in.EncryptionAlgorithm); err != nil {
		return nil, err
	}
	var only *key
	if in.KeyID != nil {
		var err error
		if only, err = s.find(in.KeyID); err != nil {
			return nil, err
		}
	}
	k, plain, err := s.open(in.CiphertextBlob, in.EncryptionContext, only)
	if err != nil {
		return nil, err
	}
	return &decryptOutput{keySpec, s.arnOf(k), plain}, nil
}

// checkBytes refuses a blob that is not there, empty or too long. The service's
// texts do not show it.
func checkBytes(name string, b []byte, most int) error {
	const blob = "'java.nio.HeapByteBuffer'"
	switch {
	case b == nil:
		return notNull(name)
	case len(b) == 0:
		return invalidMember(blob, name, "Member must have length greater than or equal to 1")
	case len(b) > most:
		return invalidMember(blob, name, "Member must have length less than or equal to "+strconv.Itoa(most))
	}
	return nil
}

func checkAlgorithm(algorithm *string) error {
	if algorithm != nil && *algorithm != keySpec {
		return notImplemented("An encryption algorithm other than " + keySpec)
	}
	return nil
}
