package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	configfiles "posthorn/config"
	"posthorn/internal/deliver/retry"
)

// Environment is the process's own Source: its environment, and the folder
// config/ in the working directory, then beside the program.
func Environment() Source {
	dirs := []string{"config"}
	if exe, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Join(filepath.Dir(exe), "config"))
	}
	return Source{Getenv: os.Getenv, Dirs: dirs}
}

// Load reads and checks the configuration of a program that runs in mode. Its
// error is an *Error that names every mistake.
func Load(mode Mode, src Source) (*Config, error) {
	l := loader{
		src:      src,
		config:   defaults(mode),
		settings: settings(),
		set:      map[string]place{},
	}
	files := l.find()
	for _, f := range files {
		l.read(f.name, "built-in "+f.name, f.builtIn)
	}
	clear(l.set) // what is built in counts as a default
	l.modeDefaults()
	for _, f := range files {
		if f.own != nil && !bytes.Equal(f.own, f.builtIn) {
			l.read(f.name, f.path, f.own)
		}
		l.config.Files = append(l.config.Files, f.path)
	}
	l.named()
	l.eventTypes()
	l.environment()
	if mode != Operate {
		l.check()
	}
	if err := l.mistakes.err(); err != nil {
		return nil, err
	}
	return l.config, nil
}

// loader is a Config on its way.
type loader struct {
	src      Source
	config   *Config
	settings []setting
	set      map[string]place // where the settings that are no default were set, by id
	mistakes mistakes

	// The parts with a shape of their own, from the file that said them last.
	policies, types         *yaml.Node
	policiesFile, typesFile string
}

// id names a setting.
func (s *setting) id() string {
	if s.key != "" {
		return s.key
	}
	return s.env
}

// defaults are those that no file says.
func defaults(mode Mode) *Config {
	return &Config{
		Mode:     mode,
		LogLevel: slog.LevelInfo,
		EMF:      true,
		HTTP:     HTTP{Host: "127.0.0.1", Port: 8000},
		Local:    LocalAWS{Host: "127.0.0.1", Port: 4566, DataDir: ".posthorn"},
		Drain:    30 * time.Second,
		Retry:    &retry.Policies{},
	}
}

// modeDefaults sets what the shipped files leave to the mode.
func (l *loader) modeDefaults() {
	c := l.config
	c.SweepInterval = time.Minute
	c.Security.Auth = AuthKeys
	if c.Mode != Function {
		c.Queue.MaxSize = 100_000
	}
	if c.Mode == Local {
		c.SweepInterval = 5 * time.Second
		c.Security.Auth = AuthOff
		c.Security.AllowHTTP, c.Security.AllowPrivate = true, true
	}
}

// configFile is one of the files: as it is built in, and the operator's own.
type configFile struct {
	name    string
	builtIn []byte
	own     []byte // nil: there is none
	path    string // of own; "built-in retry.yaml" where there is none
}

// find reads the files, each from the first folder that has it.
func (l *loader) find() []configFile {
	dirs := l.src.Dirs
	if dir := l.src.Getenv(varConfigDir); dir != "" {
		info, err := os.Stat(dir)
		switch {
		case err != nil:
			l.mistakes.add(place{env: varConfigDir}, "%s cannot be read: %v", quote(dir), cause(err))
		case !info.IsDir():
			l.mistakes.add(place{env: varConfigDir}, "%s is not a folder", quote(dir))
		default:
			dirs = append([]string{dir}, dirs...)
		}
	}
	var files []configFile
	for _, name := range []string{queueFile, retryFile, webhooksFile} {
		f := configFile{name: name, path: "built-in " + name}
		var err error
		if f.builtIn, err = configfiles.FS.ReadFile(name); err != nil {
			l.mistakes.add(place{file: f.path}, "%v", err)
		}
		for _, dir := range dirs {
			path := filepath.Join(dir, name)
			if other := strings.TrimSuffix(path, ".yaml") + ".yml"; exists(other) {
				l.config.Ignored = append(l.config.Ignored, other)
			}
			own, err := os.ReadFile(path)
			if err == nil {
				f.own, f.path = own, path
				break
			}
			if !missing(err) {
				l.mistakes.add(place{file: path}, "cannot be read: %v", cause(err))
				break
			}
		}
		files = append(files, f)
	}
	return files
}

// environment applies the variables, and the flags in their place.
func (l *loader) environment() {
	for i := range l.settings {
		s := &l.settings[i]
		if s.env == "" {
			continue
		}
		if f := l.flag(s.env); f != nil {
			at := place{env: f.Name}
			if f.Value == "" {
				l.mistakes.add(at, "has no value")
				continue
			}
			l.apply(s, at, "", f.Value)
		} else if text := l.src.Getenv(s.env); text != "" {
			l.apply(s, place{env: s.env}, "", text)
		}
	}
}

