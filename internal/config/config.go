// Package config reads what an operator may set: the environment over the
// YAML files in config/ over built-in defaults. It checks everything at once
// and names every mistake, with file and line or with the variable's name.
//
// The built-in defaults are the shipped files themselves, as they were at
// build time, and a few values that differ by Mode. A file of the operator's
// may hold some of the keys only; the others keep their defaults.
package config

import (
	"log/slog"
	"strings"
	"time"

	"posthorn/internal/deliver/breaker"
	"posthorn/internal/deliver/retry"
)

// Mode is the kind of program that is configured. Defaults differ by it.
type Mode string

// The modes.
const (
	Function Mode = "function" // a Lambda function in an account
	Serve    Mode = "serve"    // a long-running process on an account's or an emulator's services
	Local    Mode = "local"    // everything in one process on a laptop
	// Operate is a command on what runs elsewhere. It needs to know where that
	// is, and is not held to what else a program of that kind has to be told.
	Operate Mode = "operate"
)

// Config is everything that is set. It is not changed once it is loaded.
type Config struct {
	Mode      Mode
	LogLevel  slog.Level
	EMF       bool // a function writes what it counts into its log, for CloudWatch
	HTTP      HTTP
	Local     LocalAWS
	Table     string // the DynamoDB table's name
	Queue     Queue
	Retry     *retry.Policies
	Security  Security
	Seal      Seal
	Retention Retention
	Breaker   breaker.Config
	Limits    Limits
	Notices   Notices
	// SweepInterval is how often the dead-letter queue is swept, outside an
	// account, where a schedule does that.
	SweepInterval time.Duration
	// TestReceiver mounts POST /test/webhook in Serve mode. Local mode always
	// has it, a function never.
	TestReceiver bool
	// Drain is how long a program in Serve mode lets requests and posts under
	// way finish once it is told to stop.
	Drain      time.Duration
	EventTypes []EventType // the predefined ones, in the order in which they are shown
	// Files says where each of the YAML files was found, for people.
	Files []string
	// Ignored are files beside those that look like them and are not read:
	// queue.yml, say.
	Ignored []string
}

// HTTP is where the API listens outside an account.
type HTTP struct {
	Host string
	Port int // 0: any free one
	// AllowedHosts are names, or names with a port, that requests may be made
	// to beside the addresses of the listener.
	AllowedHosts []string
}

// LocalAWS is what Local mode has beside the API: SQS, DynamoDB and KMS over their
// own protocols, and a folder for the data.
type LocalAWS struct {
	Host    string
	Port    int // 0: any free one
	DataDir string
}

// Queue is the queue of deliveries, its dead-letter queue, and how they are
// worked.
type Queue struct {
	Main            string        // a name or a URL: see IsURL
	DeadLetters     string        // a name or a URL
	MaxReceiveCount int           // of the redrive policy
	Visibility      time.Duration // the queue's visibility timeout, whole seconds
	BatchSize       int           // messages taken at once, 1 to 10
	Workers         int           // posts under way in a process
	PerEndpoint     int           // posts to one endpoint under way in a process, at least 1
	MaxSize         int           // ready messages above which no event is accepted; 0: no limit
}

// IsURL says whether a queue is given by URL and not by name.
func IsURL(queue string) bool {
	return strings.HasPrefix(queue, "https://") || strings.HasPrefix(queue, "http://")
}

// Auth says whether callers of the API are asked for a key.
type Auth string

// The values of Auth.
const (
	AuthKeys Auth = "keys" // everybody is
	AuthOff  Auth = "off"  // nobody is: every caller is an administrator
)

// Security says who may call, and where endpoints may be.
type Security struct {
	Auth         Auth
	AllowHTTP    bool     // plain http
	AllowPrivate bool     // private, loopback and special addresses
	AllowPorts   []uint16 // beside those of the schemes
	AnyPort      bool     // any port at all: in Local mode, while AllowPrivate is on
}

// Seal says which key wraps those that secrets are sealed under. One of the two
// is set; in Local mode none may be, which asks for the key file of the data
// folder.
type Seal struct {
	KMSKey string // id or ARN of a KMS key, or an alias
	Key    []byte // of the operator's own, 32 bytes
}

// Limits are rates that are kept whoever asks for more; 0: none.
type Limits struct {
	Egress  float64 // posts a second of everybody together
	Ingress float64 // requests a second, in Local mode
}

// Notices are what subscribers are told of.
type Notices struct {
	DeadLetterGrowth int // new dead letters within an hour from which on; 0: never
}

// Retention is how long things are kept.
type Retention struct {
	Events      time.Duration // events and deliveries, from the event's acceptance
	DeadLetters time.Duration // entries of the dead-letter list, from the death
}

// EventType is a predefined event type.
type EventType struct {
	Name        string
	Description string
}

// Flag is a flag of the command line that was given.
type Flag struct {
	Name     string // as a person writes it: "--port"
	Variable string // what it stands for: "PORT"
	Value    string
}

// Source is where configuration comes from.
type Source struct {
	// Getenv returns a variable's value, empty when it is not set. An empty
	// variable counts as not set.
	Getenv func(string) string
	// Flags win over the variables that they stand for. One that is given
	// without a value is a mistake: it was to be set.
	Flags []Flag
	// Dirs are the folders in which each of the files is looked for, in this
	// order, after the one that POSTHORN_CONFIG_DIR names. What is in none of
	// them is built in.
	Dirs []string
}
