package main

import (
	"context"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"posthorn/internal/client"
)

// What the shell offers for the arguments and flags of a command. The scripts for
// bash, zsh, fish and PowerShell are the library's: `posthorn completion --help`.

const (
	// completionTime is how long the shell waits for what the API has: not longer
	// than a person does.
	completionTime = time.Second
	completionMost = 50
)

// ownCompletion gives the library's command the errors of all others: one line, and 2.
func ownCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() != "completion" {
			continue
		}
		like := group(c.Use, c.Short)
		c.Args, c.RunE, c.Example = like.Args, like.RunE, "  posthorn completion bash"
		for _, shell := range c.Commands() {
			shell.Args, shell.Example = none, "  posthorn completion "+shell.Name()
			if f := shell.Flags().Lookup("no-descriptions"); f != nil {
				f.Usage = "Leave out what each completion is."
			}
		}
	}
}

// all offers the ids of a list of the API, newest first, with a field that says
// what each is. Where the API does not answer it offers nothing.
func (r *remote) all(path, about string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var offered []cobra.Completion
		if r.Validate() != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), completionTime)
		defer cancel()
		transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
		defer transport.CloseIdleConnections()
		items, _, err := client.Page[item](ctx, &client.Client{URL: r.URL, Key: r.Key, HTTP: &http.Client{Transport: transport}}, path, nil, completionMost, "")
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		for _, i := range items {
			offered = append(offered, cobra.CompletionWithDesc(i.text("id"), i.text(about)))
		}
		return offered, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// ids offers the same for a command that takes one id.
func (r *remote) ids(path, about string) cobra.CompletionFunc {
	offer := r.all(path, about)
	return func(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return offer(c, args, begun)
	}
}

// eventTypes offers the event types that there are.
func (r *remote) eventTypes(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var offered []cobra.Completion
	if r.Validate() != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionTime)
	defer cancel()
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	var answer struct {
		Data []item `json:"data"`
	}
	api := &client.Client{URL: r.URL, Key: r.Key, HTTP: &http.Client{Transport: transport}}
	if err := api.Call(ctx, http.MethodGet, "/api/v1/event-types", nil, nil, &answer); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for _, i := range answer.Data {
		offered = append(offered, cobra.CompletionWithDesc(i.text("name"), i.text("description")))
	}
	return offered, cobra.ShellCompDirectiveNoFileComp
}

// endpointFlag takes an endpoint's id.
func endpointFlag(r *remote, c *cobra.Command, to *string, usage string) {
	c.Flags().StringVar(to, "endpoint", "", usage)
	completeFlag(c, "endpoint", r.all(endpointsPath, "url"))
}

// typeFlag takes an event type.
func typeFlag(r *remote, c *cobra.Command, to *string) {
	c.Flags().StringVar(to, "type", "", "Those of this event `TYPE`.")
	completeFlag(c, "type", r.eventTypes)
}

// profileNames offers the names of profiles.
func profileNames(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	file, err := readProfiles()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return file.names(), cobra.ShellCompDirectiveNoFileComp
}

// completeFlag says what is offered for a flag that is there.
func completeFlag(c *cobra.Command, flag string, offer cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, offer); err != nil {
		panic("completion of a flag that is not there: " + err.Error()) // found by the first run of any command
	}
}

// offerNoFiles keeps the shell from offering files where none is meant: for all but
// flags whose value is called a file or a folder.
func offerNoFiles(c *cobra.Command) {
	if c.ValidArgsFunction == nil {
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		value, _ := pflag.UnquoteUsage(f)
		_, taken := c.GetFlagCompletionFunc(f.Name)
		switch {
		case f.Name == "profile":
			completeFlag(c, f.Name, profileNames)
		case !taken && value != "FILE" && value != "DIR":
			completeFlag(c, f.Name, cobra.NoFileCompletions)
		}
	})
	for _, sub := range c.Commands() {
		offerNoFiles(sub)
	}
}
