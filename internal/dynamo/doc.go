// Package dynamo is the only one that speaks to DynamoDB.
package dynamo
