// Command bootstrap starts in the way that BEHAVIOUR asks for.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

func main() {
	switch os.Getenv("BEHAVIOUR") {
	case "calls":
		resp, err := http.Post(os.Getenv("AWS_ENDPOINT_URL"), "application/json", nil)
		if err == nil {
			err = resp.Body.Close()
		}
		if err != nil {
			os.Exit(1)
		}
	case "ends":
		fmt.Fprintln(os.Stderr, "POSTHORN_TABLE: has to be set")
		os.Exit(1)
	case "sleeps":
		time.Sleep(300 * time.Millisecond)
	}
	resp, err := http.Get("http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/next")
	if err == nil {
		err = resp.Body.Close()
	}
	if err != nil {
		os.Exit(1)
	}
}
