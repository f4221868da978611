package config_test

import (
	"encoding/base64"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/config"
	"posthorn/internal/deliver/retry"
)

type env map[string]string

func (e env) get(name string) string { return e[name] }

// folder writes files into a new folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

func load(t *testing.T, mode config.Mode, vars env, dirs ...string) *config.Config {
	t.Helper()
	c, err := config.Load(mode, config.Source{Getenv: started(mode, vars).get, Dirs: dirs})
	require.NoError(t, err)
	return c
}

const (
	keyID   = "1234abcd-12ab-34cd-56ef-1234567890ab"
	sealKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" // bytes 0 to 31
)

// started are the variables with what a server would not start without: where
// things are, by the names that they have elsewhere by default, and a key to
// seal with.
func started(mode config.Mode, vars env) env {
	if mode != config.Serve {
		return vars
	}
	e := env{"POSTHORN_TABLE": "posthorn", "POSTHORN_QUEUE_URL": "posthorn-deliveries", "POSTHORN_DLQ_URL": "posthorn-dead-letters"}
	if vars["POSTHORN_SEAL_KEY"] == "" {
		e["POSTHORN_KMS_KEY_ID"] = keyID
	}
	maps.Copy(e, vars)
	return e
}

// account is what a function needs to start.
func account(more env) env {
	e := env{
		"POSTHORN_TABLE":      "webhooks",
		"POSTHORN_QUEUE_URL":  "https://sqs.eu-central-1.amazonaws.com/123456789012/deliveries",
		"POSTHORN_DLQ_URL":    "https://sqs.eu-central-1.amazonaws.com/123456789012/dead",
		"POSTHORN_KMS_KEY_ID": keyID,
	}
	for k, v := range more {
		e[k] = v
	}
	return e
}

func TestDefaultsOfAServer(t *testing.T) {
	t.Parallel()
	c := load(t, config.Serve, nil)
	require.Equal(t, config.Serve, c.Mode)
	require.Equal(t, slog.LevelInfo, c.LogLevel)
	require.Equal(t, config.HTTP{Host: "127.0.0.1", Port: 8000}, c.HTTP)
	require.Equal(t, config.LocalAWS{Host: "127.0.0.1", Port: 4566, DataDir: ".posthorn"}, c.Local)
	require.Equal(t, "posthorn", c.Table)
	require.Equal(t, config.Queue{
		Main: "posthorn-deliveries", DeadLetters: "posthorn-dead-letters", MaxReceiveCount: 5, Visibility: 270 * time.Second,
		BatchSize: 10, Workers: 64, PerEndpoint: 16, MaxSize: 100_000,
	}, c.Queue)
	require.Equal(t, config.Security{Auth: config.AuthKeys}, c.Security)
	require.Equal(t, config.Retention{Events: 30 * 24 * time.Hour, DeadLetters: 7 * 24 * time.Hour}, c.Retention)
	require.Equal(t, time.Minute, c.SweepInterval)
	require.Equal(t, []string{"built-in queue.yaml", "built-in retry.yaml", "built-in webhooks.yaml"}, c.Files)

	var types []string
	for _, et := range c.EventTypes {
		types = append(types, et.Name)
		require.NotEmpty(t, et.Description, et.Name)
	}
	require.Equal(t, []string{
		"user.created", "user.updated", "user.deleted", "order.created", "order.updated", "order.cancelled", "payment.success", "payment.failed",
	}, types)
}

func TestDefaultsByMode(t *testing.T) {
	t.Parallel()
	local := load(t, config.Local, nil)
	require.Equal(t, config.Security{Auth: config.AuthOff, AllowHTTP: true, AllowPrivate: true, AnyPort: true}, local.Security)
	require.Equal(t, 100_000, local.Queue.MaxSize)
	require.Equal(t, 5*time.Second, local.SweepInterval)

	function := load(t, config.Function, account(nil))
	require.Equal(t, config.Security{Auth: config.AuthKeys}, function.Security)
	require.Zero(t, function.Queue.MaxSize)

	t.Run("what a file or a variable says wins", func(t *testing.T) {
		t.Parallel()
		dir := folder(t, map[string]string{"webhooks.yaml": "security: {allow_http: false}\n", "queue.yaml": "max_queue_size: 0"})
		c := load(t, config.Local, env{"POSTHORN_ALLOW_PRIVATE": "false"}, dir)
		require.Equal(t, config.Security{Auth: config.AuthOff}, c.Security)
		require.Zero(t, c.Queue.MaxSize)
		require.Equal(t, 5*time.Second, c.SweepInterval, "what the file leaves out stays the mode's")
	})
}

