// Command bootstrap is a function that does what its payload says, for the
// tests of the Runtime API.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// Command is the payload.
type Command struct {
	Do   string `json:"do"`
	Text string `json:"text"`
	Size int    `json:"size"`
}

// Answer is what a command that succeeds answers.
type Answer struct {
	PID       int       `json:"pid"`
	Text      string    `json:"text"`
	Env       []string  `json:"env,omitempty"`
	Dir       string    `json:"dir,omitempty"`
	RequestID string    `json:"request_id"`
	ARN       string    `json:"arn"`
	Trace     string    `json:"trace"`
	Deadline  time.Time `json:"deadline"`
}

func main() {
	switch os.Getenv("INIT") {
	case "exit":
		fmt.Fprintln(os.Stderr, "cannot start")
		os.Exit(3)
	case "hang":
		<-time.After(time.Hour) // select {} would be noticed as a deadlock where there is no cgo
	case "report":
		post("init/error", `{"errorType":"Config","errorMessage":"no table"}`)
		os.Exit(1)
	}
	if os.Getenv("RUNTIME") == "odd" {
		oddRuntime()
		return
	}
	lambda.Start(handle)
}

func handle(ctx context.Context, c Command) (any, error) {
	switch c.Do {
	case "error":
		return nil, errors.New(c.Text)
	case "panic":
		panic(c.Text)
	case "exit":
		os.Exit(7)
	case "hang":
		select {}
	case "print":
		fmt.Println(c.Text)
		fmt.Fprintln(os.Stderr, c.Text)
	case "count":
		return len(c.Text), nil
	case "big":
		return strings.Repeat("x", c.Size-2), nil // and its quotes
	}
	// "wait" makes a file beside the one that text names, and blocks until that
	// one is there.
	if c.Do == "wait" {
		if _, err := os.CreateTemp(filepath.Dir(c.Text), "started"); err != nil {
			return nil, err
		}
	}
	for c.Do == "wait" {
		if _, err := os.Stat(c.Text); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	a := Answer{PID: os.Getpid(), Text: c.Text, Trace: os.Getenv("_X_AMZN_TRACE_ID")}
	if c.Do == "env" {
		var err error
		if a.Dir, err = os.Getwd(); err != nil {
			return nil, err
		}
		a.Env = os.Environ()
	}
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		a.RequestID, a.ARN = lc.AwsRequestID, lc.InvokedFunctionArn
	}
	a.Deadline, _ = ctx.Deadline()
	return a, nil
}

// oddRuntime is a runtime that makes mistakes. It answers each invocation with
// the statuses that its posts got.
func oddRuntime() {
	for {
		id, payload := next()
		var c Command
		if err := json.Unmarshal(payload, &c); err != nil {
			panic(err)
		}
		switch c.Do {
		case "hang after the answer":
			post("invocation/"+id+"/response", `"answered"`)
			select {}
		case "truncate":
			truncate(id)
		case "stray":
			seen := []int{post("invocation/other/response", `"stray"`), get("extension/register")}
			b, err := json.Marshal(seen)
			if err != nil {
				panic(err)
			}
			post("invocation/"+id+"/response", string(b))
			if again := post("invocation/"+id+"/error", `"again"`); again != http.StatusBadRequest {
				panic(again)
			}
		default:
			post("invocation/"+id+"/response", `"ok"`)
		}
	}
}

func base() string { return "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/" }

func next() (id string, payload []byte) {
	resp, err := http.Get(base() + "invocation/next")
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	payload, err = io.ReadAll(resp.Body)
	if err != nil {
		panic(err)
	}
	return resp.Header.Get("Lambda-Runtime-Aws-Request-Id"), payload
}

func get(path string) int {
	resp, err := http.Get(base() + path)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func post(path, body string) int {
	resp, err := http.Post(base()+path, "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// truncate fails in the middle of an answer, as a streaming runtime may.
func truncate(id string) {
	req, err := http.NewRequest(http.MethodPost, base()+"invocation/"+id+"/response", io.MultiReader(strings.NewReader(`"half`)))
	if err != nil {
		panic(err)
	}
	req.Trailer = http.Header{"Lambda-Runtime-Function-Error-Type": {"Runtime.StreamError"}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
}
