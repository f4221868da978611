package simulate

import "posthorn/internal/cost"

// What one thing takes, as `make cost` counts it for ten events a POST of 1 KB,
// in an environment with 256 MB.
const (
	memoryGB        = 0.25
	eventsPerPost   = 10
	writesPerEvent  = 0.36 // its share of its POST's item, and of the counters
	writesPerPost   = 1.2  // of a delivery: the row of an attempt, and its share of the counters
	readsPerMessage = 1.2  // its row, and its share of the batch's other reads
	egressBytes     = 1800 // of an attempt
	logBytes        = 600  // of an attempt, its share of all lines
)

// DollarsPerHour is what an hour like the sample costs, without storage.
func DollarsPerHour(s Sample, rate float64, p *cost.Prices) float64 {
	const hour = 3600
	posts := rate / eventsPerPost
	perSecond := posts*(p.Prices.APIGateway+p.Prices.Lambda)/1e6 +
		s.Batches*p.Prices.Lambda/1e6 + s.Busy*memoryGB*p.Prices.LambdaGBSecond +
		(rate*writesPerEvent+s.Attempts*writesPerPost)*p.Prices.DynamoDBWrite/1e6 +
		(s.Attempts+s.Copies)*readsPerMessage*p.Prices.DynamoDBRead/1e6 +
		(posts+2*s.Batches+s.Copies/batchSize)*(p.Prices.SQS+p.Prices.SQSFair)/1e6 +
		s.Attempts*(egressBytes*p.Prices.EgressGB+logBytes*p.Prices.LogsGB)/1e9
	return perSecond * hour
}
