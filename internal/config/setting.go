package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"posthorn/internal/deliver/retry"
	"posthorn/internal/seal"
)

// Variables that are read by name elsewhere in this package.
const (
	varConfigDir = "POSTHORN_CONFIG_DIR"
	varTable     = "POSTHORN_TABLE"
	varQueue     = "POSTHORN_QUEUE_URL"
	varDLQ       = "POSTHORN_DLQ_URL"
	varKMSKey    = "POSTHORN_KMS_KEY_ID"
	varSealKey   = "POSTHORN_SEAL_KEY"
)

// kmsKey is the YAML key that names the KMS key.
const kmsKey = "security.kms_key_id"

// Names of the files.
const (
	retryFile    = "retry.yaml"
	webhooksFile = "webhooks.yaml"
	queueFile    = "queue.yaml"
)

// setting is one value that can be set: by which variable, under which key of
// which file, and how its text is read.
type setting struct {
	env  string // empty: by no variable
	file string // empty: in no file
	key  string // with dots: "security.allow_http"
	list bool   // a list in YAML, comma-separated in the environment
	set  func(c *Config, text string) error
}

// settings is every single value there is. Named policies and event types,
// which have a shape of their own, are read in policies.go and eventtypes.go.
func settings() []setting {
	all := []setting{
		{
			env: "LOG_LEVEL",
			set: func(c *Config, s string) (err error) { c.LogLevel, err = logLevel(s); return err },
		},
		{
			env: "POSTHORN_EMF",
			set: func(c *Config, s string) (err error) { c.EMF, err = boolean(s); return err },
		},
		{
			env: "HOST",
			set: func(c *Config, s string) (err error) { c.HTTP.Host, err = host(s); return err },
		},
		{
			env: "PORT",
			set: func(c *Config, s string) (err error) { c.HTTP.Port, err = whole(s, 0, 65535); return err },
		},
		{
			env: "POSTHORN_ALLOWED_HOSTS",
			set: func(c *Config, s string) (err error) { c.HTTP.AllowedHosts, err = hosts(s); return err },
		},
		{
			env: "POSTHORN_AWS_HOST",
			set: func(c *Config, s string) (err error) { c.Local.Host, err = host(s); return err },
		},
		{
			env: "POSTHORN_AWS_PORT",
			set: func(c *Config, s string) (err error) { c.Local.Port, err = whole(s, 0, 65535); return err },
		},
		{
			env: "POSTHORN_DATA_DIR",
			set: func(c *Config, s string) error { c.Local.DataDir = s; return nil },
		},
		{
			env: varTable, file: webhooksFile, key: "storage.table",
			set: func(c *Config, s string) (err error) { c.Table, err = tableName(s); return err },
		},
		{
			env: varQueue, file: queueFile, key: "queue",
			set: func(c *Config, s string) (err error) { c.Queue.Main, err = queueName(s); return err },
		},
		{
			env: varDLQ, file: queueFile, key: "dead_letter_queue",
			set: func(c *Config, s string) (err error) { c.Queue.DeadLetters, err = queueName(s); return err },
		},
		{
			env: "WEBHOOK_MAX_QUEUE_SIZE", file: queueFile, key: "max_queue_size",
			set: func(c *Config, s string) (err error) { c.Queue.MaxSize, err = whole(s, 0, math.MaxInt32); return err },
		},
		{
			env: "WEBHOOK_WORKER_COUNT", file: queueFile, key: "concurrency",
			set: func(c *Config, s string) (err error) { c.Queue.Workers, err = whole(s, 1, 10000); return err },
		},
		{
			file: queueFile, key: "endpoint_concurrency",
			set: func(c *Config, s string) (err error) { c.Queue.PerEndpoint, err = whole(s, 0, 10000); return err },
		},
		{
			file: queueFile, key: "batch_size",
			set: func(c *Config, s string) (err error) { c.Queue.BatchSize, err = whole(s, 1, 10); return err },
		},
		{
			file: queueFile, key: "max_receive_count",
			set: func(c *Config, s string) (err error) { c.Queue.MaxReceiveCount, err = whole(s, 1, 1000); return err },
		},
		{
			file: queueFile, key: "visibility_timeout",
			set: func(c *Config, s string) error {
				n, err := whole(s, 1, 43200)
				c.Queue.Visibility = time.Duration(n) * time.Second
				return err
			},
		},
		{
			env: "POSTHORN_RETENTION_DAYS", file: webhooksFile, key: "retention.days",
			set: func(c *Config, s string) (err error) { c.Retention.Events, err = days(s); return err },
		},
		{
			env: "DLQ_RETENTION_DAYS", file: webhooksFile, key: "retention.dlq_days",
			set: func(c *Config, s string) (err error) { c.Retention.DeadLetters, err = days(s); return err },
		},
		{
			env: "POSTHORN_AUTH", file: webhooksFile, key: "security.auth",
			set: func(c *Config, s string) (err error) { c.Security.Auth, err = auth(s); return err },
		},
		{
			env: "POSTHORN_ALLOW_HTTP", file: webhooksFile, key: "security.allow_http",
			set: func(c *Config, s string) (err error) { c.Security.AllowHTTP, err = boolean(s); return err },
		},
		{
			env: "POSTHORN_ALLOW_PRIVATE", file: webhooksFile, key: "security.allow_private",
			set: func(c *Config, s string) (err error) { c.Security.AllowPrivate, err = boolean(s); return err },
		},
		{
			env: "POSTHORN_ALLOW_PORTS", file: webhooksFile, key: "security.allow_ports", list: true,
			set: func(c *Config, s string) (err error) { c.Security.AllowPorts, err = ports(s); return err },
		},
		{
			env: varKMSKey, file: webhooksFile, key: kmsKey,
			set: func(c *Config, s string) (err error) { c.Seal.KMSKey, err = kmsKeyID(s); return err },
		},
		{
			// In no file: it is a secret itself.
			env: varSealKey,
			set: func(c *Config, s string) (err error) { c.Seal.Key, err = seal.ParseKey(s); return err },
		},
		{
			file: webhooksFile, key: "breaker.window",
			set: func(c *Config, s string) (err error) {
				c.Breaker.Window, err = duration(s, time.Second, time.Hour)
				return err
			},
		},
		{
			file: webhooksFile, key: "breaker.min_attempts",
			set: func(c *Config, s string) (err error) { c.Breaker.MinAttempts, err = whole(s, 1, 1_000_000); return err },
		},
		{
			file: webhooksFile, key: "breaker.failure_ratio",
			set: func(c *Config, s string) (err error) { c.Breaker.FailureRatio, err = number(s, 0.01, 1); return err },
		},
		{
			file: webhooksFile, key: "breaker.open_for",
			set: func(c *Config, s string) (err error) {
				c.Breaker.OpenFor, err = duration(s, time.Second, longestOpen)
				return err
			},
		},
		{
			file: webhooksFile, key: "breaker.max_open_for",
			set: func(c *Config, s string) (err error) {
				c.Breaker.MaxOpenFor, err = duration(s, time.Second, longestOpen)
				return err
			},
		},
		{
			file: webhooksFile, key: "breaker.disable_after",
			set: func(c *Config, s string) (err error) {
				c.Breaker.DisableAfter, err = duration(s, time.Hour, 8760*time.Hour)
				return err
			},
		},
		{
			env: "POSTHORN_EGRESS_PER_SECOND", file: webhooksFile, key: "limits.egress_per_second",
			set: func(c *Config, s string) (err error) { c.Limits.Egress, err = number(s, 0, 100_000); return err },
		},
		{
			env: "POSTHORN_INGRESS_PER_SECOND", file: webhooksFile, key: "limits.ingress_per_second",
			set: func(c *Config, s string) (err error) { c.Limits.Ingress, err = number(s, 0, 100_000); return err },
		},
		{
			file: webhooksFile, key: "notices.dlq_growth",
			set: func(c *Config, s string) (err error) {
				c.Notices.DeadLetterGrowth, err = whole(s, 0, 1_000_000)
				return err
			},
		},
		{
			env: "POSTHORN_SWEEP_INTERVAL", file: webhooksFile, key: "sweep.interval",
			set: func(c *Config, s string) (err error) { c.SweepInterval, err = seconds(s, 1, 3600); return err },
		},
	}
	all = append(all, setting{
		env: "POSTHORN_TEST_WEBHOOK",
		set: func(c *Config, s string) (err error) { c.TestReceiver, err = boolean(s); return err },
	}, setting{
		env: "POSTHORN_DRAIN_TIMEOUT",
		set: func(c *Config, s string) (err error) { c.Drain, err = seconds(s, 0.1, 3600); return err },
	})
	for _, f := range policyFields() {
		all = append(all, setting{
			env: "RETRY_" + strings.ToUpper(f.name), file: retryFile, key: "default_retry_policy." + f.name,
			set: func(c *Config, s string) error { return f.set(&c.Retry.Default, s) },
		})
	}
	return all
}