func TestShippedRetryPolicies(t *testing.T) {
	t.Parallel()
	ps := load(t, config.Serve, nil).Retry
	require.Equal(t, retry.Default(), ps.Default)
	critical := retry.Policy{InitialDelay: 500 * time.Millisecond, MaxDelay: 600 * time.Second, Multiplier: 2, MaxAttempts: 8, Jitter: 0.25}
	patient := retry.Policy{InitialDelay: 30 * time.Second, MaxDelay: 8 * time.Hour, Multiplier: 2, MaxAttempts: 19, Jitter: 0.25}
	require.Equal(t, map[string]retry.Policy{"default": retry.Default(), "critical": critical, "patient": patient}, ps.Named)
	require.Equal(t, critical, ps.For(nil, "", "payment.failed"))
	require.Equal(t, retry.Default(), ps.For(nil, "", "order.created"))
	require.Equal(t, patient, ps.For(nil, "patient", "payment.failed"))

	var span time.Duration
	for n := 1; n < patient.MaxAttempts; n++ {
		span += retry.Delay(patient, n, 0.5)
	}
	require.InDelta(t, 72, span.Hours(), 1, "three days, as the file says")
}

// Every variable, and the key that sets the same in a file.
func TestEverySetting(t *testing.T) {
	t.Parallel()
	cases := []struct {
		env, value string
		file, yaml string // empty: no key
		got        func(c *config.Config) any
		want       any
	}{
		{"LOG_LEVEL", "debug", "", "", func(c *config.Config) any { return c.LogLevel }, slog.LevelDebug},
		{"HOST", "0.0.0.0", "", "", func(c *config.Config) any { return c.HTTP.Host }, "0.0.0.0"},
		{"PORT", "0", "", "", func(c *config.Config) any { return c.HTTP.Port }, 0},
		{"POSTHORN_AWS_HOST", "::1", "", "", func(c *config.Config) any { return c.Local.Host }, "::1"},
		{"POSTHORN_AWS_PORT", "14566", "", "", func(c *config.Config) any { return c.Local.Port }, 14566},
		{"POSTHORN_ALLOWED_HOSTS", "posthorn, hooks.lan:8000", "", "", func(c *config.Config) any { return c.HTTP.AllowedHosts }, []string{"posthorn", "hooks.lan:8000"}},
		{"POSTHORN_DATA_DIR", "/var/lib/x", "", "", func(c *config.Config) any { return c.Local.DataDir }, "/var/lib/x"},
		{"POSTHORN_TABLE", "hooks", "webhooks.yaml", "storage: {table: hooks}", func(c *config.Config) any { return c.Table }, "hooks"},
		{"POSTHORN_QUEUE_URL", "http://q:4566/000000000000/a", "queue.yaml", "queue: http://q:4566/000000000000/a", func(c *config.Config) any { return c.Queue.Main }, "http://q:4566/000000000000/a"},
		{"POSTHORN_DLQ_URL", "dead-ones", "queue.yaml", "dead_letter_queue: dead-ones", func(c *config.Config) any { return c.Queue.DeadLetters }, "dead-ones"},
		{"WEBHOOK_MAX_QUEUE_SIZE", "0", "queue.yaml", "max_queue_size: 0", func(c *config.Config) any { return c.Queue.MaxSize }, 0},
		{"WEBHOOK_WORKER_COUNT", "3", "queue.yaml", "concurrency: 3", func(c *config.Config) any { return c.Queue.Workers }, 3},
		{"", "", "queue.yaml", "endpoint_concurrency: 7", func(c *config.Config) any { return c.Queue.PerEndpoint }, 7},
		{"", "", "queue.yaml", "batch_size: 1", func(c *config.Config) any { return c.Queue.BatchSize }, 1},
		{"", "", "queue.yaml", "max_receive_count: 9", func(c *config.Config) any { return c.Queue.MaxReceiveCount }, 9},
		{"", "", "queue.yaml", "visibility_timeout: 30", func(c *config.Config) any { return c.Queue.Visibility }, 30 * time.Second},
		{"POSTHORN_RETENTION_DAYS", "90", "webhooks.yaml", "retention: {days: 90}", func(c *config.Config) any { return c.Retention.Events }, 90 * 24 * time.Hour},
		{"DLQ_RETENTION_DAYS", "1", "webhooks.yaml", "retention: {dlq_days: 1}", func(c *config.Config) any { return c.Retention.DeadLetters }, 24 * time.Hour},
		{"POSTHORN_AUTH", "off", "webhooks.yaml", "security: {auth: off}", func(c *config.Config) any { return c.Security.Auth }, config.AuthOff},
		{"POSTHORN_ALLOW_HTTP", "true", "webhooks.yaml", "security: {allow_http: true}", func(c *config.Config) any { return c.Security.AllowHTTP }, true},
		{"POSTHORN_ALLOW_PRIVATE", "1", "webhooks.yaml", "security: {allow_private: true}", func(c *config.Config) any { return c.Security.AllowPrivate }, true},
		{"POSTHORN_ALLOW_PORTS", "9443, 10443", "webhooks.yaml", "security: {allow_ports: [9443, 10443]}", func(c *config.Config) any { return c.Security.AllowPorts }, []uint16{9443, 10443}},
		{"POSTHORN_KMS_KEY_ID", "alias/hooks", "", "", func(c *config.Config) any { return c.Seal.KMSKey }, "alias/hooks"},
		{"POSTHORN_SEAL_KEY", sealKey, "", "", func(c *config.Config) any { return c.Seal }, config.Seal{Key: key(t)}},
		{"POSTHORN_TEST_WEBHOOK", "true", "", "", func(c *config.Config) any { return c.TestReceiver }, true},
		{"POSTHORN_DRAIN_TIMEOUT", "2.5", "", "", func(c *config.Config) any { return c.Drain }, 2500 * time.Millisecond},
		{"POSTHORN_EGRESS_PER_SECOND", "2.5", "webhooks.yaml", "limits: {egress_per_second: 2.5}", func(c *config.Config) any { return c.Limits.Egress }, 2.5},
		{"POSTHORN_INGRESS_PER_SECOND", "100", "webhooks.yaml", "limits: {ingress_per_second: 100}", func(c *config.Config) any { return c.Limits.Ingress }, 100.0},
		{"", "", "webhooks.yaml", "breaker: {window: 90s}", func(c *config.Config) any { return c.Breaker.Window }, 90 * time.Second},
		{"", "", "webhooks.yaml", "breaker: {min_attempts: 5}", func(c *config.Config) any { return c.Breaker.MinAttempts }, 5},
		{"", "", "webhooks.yaml", "breaker: {failure_ratio: 0.8}", func(c *config.Config) any { return c.Breaker.FailureRatio }, 0.8},
		{"", "", "webhooks.yaml", "breaker: {open_for: 45}", func(c *config.Config) any { return c.Breaker.OpenFor }, 45 * time.Second},
		{"", "", "webhooks.yaml", "breaker: {max_open_for: 10m}", func(c *config.Config) any { return c.Breaker.MaxOpenFor }, 10 * time.Minute},
		{"", "", "webhooks.yaml", "breaker: {disable_after: 48h}", func(c *config.Config) any { return c.Breaker.DisableAfter }, 48 * time.Hour},
		{"", "", "webhooks.yaml", "notices: {dlq_growth: 7}", func(c *config.Config) any { return c.Notices.DeadLetterGrowth }, 7},
		{"POSTHORN_SWEEP_INTERVAL", "2.5", "webhooks.yaml", "sweep: {interval: 2.5}", func(c *config.Config) any { return c.SweepInterval }, 2500 * time.Millisecond},
		{"POSTHORN_EMF", "false", "", "", func(c *config.Config) any { return c.EMF }, false},
		{"RETRY_INITIAL_DELAY", "0.25", "retry.yaml", "default_retry_policy: {initial_delay: 0.25}", func(c *config.Config) any { return c.Retry.Default.InitialDelay }, 250 * time.Millisecond},
		{"RETRY_MAX_DELAY", "7", "retry.yaml", "default_retry_policy: {max_delay: 7}", func(c *config.Config) any { return c.Retry.Default.MaxDelay }, 7 * time.Second},
		{"RETRY_MULTIPLIER", "1.5", "retry.yaml", "default_retry_policy: {multiplier: 1.5}", func(c *config.Config) any { return c.Retry.Default.Multiplier }, 1.5},
		{"RETRY_MAX_ATTEMPTS", "12", "retry.yaml", "default_retry_policy: {max_attempts: 12}", func(c *config.Config) any { return c.Retry.Named["default"].MaxAttempts }, 12},
		{"RETRY_JITTER", "0", "retry.yaml", "default_retry_policy: {jitter: 0}", func(c *config.Config) any { return c.Retry.Default.Jitter }, 0.0},
	}
	tested := []string{"POSTHORN_CONFIG_DIR"}
	for _, tc := range cases {
		if tc.env != "" {
			tested = append(tested, tc.env)
			t.Run(tc.env, func(t *testing.T) {
				t.Parallel()
				require.NotEqual(t, tc.want, tc.got(load(t, config.Serve, nil)), "the case has to change something")
				require.Equal(t, tc.want, tc.got(load(t, config.Serve, env{tc.env: tc.value})))
			})
		}
		if tc.yaml != "" {
			t.Run(tc.yaml, func(t *testing.T) {
				t.Parallel()
				dir := folder(t, map[string]string{tc.file: tc.yaml})
				mode := config.Serve
				if started(mode, nil)[tc.env] != "" {
					mode = config.Operate // a server's variable would win
				}
				require.Equal(t, tc.want, tc.got(load(t, mode, nil, dir)))
			})
		}
	}
	var all []string
	for _, v := range config.Variables() {
		all = append(all, v.Name)
	}
	require.ElementsMatch(t, all, tested, "every variable has a case")
}

