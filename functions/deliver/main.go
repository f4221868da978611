// Command deliver is the Lambda function behind the queue: it signs deliveries,
// posts them to their endpoints, and records what came of it.
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
	lambda.Start(app.DeliverFunction())
}
