package config

// Row is a setting as docs/configuration.md has it: its texts are Markdown.
type Row struct {
	File     string // empty: only the variable sets it
	Key      string // in the file, with dots
	Variable string // empty: none sets it
	Default  string
	Meaning  string // with its unit and range
}

// Reference is every setting there is, in the order in which the document has
// them.
func Reference() []Row {
	return []Row{
		{
			Variable: "POSTHORN_CONFIG_DIR",
			Meaning:  "folder that holds the YAML files, or some of them",
		},
		{
			Variable: "POSTHORN_SEAL_KEY",
			Meaning:  "key that seals secrets where there is no KMS: 32 random bytes in base64, as `openssl rand -base64 32` prints them. It is a secret itself, so no file takes it",
		},
		{
			Variable: "LOG_LEVEL", Default: "`info`",
			Meaning: "least important log line that is written: `debug`, `info`, `warn` or `error`",
		},
		{
			Variable: "POSTHORN_EMF", Default: "`true`",
			Meaning: "`false` keeps a function from writing [CloudWatch metrics](operations.md#metrics-in-cloudwatch) into its log",
		},
		{
			Variable: "HOST", Default: "`127.0.0.1`",
			Meaning: "address that the API listens on; not in a function",
		},
		{
			Variable: "PORT", Default: "`8000`",
			Meaning: "port of the API, 0 for any free one; not in a function",
		},
		{
			Variable: "POSTHORN_ALLOWED_HOSTS",
			Meaning:  "names that requests may be made to beside the server's own, comma-separated, as `name` or `name:port`; only local. Its own are the address it listens on, `localhost`, `127.0.0.1` and `[::1]`; beyond loopback also any IP address and the machine's host name",
		},
		{
			Variable: "POSTHORN_AWS_HOST", Default: "`127.0.0.1`",
			Meaning: "address of local's SQS, DynamoDB and KMS",
		},
		{
			Variable: "POSTHORN_AWS_PORT", Default: "`4566`",
			Meaning: "port of local's SQS, DynamoDB and KMS, 0 for any free one",
		},
		{
			Variable: "POSTHORN_DATA_DIR", Default: "`.posthorn`",
			Meaning: "folder of local's data",
		},
		{
			Variable: "POSTHORN_TEST_WEBHOOK", Default: "`false`",
			Meaning: "lets `posthorn serve` have `POST /test/webhook`, the receiver that `posthorn local` always has",
		},
		{
			Variable: "POSTHORN_DRAIN_TIMEOUT", Default: "`30`",
			Meaning: "seconds that `posthorn serve` lets requests and posts under way finish when it is told to stop, 0.1 to 3600",
		},
		{
			File: webhooksFile, Key: "storage.table", Variable: "POSTHORN_TABLE", Default: "`posthorn`",
			Meaning: "name of the DynamoDB table. A function needs the variable; `posthorn serve` needs to be told, by it or by the file",
		},
		{
			File: webhooksFile, Key: "retention.days", Variable: "POSTHORN_RETENTION_DAYS", Default: "`30`",
			Meaning: "days that events, deliveries and jobs are kept, 1 to 3650. An event lives on while it has a dead letter or a held delivery",
		},
		{
			File: webhooksFile, Key: "retention.dlq_days", Variable: "DLQ_RETENTION_DAYS", Default: "`7`",
			Meaning: "days that dead letters are kept, 1 to 3650",
		},
		{
			File: webhooksFile, Key: "security.auth", Variable: "POSTHORN_AUTH", Default: "`keys`; local: `off`",
			Meaning: "`keys`: callers of the API need a key, see [Who may call](api.md#who-may-call). `off`: nobody is asked, and every caller is an administrator. An account's API has nothing else in front of it",
		},
		{
			File: webhooksFile, Key: "security.allow_http", Variable: "POSTHORN_ALLOW_HTTP", Default: "`false`; local: `true`",
			Meaning: "lets endpoints be plain http, on ports 80 and 8080",
		},
		{
			File: webhooksFile, Key: "security.allow_private", Variable: "POSTHORN_ALLOW_PRIVATE", Default: "`false`; local: `true`",
			Meaning: "lets endpoints be at private, loopback and special addresses. Link-local and metadata addresses are refused always. Locally it also allows any port",
		},
		{
			File: webhooksFile, Key: "security.allow_ports", Variable: "POSTHORN_ALLOW_PORTS", Default: "none",
			Meaning: "ports that endpoints may have beside 443 and 8443; in the environment comma-separated",
		},
		{
			File: webhooksFile, Key: "security.kms_key_id", Variable: "POSTHORN_KMS_KEY_ID",
			Meaning: "id or ARN of the symmetric KMS key that seals secrets, or an alias",
		},
		{
			File: webhooksFile, Key: "breaker.window", Default: "`5m`",
			Meaning: "time within which an endpoint's attempts are counted, `1s` to `1h`. It is as long as that so that endpoints that hang are noticed even where they are posted to a few times a minute, see [docs/scale.md](scale.md#what-comes-of-it). Times are seconds, or written like `90s`, `5m` and `120h`",
		},
		{
			File: webhooksFile, Key: "breaker.min_attempts", Default: "`10`",
			Meaning: "attempts in a window below which the breaker does not open, 1 to 1000000",
		},
		{
			File: webhooksFile, Key: "breaker.failure_ratio", Default: "`0.5`",
			Meaning: "share of a window's attempts that failed, from which on it opens, 0.01 to 1",
		},
		{
			File: webhooksFile, Key: "breaker.open_for", Default: "`30s`",
			Meaning: "how long it is open the first time, `1s` to `15m`, and not longer than `max_open_for`; twice as long each time after",
		},
		{
			File: webhooksFile, Key: "breaker.max_open_for", Default: "`5m`",
			Meaning: "how long it is open at most, `1s` to `15m`",
		},
		{
			File: webhooksFile, Key: "breaker.disable_after", Default: "`120h`",
			Meaning: "time of nothing but failures after which an endpoint is disabled, `1h` to `8760h`",
		},
		{
			File: webhooksFile, Key: "limits.egress_per_second", Variable: "POSTHORN_EGRESS_PER_SECOND", Default: "`0`",
			Meaning: "posts a second of all processes to all endpoints together, up to 100000; 0 for no limit. What is over it waits and uses no attempt",
		},
		{
			File: webhooksFile, Key: "limits.ingress_per_second", Variable: "POSTHORN_INGRESS_PER_SECOND", Default: "`0`",
			Meaning: "requests a second that `posthorn local` takes on average, up to 100000, a second's worth at once; what is over it is answered 429. 0 for no limit. In an account the template's `ThrottleRate` and `ThrottleBurst` count",
		},
		{
			File: webhooksFile, Key: "notices.dlq_growth", Default: "`100`",
			Meaning: "new dead letters within an hour from which on [`posthorn.dlq.growing`](api.md#posthorns-own-events) is sent, up to 1000000; 0 for never",
		},
		{
			File: webhooksFile, Key: "sweep.interval", Variable: "POSTHORN_SWEEP_INTERVAL", Default: "`60`; local: `5`",
			Meaning: "seconds between sweeps of the dead-letter queue, 1 to 3600. In an account the schedule of `template.yaml` counts",
		},
		{
			File: webhooksFile, Key: "event_types[].name", Default: "eight types",
			Meaning: "a predefined event type, as `GET /api/v1/event-types` shows it. Any other string of the right form is an event type too",
		},
		{
			File: webhooksFile, Key: "event_types[].description",
			Meaning: "its description",
		},
		{
			File: queueFile, Key: "queue", Variable: "POSTHORN_QUEUE_URL", Default: "`posthorn-deliveries`",
			Meaning: "URL or name of the queue of deliveries. A function needs the variable, and a URL; `posthorn serve` needs to be told",
		},
		{
			File: queueFile, Key: "dead_letter_queue", Variable: "POSTHORN_DLQ_URL", Default: "`posthorn-dead-letters`",
			Meaning: "URL or name of the dead-letter queue. A function needs the variable, and a URL; `posthorn serve` needs to be told",
		},
		{
			File: queueFile, Key: "max_receive_count", Default: "`5`",
			Meaning: "receives before SQS moves a message to the dead letters, 1 to 1000. `template.yaml` says the same",
		},
		{
			File: queueFile, Key: "visibility_timeout", Default: "`270`",
			Meaning: "seconds that a received message stays invisible, 1 to 43200: at least six times the deliver function's timeout. `template.yaml` says the same",
		},
		{
			File: queueFile, Key: "batch_size", Default: "`10`",
			Meaning: "messages taken at once, 1 to 10; not in a function. In an account the mapping of `template.yaml` counts",
		},
		{
			File: queueFile, Key: "concurrency", Variable: "WEBHOOK_WORKER_COUNT", Default: "`64`",
			Meaning: "posts under way in the process, 1 to 10000; not in a function. In an account the template's `DeliverConcurrency` counts",
		},
		{
			File: queueFile, Key: "endpoint_concurrency", Default: "`0`",
			Meaning: "posts to one endpoint under way in a process, 0 to 10000; 0 for a quarter of `concurrency`, and for 5 in a function, whose batch holds 10. What is over it waits in the queue and uses no attempt",
		},
		{
			File: queueFile, Key: "max_queue_size", Variable: "WEBHOOK_MAX_QUEUE_SIZE", Default: "`0`; local: `100000`; serve too",
			Meaning: "ready messages above which no event is accepted (429); 0 for no limit. The count is up to a second old",
		},
		{
			File: retryFile, Key: "default_retry_policy.initial_delay", Variable: "RETRY_INITIAL_DELAY", Default: "`1`",
			Meaning: "seconds before the second attempt, 0.001 to 86400",
		},
		{
			File: retryFile, Key: "default_retry_policy.max_delay", Variable: "RETRY_MAX_DELAY", Default: "`300`",
			Meaning: "longest delay in seconds, before jitter, 0.001 to 86400; also about what a delivery waits at most, give or take a half, when SQS, DynamoDB or KMS fail again and again, where it is 10 to 300",
		},
		{
			File: retryFile, Key: "default_retry_policy.multiplier", Variable: "RETRY_MULTIPLIER", Default: "`2`",
			Meaning: "growth of the delay from one attempt to the next, 1 to 100",
		},
		{
			File: retryFile, Key: "default_retry_policy.max_attempts", Variable: "RETRY_MAX_ATTEMPTS", Default: "`5`",
			Meaning: "attempts in total, the first included, 1 to 100",
		},
		{
			File: retryFile, Key: "default_retry_policy.jitter", Variable: "RETRY_JITTER", Default: "`0.25`",
			Meaning: "share by which a delay varies, 0 to 1",
		},
		{
			File: retryFile, Key: "event_retry_policies.<name>.events",
			Meaning: "filters of the event types that take this policy by themselves; an empty list for none",
		},
		{
			File: retryFile, Key: "event_retry_policies.<name>.retry_policy",
			Meaning: "the same five fields; what is left out is as in `default_retry_policy` of the file",
		},
	}
}