// policyField is one value of a retry policy.
type policyField struct {
	name string
	set  func(p *retry.Policy, text string) error
}

func policyFields() []policyField {
	const longest = 24 * 60 * 60 // seconds
	return []policyField{
		{"initial_delay", func(p *retry.Policy, s string) (err error) {
			p.InitialDelay, err = seconds(s, 0.001, longest)
			return err
		}},
		{"max_delay", func(p *retry.Policy, s string) (err error) {
			p.MaxDelay, err = seconds(s, 0.001, longest)
			return err
		}},
		{"multiplier", func(p *retry.Policy, s string) (err error) {
			p.Multiplier, err = number(s, 1, 100)
			return err
		}},
		{"max_attempts", func(p *retry.Policy, s string) (err error) {
			p.MaxAttempts, err = whole(s, 1, 100)
			return err
		}},
		{"jitter", func(p *retry.Policy, s string) (err error) {
			p.Jitter, err = number(s, 0, 1)
			return err
		}},
	}
}

// Variable is a variable of the environment that is read.
type Variable struct {
	Name string
	// Key is where the same can be set in a file, such as
	// "webhooks.yaml: security.allow_http"; empty: nowhere.
	Key string
	// Required says that a program in Function mode does not start without it.
	Required bool
}

// Variables lists every variable that is read.
func Variables() []Variable {
	vars := []Variable{{Name: varConfigDir}}
	for _, s := range settings() {
		if s.env == "" {
			continue
		}
		v := Variable{Name: s.env, Required: s.env == varTable || s.env == varQueue || s.env == varDLQ}
		if s.file != "" {
			v.Key = s.file + ": " + s.key
		}
		vars = append(vars, v)
	}
	return vars
}

