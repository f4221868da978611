package dynamo

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"posthorn/internal/hook"
)

// Attributes of a delivery.
const (
	dlType       = "et"
	dlStatus     = "st"
	dlGen        = "g"
	dlHop        = "h"
	dlMessage    = "m"
	dlRev        = "r"
	dlLast       = "la" // id of the attempt recorded last
	dlEarlier    = "lb" // ids of those before it, a space between them
	dlAttempts   = "n"
	dlGenTries   = "gn"
	dlFirst      = "a" // the first attempt: a map
	dlReason     = "fr"
	dlNext       = "na"
	dlRequeued   = "rq"
	dlCreated    = "ca"
	dlCompleted  = "co"
	dlDeadLetter = "dl"
)

// Attributes of an attempt, inside a delivery or as an item of its own.
const (
	atID       = "i"
	atNumber   = "n"
	atAt       = "t"
	atDuration = "d" // microseconds
	atOutcome  = "o"
	atStatus   = "c"
	atError    = "e"
	atBody     = "b"
)

func encodeDelivery(d *hook.Delivery) item {
	it := deliveryKey(d.Ref)
	it[dlType], it[dlStatus], it[dlRev] = str(d.EventType), str(string(d.Status)), num(d.Rev)
	setNum(it, dlGen, int64(d.Gen))
	setNum(it, dlHop, int64(d.Hop))
	setStr(it, dlMessage, d.MessageID)
	setStr(it, dlLast, d.LastAttemptID)
	setStr(it, dlEarlier, strings.Join(d.EarlierAttemptIDs, " "))
	setNum(it, dlAttempts, int64(d.Attempts))
	setNum(it, dlGenTries, int64(d.GenAttempts))
	setStr(it, dlReason, d.FailureReason)
	setTime(it, dlNext, d.NextAttemptAt)
	setTime(it, dlRequeued, d.RequeuedAt)
	setTime(it, dlCreated, d.CreatedAt)
	setTime(it, dlCompleted, d.CompletedAt)
	setStr(it, dlDeadLetter, d.DeadLetterID)
	setExpiry(it, d.ExpiresAt)
	if pk, sk, ok := indexKeys(d); ok {
		it[IndexPartitionKey], it[IndexSortKey] = str(pk), str(sk)
	}
	if d.Attempts > 0 && d.First.Number > 0 {
		first := d.First
		if d.Status == hook.Delivered && d.Attempts == 1 {
			first.ResponseBody = fitting(it, first)
		}
		it[dlFirst] = &types.AttributeValueMemberM{Value: encodeAttempt(item{}, &first)}
	}
	return it
}

// fitting cuts the answer's body so that the row of a clean success, by far
// the most common one, stays within one write unit.
func fitting(row item, a hook.Attempt) string {
	body := a.ResponseBody
	a.ResponseBody = ""
	const overhead = 8 // of the map and its names
	room := max(writeUnit-size(row)-size(encodeAttempt(item{}, &a))-len(dlFirst)-overhead-len(atBody), 0)
	if len(body) <= room {
		return body
	}
	for room > 0 && !utf8.RuneStart(body[room]) {
		room--
	}
	return body[:room]
}

func decodeDelivery(ref hook.Ref, it item) *hook.Delivery {
	d := &hook.Delivery{
		Ref:           ref,
		EventType:     getStr(it, dlType),
		Status:        hook.Status(getStr(it, dlStatus)),
		Gen:           int(getNum(it, dlGen)),
		Hop:           int(getNum(it, dlHop)),
		MessageID:     getStr(it, dlMessage),
		Rev:           getNum(it, dlRev),
		LastAttemptID: getStr(it, dlLast),
		Attempts:      int(getNum(it, dlAttempts)),
		GenAttempts:   int(getNum(it, dlGenTries)),
		FailureReason: getStr(it, dlReason),
		NextAttemptAt: getTime(it, dlNext),
		RequeuedAt:    getTime(it, dlRequeued),
		CreatedAt:     getTime(it, dlCreated),
		CompletedAt:   getTime(it, dlCompleted),
		DeadLetterID:  getStr(it, dlDeadLetter),
		ExpiresAt:     getExpiry(it),
	}
	if ids := getStr(it, dlEarlier); ids != "" {
		d.EarlierAttemptIDs = strings.Fields(ids)
	}
	if m := getMap(it, dlFirst); m != nil {
		d.First = decodeAttempt(m)
	}
	return d
}

// refOf names the delivery of a row, or of its place in the index.
func refOf(tenant, endpointID string, it item) hook.Ref {
	return hook.Ref{
		Tenant: tenant, EndpointID: endpointID,
		EventID: hook.EventPrefix + strings.TrimPrefix(getStr(it, SortKey), deliverySKPrefix),
	}
}

func encodeAttempt(it item, a *hook.Attempt) item {
	it[atID], it[atNumber], it[atAt] = str(a.ID), num(int64(a.Number)), millis(a.At)
	it[atDuration], it[atOutcome] = num(a.Duration.Microseconds()), str(string(a.Outcome))
	setNum(it, atStatus, int64(a.StatusCode))
	setStr(it, atError, a.Error)
	setStr(it, atBody, a.ResponseBody)
	return it
}

func decodeAttempt(it item) hook.Attempt {
	return hook.Attempt{
		ID:           getStr(it, atID),
		Number:       int(getNum(it, atNumber)),
		At:           getTime(it, atAt),
		Duration:     time.Duration(getNum(it, atDuration)) * time.Microsecond,
		Outcome:      hook.Outcome(getStr(it, atOutcome)),
		StatusCode:   int(getNum(it, atStatus)),
		Error:        getStr(it, atError),
		ResponseBody: getStr(it, atBody),
	}
}