// key is what sealKey stands for.
func key(t *testing.T) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(sealKey)
	require.NoError(t, err)
	require.Len(t, b, 32)
	return b
}

func TestTheKMSKeyMayBeGivenInEachForm(t *testing.T) {
	t.Parallel()
	const arn = "arn:aws:kms:eu-central-1:123456789012:"
	for _, id := range []string{keyID, arn + "key/" + keyID, "mrk-1234abcd12ab34cd56ef1234567890ab", "alias/a/b_c-d", arn + "alias/hooks", "arn:aws-cn:kms:cn-north-1:123456789012:key/" + keyID} {
		require.Equal(t, config.Seal{KMSKey: id}, load(t, config.Serve, env{"POSTHORN_KMS_KEY_ID": id}).Seal)
	}
	for _, id := range []string{"key/" + keyID, arn + keyID, arn + "key/", "alias/", "alias/a b", "hooks", keyID + "0", "arn:aws:sqs:eu-central-1:123456789012:key/" + keyID, sealKey} {
		_, err := config.Load(config.Local, config.Source{Getenv: env{"POSTHORN_KMS_KEY_ID": id}.get})
		require.EqualError(t, err, `configuration: 1 mistake
  POSTHORN_KMS_KEY_ID: is neither the id nor the ARN of a KMS key, nor an alias such as "alias/posthorn"`, id)
	}
}