func whole(s string, low, high int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%s is not a whole number from %d to %d", quote(s), low, high)
	}
	return n, nil
}

func number(s string, low, high float64) (float64, error) {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || !(x >= low && x <= high) { // a NaN is in no range
		return 0, fmt.Errorf("%s is not a number from %v to %v", quote(s), low, high)
	}
	return x, nil
}

func seconds(s string, low, high float64) (time.Duration, error) {
	x, err := number(s, low, high)
	if err != nil {
		return 0, fmt.Errorf("%s is not a number of seconds from %v to %v", quote(s), low, high)
	}
	return time.Duration(math.Round(x * float64(time.Second))), nil
}

// longestOpen is how long a breaker may be open: a delivery that waits for it is
// delayed by the queue, which does so for 15 minutes at most.
const longestOpen = 15 * time.Minute

// duration reads seconds, or a time such as "90s", "5m" or "120h".
func duration(s string, low, high time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if x, numeric := strconv.ParseFloat(s, 64); numeric == nil && x >= 0 && x <= high.Seconds() {
		d, err = time.Duration(math.Round(x*float64(time.Second))), nil
	}
	if err != nil || d < low || d > high {
		return 0, fmt.Errorf("%s is not a time from %s to %s", quote(s), short(low), short(high))
	}
	return d, nil
}

