package localaws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"posthorn/internal/localaws/dynamodb"
	"posthorn/internal/localaws/kms"
	"posthorn/internal/localaws/sqs"
	"posthorn/internal/localaws/store"
)

// Services are SQS, DynamoDB and KMS on one store.
type Services struct {
	SQS      *sqs.Server
	DynamoDB *dynamodb.Server
	KMS      *kms.Server
	store    *store.DB
}

// Open opens the services on a data folder; an empty dir keeps everything in
// memory. store.ErrLocked when another process has the folder open.
func Open(dir string) (*Services, error) {
	db, err := openStore(dir)
	if err != nil {
		return nil, err
	}
	queues, err := sqs.New(sqs.Options{Store: db})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open queues: %w", err), db.Close())
	}
	tables, err := dynamodb.New(dynamodb.Options{Store: db})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open tables: %w", err), queues.Close(), db.Close())
	}
	keys, err := kms.New(kms.Options{Store: db})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open keys: %w", err), queues.Close(), db.Close())
	}
	return &Services{SQS: queues, DynamoDB: tables, KMS: keys, store: db}, nil
}

func openStore(dir string) (*store.DB, error) {
	if dir == "" {
		return store.OpenMemory()
	}
	return store.Open(dir)
}

// Close ends the services and brings everything to disk.
func (s *Services) Close() error {
	return errors.Join(s.SQS.Close(), s.store.Close())
}

// ServeHTTP sends a request to the service that its X-Amz-Target names, as
// all of them share one endpoint here.
func (s *Services) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch target := r.Header.Get("X-Amz-Target"); {
	case strings.HasPrefix(target, "AmazonSQS."):
		s.SQS.ServeHTTP(w, r)
	case strings.HasPrefix(target, "DynamoDB_"):
		s.DynamoDB.ServeHTTP(w, r)
	case strings.HasPrefix(target, "TrentService."): // KMS
		s.KMS.ServeHTTP(w, r)
	default:
		// No target at all: a browser, another service, or an SDK from before 2024,
		// which spoke to SQS in forms and XML.
		http.Error(w, "This endpoint serves SQS, DynamoDB and KMS over AWS JSON, which X-Amz-Target names; there was "+strconv.Quote(target)+".", http.StatusBadRequest)
	}
}

// SweepExpired removes DynamoDB items past their time to live, as the service
// does in the background.
func (s *Services) SweepExpired(ctx context.Context) error {
	_, err := s.DynamoDB.SweepExpired(ctx)
	return err
}
