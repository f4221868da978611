// Package lifetest holds the life of a delivery against a plain model of it,
// whatever happens in between. It is tests only.
//
// Every process of it, an invocation of the deliver function, a sweep, a
// request to the API, is the real code over the real table on the stand-in for
// DynamoDB. Each call that a process makes waits at a gate until it is told its
// fate: made, failed, made with its answer lost, or the death of the process,
// before or after the call. So all interleavings of all calls can be had, and
// rapid looks for the one that breaks the model, and for the shortest of them.
//
//	gate_test.go     calls that wait, and their fates
//	queue_test.go    both queues, in memory
//	process_test.go  what runs: deliverers, sweeps, requests
//	model_test.go    what one delivery may do
//	world_test.go    the table, two endpoints and an event for both
//	life_test.go     the properties
package lifetest
