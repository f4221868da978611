package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/config"
)

// mistakesOf loads what has to fail and returns the error's text with the
// folder's path taken out.
func mistakesOf(t *testing.T, mode config.Mode, vars env, files map[string]string) string {
	t.Helper()
	dir := folder(t, files)
	c, err := config.Load(mode, config.Source{Getenv: started(mode, vars).get, Dirs: []string{dir}})
	require.Error(t, err)
	require.Nil(t, c)
	return strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "config/")
}

func TestEveryMistakeIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	got := mistakesOf(t, config.Local, env{
		"PORT":                    "http",
		"LOG_LEVEL":               "loud",
		"HOST":                    "http://x",
		"POSTHORN_AWS_PORT":       "65536",
		"POSTHORN_ALLOW_HTTP":     "yes",
		"POSTHORN_ALLOW_PORTS":    "443,x",
		"POSTHORN_AUTH":           "none",
		"POSTHORN_TABLE":          "a b c",
		"POSTHORN_QUEUE_URL":      "https://sqs",
		"POSTHORN_DLQ_URL":        "a.b",
		"POSTHORN_SWEEP_INTERVAL": "0",
		"RETRY_JITTER":            "NaN",
		"RETRY_MULTIPLIER":        "0.5",
		"RETRY_MAX_ATTEMPTS":      "1.5",
		"RETRY_INITIAL_DELAY":     "-1",
		"DLQ_RETENTION_DAYS":      "0",
		"WEBHOOK_WORKER_COUNT":    "0",
		"POSTHORN_KMS_KEY_ID":     "my-key",
		"POSTHORN_SEAL_KEY":       "c2VjcmV0",
		"POSTHORN_RETENTION_DAYS": strings.Repeat("9", 80),
	}, map[string]string{
		"queue.yaml": `concurrency: many
batch_size: 11
batch_size: 5
workers: 3
visibility_timeout:
max_receive_count: [1]
`,
		"retry.yaml": `default_retry_policy:
  initial_delay: 10
  max_delay: 5
  attempts: 3
event_retry_policies:
  default:
    events: []
  "a b":
    events: [ok.type, "not ok", "order*", ok.type]
  fast:
    events: ok.type
    retry_policy: {max_attempts: 0, initial_delay: 1s}
    policy: {}
  slow:
    retry_policy:
      initial_delay: 400
  none: 5
`,
		"webhooks.yaml": `storage: posthorn
security:
  allow_http: maybe
  allow_ports: 443
  allow_all: true
retention:
  days: 0
event_types:
  - name: user.created
    description: fine
  - name: user created
  - name: posthorn.x
  - name: user.created
  - description: nameless
  - name:
    describe: x
  - plain
`,
	})
	require.Equal(t, `configuration: 51 mistakes
  config/queue.yaml:1: concurrency: "many" is not a whole number from 1 to 10000
  config/queue.yaml:2: batch_size: "11" is not a whole number from 1 to 10
  config/queue.yaml:3: "batch_size" comes twice
  config/queue.yaml:4: unknown key "workers"
  config/queue.yaml:5: visibility_timeout: has no value
  config/queue.yaml:6: max_receive_count: has to be a single value
  config/retry.yaml:4: unknown key "default_retry_policy.attempts"
  config/retry.yaml:6: event_retry_policies: "default" is the name of default_retry_policy
  config/retry.yaml:8: event_retry_policies: "a b" is not a policy's name: 1 to 64 letters, digits, "_", "-" and "."
  config/retry.yaml:9: event_retry_policies.a b.events: "not ok" is neither an event type, nor a prefix such as "order.*", nor "*"
  config/retry.yaml:9: event_retry_policies.a b.events: "order*" is neither an event type, nor a prefix such as "order.*", nor "*"
  config/retry.yaml:9: event_retry_policies.a b.events: "ok.type" has a policy already, at config/retry.yaml:9
  config/retry.yaml:11: event_retry_policies.fast.events: has to be a list
  config/retry.yaml:12: event_retry_policies.fast.retry_policy.max_attempts: "0" is not a whole number from 1 to 100
  config/retry.yaml:12: event_retry_policies.fast.retry_policy.initial_delay: "1s" is not a number of seconds from 0.001 to 86400
  config/retry.yaml:13: unknown key "event_retry_policies.fast.policy"
  config/retry.yaml:15: event_retry_policies.slow: initial_delay 400 is longer than max_delay 5
  config/retry.yaml:17: event_retry_policies.none: has to be keys and values
  config/webhooks.yaml:1: storage: has to be keys and values
  config/webhooks.yaml:3: security.allow_http: "maybe" is neither true nor false
  config/webhooks.yaml:4: security.allow_ports: has to be a list
  config/webhooks.yaml:5: unknown key "security.allow_all"
  config/webhooks.yaml:7: retention.days: "0" is not a whole number from 1 to 3650
  config/webhooks.yaml:11: event_types: "user created" is not an event type: 1 to 128 letters, digits, ".", "_" and "-"
  config/webhooks.yaml:12: event_types: "posthorn.x": types that start with "posthorn." are Posthorn's own
  config/webhooks.yaml:13: event_types: "user.created" comes twice
  config/webhooks.yaml:14: event_types: an event type needs a name
  config/webhooks.yaml:15: event_types: name: has no value
  config/webhooks.yaml:16: event_types: unknown key "describe"
  config/webhooks.yaml:17: event_types: has to be keys and values
  DLQ_RETENTION_DAYS: "0" is not a whole number from 1 to 3650
  HOST: "http://x" is not an address or a host name
  LOG_LEVEL: "loud" is none of debug, info, warn and error
  PORT: "http" is not a whole number from 0 to 65535
  POSTHORN_ALLOW_HTTP: "yes" is neither true nor false
  POSTHORN_ALLOW_PORTS: "x" is not a port from 1 to 65535
  POSTHORN_AUTH: "none" is neither keys nor off
  POSTHORN_AWS_PORT: "65536" is not a whole number from 0 to 65535
  POSTHORN_DLQ_URL: "a.b" is neither a queue's URL nor its name: 1 to 80 letters, digits, "_" and "-"
  POSTHORN_KMS_KEY_ID: is neither the id nor the ARN of a KMS key, nor an alias such as "alias/posthorn"
  POSTHORN_QUEUE_URL: "https://sqs" is not a queue's URL
  POSTHORN_RETENTION_DAYS: "999999999999999999999999999999999999999999999999999999999999"… is not a whole number from 1 to 3650
  POSTHORN_SEAL_KEY: has to be 32 random bytes in base64, as `+"`openssl rand -base64 32`"+` prints them
  POSTHORN_SEAL_KEY: cannot be set beside POSTHORN_KMS_KEY_ID (security.kms_key_id): one key seals secrets
  POSTHORN_SWEEP_INTERVAL: "0" is not a number of seconds from 1 to 3600
  POSTHORN_TABLE: "a b c" is not a table's name: 3 to 255 letters, digits, "_", "-" and "."
  RETRY_INITIAL_DELAY: "-1" is not a number of seconds from 0.001 to 86400
  RETRY_JITTER: "NaN" is not a number from 0 to 1
  RETRY_MAX_ATTEMPTS: "1.5" is not a whole number from 1 to 100
  RETRY_MULTIPLIER: "0.5" is not a number from 1 to 100
  WEBHOOK_WORKER_COUNT: "0" is not a whole number from 1 to 10000`, got)
}