func TestExactlyOneKeySeals(t *testing.T) {
	t.Parallel()
	inFile := folder(t, map[string]string{"webhooks.yaml": "security: {kms_key_id: alias/hooks}\n"})
	for _, mode := range []config.Mode{config.Function, config.Serve, config.Local} {
		vars := func(more env) config.Source {
			e := account(env{"POSTHORN_KMS_KEY_ID": ""})
			maps.Copy(e, more)
			return config.Source{Getenv: e.get}
		}
		c, err := config.Load(mode, vars(nil))
		if mode == config.Local {
			require.NoError(t, err)
			require.Zero(t, c.Seal, "the data folder has a key")
		} else {
			require.EqualError(t, err, "configuration: 1 mistake\n  POSTHORN_KMS_KEY_ID: has to be set, or POSTHORN_SEAL_KEY: secrets are sealed")
		}
		c, err = config.Load(mode, vars(env{"POSTHORN_KMS_KEY_ID": keyID}))
		require.NoError(t, err)
		require.Equal(t, config.Seal{KMSKey: keyID}, c.Seal)
		c, err = config.Load(mode, vars(env{"POSTHORN_SEAL_KEY": sealKey + "\n"}))
		require.NoError(t, err)
		require.Equal(t, config.Seal{Key: key(t)}, c.Seal)

		src := vars(nil)
		src.Dirs = []string{inFile}
		c, err = config.Load(mode, src)
		require.NoError(t, err)
		require.Equal(t, config.Seal{KMSKey: "alias/hooks"}, c.Seal)

		both := "configuration: 1 mistake\n  POSTHORN_SEAL_KEY: cannot be set beside POSTHORN_KMS_KEY_ID (security.kms_key_id): one key seals secrets"
		_, err = config.Load(mode, vars(env{"POSTHORN_KMS_KEY_ID": keyID, "POSTHORN_SEAL_KEY": sealKey}))
		require.EqualError(t, err, both)
		src = vars(env{"POSTHORN_SEAL_KEY": sealKey})
		src.Dirs = []string{inFile}
		_, err = config.Load(mode, src)
		require.EqualError(t, err, both)
	}
}

