package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"posthorn/internal/awssqs"
	"posthorn/internal/config"
	examining "posthorn/internal/doctor"
	"posthorn/internal/dynamo"
	"posthorn/internal/seal"
	"posthorn/internal/wire"
)

// doctor examines a deployed stack, and changes nothing.
type doctor struct {
	place
	Queue, DeadLetterQueue, KMSKey *string

	JSON bool
}

func doctorCommand() *cobra.Command {
	d := &doctor{}
	c := &cobra.Command{
		Use: "doctor", Short: "Examine what is deployed, changing nothing", Args: none,
		Long:    "Examine a deployed table, its queues and its KMS key, changing nothing: what is wrong, and what to do.",
		Example: "  posthorn doctor --table NAME --queue URL --dead-letter-queue URL --kms-key ID\n  posthorn doctor --local",
		RunE:    checked(d.Validate, d.Run),
	}
	d.flags(c.Flags())
	f := c.Flags()
	f.Var(optional{&d.Queue, "URL"}, "queue", "SQS queue of deliveries; of a stack, its output QueueUrl. Variable: POSTHORN_QUEUE_URL (posthorn-deliveries).")
	f.Var(optional{&d.DeadLetterQueue, "URL"}, "dead-letter-queue", "Its dead-letter queue; of a stack, its output DeadLetterQueueUrl. Variable: POSTHORN_DLQ_URL (posthorn-dead-letters).")
	f.Var(optional{&d.KMSKey, "ID"}, "kms-key", "KMS key that seals secrets; without it none is looked at. Variable: POSTHORN_KMS_KEY_ID.")
	f.BoolVar(&d.JSON, "json", false, "Print the findings as one JSON object.")
	return c
}

// doctorTime bounds an examination.
const doctorTime = time.Minute

// Run implements the command.
func (c *doctor) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	return c.at(ctx, []flag{
		{"--queue", "POSTHORN_QUEUE_URL", c.Queue},
		{"--dead-letter-queue", "POSTHORN_DLQ_URL", c.DeadLetterQueue},
		{"--kms-key", "POSTHORN_KMS_KEY_ID", c.KMSKey},
	}, func(ctx context.Context, cfg *config.Config, on wire.Services) error {
		findings, err := examine(ctx, cfg, on)
		if err != nil {
			return err
		}
		if c.Local {
			findings = onThisMachine(findings)
		}
		return c.report(os.Stdout, findings)
	})
}

// onThisMachine leaves out the advice that only an account can follow: a posthorn
// local is its data folder, and not a template's table.
func onThisMachine(findings []examining.Finding) []examining.Finding {
	for i := range findings {
		if strings.Contains(findings[i].Do, "PointInTimeRecovery") {
			findings[i].Do = "copy its data folder while it is stopped, where that matters"
		}
	}
	return findings
}

// examine reads what is there and holds it against what has to be. Its error is
// that of services that do not answer; what is not there is a finding.
func examine(ctx context.Context, cfg *config.Config, on wire.Services) ([]examining.Finding, error) {
	var findings []examining.Finding
	table, err := dynamo.Describe(ctx, on, cfg.Table)
	switch {
	case err == nil:
		findings = append(findings, examining.Table(cfg.Table, table)...)
	case dynamo.IsNoTable(err):
		findings = append(findings, examining.Unread("table "+cfg.Table, "is not there", "name it with --table, or the region with AWS_REGION"))
	case wire.Refused(err):
		findings = append(findings, examining.Unread("table "+cfg.Table, wire.Explain(err).Error(),
			"allow dynamodb:DescribeTable, DescribeTimeToLive and DescribeContinuousBackups on it"))
	default:
		return nil, err
	}
	queue, unread, err := examineQueue(ctx, on, "queue", cfg.Queue.Main, "--queue")
	if err != nil {
		return nil, err
	}
	findings = append(findings, unread...)
	dead, unread, err := examineQueue(ctx, on, "dead-letter queue", cfg.Queue.DeadLetters, "--dead-letter-queue")
	if err != nil {
		return nil, err
	}
	findings = append(findings, unread...)
	findings = append(findings, examining.Queues(cfg.Queue.Main, queue, cfg.Queue.DeadLetters, dead, examining.Needs{
		MaxReceives: cfg.Queue.MaxReceiveCount, MaxAttempts: cfg.Retry.Default.MaxAttempts, DeliverTimeout: deliverTimeout,
	})...)
	if cfg.Seal.KMSKey == "" {
		return findings, nil
	}
	key, err := seal.DescribeKey(ctx, on, cfg.Seal.KMSKey)
	switch {
	case err == nil:
		findings = append(findings, examining.Key(cfg.Seal.KMSKey, key)...)
	case wire.Refused(err):
		findings = append(findings, examining.Unread("KMS key "+cfg.Seal.KMSKey, wire.Explain(err).Error(), "name it with --kms-key, or allow kms:DescribeKey on it"))
	default:
		return nil, err
	}
	return findings, nil
}

// examineQueue reads what a queue is like. Where it cannot be, unread says why.
func examineQueue(ctx context.Context, on wire.Services, what, name, flag string) (d *awssqs.Description, unread []examining.Finding, err error) {
	d, err = awssqs.Describe(ctx, on, name)
	switch {
	case err == nil:
		return d, nil, nil
	case awssqs.IsNoQueue(err):
		return nil, []examining.Finding{examining.Unread(what+" "+name, "is not there", "name it with "+flag+", or the region with AWS_REGION")}, nil
	case wire.Refused(err):
		return nil, []examining.Finding{examining.Unread(what+" "+name, wire.Explain(err).Error(), "allow sqs:GetQueueAttributes and sqs:GetQueueUrl on it")}, nil
	}
	return nil, nil, err
}

// report prints the findings. Its error says that something is wrong.
func (c *doctor) report(out io.Writer, findings []examining.Finding) error {
	wrong := 0
	for _, f := range findings {
		if f.Level == examining.Wrong {
			wrong++
		}
	}
	if err := c.print(out, findings, wrong == 0); err != nil {
		return fmt.Errorf("print the findings: %w", err)
	}
	switch wrong {
	case 0:
		return nil
	case 1:
		return errors.New("1 thing is wrong")
	}
	return fmt.Errorf("%d things are wrong", wrong)
}

func (c *doctor) print(out io.Writer, findings []examining.Finding, ok bool) error {
	if c.JSON {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		return enc.Encode(struct {
			OK       bool                `json:"ok"`
			Findings []examining.Finding `json:"findings"`
		}{ok, findings})
	}
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%-8s %s %s\n", f.Level, f.About, f.Says)
		if f.Do != "" {
			fmt.Fprintf(&b, "         -> %s\n", f.Do)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
