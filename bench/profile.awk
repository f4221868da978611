# Says where the time, or the allocations, of a profile went: reads what `go tool
# pprof -traces` prints, and counts each stack for the innermost part it is in.
# n is the number of events, unit what a sample is called.

function part(f) {
	if (f ~ /^runtime\.(newstack|copystack)/) return "moving stacks"
	if (f ~ /^runtime\.gc(BgMark|Assist|Drain|Start|MarkDone|MarkTermination)/ || f ~ /^runtime\.bg(sweep|scavenge)/) return "garbage collection"
	if (f ~ /^posthorn\/internal\/load\./) return "the load generator and the receiver"
	if (f ~ /^posthorn\/internal\/localaws\/dynamodb\./) return "the stand-in for DynamoDB"
	if (f ~ /^posthorn\/internal\/localaws\/sqs\./) return "the stand-in for SQS"
	if (f ~ /^posthorn\/internal\/localaws\/(gateway|poller)/ || f ~ /^github\.com\/aws\/aws-lambda-go/ || f ~ /^github\.com\/awslabs\//) return "the stand-ins for API Gateway and the event source mapping"
	if (f ~ /^github\.com\/aws\//) return "the AWS SDK"
	if (f ~ /^github\.com\/cockroachdb\//) return "pebble, with its writes to the disk"
	if (f ~ /^posthorn\//) return "Posthorn's own code"
	if (f ~ /^net\/http\.\(\*(Transport|persistConn|Client)\)/) return "Go's HTTP client"
	if (f ~ /^net\/http\.\(\*(conn|Server|response|connReader)\)/ || f ~ /^net\/http\.serverHandler/) return "Go's HTTP server"
	return ""
}

function count() {
	if (value == "") return
	if (who == "") who = "the scheduler, and what is left"
	sum[who] += value
	all += value
	value = who = ""
}

/^-----------\+/ { count(); begun = 1; next }
!begun || /^ *bytes: / { next }
value == "" { value = $1 + 0; f = $2; for (i = 3; i <= NF; i++) f = f " " $i }
value != "" && NF > 0 && $1 !~ /^[0-9.]+[a-z]*$/ { f = $1 }
# Whatever is below it, a stack that collects or is moved does just that.
NF > 0 {
	p = part(f)
	if (p == "moving stacks" || p == "garbage collection") who = p
	else if (who == "" && p != "") who = p
}

END {
	count()
	printf "| who | %s an event | share |\n|---|--:|--:|\n", unit
	sorted = "sort -t '|' -k 3 -rn"
	for (who in sum) printf "| %s | %.0f | %.0f %% |\n", who, sum[who] * scale / n, 100 * sum[who] / all | sorted
	close(sorted)
	printf "| all | %.0f | |\n", all * scale / n
}
