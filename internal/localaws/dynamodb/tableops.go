package dynamodb

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"posthorn/internal/localaws/store"
)

// tableRequest is what the operations on tables are asked with.
type tableRequest struct {
	TableName                 string
	AttributeDefinitions      []definition
	KeySchema                 []keyElement
	GlobalSecondaryIndexes    []indexRequest
	BillingMode               string
	ProvisionedThroughput     *throughput
	DeletionProtectionEnabled bool
	TableClass                string
	Tags                      []struct{ Key, Value string }
	SSESpecification          json.RawMessage
	StreamSpecification       *struct {
		StreamEnabled  bool
		StreamViewType string
	}

	ExclusiveStartTableName string
	Limit                   int

	TimeToLiveSpecification          *timeToLive
	PointInTimeRecoverySpecification *struct {
		PointInTimeRecoveryEnabled bool
		RecoveryPeriodInDays       int
	}
}

type keyElement struct {
	AttributeName string
	KeyType       string
}

type throughput struct {
	ReadCapacityUnits  int
	WriteCapacityUnits int
}

type indexRequest struct {
	IndexName             string
	KeySchema             []keyElement
	Projection            projectionRequest
	ProvisionedThroughput *throughput
}

type projectionRequest struct {
	ProjectionType   string
	NonKeyAttributes []string `json:",omitempty"`
}

type timeToLive struct {
	AttributeName string
	Enabled       bool
}

// performOnTable does one of the operations on tables.
func (s *Server) performOnTable(name string, d *decoder, buf *buffers) ([]byte, error) {
	operation, ok := map[string]func(*tableRequest) (any, error){
		"CreateTable":               s.createTable,
		"DescribeTable":             s.describeTable,
		"ListTables":                s.listTables,
		"DeleteTable":               s.deleteTable,
		"UpdateTimeToLive":          s.updateTimeToLive,
		"DescribeTimeToLive":        s.describeTimeToLive,
		"UpdateContinuousBackups":   s.updateContinuousBackups,
		"DescribeContinuousBackups": s.describeContinuousBackups,
	}[name]
	if !ok {
		return nil, &apiError{code: "UnknownOperationException", message: "The operation " + name + " is not implemented by the local stand-in for DynamoDB"}
	}
	var rq tableRequest
	dec := json.NewDecoder(strings.NewReader(d.s))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&rq); err != nil {
		if what, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return nil, notImplemented("The parameter " + strings.Trim(what, `"`))
		}
		return nil, unserializable("%v", err)
	}
	answer, err := operation(&rq)
	if err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(buf.out[:0])
	if err := json.NewEncoder(out).Encode(answer); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return out.Bytes(), nil
}