// However a key is given wrongly, no mistake shows it.
func TestNoMistakeShowsTheSealKey(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		vars env
		file string
		says string
	}{
		{env{"POSTHORN_SEAL_KEY": sealKey[:40]}, "", "POSTHORN_SEAL_KEY: has to be 32 random bytes in base64"},
		{env{"POSTHORN_SEAL_KEY": "x" + sealKey}, "", "POSTHORN_SEAL_KEY: has to be 32 random bytes in base64"},
		{env{"POSTHORN_SEAL_KEY": sealKey, "POSTHORN_KMS_KEY_ID": keyID}, "", "POSTHORN_SEAL_KEY: cannot be set beside"},
		{env{"POSTHORN_KMS_KEY_ID": sealKey}, "", "POSTHORN_KMS_KEY_ID: is neither"},
		{nil, "security: {kms_key_id: " + sealKey + "}", "security.kms_key_id: is neither"},
		{nil, "security: {seal_key: " + sealKey + "}", `unknown key "security.seal_key"`},
	} {
		dir := folder(t, map[string]string{"webhooks.yaml": tc.file})
		_, err := config.Load(config.Local, config.Source{Getenv: tc.vars.get, Dirs: []string{dir}})
		require.ErrorContains(t, err, tc.says)
		require.NotContains(t, err.Error(), sealKey[:20], "%v", tc)
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	first := folder(t, map[string]string{"queue.yaml": "concurrency: 1\n"})
	second := folder(t, map[string]string{"queue.yaml": "concurrency: 2\nbatch_size: 2\n", "webhooks.yaml": "storage: {table: second}\n"})

	c := load(t, config.Operate, nil, first, second)
	require.Equal(t, 1, c.Queue.Workers, "the first folder that has the file")
	require.Equal(t, 10, c.Queue.BatchSize, "and no other for that file")
	require.Equal(t, "second", c.Table, "each file is looked for by itself")
	require.Equal(t, []string{filepath.Join(first, "queue.yaml"), "built-in retry.yaml", filepath.Join(second, "webhooks.yaml")}, c.Files)

	c = load(t, config.Serve, env{"POSTHORN_CONFIG_DIR": second}, first)
	require.Equal(t, 2, c.Queue.Workers, "POSTHORN_CONFIG_DIR comes before the folders")

	c = load(t, config.Serve, env{"WEBHOOK_WORKER_COUNT": "7"}, first)
	require.Equal(t, 7, c.Queue.Workers, "a variable comes before the file")

	c = load(t, config.Serve, env{"WEBHOOK_WORKER_COUNT": ""}, first)
	require.Equal(t, 1, c.Queue.Workers, "an empty variable is not set")
}