func TestMistakesOfSyntax(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"concurrency: 1\n  batch_size: 2\n": `config/queue.yaml:2: mapping values are not allowed in this context`,
		"concurrency: [1\n":                 `config/queue.yaml:2: did not find expected ',' or ']'`,
		"concurrency: 1\n\tbatch_size: 2\n": `config/queue.yaml:2: found a tab character that violates indentation`,
		"- 1\n":                             `config/queue.yaml:1: has to be keys and values`,
		"just text\n":                       `config/queue.yaml:1: has to be keys and values`,
		"a: 1\n---\nb: 2\n":                 `config/queue.yaml: has to be a single document`,
		"concurrency: *nothing\n":           `config/queue.yaml:1: unknown anchor 'nothing' referenced`,
		"<<: {concurrency: 1}\n":            `config/queue.yaml:1: unknown key "<<"`,
		"concurrency: \x01\n":               `config/queue.yaml: control characters are not allowed (value: 1)`,
		"concurrency: !!binary aGk=\n":      `config/queue.yaml:1: concurrency: "aGk=" is not a whole number from 1 to 10000`,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, "configuration: 1 mistake\n  "+want, mistakesOf(t, config.Serve, nil, map[string]string{"queue.yaml": text}))
		})
	}
}

func TestMistakesBetweenValues(t *testing.T) {
	t.Parallel()
	retryYAML := map[string]string{"retry.yaml": "# mine\ndefault_retry_policy:\n  max_delay: 20\n"}
	for _, tc := range []struct {
		name  string
		mode  config.Mode
		vars  env
		files map[string]string
		want  string
	}{
		{
			"a variable against the built-in cap", config.Serve,
			env{"RETRY_INITIAL_DELAY": "301"},
			nil,
			"RETRY_INITIAL_DELAY: default retry policy: initial_delay 301 is longer than max_delay 300",
		},
		{
			"a variable against a file's cap", config.Serve,
			env{"RETRY_INITIAL_DELAY": "21"},
			retryYAML,
			"RETRY_INITIAL_DELAY: default retry policy: initial_delay 21 is longer than max_delay 20",
		},
		{
			"a file's cap against the built-in start", config.Serve, nil,
			map[string]string{"retry.yaml": "# mine\ndefault_retry_policy:\n  max_delay: 0.5\n"},
			"config/retry.yaml:3: default retry policy: initial_delay 1 is longer than max_delay 0.5",
		},
		{
			"one queue for both", config.Local,
			env{"POSTHORN_DLQ_URL": "posthorn-deliveries"},
			nil,
			`POSTHORN_DLQ_URL: queue and dead-letter queue are the same: "posthorn-deliveries"`,
		},
		{
			"a function without a table", config.Function, account(env{"POSTHORN_TABLE": ""}), nil,
			"POSTHORN_TABLE: has to be set in a Lambda function",
		},
		{
			"a function without a queue", config.Function, account(env{"POSTHORN_QUEUE_URL": ""}), nil,
			"POSTHORN_QUEUE_URL: has to be set in a Lambda function",
		},
		{
			"a function with a queue's name", config.Function, account(env{"POSTHORN_DLQ_URL": "dead"}), nil,
			`POSTHORN_DLQ_URL: "dead" has to be a URL in a Lambda function`,
		},
		{
			"a folder that is not there", config.Serve,
			env{"POSTHORN_CONFIG_DIR": "/nowhere/at/all"},
			nil,
			`POSTHORN_CONFIG_DIR: "/nowhere/at/all" cannot be read: no such file or directory`,
		},
		{
			"a folder that is a file", config.Serve,
			env{"POSTHORN_CONFIG_DIR": "config_test.go"},
			nil,
			`POSTHORN_CONFIG_DIR: "config_test.go" is not a folder`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, "configuration: 1 mistake\n  "+tc.want, mistakesOf(t, tc.mode, tc.vars, tc.files))
		})
	}
}

func TestAFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "queue.yaml"), 0o700))
	_, err := config.Load(config.Serve, config.Source{Getenv: started(config.Serve, nil).get, Dirs: []string{dir}})
	var mistakes *config.Error
	require.True(t, errors.As(err, &mistakes))
	require.Equal(t, []config.Mistake{{Where: filepath.Join(dir, "queue.yaml"), What: "cannot be read: is a directory"}}, mistakes.Mistakes)
}

// Whatever is in the files, Load ends with a configuration whose values are in
// range or with mistakes that have a place and a text.
func FuzzFiles(f *testing.F) {
	files := []string{"retry.yaml", "webhooks.yaml", "queue.yaml"}
	for i, name := range files {
		text, err := os.ReadFile(filepath.Join("../../config", name))
		require.NoError(f, err)
		f.Add(uint8(i), text)
	}
	f.Add(uint8(0), []byte("event_retry_policies: &a {x: *a}"))
	f.Add(uint8(1), []byte("event_types: &a [*a, {name: *a}]"))
	f.Add(uint8(2), []byte("concurrency: &a [*a]"))
	f.Fuzz(func(t *testing.T, file uint8, text []byte) {
		name := files[int(file)%len(files)]
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
		c, err := config.Load(config.Local, config.Source{Getenv: env{}.get, Dirs: []string{dir}})
		if err != nil {
			var mistakes *config.Error
			require.ErrorAs(t, err, &mistakes)
			for _, m := range mistakes.Mistakes {
				require.NotEmpty(t, m.What)
				require.Contains(t, m.Where, name)
			}
			return
		}
		require.True(t, c.Queue.BatchSize >= 1 && c.Queue.BatchSize <= 10)
		require.Positive(t, c.Queue.Workers)
		for _, p := range c.Retry.Named {
			require.Positive(t, p.MaxAttempts)
			require.LessOrEqual(t, p.InitialDelay, p.MaxDelay)
			require.GreaterOrEqual(t, p.Multiplier, 1.0)
		}
		for _, et := range c.EventTypes {
			require.NotEmpty(t, et.Name)
		}
	})
}

