// Package doctor holds what is deployed against what Posthorn needs of it: the
// table, the two queues and the KMS key. It is told what they are like and what
// they have to be like, and says what is wrong and what to do about it.
package doctor

import (
	"fmt"
	"slices"
	"time"

	"posthorn/internal/awssqs"
	"posthorn/internal/dynamo"
	"posthorn/internal/seal"
)

// Level says how much a finding counts.
type Level string

// The levels.
const (
	Fine    Level = "ok"      // as it has to be
	Warning Level = "warning" // it works, and is worth a look
	Wrong   Level = "wrong"   // something is lost, or does not work, until it is mended
)

// Finding is one thing that was looked at.
type Finding struct {
	Level Level  `json:"level"`
	About string `json:"about"`        // "table posthorn"
	Says  string `json:"says"`         // what was found
	Do    string `json:"do,omitempty"` // what to do about it; empty where all is fine
}

// Needs are what the configuration asks of the queues.
type Needs struct {
	MaxReceives    int           // max_receive_count
	MaxAttempts    int           // of the default retry policy
	DeliverTimeout time.Duration // of the deliver function, or of a batch in a process
}

// visibilityFactor is how many timeouts of the function a received message has to
// stay invisible; see "Configuring a queue" for SQS in the Lambda developer guide.
const visibilityFactor = 6

// longestRetention is how long a queue can keep messages: see "Message quotas"
// in the SQS developer guide.
const longestRetention = 14 * 24 * time.Hour

// patient collects findings about one thing.
type patient struct {
	about    string
	findings []Finding
}

func (p *patient) fine(format string, args ...any) {
	p.findings = append(p.findings, Finding{Level: Fine, About: p.about, Says: fmt.Sprintf(format, args...)})
}

func (p *patient) found(level Level, says, do string) {
	p.findings = append(p.findings, Finding{Level: level, About: p.about, Says: says, Do: do})
}

// Unread is the finding about something that could not be looked at.
func Unread(about, says, do string) Finding {
	return Finding{Level: Wrong, About: about, Says: says, Do: do}
}

const newTable = "a key cannot be changed: deploy the template's table, or name the right one with --table"

// Table examines the table.
func Table(name string, d *dynamo.Description) []Finding {
	p := patient{about: "table " + name}
	if d.Status == "ACTIVE" {
		p.fine("is active")
	} else {
		p.found(Wrong, "is "+d.Status+", not ACTIVE", "wait until it is, or look into the console why it is not")
	}
	keys, indexKeys := dynamo.WantedKeys()
	if d.Keys == keys {
		p.fine("has the keys %s and %s", keys.Partition, keys.Sort)
	} else {
		p.found(Wrong, fmt.Sprintf("has the keys %s, not %s", shown(d.Keys), shown(keys)), newTable)
	}
	switch {
	case d.Index == nil:
		p.found(Wrong, "has no index "+dynamo.Index+": dead letters, held and retrying deliveries cannot be listed or resumed",
			"deploy the template, which adds it")
	case d.Index.Keys != indexKeys:
		p.found(Wrong, fmt.Sprintf("has the index %s with the keys %s, not %s", dynamo.Index, shown(d.Index.Keys), shown(indexKeys)),
			"delete the index and deploy the template, which makes it anew")
	case d.Index.Status != "ACTIVE":
		p.found(Wrong, "has the index "+dynamo.Index+" that is "+d.Index.Status+", not ACTIVE", "wait until it is filled")
	case d.Index.Projection != "KEYS_ONLY":
		p.found(Warning, "has the index "+dynamo.Index+" with the projection "+d.Index.Projection+", which costs more than KEYS_ONLY and is not read",
			"delete the index and deploy the template, which makes it anew")
	default:
		p.fine("has the index %s, keys only", dynamo.Index)
	}
	switch d.TTL {
	case dynamo.TTL:
		p.fine("has its time to live in %s", dynamo.TTL)
	case "":
		p.found(Wrong, "has no time to live: nothing that has expired is ever removed",
			"aws dynamodb update-time-to-live --table-name "+name+" --time-to-live-specification Enabled=true,AttributeName="+dynamo.TTL)
	default:
		p.found(Wrong, "has its time to live in "+d.TTL+", not "+dynamo.TTL+": nothing that has expired is ever removed",
			"turn it off, and an hour later on for "+dynamo.TTL)
	}
	if d.Recovery {
		p.fine("can be restored to any second of the last weeks")
	} else {
		p.found(Warning, "has no point-in-time recovery", "deploy the template with PointInTimeRecovery=true")
	}
	return p.findings
}

func shown(k dynamo.Keys) string {
	if k.Sort == "" {
		return k.Partition + " alone"
	}
	return k.Partition + " and " + k.Sort
}