func TestAFlagWinsOverItsVariableAndIsNamedInItsMistakes(t *testing.T) {
	t.Parallel()
	vars := env{"PORT": "1", "HOST": "192.0.2.1"}
	c, err := config.Load(config.Local, config.Source{Getenv: vars.get, Flags: []config.Flag{{Name: "--port", Variable: "PORT", Value: "2"}}})
	require.NoError(t, err)
	require.Equal(t, 2, c.HTTP.Port)
	require.Equal(t, "192.0.2.1", c.HTTP.Host)

	_, err = config.Load(config.Local, config.Source{Getenv: vars.get, Flags: []config.Flag{
		{Name: "--port", Variable: "PORT", Value: "x"}, {Name: "--data", Variable: "POSTHORN_DATA_DIR", Value: ""},
	}})
	require.EqualError(t, err, `configuration: 2 mistakes
  --data: has no value
  --port: "x" is not a whole number from 0 to 65535`)
}

func TestTheAPIAndTheServicesDoNotShareAPort(t *testing.T) {
	t.Parallel()
	_, err := config.Load(config.Local, config.Source{Getenv: env{"PORT": "4566"}.get})
	require.EqualError(t, err, `configuration: 1 mistake
  PORT: the API and the services cannot both listen on 127.0.0.1:4566`)
	c := load(t, config.Local, env{"PORT": "0", "POSTHORN_AWS_PORT": "0"})
	require.Zero(t, c.HTTP.Port, "each takes a free one of its own")
}

func TestOneEndpointHasAQuarterOfTheWorkersAndHalfAFunctionsBatch(t *testing.T) {
	t.Parallel()
	require.Equal(t, 16, load(t, config.Local, nil).Queue.PerEndpoint)
	require.Equal(t, 2, load(t, config.Serve, env{"WEBHOOK_WORKER_COUNT": "8"}).Queue.PerEndpoint)
	require.Equal(t, 1, load(t, config.Serve, env{"WEBHOOK_WORKER_COUNT": "3"}).Queue.PerEndpoint)
	require.Equal(t, 5, load(t, config.Function, account(nil)).Queue.PerEndpoint)
}

// Whoever makes the first key need not know how the functions are configured.
func TestACommandNeedsToKnowWhereThingsAreAndNoMore(t *testing.T) {
	t.Parallel()
	c := load(t, config.Operate, env{"POSTHORN_TABLE": "hooks"})
	require.Equal(t, "hooks", c.Table)
	c = load(t, config.Operate, env{"POSTHORN_QUEUE_URL": "same", "POSTHORN_DLQ_URL": "same"})
	require.Equal(t, "posthorn", c.Table)
	_, err := config.Load(config.Operate, config.Source{Getenv: env{"POSTHORN_TABLE": "a b"}.get})
	require.ErrorContains(t, err, "POSTHORN_TABLE: \"a b\" is not a table's name")
}

// A server's table and queues are somebody's: it is told which, and takes no
// default for it.
func TestAServerIsToldWhereThingsAre(t *testing.T) {
	t.Parallel()
	_, err := config.Load(config.Serve, config.Source{Getenv: env{"POSTHORN_SEAL_KEY": sealKey}.get})
	require.EqualError(t, err, `configuration: 3 mistakes
  POSTHORN_DLQ_URL: has to be set, or --dead-letter-queue; of a stack, its output DeadLetterQueueUrl
  POSTHORN_QUEUE_URL: has to be set, or --queue: the queue of deliveries; of a stack, its output QueueUrl
  POSTHORN_TABLE: has to be set, or --table: the DynamoDB table; of a stack, its output TableName`)
	dir := folder(t, map[string]string{"webhooks.yaml": "storage: {table: hooks}", "queue.yaml": "{queue: a, dead_letter_queue: b}"})
	c, err := config.Load(config.Serve, config.Source{Getenv: env{"POSTHORN_SEAL_KEY": sealKey}.get, Dirs: []string{dir}})
	require.NoError(t, err)
	require.Equal(t, []string{"hooks", "a", "b"}, []string{c.Table, c.Queue.Main, c.Queue.DeadLetters}, "in files, and by name, is told too")
}