// Whatever a variable is set to, Load ends with a configuration or with one
// mistake that names the variable, and never shows a key.
func FuzzEnvironment(f *testing.F) {
	names := []string{
		"PORT", "HOST", "LOG_LEVEL", "POSTHORN_ALLOWED_HOSTS", "POSTHORN_ALLOW_HTTP", "POSTHORN_ALLOW_PORTS", "POSTHORN_AUTH", "POSTHORN_TABLE", "POSTHORN_QUEUE_URL", "POSTHORN_DLQ_URL",
		"POSTHORN_SWEEP_INTERVAL", "POSTHORN_KMS_KEY_ID", "POSTHORN_SEAL_KEY", "POSTHORN_RETENTION_DAYS", "DLQ_RETENTION_DAYS", "WEBHOOK_WORKER_COUNT", "WEBHOOK_MAX_QUEUE_SIZE",
		"RETRY_INITIAL_DELAY", "RETRY_MAX_DELAY", "RETRY_MULTIPLIER", "RETRY_MAX_ATTEMPTS", "RETRY_JITTER",
	}
	for i, value := range []string{"0", "-1", "1e400", "NaN", "0x1F", "443, 8443", "true", "debug", "keys", sealKey, "https://sqs.eu-central-1.amazonaws.com/123456789012/q", "arn:aws:kms:us-east-1:1:key/" + keyID, "[::1]", "a b"} {
		f.Add(uint8(i), value)
	}
	f.Fuzz(func(t *testing.T, which uint8, value string) {
		name := names[int(which)%len(names)]
		c, err := config.Load(config.Local, config.Source{Getenv: env{name: value}.get})
		if err == nil {
			require.NotNil(t, c)
			return
		}
		var mistakes *config.Error
		require.ErrorAs(t, err, &mistakes)
		for _, m := range mistakes.Mistakes {
			require.NotEmpty(t, m.What)
			require.Contains(t, err.Error(), name)
			if name == "POSTHORN_SEAL_KEY" && len(value) > 20 {
				require.NotContains(t, err.Error(), value)
			}
		}
	})
}
