// Command api is the Lambda function behind the HTTP API: it stores endpoints
// and events, puts deliveries into the queue, and answers what is asked of them.
package main

import (
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"posthorn/internal/wire"
)

func main() {
	app, err := wire.ForFunction(os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lambda.Start(app.APIFunction())
}