func TestAFileWithAnotherEndingIsNamed(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"queue.yml": "concurrency: 5", "retry.yaml": "", "retry.yml": ""})
	c := load(t, config.Local, nil, dir)
	require.Equal(t, 64, c.Queue.Workers, "it is not read")
	require.Equal(t, []string{filepath.Join(dir, "queue.yml"), filepath.Join(dir, "retry.yml")}, c.Ignored)
}

func TestAFunctionShipsTheFiles(t *testing.T) {
	t.Parallel()
	c := load(t, config.Function, account(nil), "../../config")
	require.Equal(t, []string{"../../config/queue.yaml", "../../config/retry.yaml", "../../config/webhooks.yaml"}, c.Files)
	built := load(t, config.Function, account(nil))
	built.Files = c.Files
	require.Equal(t, built, c)
}

func TestVariablesChangeTheDefaultPolicyOnly(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"retry.yaml": `
default_retry_policy: {multiplier: 3, jitter: 0.1}
event_retry_policies:
  exact: {events: [order.created], retry_policy: {max_attempts: 2}}
  all: {events: ["*"], retry_policy: {max_attempts: 3}}
  long: {events: ["order.item.*"]}
  short: {events: ["order.*", "user.*"], retry_policy: {max_attempts: 4}}
`})
	ps := load(t, config.Serve, env{"RETRY_MULTIPLIER": "7", "RETRY_MAX_ATTEMPTS": "9"}, dir).Retry
	require.Equal(t, 7.0, ps.Default.Multiplier)
	require.Equal(t, 3.0, ps.Named["exact"].Multiplier, "what is left out is the file's default policy")
	require.Equal(t, 0.1, ps.Named["exact"].Jitter)
	require.Equal(t, 300*time.Second, ps.Named["exact"].MaxDelay)
	require.NotContains(t, ps.Named, "critical", "the list replaces the built-in one")

	for eventType, attempts := range map[string]int{
		"order.created": 2, "order.item.added": 5, "order.updated": 4, "user.created": 4, "order": 3, "other": 3, "posthorn.test": 9,
	} {
		require.Equal(t, attempts, ps.For(nil, "", eventType).MaxAttempts, eventType)
	}
}

func TestYAMLForms(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty": "", "comments": "# nothing\n", "null": "~\n", "document": "---\nconcurrency: 64\n...\n",
		"quoted": "concurrency: \"64\"\n", "alias": "concurrency: &n 64\nbatch_size: 10\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := load(t, config.Serve, nil, folder(t, map[string]string{"queue.yaml": text}))
			require.Equal(t, 64, c.Queue.Workers)
		})
	}
	c := load(t, config.Serve, nil, folder(t, map[string]string{"queue.yaml": "max_receive_count: &n 7\nbatch_size: *n\n"}))
	require.Equal(t, 7, c.Queue.BatchSize)
}

func TestEnvironmentIsTheProcessesOwn(t *testing.T) {
	t.Setenv("POSTHORN_TABLE", "from-the-process")
	t.Setenv("POSTHORN_QUEUE_URL", "a")
	t.Setenv("POSTHORN_DLQ_URL", "b")
	t.Setenv("POSTHORN_SEAL_KEY", sealKey)
	t.Chdir(t.TempDir())
	require.NoError(t, os.Mkdir("config", 0o700))
	require.NoError(t, os.WriteFile("config/queue.yaml", []byte("concurrency: 5"), 0o600))
	c, err := config.Load(config.Serve, config.Environment())
	require.NoError(t, err)
	require.Equal(t, "from-the-process", c.Table)
	require.Equal(t, 5, c.Queue.Workers)
}

func BenchmarkLoad(b *testing.B) {
	for name, dirs := range map[string][]string{"built-in": nil, "shipped": {"../../config"}} {
		b.Run(name, func(b *testing.B) {
			src := config.Source{Getenv: account(nil).get, Dirs: dirs}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := config.Load(config.Function, src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