func validTableName(name string) bool {
	if len(name) < 3 || len(name) > 255 {
		return false
	}
	for i := range len(name) {
		if c := name[i]; !isWordByte(c) && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

func (s *Server) createTable(rq *tableRequest) (any, error) {
	t, err := s.define(rq)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tables[t.Name] != nil {
		return nil, &apiError{code: "ResourceInUseException", message: "Table already exists: " + t.Name}
	}
	lastKey := []byte{root, areaLastID}
	last, ok, err := s.store.Get(lastKey)
	if err != nil {
		return nil, err
	}
	t.ID = 1
	if ok {
		t.ID = binary.BigEndian.Uint32(last) + 1
	}
	b := s.store.NewBatch()
	if err := b.Set(lastKey, binary.BigEndian.AppendUint32(nil, t.ID)); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	if err := s.saveTable(b, t.prepare()); err != nil {
		return nil, err
	}
	// The service says CREATING for some seconds; here it is done.
	return map[string]any{"TableDescription": s.describe(t, "ACTIVE")}, nil
}

// saveTable writes a definition, with what the batch holds already, and puts
// it to use. The server's lock is held for writing.
func (s *Server) saveTable(b *store.Batch, t *table) error {
	text, err := json.Marshal(t)
	if err == nil {
		err = b.Set(tableKey(t.Name), text)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("save the definition of table %s: %w", t.Name, err), b.Close())
	}
	c, err := s.store.Apply(b)
	if err != nil {
		return err
	}
	if err := c.Wait(); err != nil {
		return err
	}
	s.tables[t.Name] = t
	return nil
}

// define checks a CreateTable and makes a definition of it.
func (s *Server) define(rq *tableRequest) (*table, error) {
	if !validTableName(rq.TableName) {
		return nil, invalid("TableName must be at least 3 characters long and at most 255 characters long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'")
	}
	if rq.StreamSpecification != nil && rq.StreamSpecification.StreamEnabled {
		return nil, notImplemented("A stream")
	}
	t := &table{Name: rq.TableName, Created: s.now().Unix(), Billing: rq.BillingMode}
	switch rq.BillingMode {
	case "", "PROVISIONED":
		t.Billing = "PROVISIONED"
		if rq.ProvisionedThroughput == nil {
			return nil, badParameter("ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
		}
		t.Read, t.Write = rq.ProvisionedThroughput.ReadCapacityUnits, rq.ProvisionedThroughput.WriteCapacityUnits
	case "PAY_PER_REQUEST":
		if rq.ProvisionedThroughput != nil {
			return nil, badParameter("Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
		}
	default:
		return nil, invalid("1 validation error detected: Value '%s' at 'billingMode' failed to satisfy constraint: Member must satisfy enum value set: [PROVISIONED, PAY_PER_REQUEST]", rq.BillingMode)
	}
	kinds := make(map[string]kind)
	for _, a := range rq.AttributeDefinitions {
		k := kindOf(a.AttributeType)
		if a.AttributeName == "" || !k.ordered() {
			return nil, invalid("1 validation error detected: Value '%s' at 'attributeDefinitions' failed to satisfy constraint: Member must satisfy enum value set: [B, N, S]", a.AttributeType)
		}
		if kinds[a.AttributeName] != 0 {
			return nil, badParameter("Duplicate AttributeName in AttributeDefinitions: %s", a.AttributeName)
		}
		kinds[a.AttributeName] = k
	}
	t.Defined = rq.AttributeDefinitions
	used := make(map[string]bool)
	var err error
	if t.Key, err = schemaOf(rq.KeySchema, kinds, used); err != nil {
		return nil, err
	}
	if len(rq.GlobalSecondaryIndexes) > 20 {
		return nil, badParameter("GlobalSecondaryIndex count exceeds the per-table limit of 20")
	}
	for i, g := range rq.GlobalSecondaryIndexes {
		ix, err := defineIndex(g, byte(i), kinds, used)
		if err != nil {
			return nil, err
		}
		if t.index(ix.Name) != nil {
			return nil, badParameter("Duplicate index name: %s", ix.Name)
		}
		t.Indexes = append(t.Indexes, ix)
	}
	if len(used) != len(kinds) {
		return nil, badParameter("Some AttributeDefinitions are not used. AttributeDefinitions: [%s], keys used: [%s]",
			strings.Join(sortedNames(kinds), ", "), strings.Join(sortedNames(used), ", "))
	}
	return t, nil
}

func defineIndex(g indexRequest, number byte, kinds map[string]kind, used map[string]bool) (*index, error) {
	if !validTableName(g.IndexName) {
		return nil, invalid("IndexName must be at least 3 characters long and at most 255 characters long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'")
	}
	ix := &index{Name: g.IndexName, Number: number, Projection: g.Projection.ProjectionType, Include: g.Projection.NonKeyAttributes}
	switch ix.Projection {
	case projectAll, projectKeysOnly:
		if ix.Include != nil {
			return nil, badParameter("ProjectionType is %s, but NonKeyAttributes is specified", ix.Projection)
		}
	case projectInclude:
		if len(ix.Include) == 0 {
			return nil, badParameter("ProjectionType is INCLUDE, but NonKeyAttributes is not specified")
		}
	default:
		return nil, badParameter("Unknown ProjectionType: %s", ix.Projection)
	}
	var err error
	ix.Key, err = schemaOf(g.KeySchema, kinds, used)
	return ix, err
}

// schemaOf reads a key schema and marks its attributes as used.
func schemaOf(elements []keyElement, kinds map[string]kind, used map[string]bool) (keySchema, error) {
	var k keySchema
	if len(elements) < 1 || len(elements) > 2 {
		return k, invalid("1 validation error detected: Value at 'keySchema' failed to satisfy constraint: Member must have length between 1 and 2")
	}
	for i, e := range elements {
		want, at := "HASH", &k.Hash
		if i == 1 {
			want, at = "RANGE", &k.Sort
		}
		if e.KeyType != want {
			return k, invalid("Invalid KeySchema: The %s KeySchemaElement is not a %s key type", []string{"first", "second"}[i], want)
		}
		*at = keyAttribute{e.AttributeName, kinds[e.AttributeName]}
		if at.Kind == 0 {
			return k, badParameter("Some index key attributes are not defined in AttributeDefinitions. Keys: [%s], AttributeDefinitions: [%s]",
				e.AttributeName, strings.Join(sortedNames(kinds), ", "))
		}
		used[e.AttributeName] = true
	}
	if k.Hash.Name == k.Sort.Name {
		return k, invalid("Both the Hash Key and the Range Key element in the KeySchema have the same name")
	}
	return k, nil
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (k *keySchema) elements() []keyElement {
	out := []keyElement{{k.Hash.Name, "HASH"}}
	if k.Sort.Name != "" {
		out = append(out, keyElement{k.Sort.Name, "RANGE"})
	}
	return out
}

// describe is a TableDescription. Counts are what a new table's are: the
// service updates them every six hours only.
func (s *Server) describe(t *table, status string) map[string]any {
	units := map[string]any{"ReadCapacityUnits": t.Read, "WriteCapacityUnits": t.Write, "NumberOfDecreasesToday": 0}
	out := map[string]any{
		"TableName":                 t.Name,
		"TableArn":                  s.arn + t.Name,
		"TableId":                   fmt.Sprintf("00000000-0000-0000-0000-%012x", t.ID),
		"TableStatus":               status,
		"CreationDateTime":          t.Created,
		"AttributeDefinitions":      t.Defined,
		"KeySchema":                 t.Key.elements(),
		"ItemCount":                 0,
		"TableSizeBytes":            0,
		"BillingModeSummary":        map[string]any{"BillingMode": t.Billing},
		"ProvisionedThroughput":     units,
		"DeletionProtectionEnabled": false,
	}
	var indexes []map[string]any
	for _, ix := range t.Indexes {
		indexes = append(indexes, map[string]any{
			"IndexName":             ix.Name,
			"IndexArn":              s.arn + t.Name + "/index/" + ix.Name,
			"IndexStatus":           status,
			"KeySchema":             ix.Key.elements(),
			"Projection":            projectionRequest{ix.Projection, ix.Include},
			"ProvisionedThroughput": units,
			"ItemCount":             0,
			"IndexSizeBytes":        0,
		})
	}
	if indexes != nil {
		out["GlobalSecondaryIndexes"] = indexes
	}
	return out
}

func noSuchTable(name string) error {
	return &apiError{code: "ResourceNotFoundException", message: "Requested resource not found: Table: " + name + " not found"}
}

func (s *Server) describeTable(rq *tableRequest) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.table(rq.TableName)
	if err != nil {
		return nil, noSuchTable(rq.TableName)
	}
	return map[string]any{"Table": s.describe(t, "ACTIVE")}, nil
}

func (s *Server) listTables(rq *tableRequest) (any, error) {
	if rq.Limit < 0 || rq.Limit > 100 {
		return nil, outOfRange("limit", rq.Limit, "between 1 and 100")
	}
	limit := rq.Limit
	if limit == 0 {
		limit = 100
	}
	s.mu.RLock()
	names := sortedNames(s.tables)
	s.mu.RUnlock()
	from, found := slices.BinarySearch(names, rq.ExclusiveStartTableName)
	if found {
		from++
	}
	names = names[from:]
	out := map[string]any{}
	if len(names) > limit {
		names = names[:limit]
		out["LastEvaluatedTableName"] = names[limit-1]
	}
	out["TableNames"] = names
	return out, nil
}

func (s *Server) deleteTable(rq *tableRequest) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.table(rq.TableName)
	if err != nil {
		return nil, noSuchTable(rq.TableName)
	}
	b := s.store.NewBatch()
	err = b.Delete(tableKey(t.Name))
	for _, area := range [][]byte{t.items, t.entries, t.expiry} {
		err = errors.Join(err, b.DeleteRange(area, after(bytes.Clone(area))))
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	c, err := s.store.Apply(b)
	if err != nil {
		return nil, err
	}
	delete(s.tables, t.Name)
	return map[string]any{"TableDescription": s.describe(t, "DELETING")}, c.Wait()
}

// updateContinuousBackups remembers the setting. There are no backups: the
// data folder is what to back up.
func (s *Server) updateContinuousBackups(rq *tableRequest) (any, error) {
	if rq.PointInTimeRecoverySpecification == nil {
		return nil, invalid("The parameter 'PointInTimeRecoverySpecification' is required but was not present in the request")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.table(rq.TableName)
	if err != nil {
		return nil, tableNotFound(rq.TableName)
	}
	changed := *t
	changed.Backups = rq.PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled
	if err := s.saveTable(s.store.NewBatch(), &changed); err != nil {
		return nil, err
	}
	return changed.backups(), nil
}

func (s *Server) describeContinuousBackups(rq *tableRequest) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.table(rq.TableName)
	if err != nil {
		return nil, tableNotFound(rq.TableName)
	}
	return t.backups(), nil
}

func tableNotFound(name string) error {
	return &apiError{code: "TableNotFoundException", message: "Table not found: " + name}
}

func (t *table) backups() any {
	status := "DISABLED"
	if t.Backups {
		status = "ENABLED"
	}
	return map[string]any{"ContinuousBackupsDescription": map[string]any{
		"ContinuousBackupsStatus":        "ENABLED",
		"PointInTimeRecoveryDescription": map[string]any{"PointInTimeRecoveryStatus": status},
	}}
}
