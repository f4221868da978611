// Command dlq-sweeper is the Lambda function behind the schedule: it turns what
// is in the dead-letter queue into entries that can be looked at and replayed.
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
	lambda.Start(app.SweepFunction())
}
