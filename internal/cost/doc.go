// Package cost measures what a delivery costs in an AWS account. It runs
// Posthorn's three functions as real processes behind stand-ins for the
// services, counts on the wire what AWS would bill, and multiplies by a dated
// list of prices.
//
//	prices.go     the list of prices, and what is assumed of AWS
//	workload.go   what is run
//	stack.go      the account that it runs in
//	meter.go      counting of requests, capacity units and bytes
//	measure.go    one run of a workload
//	bill.go       from what was counted to dollars
//	idle.go       what a stack costs in which nothing happens
//	report.go     tables, the part of a document that holds them, and budgets
//
// What cannot be measured here is how long AWS takes to answer. The answers of
// the stand-ins and of receivers are put off by the times in prices.yaml, and
// the processor's time is stretched to the share that a function's memory buys.
package cost
