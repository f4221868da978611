package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"posthorn/internal/awssqs"
	"posthorn/internal/config"
	"posthorn/internal/dynamo"
	"posthorn/internal/wire"
)

// place says where what a command is about is: in an account, or on this
// machine.
type place struct {
	Table *string
	Local bool

	AWSHost, AWSPort *string
}

func (p *place) flags(f *pflag.FlagSet) {
	f.Var(optional{&p.Table, "NAME"}, "table", "DynamoDB table; of a stack, its output TableName. Variable: POSTHORN_TABLE (posthorn).")
	f.BoolVar(&p.Local, "local", false, "What a running \"posthorn local\" has, instead of an AWS account.")
	f.Var(optional{&p.AWSHost, "ADDR"}, "aws-host", "With --local: address of its SQS and DynamoDB. Variable: POSTHORN_AWS_HOST (127.0.0.1).")
	f.Var(optional{&p.AWSPort, "PORT"}, "aws-port", "With --local: port of its SQS and DynamoDB. Variable: POSTHORN_AWS_PORT (4566).")
}

// Validate checks the command line.
func (p *place) Validate() error {
	if (p.AWSHost != nil || p.AWSPort != nil) && !p.Local {
		return errors.New("--aws-host and --aws-port go with --local")
	}
	return nil
}

// flag is a flag that stands for a variable; nil: it is not given.
type flag struct {
	name, variable string
	value          *string
}

// at calls do with the configuration, in which the command's further flags win,
// and the services of the place.
func (p *place) at(ctx context.Context, further []flag, do func(ctx context.Context, cfg *config.Config, on wire.Services) error) error {
	cfg, err := config.Load(config.Operate, withFlags(config.Environment(), append([]flag{
		{"--table", "POSTHORN_TABLE", p.Table},
		{"--aws-host", "POSTHORN_AWS_HOST", p.AWSHost},
		{"--aws-port", "POSTHORN_AWS_PORT", p.AWSPort},
	}, further...)))
	if p.Local {
		if err != nil {
			return usageError{onOneLine(err)}
		}
		return p.locally(ctx, cfg, do)
	}
	account, missing := reached(ctx, err)
	switch {
	case missing != nil && err == nil: // nothing but what an account takes
		return usageError{fmt.Errorf("%w. For a posthorn local on this machine: --local", missing)}
	case missing != nil:
		return usageError{missing}
	}
	return wire.Explain(nothingThere(do(ctx, cfg, account), cfg, "in "+account.Region))
}

// withFlags puts the flags that are given before the variables of a source.
func withFlags(src config.Source, flags []flag) config.Source {
	for _, f := range flags {
		if f.value != nil {
			src.Flags = append(src.Flags, config.Flag{Name: f.name, Variable: f.variable, Value: *f.value})
		}
	}
	return src
}

// reached returns the account that the SDK's usual variables and files describe.
// Its error names everything that is missing there, after what loaded says is
// wrong with the rest of the configuration.
func reached(ctx context.Context, loaded error) (wire.Services, error) {
	var all config.Error
	var mistakes *config.Error
	switch {
	case errors.As(loaded, &mistakes):
		all.Mistakes = append(all.Mistakes, mistakes.Mistakes...)
	case loaded != nil:
		return wire.Services{}, loaded
	}
	account, err := wire.Account(ctx)
	if err != nil {
		all.Mistakes = append(all.Mistakes, config.Mistake{Where: "AWS configuration", What: lastOf(err).Error()})
	} else {
		all.Mistakes = append(all.Mistakes, wire.Lacks(ctx, account)...)
	}
	if len(all.Mistakes) > 0 {
		return wire.Services{}, onOneLine(&all)
	}
	return account, nil
}

// lastOf is the innermost of an error's causes.
func lastOf(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// locally calls do with the services of the program that runs on this machine.
func (p *place) locally(ctx context.Context, cfg *config.Config, do func(ctx context.Context, cfg *config.Config, on wire.Services) error) error {
	host := cfg.Local.Host
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	at := net.JoinHostPort(host, strconv.Itoa(cfg.Local.Port))
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	err := do(ctx, cfg, wire.Local(client, "http://"+at))
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no posthorn local answers at %s: start it, or name its address with --aws-host and --aws-port", at)
	}
	return nothingThere(err, cfg, "at "+at)
}

// nothingThere says which flag names what was not found at a place.
func nothingThere(err error, cfg *config.Config, at string) error {
	switch {
	case dynamo.IsNoTable(err):
		return fmt.Errorf("there is no table %s %s: name it with --table", cfg.Table, at)
	case awssqs.IsNoQueue(err):
		return fmt.Errorf("there is no queue %s %s: name it with --queue", cfg.Queue.Main, at)
	}
	return err
}

// onOneLine is what is wrong with the configuration, as commands that print a
// line say it.
func onOneLine(err error) error {
	var mistakes *config.Error
	if !errors.As(err, &mistakes) {
		return err
	}
	said := make([]string, len(mistakes.Mistakes))
	for i, m := range mistakes.Mistakes {
		said[i] = m.Where + ": " + m.What
	}
	return fmt.Errorf("configuration: %s", strings.Join(said, "; "))
}