// flag returns the flag that stands for a variable, nil when it is not given.
func (l *loader) flag(variable string) *Flag {
	for i := range l.src.Flags {
		if l.src.Flags[i].Variable == variable {
			return &l.src.Flags[i]
		}
	}
	return nil
}

// apply sets a setting; label comes before what is wrong with it.
func (l *loader) apply(s *setting, at place, label, text string) {
	l.set[s.id()] = at
	if err := s.set(l.config, text); err != nil {
		l.mistakes.add(at, "%s%v", label, err)
	}
}

// check holds values against each other and against the mode.
func (l *loader) check() {
	c := l.config
	c.Retry.Named[defaultPolicy] = c.Retry.Default
	if c.Queue.PerEndpoint == 0 {
		c.Queue.PerEndpoint = perEndpoint(c.Mode, c.Queue.Workers)
	}
	c.Security.AnyPort = c.Mode == Local && c.Security.AllowPrivate
	const policy = "default_retry_policy."
	if err := checkDelays(c.Retry.Default); err != nil {
		l.mistakes.add(blame(l.set[policy+"initial_delay"], l.set[policy+"max_delay"]), "default retry policy: %v", err)
	}
	if b := c.Breaker; b.OpenFor > 0 && b.MaxOpenFor > 0 && b.OpenFor > b.MaxOpenFor {
		l.mistakes.add(blame(l.set["breaker.open_for"], l.set["breaker.max_open_for"]), "breaker: open_for %s is longer than max_open_for %s", short(b.OpenFor), short(b.MaxOpenFor))
	}
	if c.Queue.Main == c.Queue.DeadLetters {
		l.mistakes.add(blame(l.set["queue"], l.set["dead_letter_queue"]), "queue and dead-letter queue are the same: %s", quote(c.Queue.Main))
	}
	if c.Mode == Local && c.HTTP.Host == c.Local.Host && c.HTTP.Port == c.Local.Port && c.HTTP.Port != 0 {
		l.mistakes.add(blame(l.set["PORT"], l.set["POSTHORN_AWS_PORT"]), "the API and the services cannot both listen on %s:%d", c.HTTP.Host, c.HTTP.Port)
	}
	l.checkSeal()
	l.checkPlaces()
}

// checkPlaces makes sure that a program that uses an account's services was
// told which: a default would be somebody else's.
func (l *loader) checkPlaces() {
	c := l.config
	if c.Mode != Function && c.Mode != Serve {
		return
	}
	for _, need := range []struct{ env, key, value, hint string }{
		{varTable, "storage.table", "", ", or --table: the DynamoDB table; of a stack, its output TableName"},
		{varQueue, "queue", c.Queue.Main, ", or --queue: the queue of deliveries; of a stack, its output QueueUrl"},
		{varDLQ, "dead_letter_queue", c.Queue.DeadLetters, ", or --dead-letter-queue; of a stack, its output DeadLetterQueueUrl"},
	} {
		at, set := l.set[need.key]
		switch {
		case !set && c.Mode == Serve:
			l.mistakes.add(place{env: need.env}, "has to be set%s", need.hint)
		case !set:
			l.mistakes.add(place{env: need.env}, "has to be set in a Lambda function")
		case c.Mode == Function && need.value != "" && !IsURL(need.value):
			l.mistakes.add(at, "%s has to be a URL in a Lambda function", quote(need.value))
		}
	}
}

// checkSeal makes sure that exactly one key seals. In Local mode none need be
// set: there is one in the data folder.
func (l *loader) checkSeal() {
	at, own := l.set[varSealKey]
	_, kms := l.set[kmsKey]
	switch {
	case own && kms:
		l.mistakes.add(at, "cannot be set beside %s (%s): one key seals secrets", varKMSKey, kmsKey)
	case !own && !kms && l.config.Mode != Local:
		l.mistakes.add(place{env: varKMSKey}, "has to be set, or %s: secrets are sealed", varSealKey)
	}
}

// perEndpoint is how many posts one endpoint may have under way where nothing
// is said: half a batch in a function, which has one batch at a time, and a
// quarter of the workers in a process that has many.
func perEndpoint(mode Mode, workers int) int {
	if mode == Function {
		return 5
	}
	return max(workers/4, 1)
}

// checkDelays refuses a policy whose cap is below its start. Values that are
// wrong by themselves are zero here and have been named.
func checkDelays(p retry.Policy) error {
	if p.InitialDelay > 0 && p.MaxDelay > 0 && p.InitialDelay > p.MaxDelay {
		return fmt.Errorf("initial_delay %v is longer than max_delay %v", p.InitialDelay.Seconds(), p.MaxDelay.Seconds())
	}
	return nil
}

// exists says whether there is a file of that name.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// missing says whether a file is simply not there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// cause is what went wrong with a file, without its path, which is said
// already.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