// short writes a time without its zeros: "1h", not "1h0m0s".
func short(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

func days(s string) (time.Duration, error) {
	n, err := whole(s, 1, 3650)
	return time.Duration(n) * 24 * time.Hour, err
}

func boolean(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, fmt.Errorf("%s is neither true nor false", quote(s))
}

func auth(s string) (Auth, error) {
	switch a := Auth(strings.ToLower(s)); a {
	case AuthKeys, AuthOff:
		return a, nil
	}
	return "", fmt.Errorf("%s is neither keys nor off", quote(s))
}

func ports(s string) ([]uint16, error) {
	var all []uint16
	var wrong []string
	for text := range strings.SplitSeq(s, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		n, err := whole(text, 1, 65535)
		if err != nil {
			wrong = append(wrong, quote(text))
			continue
		}
		all = append(all, uint16(n))
	}
	switch len(wrong) {
	case 0:
		return all, nil
	case 1:
		return nil, fmt.Errorf("%s is not a port from 1 to 65535", wrong[0])
	}
	return nil, fmt.Errorf("%s are not ports from 1 to 65535", strings.Join(wrong, ", "))
}

func logLevel(s string) (slog.Level, error) {
	switch strings.ToLower(s) {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn", "warning":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("%s is none of debug, info, warn and error", quote(s))
}

func host(s string) (string, error) {
	if strings.ContainsAny(s, "/ \t") {
		return "", fmt.Errorf("%s is not an address or a host name", quote(s))
	}
	return s, nil
}

func hosts(s string) ([]string, error) {
	var all []string
	for text := range strings.SplitSeq(s, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if _, err := host(text); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, nil
}

// tableName checks the rules of DynamoDB's CreateTable: 3 to 255 of letters,
// digits, "_", "-" and ".".
func tableName(s string) (string, error) {
	if len(s) < 3 || len(s) > 255 || !only(s, "_-.") {
		return "", fmt.Errorf("%s is not a table's name: 3 to 255 letters, digits, \"_\", \"-\" and \".\"", quote(s))
	}
	return s, nil
}

// queueName checks the rules of SQS's CreateQueue for a standard queue: 1 to 80
// of letters, digits, "_" and "-".
func queueName(s string) (string, error) {
	if IsURL(s) {
		return s, checkQueueURL(s)
	}
	if s == "" || len(s) > 80 || !only(s, "_-") {
		return "", fmt.Errorf("%s is neither a queue's URL nor its name: 1 to 80 letters, digits, \"_\" and \"-\"", quote(s))
	}
	return s, nil
}

func checkQueueURL(s string) error {
	_, rest, _ := strings.Cut(s, "://")
	server, path, _ := strings.Cut(rest, "/")
	if server == "" || path == "" || strings.ContainsAny(s, " \t?#@") {
		return errors.New(quote(s) + " is not a queue's URL")
	}
	return nil
}

// kmsKeyID checks that s is what KMS calls a KeyId: a key's id, which has 36
// characters, an alias, or the ARN of either. It does not show what it refuses,
// which may be a key that was meant for POSTHORN_SEAL_KEY.
func kmsKeyID(s string) (string, error) {
	name, isARN := s, false
	if parts := strings.SplitN(s, ":", 6); len(parts) == 6 && parts[0] == "arn" && parts[2] == "kms" {
		name, isARN = parts[5], true
	}
	alias, isAlias := strings.CutPrefix(name, "alias/")
	id, named := strings.CutPrefix(name, "key/")
	if isAlias && alias != "" && only(alias, "/_-") || named == isARN && len(id) == 36 && only(id, "-") {
		return s, nil
	}
	return "", errors.New("is neither the id nor the ARN of a KMS key, nor an alias such as \"alias/posthorn\"")
}

// only says whether s holds nothing but ASCII letters, digits and others.
func only(s, others string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return true
}

// quote shows a value in a message, at most 60 bytes of it.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