// Queues examines the queue of deliveries and its dead-letter queue; either is
// nil where it could not be read.
func Queues(name string, d *awssqs.Description, deadName string, dead *awssqs.Description, needs Needs) []Finding {
	var findings []Finding
	if d != nil {
		p := patient{about: "queue " + name}
		p.queue(d)
		p.redrive(d, deadName, dead, needs)
		if least := visibilityFactor * needs.DeliverTimeout; d.Visibility < least {
			p.found(Wrong, fmt.Sprintf("hides a received message for %s, shorter than %s, %d times what a batch may take: what is still being posted is posted again",
				d.Visibility, least, visibilityFactor), fmt.Sprintf("set its VisibilityTimeout to %d", int(least.Seconds())))
		} else {
			p.fine("hides a received message for %s", d.Visibility)
		}
		if d.Delay > 0 {
			p.found(Warning, fmt.Sprintf("delays every message by %s", d.Delay), "set its DelaySeconds to 0")
		}
		findings = p.findings
	}
	if dead != nil {
		p := patient{about: "dead-letter queue " + deadName}
		p.queue(dead)
		if dead.Redrive != nil {
			p.found(Wrong, "has a redrive policy of its own: what the sweeper does not reach in time goes elsewhere", "remove its RedrivePolicy")
		}
		if d != nil && dead.RedriveFrom != nil && !slices.Contains(dead.RedriveFrom, d.ARN) {
			p.found(Wrong, "has a redrive allow policy that does not name the queue "+name, "add "+d.ARN+" to its RedriveAllowPolicy")
		}
		findings = append(findings, p.findings...)
	}
	return findings
}

// queue examines what both queues have to be like.
func (p *patient) queue(d *awssqs.Description) {
	if d.FIFO {
		p.found(Wrong, "is a FIFO queue", "make a standard one: its messages have delays of their own")
	}
	if d.Retention < longestRetention {
		p.found(Wrong, fmt.Sprintf("keeps messages for %s, and then they are lost: a message in the dead-letter queue is as old as its first send", d.Retention),
			fmt.Sprintf("set its MessageRetentionPeriod to %d", int(longestRetention.Seconds())))
	} else {
		p.fine("keeps messages for 14 days")
	}
	switch {
	case d.KMSKey != "":
		p.fine("is encrypted with the KMS key %s", d.KMSKey)
	case d.SSE:
		p.fine("is encrypted with SQS's own key")
	default:
		p.found(Warning, "is not encrypted at rest", "set SqsManagedSseEnabled to true, which costs nothing")
	}
}

// redrive examines where a message goes that is received too often, and when.
func (p *patient) redrive(d *awssqs.Description, deadName string, dead *awssqs.Description, needs Needs) {
	policy := d.Redrive
	if policy == nil {
		target := "the ARN of " + deadName
		if dead != nil {
			target = dead.ARN
		}
		p.found(Wrong, "has no redrive policy: a message that cannot be worked off comes again until it expires",
			fmt.Sprintf(`set its RedrivePolicy to {"deadLetterTargetArn":"%s","maxReceiveCount":%d}`, target, needs.MaxReceives))
		return
	}
	if dead != nil && policy.DeadLetterARN != dead.ARN {
		p.found(Wrong, "moves its dead letters to "+policy.DeadLetterARN+", not to "+dead.ARN+", which is swept",
			"let its RedrivePolicy name "+dead.ARN+", or name the other queue with --dead-letter-queue")
	} else {
		p.fine("moves its dead letters to %s", policy.DeadLetterARN)
	}
	switch {
	case policy.MaxReceives != needs.MaxReceives:
		p.found(Wrong, fmt.Sprintf("moves a message after %d receives, and max_receive_count says %d: attempts are lost, or dead letters come late", policy.MaxReceives, needs.MaxReceives),
			fmt.Sprintf("set maxReceiveCount of its RedrivePolicy to %d, or max_receive_count in queue.yaml to %d", needs.MaxReceives, policy.MaxReceives))
	case policy.MaxReceives < needs.MaxAttempts:
		p.found(Warning, fmt.Sprintf("moves a message after %d receives, and the default retry policy makes %d attempts: the last ones take a copy of the message each", policy.MaxReceives, needs.MaxAttempts),
			fmt.Sprintf("set maxReceiveCount of its RedrivePolicy, and max_receive_count in queue.yaml, to %d", needs.MaxAttempts))
	default:
		p.fine("moves a message after %d receives", policy.MaxReceives)
	}
}

// Key examines the KMS key that seals secrets.
func Key(id string, d *seal.KeyDescription) []Finding {
	p := patient{about: "KMS key " + id}
	switch {
	case !d.Symmetric:
		p.found(Wrong, "is no symmetric key that encrypts and decrypts", "name one that is with --kms-key")
	case d.State != "Enabled":
		do := "enable it: aws kms enable-key --key-id " + id
		if d.State == "PendingDeletion" {
			do = "cancel its deletion, or no secret will ever be opened again: aws kms cancel-key-deletion --key-id " + id
		}
		p.found(Wrong, "is "+d.State+", not Enabled: no secret can be sealed or opened", do)
	default:
		p.fine("is enabled, and symmetric")
	}
	return p.findings
}
